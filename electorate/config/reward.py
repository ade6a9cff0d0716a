"""System B's settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from electorate.config.engines import OpenAIModel
from electorate.config.section import Section

# What prompt_head learns to predict: the first of these that is compared.
TOLD_BY_PROMPT = ("hybrid", "low_rank_rm")
TOKENS_PER_PASS = 16_384
Workers = Annotated[int, Field(ge=1, le=1024)]


class Synthetic(Section):
    """Battles that a larger model writes and judges, which `predict` learns from beside
    people's.
    """

    judge: OpenAIModel = Field(description="where that model is; any OpenAI-compatible URL")
    battles: int = Field(
        500, ge=1, le=1_000_000, description="made, at most one for each of people's"
    )
    weight: float = Field(0.3, gt=0, lt=1, description="of a synthetic vote, where a person's is 1")


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
    compile_layers: bool = Field(
        False,
        description=(
            "compile the layers with torch.compile, which needs a C++ compiler: about a minute "
            "before the first step, then half the time a step on a GPU"
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
