"""The typed configuration of a run, in one frozen object. config_file.py reads it."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from electorate.config import systems
from electorate.config.contest import Contest
from electorate.config.engines import OpenAIModel
from electorate.config.section import Name, Section
from electorate.config.systems import MOST_PERSONAL, ORACLE, SYSTEMS
from electorate.config.voters import AnyVoters, ModelVoters, PeopleVoters, PlantedVoters
from electorate.ratings import ties as tie_models

# What prompt_head learns to predict: the first of these that is compared.
TOLD_BY_PROMPT = ("hybrid", "low_rank_rm")
TOKENS_PER_PASS = 16_384


class Archetype(Section):
    """The distribution a persona is drawn from."""

    share: float = Field(1.0, gt=0, description="relative to the other archetypes' shares")
    taste: dict[str, float] = Field(
        {},
        description=(
            "taste axis to mean taste, in standard deviations; other axes are drawn from the seed"
        ),
    )


class Likeness(Section):
    """How like a population is to the people whose votes it was fitted to."""

    votes: str = Field(description="the file of their votes")
    distance: float = Field(
        ge=0,
        description=(
            "by how much shares of votes, such as of ties, are off on average where these personas "
            "vote on the people's battles"
        ),
    )


class Population(Section):
    """Who votes, and how much they differ."""

    size: int = Field(ge=1, le=1_000_000_000, description="personas")
    heterogeneity: float = Field(
        1.0,
        ge=0,
        le=10,
        description="sd of personal taste utility / sd of the models' strength (H)",
    )
    archetype_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the taste variance that lies between archetypes (rho)",
    )
    prompt_focus: float = Field(
        0.7,
        ge=0,
        le=1,
        description="share of a persona's prompts that are its archetype's own; times min(1, H)",
    )
    drift: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "churn: share of a persona's own taste (as an sd) that is redrawn before each round"
        ),
    )
    careless: float = Field(
        0.0, ge=0, le=1, description="share of personas who vote without looking"
    )
    adversarial: float = Field(
        0.0, ge=0, le=1, description="share of personas who vote against their own taste"
    )
    axes: tuple[str, ...] | None = Field(
        None, min_length=1, description="taste axes that personas differ on; null: all of them"
    )
    model_taste: float = Field(
        0.0,
        ge=0,
        le=100,
        description="sd of personal taste for a contestant whatever it answers, nats",
    )
    answer_quality: float = Field(
        0.0,
        ge=0,
        le=100,
        description="sd of what one response is worth more than its contestant's others, nats",
    )
    strength: dict[str, float] | None = Field(
        None,
        description="contestant to its strength, nats; null: what the Chatbot Arena rates it at",
    )
    common_taste: dict[str, float] | None = Field(
        None,
        description=(
            "taste axis to the taste all share, nats a standard deviation; null: what the Chatbot "
            "Arena rewards in style"
        ),
    )
    archetypes: dict[Name, Archetype] = Field(
        min_length=1, description="archetype id to its distribution"
    )
    likeness: Likeness | None = Field(
        None, description="whose votes it was fitted to, as `calibrate` writes it; null: nobody's"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.careless + self.adversarial > 1:
            raise ValueError(
                f"careless and adversarial are {self.careless:g} and {self.adversarial:g}; "
                "together at most 1"
            )
        return self


class Judge(Section):
    """The taste judge: how a persona's utilities become a vote."""

    decisiveness: float = Field(2.0, gt=0, le=100, description="logits a nat of utility (d)")
    decisiveness_spread: float | None = Field(
        None,
        ge=0,
        le=10,
        description=(
            "sd over personas of the logarithm of how closely they follow strengths; null: 0.3 "
            "population.heterogeneity"
        ),
    )
    tie_threshold: float = Field(
        0.8, ge=0, le=20, description="median half-width of the tie zone, logits"
    )
    tie_threshold_spread: float = Field(
        0.3, ge=0, le=3, description="sd of its logarithm over personas"
    )
    tie_threshold_of_prompts: float = Field(
        0.0, ge=0, le=3, description="sd of its logarithm over prompts, the same for all personas"
    )
    position_bias_sd: float = Field(
        0.2, ge=0, le=10, description="sd over personas, logits for the answer shown first"
    )
    lapse_rate: float = Field(0.02, ge=0, le=1, description="share of votes cast at random")
    both_bad_below: float | None = Field(
        None,
        description=(
            "a tie is both-bad where both utilities are below this, logits about the prompt's "
            "mean; null: never"
        ),
    )


