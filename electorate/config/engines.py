"""Where models' answers come from: engines, a section of the config each. To add one, see
docs/extending.md.
"""

import difflib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, WrapValidator, field_validator, model_validator

from electorate.base.registry import Registry
from electorate.config.section import Section


class Engine(Section):
    """Where a model's answers come from; a subclass for each engine.

    Attributes:
        recorded: whether the answers are in a file, so that nothing else can be asked.
    """

    recorded: ClassVar[bool] = False
    engine: str

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What of it shapes the answers: part of the key that an answer is stored under."""


class Request(Section):
    """How requests to an endpoint differ from OpenAI's chat completions."""

    max_tokens_as: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="the name of the limit on tokens"
    )
    sampling: bool = Field(True, description="send temperature and top_p; false leaves them out")
    system_role: bool = Field(
        True, description="false puts system prompts before the first message of the user"
    )
    top_logprobs: int = Field(
        20, ge=0, le=20, description="log-probabilities that a judge asks for; 0: none"
    )
    extra: dict[str, Any] = Field({}, description="more fields of the body, as they are")


class Price(Section):
    """What tokens cost, in USD a million. It changes no answer, so it is left out of hashes."""

    input: float = Field(ge=0, description="of what the model reads")
    output: float = Field(ge=0, description="of what it answers")


class Endpoint(Engine):
    """An engine that is asked for answers."""

    concurrency: int = Field(
        32, ge=1, le=4096, description="requests in flight, all cohorts together"
    )
    timeout_s: float = Field(120.0, gt=0, description="seconds one request may take")
    retries: int = Field(3, ge=0, le=20, description="tries after the first, with backoff")
    request: Request = Field(Request(), description="how its requests differ from the standard")
    price: Price | None = Field(None, description="in USD a million tokens; null: it costs nothing")

    @abstractmethod
    def place(self) -> dict[str, Any]:
        """What says which model it is, as `identity` has it."""

    def identity(self) -> dict[str, Any]:
        """What of it shapes the answers: part of the key that an answer is stored under. What the
        request leaves as it is by default changes no key.
        """
        differs = self.request.model_dump(mode="json", exclude_defaults=True)
        return self.place() | ({"request": differs} if differs else {})

    @abstractmethod
    def url(self, served_at: str | None) -> str | None:
        """The base URL of its API; None if it has none yet.

        Args:
            served_at: the base URL of the models that Electorate serves itself, if any.
        """

    def name_there(self, model_id: str) -> str:
        """The model's name in requests; `model_id` is its key in the config."""
        return model_id

    @property
    def key_variable(self) -> str | None:
        """The environment variable that holds the API key, if one is needed."""
        return None

    @property
    def samples_with_seed(self) -> bool:
        """Whether a request may name the seed that its answer is sampled with."""
        return True

    def restricted(self, **form: Any) -> dict[str, Any]:  # noqa: ARG002 of engines that can
        """What to add to a request so that its answer has this form (`choice`, `regex`)."""
        return {}


class VllmModel(Endpoint):
    """A model that Electorate serves itself: vLLM through ray.serve.llm."""

    engine: Literal["vllm"]
    source: str = Field(
        min_length=1,
        description=(
            "a Hugging Face id, a folder, or package:NAME/FILE.gguf (a file inside an installed "
            "package)"
        ),
    )
    accelerator: Literal["cpu", "gpu"] = Field("gpu", description="what one replica runs on")
    gpu_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "of a GPU that a replica takes; below 1 several share one: set gpu_memory_utilization "
            "in engine_kwargs too"
        ),
    )
    replicas: int = Field(1, ge=1, description="engines behind the endpoint")
    threads: int = Field(
        1, ge=1, le=1024, description="threads of an engine on a CPU; at most its cores"
    )
    engine_kwargs: dict[str, Any] = Field({}, description="passed to vLLM's engine as they are")

    def place(self) -> dict[str, Any]:
        """What says which model it is, as `identity` has it."""
        return {"engine": "vllm", "source": self.source, "engine_kwargs": self.engine_kwargs}

    def url(self, served_at: str | None) -> str | None:
        """The base URL of its API; None if it has none yet."""
        return served_at

    @property
    def samples_with_seed(self) -> bool:
        """Whether a request may name the seed that its answer is sampled with. vLLM's CPU engine
        stops at a seed where it takes a prefill in parts.
        """
        return self.accelerator != "cpu"

    def restricted(self, **form: Any) -> dict[str, Any]:
        """What to add to a request so that its answer has this form (`choice`, `regex`). Other
        endpoints refuse this parameter, which they do not know.
        """
        return {"structured_outputs": form}

    @property
    def gpus(self) -> int:
        """That one replica is split over."""
        return prod(
            self.engine_kwargs.get(key, 1)
            for key in ("tensor_parallel_size", "pipeline_parallel_size")
        )

    @model_validator(mode="after")
    def _share_or_split(self) -> Self:
        if self.gpu_share < 1 and self.gpus > 1:
            raise ValueError(
                f"gpu_share: a model that is split over {self.gpus} GPUs takes them whole; leave "
                "it out"
            )
        if (
            self.gpu_share < 1
            and not 0 < self.engine_kwargs.get("gpu_memory_utilization", 1.0) <= self.gpu_share
        ):
            raise ValueError(
                f"gpu_share: {self.gpu_share:g} of a GPU needs "
                "engine_kwargs.gpu_memory_utilization of at most that"
            )
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

    def place(self) -> dict[str, Any]:
        """What says which model it is, as `identity` has it."""
        return {"engine": "openai", "base_url": self.base_url, "model": self.model}

    def url(self, served_at: str | None) -> str | None:  # noqa: ARG002 it has its own
        """The base URL of its API; None if it has none yet."""
        return self.base_url

    def name_there(self, model_id: str) -> str:  # noqa: ARG002 it has its own
        """The model's name in requests; `model_id` is its key in the config."""
        return self.model

    @property
    def key_variable(self) -> str | None:
        """The environment variable that holds the API key, if one is needed."""
        return self.api_key_env


