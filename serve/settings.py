"""What the ranking endpoint is told: which results it serves, to whom, and how much it takes."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from electorate.base.errors import ElectorateError
from electorate.online import begin
from electorate.online.counts import KEY_CAP, USER_CAP
from electorate.online.models import MAX_MODELS
from electorate.online.store import MODELS_PER_KEY

DEFAULT_FOLDER = "runs/online"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Settings(BaseModel):
    """Of one ranking endpoint.

    `serve run serve.app:app folder=runs/quickstart keys=keys.json` gives them by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path = Field(
        Path(DEFAULT_FOLDER),
        description=(
            "a finished run's folder, a file of votes, an import's folder, or a new folder to "
            "begin with no votes"
        ),
    )
    out: Path | None = Field(
        None,
        description=(
            "for a file of votes, the folder that votes online are kept in; none: one by its name "
            "in runs/served"
        ),
    )
    by: str | None = Field(
        None, description="for a file of votes, the column whose values have boards of their own"
    )
    keys: Path | None = Field(
        None,
        description=(
            "who may read and vote, as `electorate keys` writes it; none: whoever reaches it"
        ),
    )
    models: Path | None = Field(
        None,
        description=(
            "a file with a model's name a line; votes may then name these alone, and those that "
            "are added while it runs"
        ),
    )
    models_per_key: int = Field(
        MODELS_PER_KEY, ge=0, description="new models that votes of one key may name"
    )
    user_cap: int = Field(
        USER_CAP, ge=1, description="votes that one user's weigh at most together in boards"
    )
    key_cap: int = Field(
        KEY_CAP, ge=1, description="votes that one key's weigh at most together in boards"
    )
    retain_days: float | None = Field(
        None,
        gt=0,
        description="days after which a vote that came online is forgotten; none: never",
    )
    hash_ids: Path | None = Field(
        None,
        description=(
            "a file with the key that users' ids are hashed with before they are kept, made if it "
            "is not there; none: they are kept as they are"
        ),
    )
    live: bool = Field(
        False,
        description=(
            "ask the run's contestants for rankings with `live: true`; it costs what their answers "
            "cost"
        ),
    )
    contestants_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        description="where the run's vLLM models are served, up to and including /v1; for live",
    )
    contestants: Path | None = Field(
        None,
        description=(
            "a config whose models and contestants answer /v1/chat/completions; none: with `live` "
            "the run's, else nobody"
        ),
    )
    explore: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "share of chat completions that go to a contestant drawn by the chance that it is the "
            "user's best, so that the ranking keeps learning"
        ),
    )
    holdout: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "share of chat completions that go to the best contestant by everyone's ranking, so "
            "that `route-eval` tells what the users' own rankings are worth"
        ),
    )
    costs: dict[str, float] = Field(
        {},
        description=(
            "contestant to what an answer of it costs, for /v1/route; one that is missing costs 0"
        ),
    )
    hosts: tuple[str, ...] | None = Field(
        LOOPBACK_NAMES,
        description="names by which requests may ask for it (their Host and Origin); none: any",
    )
    rate: float = Field(
        1000.0,
        gt=0,
        description="requests a second that a key may make of a replica, a second's worth at once",
    )
    max_body: int = Field(1_000_000, ge=1000, description="bytes of a request")
    body_s: float = Field(10.0, gt=0, description="seconds that a request's body may take to come")
    max_lag_s: float = Field(
        10.0, gt=0, description="seconds that a snapshot may be behind the votes; above, not ready"
    )
    reward_gpus: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a GPU that the reward model reads texts on; 0: it reads on the CPU",
    )
    min_replicas: int = Field(1, ge=1, description="of the endpoint, kept when nobody asks")
    max_replicas: int = Field(4, ge=1, description="of the endpoint, when many ask")
    max_ongoing: int = Field(256, ge=1, description="requests a replica works on at once")
    max_queued: int = Field(1024, ge=1, description="requests that may wait; above, 429")

    @field_validator("holdout")
    @classmethod
    def _check_shares(cls, holdout: float, known: ValidationInfo) -> float:
        if holdout + known.data.get("explore", 0.0) > 1:
            raise PydanticCustomError("shares", "explore and holdout are more than 1 together")
        return holdout

    def resolved(self) -> "Settings":
        """The same with absolute paths, as replicas on any node see them, and with the folder that
        is made for a file of votes in the file's place. Relative paths are from the place that the
        command ran in.

        Raises:
            ElectorateError: see begin.folder_of.
        """
        out = None if self.out is None else self.out.expanduser().absolute()
        folder = begin.folder_of(self.folder.expanduser().absolute(), out, self.by)
        paths = {"keys": self.keys, "hash_ids": self.hash_ids}
        absolute = {
            name: None if path is None else path.expanduser().absolute()
            for name, path in paths.items()
        }
        return self.model_copy(update={"folder": folder, "out": None, "by": None} | absolute)


def read_models(path: Path | None) -> tuple[str, ...]:
    """The names in a file of models, a line each; none for no file.

    Raises ElectorateError if it cannot be read, names one twice, or too many.
    """
    if path is None:
        return ()
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ElectorateError(f"--models {path}: cannot be read: {error}") from None
    names = [line.strip() for line in lines if line.strip()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not 2 <= len(names) <= MAX_MODELS:
        wrong = f"names {twice[0]!r} twice" if twice else f"names {len(names):,} models"
        raise ElectorateError(f"--models {path}: {wrong}; a line a model, 2 to {MAX_MODELS:,}")
    return tuple(names)
