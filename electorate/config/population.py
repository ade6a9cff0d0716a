"""Who planted personas are, and how they judge."""

from typing import Self

from pydantic import Field, model_validator

from electorate.config.section import Name, Section


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
    position_bias: float = Field(
        0.0, ge=-10, le=10, description="mean over personas, logits for the answer shown first"
    )
    position_bias_sd: float = Field(0.2, ge=0, le=10, description="its sd over personas")
    lapse_rate: float = Field(0.02, ge=0, le=1, description="share of votes cast at random")
    both_bad_below: float | None = Field(
        None,
        description=(
            "a tie is both-bad where both utilities are below this, logits about the prompt's "
            "mean; null: never"
        ),
    )