class Votes(Section):
    """How many votes, on which pairs, and when the systems are compared."""

    checkpoints: tuple[int, ...] = Field(
        (5, 10, 20, 50),
        min_length=1,
        description="votes a persona at which systems are rated; each ends a round",
    )
    eval_freq: int | None = Field(
        None,
        ge=1,
        description="instead: rate after every so many votes, up to the last of checkpoints",
    )

    pairing: Literal["uniform", "active"] = Field(
        "uniform",
        description=(
            "active: after the first round, pairs whose outcome says most about the persona's own "
            "ranking"
        ),
    )
    stop_at_tau: float | None = Field(
        None,
        gt=0,
        lt=1,
        description=(
            "stop asking a persona once the Kendall tau expected of its ranking is this high; "
            "null: never"
        ),
    )

    def even(self, round_: int) -> int:
        """The last round up to this one whose votes may speak for everybody: pairs chosen for
        one persona's sake show the population through what was known of it.
        """
        return 0 if self.pairing == "active" else round_

    @model_validator(mode="before")
    @classmethod
    def _every_so_many(cls, content: Any) -> Any:
        """Checkpoints at every eval_freq votes, the last one kept."""
        if (
            not isinstance(content, dict)
            or not isinstance(every := content.get("eval_freq"), int)
            or every < 1
        ):
            return content
        checkpoints = content.get("checkpoints", cls.model_fields["checkpoints"].default)
        last = checkpoints[-1] if isinstance(checkpoints, list | tuple) and checkpoints else None
        if not isinstance(last, int) or last < 1:
            return content
        return content | {"checkpoints": [*range(every, min(last, 10_000), every), last]}

    @field_validator("checkpoints")
    @classmethod
    def _rising(cls, checkpoints: tuple[int, ...]) -> tuple[int, ...]:
        if checkpoints[0] < 1 or any(b <= a for a, b in pairwise(checkpoints)):
            raise ValueError("must rise and start at 1 or more")
        if checkpoints[-1] > 10_000:
            raise ValueError("must not pass 10000 votes a persona")
        return checkpoints


class RatingSettings(Section):
    """How votes become ratings."""

    ties: tie_models.Name = Field(tie_models.DEFAULT, description="tie model of every system")
    prior_sd: float = Field(1000.0, gt=0, description="sd of the Bradley-Terry prior, Elo points")
    factors: int = Field(
        8,
        ge=1,
        le=64,
        description="elo_offset_low_rank: directions in which users vary together, at most",
    )
    forgetting: float = Field(
        1.0, gt=0, le=1, description="System A: weight of a vote a round old; 1 forgets nothing"
    )
    k_factor: float = Field(
        16.0, gt=0, le=400, description="elo_online: Elo points a certain loser's win would move it"
    )
    lambda_reg: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description=(
            "System A's pull of a user toward its archetype, 1/tau^2 in nats^-2; null fits it to "
            "the votes"
        ),
    )


class Synthetic(Section):
    """Battles that a larger model writes and judges, which `predict` learns from beside
    people's.
    """

    judge: OpenAIModel = Field(description="where that model is; any OpenAI-compatible URL")
    battles: int = Field(
        500, ge=1, le=1_000_000, description="made, at most one for each of people's"
    )
    weight: float = Field(0.3, gt=0, lt=1, description="of a synthetic vote, where a person's is 1")


Workers = Annotated[int, Field(ge=1, le=1024)]