class RecordedModel(Engine):
    """Models whose answers are in a file already: prompt, model, response, and optionally
    arena_name.
    """

    recorded: ClassVar[bool] = True
    engine: Literal["recorded"]
    responses: str = Field(
        min_length=1,
        description="a .parquet, .jsonl, .json or .csv file with a row a prompt and model",
    )

    def identity(self) -> dict[str, Any]:
        """What of it shapes the answers: part of the key that an answer is stored under."""
        return {"engine": "recorded", "responses": self.responses}


@dataclass(frozen=True)
class EngineSpec:
    """An engine that a config can name.

    Attributes:
        name: the section's `engine`.
        label: what it is, for `--help`.
        section: its part of the config.
        ask: "module:function" or a function that sends one request to an Endpoint; see
            electorate.inference.endpoints.chat_completion for arguments and result.
        check: the same that raises ElectorateError if an Endpoint which runs elsewhere cannot be
            reached, from the model's id and its Connection; None: nothing is checked.
    """

    name: str
    label: str
    section: type[Engine]
    ask: str | Callable[..., Any] = "electorate.inference.endpoints:chat_completion"
    check: str | Callable[..., None] | None = None


ENGINES: Registry[EngineSpec] = Registry(
    "engine",
    EngineSpec("vllm", "a model that Electorate serves with vLLM", VllmModel),
    EngineSpec(
        "openai",
        "a model behind any OpenAI-compatible URL",
        OpenAIModel,
        check="electorate.inference.endpoints:check_reachable",
    ),
    EngineSpec("recorded", "models whose answers are in a file", RecordedModel),
)


def _of_engine(content: Any, _: Callable[[Any], Engine]) -> Engine:
    """The section of the engine that a model names."""
    if isinstance(content, Engine):
        return content
    if not isinstance(content, Mapping):
        raise ValueError(f"a mapping with engine: one of {', '.join(ENGINES)}")
    if "engine" not in content:
        meant = difflib.get_close_matches("engine", [str(key) for key in content], n=1)
        hint = f", or misspelt as {meant[0]}" if meant else ""
        raise ValueError(f"engine is missing{hint}; it is one of {', '.join(ENGINES)}")
    name = ENGINES.check(str(content["engine"]))
    return ENGINES[name].section.model_validate(content)


Model = Annotated[SerializeAsAny[Engine], WrapValidator(_of_engine)]


def asked(models: Mapping[str, Engine]) -> dict[str, Endpoint]:
    """Those that can be asked, by id."""
    return {name: model for name, model in models.items() if isinstance(model, Endpoint)}


def served_here(models: Mapping[str, Engine]) -> dict[str, VllmModel]:
    """Those that Electorate serves itself, by id."""
    return {name: model for name, model in models.items() if isinstance(model, VllmModel)}


def recordings(models: Mapping[str, Engine]) -> dict[str, RecordedModel]:
    """Those whose answers are in a file, by id."""
    return {name: model for name, model in models.items() if isinstance(model, RecordedModel)}
