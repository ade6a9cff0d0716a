"""The typed configuration of a run, in one frozen object. config_file.py reads it."""

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from electorate.config import systems
from electorate.config.contest import Contest
from electorate.config.population import Judge, Population
from electorate.config.reward import TOLD_BY_PROMPT, Reward
from electorate.config.section import Name, Section
from electorate.config.systems import MOST_PERSONAL, NEEDED_OF_PEOPLE, ORACLE, SYSTEMS
from electorate.config.voters import (
    VOTERS,
    AnyVoters,
    ModelVoters,
    PeopleVoters,
    PlantedVoters,
    kind_of,
)
from electorate.ratings import ties as tie_models


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
        16.0,
        gt=0,
        le=400,
        description="elo_online: the most Elo points that one vote moves a rating",
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


class Evaluation(Section):
    """What is compared, on whom."""

    systems: tuple[str, ...] = Field(
        systems.by_default("planted", reward=True), min_length=1, description="rows of the table"
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
    """The config of a run: who is compared, who votes, and how that is rated."""

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
        """The number of users who vote."""
        return self.voters.count(self)

    @property
    def compared(self) -> int:
        """How many users systems are compared on, at most."""
        if self.voters.most_compared is not None:
            return self.voters.most_compared
        chosen = self.evaluation
        if chosen.persona is not None and "personal_rm" in chosen.systems:
            return min(chosen.users, MOST_PERSONAL)
        return chosen.users

    @model_validator(mode="before")
    @classmethod
    def _systems_that_there_are(cls, content: Any) -> Any:
        """Where systems are not named: those for the kind of voters, System B only with a reward
        model.
        """
        if not isinstance(content, dict):
            return content
        evaluation = content.get("evaluation", {})
        if not isinstance(evaluation, dict) or "systems" in evaluation:
            return content
        kind = kind_of(content.get("voters", {}))
        if kind not in VOTERS:
            return content  # which the voters' own section tells
        wanted = systems.by_default(kind, reward=content.get("reward") is not None)
        return content | {"evaluation": evaluation | {"systems": list(wanted)}}

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
                "evaluation.systems: prompt_head is trained on hybrid or low_rank_rm; add one of "
                "them"
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
        else:
            _check_systems(self)
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


def _check_systems(config: Config) -> None:
    """ValueError where a system is not for the config's voters."""
    named = config.evaluation.systems
    kind = config.voters.kind
    for name in named:
        if not systems.for_voters((name,), kind):
            there_are = ", ".join(systems.for_voters(tuple(SYSTEMS), kind))
            raise ValueError(
                f"evaluation.systems: {name} is not for voters.kind: {kind} (there are: "
                f"{there_are})"
            )


def _check_people(config: Config) -> None:
    """ValueError where a setting does not go with people's votes."""
    for name in ("models", "contestants"):
        if getattr(config, name):
            raise ValueError(
                f"{name}: people voted already, so nothing is asked; leave it out (voters.votes "
                "says which models their votes are about)"
            )
    # What was written before systems were chosen for people is read as it is.
    if config.evaluation.systems != systems.by_default("planted", reward=config.reward is not None):
        _check_systems(config)
        missing = [n for n in NEEDED_OF_PEOPLE if n not in config.evaluation.systems]
        if missing:
            raise ValueError(
                f"evaluation.systems: of people's votes {missing[0]} is needed; add it"
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
    if config.votes.pairing == "active" or config.votes.stop_at_tau is not None:
        raise ValueError(
            "votes: pairing: active and stop_at_tau are for planted voters; model voters judge "
            "pairs drawn evenly"
        )