class Reward(Section):
    """System B: a reward model fine-tuned on the votes, and each persona's own weights on what
    it reads.
    """

    model: str = Field(
        min_length=1,
        description="a Hugging Face id, a folder, or package:NAME/PATH inside an installed package",
    )
    score_head: bool = Field(
        True, description="keep its pretrained score head; false for an encoder that has none"
    )
    layers: int | None = Field(
        None, ge=0, description="layers that run; 0 reads its token embeddings alone, null runs all"
    )
    max_tokens: int = Field(
        2048,
        ge=64,
        le=131072,
        description="of a prompt and a response together; longer ones lose their middle",
    )
    accelerator: Literal["cpu", "gpu"] = Field("gpu", description="what one worker trains on")
    workers: Workers | tuple[Workers, Workers] = Field(
        1,
        description=(
            "of the Ray Train job, who share prompts and users; [min, max] takes as many as the "
            "cluster has"
        ),
    )
    sharding: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="fsdp: workers share the model's layers too, where one alone cannot hold it",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the layers that run; the rest is float32"
    )
    tokens_per_pass: int = Field(
        TOKENS_PER_PASS,
        ge=128,
        description=(
            "that one pass through the layers holds at most, or one answer where that is longer; "
            "fewer take less memory and change no result"
        ),
    )
    checkpoint_activations: bool = Field(
        False,
        description=(
            "run every layer again for its gradients rather than keep what it computed: far less "
            "memory, a third more time"
        ),
    )
    accumulate: int = Field(
        1, ge=1, description="not used any more: tokens_per_pass says how much a pass holds"
    )
    voters: int = Field(
        8192, ge=1, description="personas whose votes train it, the first of the population"
    )
    epochs: int = Field(16, ge=1, le=1000, description="passes over the prompts")
    prompts_per_step: int = Field(
        16, ge=1, description="whose answers one step encodes, by all workers together"
    )
    rank: int = Field(
        16, ge=1, le=256, description="directions of taste that personas have weights on"
    )
    lora_rank: int = Field(
        16,
        ge=0,
        le=1024,
        description=(
            "of the adapter on every linear layer that runs; 0 leaves the layers as they are"
        ),
    )
    adapted_layers: int | None = Field(
        None,
        ge=1,
        description=(
            "how many of the last layers have the adapter; those below are run once a training; "
            "null: all"
        ),
    )
    learning_rate: float = Field(2e-4, gt=0, le=1, description="of the adapter")
    counter_rate: float = Field(
        5e-3,
        ge=0,
        le=1,
        description="Adam's step for the learned counts; few votes want a smaller one",
    )
    lambda_reg: float = Field(
        300.0,
        ge=0,
        le=1e9,
        description=(
            "pull toward the pretrained model, lambda/2 |dW|^2 with dW the adapter's change of the "
            "weights and all weights on what is read: a Gaussian prior's precision"
        ),
    )
    synthetic: Synthetic | None = Field(
        None, description="`predict` alone: learn from made battles too; null: from people's alone"
    )
    incremental: bool = Field(
        False,
        description=(
            "train anew at every checkpoint, for learning curves; false trains once, at the last"
        ),
    )

    @property
    def fewest_workers(self) -> int:
        """That the training can do with."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @model_validator(mode="after")
    def _workers_make_sense(self) -> Self:
        if not isinstance(self.workers, int) and self.workers[0] > self.workers[1]:
            raise ValueError(f"workers: [{self.workers[0]}, {self.workers[1]}] is not [min, max]")
        if self.sharding == "fsdp" and self.layers == 0:
            raise ValueError(
                "sharding: fsdp shares out layers, and with layers: 0 none runs; use ddp"
            )
        if self.sharding == "fsdp" and self.adapted_layers is not None:
            raise ValueError(
                "adapted_layers: with sharding: fsdp every layer is run in every pass; leave it out"
            )
        return self


class Evaluation(Section):
    """What is compared, on whom."""

    systems: tuple[str, ...] = Field(
        systems.by_default(reward=True), min_length=1, description="rows of the table"
    )
    users: int = Field(
        2000,
        ge=1,
        description=(
            "planted personas that the metrics are computed on, drawn from the seed; with model "
            "voters voters.rankings.personas; of people everybody"
        ),
    )
    newcomers: int = Field(
        500,
        ge=0,
        le=4096,
        description=(
            "planted personas compared besides, whose votes are in no log and no fit: new users, "
            "known by their own votes"
        ),
    )
    persona: Name | None = Field(
        None,
        description=(
            "compare on personas of this archetype alone, with personal_rm on at most "
            f"{MOST_PERSONAL} of them; all still vote"
        ),
    )
    incremental: bool = Field(
        True,
        description=(
            "compare at every checkpoint, for learning curves; false compares at the last alone"
        ),
    )
    bootstrap: int = Field(500, ge=50, le=100_000, description="resamples of users x prompts")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of every interval")
    false_discovery_rate: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="allowed among the personas said to differ from the global ranking",
    )

    @field_validator("systems")
    @classmethod
    def _something_to_compare(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            SYSTEMS.check(name)
        if len(set(names)) < len(names):
            raise ValueError("each system once")
        if "personal_rm" in names and "pooled_rm" not in names:
            raise ValueError("personal_rm starts from pooled_rm; name that too")
        if names == (ORACLE,):
            raise ValueError("the oracle is what systems are compared with; name one of them too")
        return names


class Config(Contest):
    """One run."""

    voters: AnyVoters = Field(PlantedVoters(), description="who votes")
    population: Population | None = Field(None, description="of planted voters")
    judge: Judge = Field(Judge(), description="how planted voters vote")
    votes: Votes = Votes()
    ratings: RatingSettings = RatingSettings()
    reward: Reward | None = Field(None, description="null: no System B")
    evaluation: Evaluation = Evaluation()

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Of a planted population, in the order of their indices; empty for other voters."""
        return () if self.population is None else tuple(self.population.archetypes)

    @property
    def judging(self) -> ModelVoters | None:
        """The settings of model voters; None where others vote."""
        return self.voters if isinstance(self.voters, ModelVoters) else None

    @property
    def people(self) -> PeopleVoters | None:
        """Where people's votes are; None where others vote."""
        return self.voters if isinstance(self.voters, PeopleVoters) else None

    @property
    def asks_models(self) -> bool:
        """Whether there is anything to ask; nothing where people voted already."""
        return self.people is None

    @property
    def contestant_names(self) -> tuple[str, ...]:
        """In the order that votes and ratings count them in. Of people's votes the models in their
        file.
        """
        return super().contestant_names if self.people is None else self.people.models

    @property
    def users(self) -> int:
        """How many vote."""
        if isinstance(self.voters, ModelVoters):
            return self.voters.personas.size
        if isinstance(self.voters, PeopleVoters):
            return self.voters.users
        return 0 if self.population is None else self.population.size

    @property
    def compared(self) -> int:
        """How many users systems are compared on, at most."""
        if isinstance(self.voters, ModelVoters):
            return self.voters.rankings.personas
        chosen = self.evaluation
        if chosen.persona is not None and "personal_rm" in chosen.systems:
            return min(chosen.users, MOST_PERSONAL)
        return chosen.users

    @model_validator(mode="before")
    @classmethod
    def _systems_that_there_are(cls, content: Any) -> Any:
        """Without a reward model System B is no row of the table, unless it is asked for by
        name.
        """
        if not isinstance(content, dict) or content.get("reward") is not None:
            return content
        evaluation = content.get("evaluation", {})
        if not isinstance(evaluation, dict) or "systems" in evaluation:
            return content
        return content | {
            "evaluation": evaluation | {"systems": list(systems.by_default(reward=False))}
        }

    @model_validator(mode="after")
    def _systems_have_their_model(self) -> Self:
        asked = [name for name in self.evaluation.systems if SYSTEMS[name].reward]
        if self.reward is None and asked:
            raise ValueError(
                f"evaluation.systems: {asked[0]} needs a reward section that names its model"
            )
        if "prompt_head" in self.evaluation.systems and not set(TOLD_BY_PROMPT) & set(
            self.evaluation.systems
        ):
            raise ValueError(
                "evaluation.systems: prompt_head tells from a prompt what hybrid or low_rank_rm "
                "say; name one of them too"
            )
        return self

    @model_validator(mode="after")
    def _a_handful(self) -> Self:
        newcomers = 0 if self.evaluation.persona or self.judging else self.evaluation.newcomers
        compared = self.compared + newcomers
        if "personal_rm" in self.evaluation.systems and compared > MOST_PERSONAL:
            raise ValueError(
                f"evaluation: personal_rm trains a model a persona, for at most {MOST_PERSONAL}, "
                f"and {compared} are compared; lower users and newcomers"
            )
        return self

    @model_validator(mode="after")
    def _voters_make_sense(self) -> Self:
        planted = isinstance(self.voters, PlantedVoters)
        if planted and self.population is None:
            raise ValueError(
                "population: is missing; it says who the planted voters are (or set voters.kind)"
            )
        if not planted and self.population is not None:
            raise ValueError(
                f"population: is for planted voters, and voters.kind is {self.voters.kind}; leave "
                "one of them out"
            )
        if isinstance(self.voters, ModelVoters):
            _check_model_voters(self, self.voters)
        if self.people is not None:
            _check_people(self)
        return self

    @model_validator(mode="after")
    def _persona_there_is(self) -> Self:
        known = self.archetypes
        if known and self.evaluation.persona not in (None, *known):
            raise ValueError(
                f"evaluation.persona: {self.evaluation.persona!r} is no archetype of the "
                f"population ({', '.join(known)})"
            )
        return self


