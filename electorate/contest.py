"""Who answers what, and where it runs: the part of a config that runs and polls have in common."""

import hashlib
import json
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
RECORDED = "recorded"


class Section(BaseModel):
    """A part of the configuration: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Endpoint(Section):
    """What every model's endpoint has, whoever runs it."""

    concurrency: int = Field(32, ge=1, le=4096, description="requests in flight, all cohorts together")
    timeout_s: float = Field(120.0, gt=0, description="seconds one request may take")
    retries: int = Field(3, ge=0, le=20, description="tries after the first, with backoff")


class VllmModel(Endpoint):
    """A model that Electorate serves itself: vLLM through ray.serve.llm."""

    engine: Literal["vllm"]
    source: str = Field(
        min_length=1,
        description="a Hugging Face id, a folder, or package:NAME/FILE.gguf (a file inside an installed package)",
    )
    accelerator: Literal["cpu", "gpu"] = Field("gpu", description="what one replica runs on")
    gpu_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="of a GPU that a replica takes; below 1 several share one: set gpu_memory_utilization in engine_kwargs too",
    )
    replicas: int = Field(1, ge=1, description="engines behind the endpoint")
    threads: int = Field(1, ge=1, le=1024, description="threads of an engine on a CPU; at most its cores")
    engine_kwargs: dict[str, Any] = Field({}, description="passed to vLLM's engine as they are")

    @property
    def gpus(self) -> int:
        """That one replica is split over."""
        return prod(self.engine_kwargs.get(key, 1) for key in ("tensor_parallel_size", "pipeline_parallel_size"))

    @model_validator(mode="after")
    def _share_or_split(self) -> Self:
        if self.gpu_share < 1 and self.gpus > 1:
            raise ValueError(f"gpu_share: a model that is split over {self.gpus} GPUs takes them whole; leave it out")
        if self.gpu_share < 1 and not 0 < self.engine_kwargs.get("gpu_memory_utilization", 1.0) <= self.gpu_share:
            raise ValueError(f"gpu_share: {self.gpu_share:g} of a GPU needs engine_kwargs.gpu_memory_utilization of at most that")
        return self


class OpenAIModel(Endpoint):
    """A model behind any OpenAI-compatible URL: Ollama, a hosted API, a server already running."""

    engine: Literal["openai"]
    base_url: str = Field(pattern=r"^https?://[^\s/]+", description="up to and including /v1")
    model: str = Field(min_length=1, description="the model's name at that endpoint")
    api_key_env: str | None = Field(None, description="the environment variable that holds the key")

    @field_validator("base_url")
    @classmethod
    def _no_trailing_slash(cls, url: str) -> str:
        return url.rstrip("/")


class RecordedModel(Section):
    """Models whose answers are in a file already: prompt, model, response, and optionally arena_name."""

    engine: Literal["recorded"]
    responses: str = Field(min_length=1, description="a .parquet, .jsonl, .json or .csv file with a row a prompt and model")


Model = Annotated[VllmModel | OpenAIModel | RecordedModel, Field(discriminator="engine")]
ENGINES: dict[str, type[Section]] = {"vllm": VllmModel, "openai": OpenAIModel, "recorded": RecordedModel}


class Contestant(Section):
    """A served model with its system prompt and decoding settings."""

    name: Name
    model: Name = Field(description="a key of models")
    system: str = Field("", description="the system prompt; empty for none")
    temperature: float = Field(0.7, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling mass")
    max_tokens: int = Field(512, ge=1, le=131072, description="tokens an answer may have")
    seed: int | None = Field(None, ge=0, description="the endpoint's sampling seed")
    arena_name: str | None = Field(None, description="its name in the Chatbot Arena table, if it has one")
    recorded_as: str | None = Field(None, description="its name in a recorded model's file, if that is not `name`")

    @property
    def recorded(self) -> str:
        """Its name in a file of recorded responses."""
        return self.recorded_as or self.name


class Prompts(Section):
    """What is asked."""

    source: str = Field(
        "builtin", description="builtin, recorded (those of the recorded models), or a JSONL file of archetype, topic, prompt"
    )
    per_archetype: int | None = Field(6, ge=3, description="prompts an archetype, split 60/20/20; null takes all there are")


class Cluster(Section):
    """Where it runs. Nothing here changes a result, so it is left out of the config's hash."""

    address: str | None = Field(None, description="a Ray cluster's address, or auto; none starts Ray on this machine")
    cohorts: int = Field(2, ge=1, le=100_000, description="actors that hold the personas")
    cpus_per_cohort: float = Field(0.5, ge=0, description="Ray CPUs an actor asks for")
    serve_port: int = Field(8000, ge=0, le=65535, description="Ray Serve's HTTP port on loopback; 0 takes a free one")
    cache_dir: str = Field("~/.cache/electorate", description="answers and converted models, shared by runs")


class Contest(Section):
    """Who answers what: the part that runs and polls have in common."""

    seed: int = Field(0, ge=0, lt=2**63, description="of every draw")
    models: dict[Name, Model] = Field(min_length=1, description="model id to where it is served")
    contestants: tuple[Contestant, ...] = Field((), max_length=1000, description="who is compared; none: all models of the recordings")
    prompts: Prompts = Prompts()
    cluster: Cluster = Cluster()

    @model_validator(mode="after")
    def _contestants_make_sense(self) -> Self:
        names = self.contestant_names
        recorded = [name for name, model in self.models.items() if isinstance(model, RecordedModel)]
        if len(names) == 1 or not (names or recorded):
            raise ValueError(f"contestants: at least 2 are needed, not {len(names)}; only with a recorded model may they be left out")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"contestants: {twice[0]!r} is named twice; each name once")
        for i, contestant in enumerate(self.contestants):
            if contestant.model not in self.models:
                known = ", ".join(self.models)
                raise ValueError(f"contestants.{i}.model: {contestant.model!r} is not one of models ({known})")
        asked_recorded = not names or any(c.model in recorded for c in self.contestants)
        if asked_recorded != (self.prompts.source == RECORDED):
            raise ValueError("prompts.source: must be recorded when a contestant is, and only then: it answers no other prompts")
        return self

    @property
    def contestant_names(self) -> tuple[str, ...]:
        """In the order that votes and ratings count them in."""
        return tuple(contestant.name for contestant in self.contestants)

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Whose prompts are asked; none: those of everybody the source has prompts for."""
        return ()

    def digest(self) -> str:
        """SHA-256 of everything that can change a result, as 64 hex digits."""
        return content_key(self.model_dump(mode="json", exclude={"cluster"}))


def content_key(content: object) -> str:
    """SHA-256 of a JSON-able value in its canonical form, as 64 hex digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
