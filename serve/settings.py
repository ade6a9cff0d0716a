"""What the ranking endpoint is told: which results it serves, to whom, and how much it takes."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_FOLDER = "runs/online"


class Settings(BaseModel):
    """Of one ranking endpoint. `serve run serve.app:app folder=runs/quickstart keys=keys.json` gives them by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path = Field(Path(DEFAULT_FOLDER), description="a finished run's folder, or a new one to begin with no votes")
    keys: Path | None = Field(None, description="who may read and vote, as `electorate keys` writes it; none: whoever reaches it")
    live: bool = Field(False, description="ask the run's contestants for rankings with `live: true`; it costs what their answers cost")
    contestants_url: str | None = Field(
        None, pattern=r"^https?://[^\s/]+", description="where the run's vLLM models are served, up to and including /v1; for live"
    )
    costs: dict[str, float] = Field({}, description="contestant to what an answer of it costs, for /v1/route; one that is missing costs 0")
    rate: float = Field(1000.0, gt=0, description="requests a second that a key may make of a replica, a second's worth at once")
    max_body: int = Field(1_000_000, ge=1000, description="bytes of a request")
    min_replicas: int = Field(1, ge=1, description="of the endpoint, kept when nobody asks")
    max_replicas: int = Field(4, ge=1, description="of the endpoint, when many ask")
    max_ongoing: int = Field(256, ge=1, description="requests a replica works on at once")
    max_queued: int = Field(1024, ge=1, description="requests that may wait; above, 429")

    @property
    def absolute_folder(self) -> Path:
        """As replicas on any node see it; of a relative one the place that the command ran in."""
        return self.folder.expanduser().absolute()