def _check_people(config: Config) -> None:
    """ValueError where a setting does not go with people's votes."""
    for name in ("models", "contestants"):
        if getattr(config, name):
            raise ValueError(
                f"{name}: people voted already, so nothing is asked; leave it out (voters.votes "
                "says which models their votes are about)"
            )
    if config.evaluation.persona is not None:
        raise ValueError("evaluation.persona: people are of no archetype; leave it out")
    if config.votes.pairing == "active" or config.votes.stop_at_tau is not None:
        raise ValueError(
            "votes: pairing: active and stop_at_tau are for planted voters; people's votes are as "
            "they are in the file"
        )


def _check_model_voters(config: Config, voters: ModelVoters) -> None:
    """ValueError where a setting does not go with model voters."""
    try:
        voters.check(config)
    except ValueError as error:
        raise ValueError(f"voters.{error}") from None
    for field, least in (("personas", 2), ("prompts", 1)):
        if getattr(voters.rankings, field) < least:
            raise ValueError(
                f"voters.rankings.{field}: at least {least}; systems are compared with the judges' "
                "own rankings"
            )
    if config.votes.pairing == "active" or config.votes.stop_at_tau is not None:
        raise ValueError(
            "votes: pairing: active and stop_at_tau are for planted voters; model voters judge "
            "pairs drawn evenly"
        )
