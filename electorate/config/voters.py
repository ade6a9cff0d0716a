"""Who votes in a run: planted personas, language models that judge for personas, or people.

A kind of voters is declared in VOTERS, and a config names it in `voters.kind`.
docs/extending.md has the recipe for another.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, WrapValidator

from electorate.base.registry import Registry
from electorate.config.judging import Judging
from electorate.config.section import Section

if TYPE_CHECKING:
    from electorate.config.run import Config


# What systems are compared with: true rankings, or votes that are held out.
RANKINGS = "rankings"
VOTES = "votes"


class VoterSettings(Section):
    """Of one kind of voters."""

    kind: str = Field(description="one of VOTERS")

    @abstractmethod
    def count(self, config: "Config") -> int:
        """How many vote in a run."""

    @property
    def most_compared(self) -> int | None:
        """How many of them systems are compared on, at most; None: as `evaluation.users` says."""
        return None


class PlantedVoters(VoterSettings):
    """Personas with planted tastes, as the sections `population` and `judge` describe them."""

    kind: Literal["planted"] = "planted"

    def count(self, config: "Config") -> int:
        """How many vote in a run."""
        return 0 if config.population is None else config.population.size


class ModelVoters(VoterSettings, Judging):
    """Language models read personas' cards and judge for them.

    A persona's own rankings of responses to test prompts, which the judges give, are what systems
    are compared with: `rankings` says for how many personas and prompts.
    """

    kind: Literal["model"]

    def count(self, config: "Config") -> int:  # noqa: ARG002 as VoterSettings has it
        """How many vote in a run."""
        return self.personas.size

    @property
    def most_compared(self) -> int:
        """How many of them systems are compared on."""
        return self.rankings.personas


class PeopleVoters(VoterSettings):
    """People whose votes are in a file: each is predicted from votes on other prompts."""

    kind: Literal["people"]
    votes: str = Field(
        min_length=1,
        description=(
            "a .csv, .jsonl, .json or .parquet file: model_a, model_b, winner, user_id, prompt_id; "
            "for System B prompt, response_a, response_b too"
        ),
    )
    by: str | None = Field(
        None,
        min_length=1,
        description="a column of the file, such as a language or a topic: gains by its values too",
    )
    sha256: str = Field("", description="of the file; this and the rest are set by a run")
    models: tuple[str, ...] = Field((), description="that the votes are about")
    users: int = Field(0, ge=0, description="how many cast them")

    def count(self, config: "Config") -> int:  # noqa: ARG002 as VoterSettings has it
        """How many vote in a run."""
        return self.users


@dataclass(frozen=True)
class VotersSpec:
    """A kind of voters.

    Attributes:
        name: as a config names it.
        label: what it is, for `--help`.
        section: its settings.
        of_run: "module:function" or a function from a run's folder to its
            `electorate.population.voters.Voters`.
        truth: what systems are compared with, RANKINGS or VOTES.
    """

    name: str
    label: str
    section: type[VoterSettings]
    of_run: str | Callable[..., Any]
    truth: str = RANKINGS


VOTERS: Registry[VotersSpec] = Registry(
    "kind of voters",
    VotersSpec(
        "planted",
        "simulated personas whose tastes are planted, so that their true rankings are known",
        PlantedVoters,
        "electorate.population.planted:of_run",
    ),
    VotersSpec(
        "model",
        "language models that read personas' cards and judge for them",
        ModelVoters,
        "electorate.polls.voters:of_run",
    ),
    VotersSpec(
        "people",
        "people whose votes are in a file, so that held-out votes are what is predicted",
        PeopleVoters,
        "electorate.population.people:of_run",
        truth=VOTES,
    ),
)


def _of_kind(content: Any, _: Callable[[Any], VoterSettings]) -> VoterSettings:
    """The section of the kind that a config names."""
    if isinstance(content, VoterSettings):
        return content
    if not isinstance(content, Mapping):
        raise ValueError(f"a mapping with kind: one of {', '.join(VOTERS)}")
    return section_of(content).model_validate(content)


def section_of(content: Mapping[str, Any]) -> type[VoterSettings]:
    """The class of the settings that a config names by `kind`; planted where it names none."""
    return VOTERS[VOTERS.check(kind_of(content))].section


def kind_of(content: Any) -> str:
    """The kind of voters that a config's section names; planted where it names none."""
    if isinstance(content, VoterSettings):
        return content.kind
    return str(content.get("kind", "planted")) if isinstance(content, Mapping) else "planted"


AnyVoters = Annotated[SerializeAsAny[VoterSettings], WrapValidator(_of_kind)]
