"""Whether the models of a run fit the GPUs they are given: said, and refused where they cannot,
before anything is loaded.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.config.engines import VllmModel
from electorate.config.run import Config
from electorate.inference import engine_memory, model_files
from electorate.inference.engine_memory import UTILIZATION

LOG = logging.getLogger("electorate.plan")
GIB = 2**30
CONTEXT = GIB // 2  # CUDA's own, beside what PyTorch allocates


@dataclass(frozen=True)
class Need:
    """Bytes that a part holds on one device.

    Attributes:
        what: the part, by the config's key.
        device: GPU, or node where it runs on CPUs.
        share: of the device's memory that it may take.
        parts: what they are for, in order.
        mend: what to set so that it needs less.
    """

    what: str
    device: str
    share: float
    parts: Mapping[str, int]
    mend: str

    @property
    def total(self) -> int:
        """The bytes of all parts together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{what} {size / GIB:.1f}" for what, size in self.parts.items())
        return f"{self.what} needs about {self.total / GIB:.1f} GiB of a {self.device} ({parts})"


def of_run(config: Config, to_serve: Mapping[str, VllmModel]) -> list[Need]:
    """Of the training and of the engines that have to be started, as far as it can be told."""
    cache_dir = Path(config.cluster.cache_dir).expanduser()
    found = [_engine(name, model, cache_dir) for name, model in to_serve.items()]
    return [need for need in (*found, _training(config)) if need is not None]


def tell(needs: Sequence[Need], console: Console) -> None:
    """Print a line for each part."""
    for need in needs:
        console.print(f"  {need}", highlight=False, soft_wrap=True)


def require(needs: Sequence[Need], gpu: int | None) -> None:
    """Have what cannot fit refused.

    Args:
        gpu: bytes of the smallest GPU that there is; None where that is not known.

    Raises:
        ElectorateError: a part needs more than it may take.
    """
    for need in needs:
        if gpu is None or need.device != "GPU" or need.total <= need.share * gpu:
            continue
        of = "" if need.share == 1 else f"{need.share:.0%} of "
        raise ElectorateError(f"{need}, and has {of}{gpu / GIB:.1f} GiB; {need.mend}")


def _engine(name: str, model: VllmModel, cache_dir: Path) -> Need | None:
    """Of an engine on GPUs."""
    if model.accelerator != "gpu":
        return None
    key = f"models.{name}"
    source = model_files.resolve(f"{key}.source", model.source, cache_dir)
    found = engine_memory.of_engine(model, source)
    if found is None:
        return None
    share = model.engine_kwargs.get("gpu_memory_utilization", UTILIZATION)
    parts = {
        "weights": found.weights,
        f"keys and values of {found.longest:,} tokens": found.keys,
        "vLLM itself": found.beside,
    }
    mend = (
        f"lower {key}.engine_kwargs.max_model_len, raise gpu_memory_utilization there, or split "
        "the model with tensor_parallel_size"
    )
    return Need(key, "GPU", share, parts, mend)


def _training(config: Config) -> Need | None:
    """Of a worker of System B's training, where it runs layers."""
    reward = config.reward
    if reward is None or reward.layers == 0:
        return None
    # Seconds to import; where no layer runs, it is not needed.
    from electorate.rewards import memory

    cache_dir = Path(config.cluster.cache_dir).expanduser()
    source = model_files.resolve("reward.model", reward.model, cache_dir)
    try:
        found = memory.of_training(config, source)
    except ElectorateError:
        raise
    except Exception as error:
        # An architecture whose code does not run on fake tensors may train all the same.
        LOG.warning("training's memory not estimated", extra={"error": str(error)[:300]})
        return None
    on_gpu = reward.accelerator == "gpu"
    parts = {
        "weights": found.weights,
        "what is trained": found.trained,
        f"a pass of {reward.tokens_per_pass:,} tokens": found.kept + found.working,
    } | ({"CUDA": CONTEXT} if on_gpu else {})
    ways = ["lower reward.tokens_per_pass"]
    if not reward.checkpoint_activations:
        ways.append("set reward.checkpoint_activations: true")
    if reward.sharding != "fsdp":
        ways.append("share the layers out with reward.sharding: fsdp")
    return Need("reward", "GPU" if on_gpu else "node", 1.0, parts, ", or ".join(ways))
