"""What is read in an answer: a Hugging Face model's states of its tokens, pooled into one vector h.

For the input embeddings, a middle and the last layer that is run, h holds the mean state, and
learned counts: each of COUNTERS asks of every token how much it is one of its kind, and says how
many there were and how many a token. A mean of states alone hides how many headers or numbers an
answer has (docs/decisions/0005-reward-model.md). Then the number of tokens and, where the model has
one, its pretrained score.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 its usual name
from torch import Tensor, nn

from electorate.base.errors import ElectorateError
from electorate.config.run import Reward
from electorate.inference import model_files
from electorate.rewards.texts import PROMPT_SHARE, Answer, cut

COUNTERS = 128
LORA_SCALE = 2  # the adapter's alpha over its rank
ENCODED_AT_ONCE = 1024
NOTHING = Answer(*[np.zeros(1, dtype=np.int64)] * 3)
SCORED = "ForSequenceClassification"


class Bags(NamedTuple):
    """Which states n answers are pooled from. state: flat indices, answer by answer; offsets: (n,)
    where each begins; weight: how often each counts; tokens: (n,) how many.
    """

    state: Tensor
    offsets: Tensor
    weight: Tensor
    tokens: Tensor


class Encoder(nn.Module):
    """model: a Hugging Face model without its task head, or a peft model around one; score: its
    pretrained reward head, or none.
    """

    def __init__(
        self,
        model: Any,
        score: nn.Module | None,
        layers: int,
        max_window: int,
        pad: int,
        precision: str,
    ) -> None:
        super().__init__()
        self._precision = getattr(torch, precision)
        self.model = model
        self.score = score
        self._window = max_window
        self._pad = pad
        self._pooled = sorted({0, layers // 2, layers})
        width = model.config.hidden_size
        pools = len(self._pooled)
        self.counter = nn.Parameter(torch.randn(pools, width, COUNTERS) / width**0.5)
        self.threshold = nn.Parameter(torch.full((pools, 1, COUNTERS), -1.0))
        self.register_buffer("spread", torch.ones(pools))
        blocks = [width] * pools + [COUNTERS] * 2 * pools + [1] * (1 if score is None else 2)
        self.width = sum(blocks)
        self.length_at = sum(blocks) - len(blocks[3 * pools :])
        # A block's columns together weigh as much as one column alone.
        self.register_buffer("middle", torch.zeros(self.width))
        self.register_buffer("scale", torch.cat([torch.full((n,), n**-0.5) for n in blocks]))

    @property
    def learns(self) -> bool:
        """Whether anything of it is trained: an adapter, or the counters."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def hold_counters(self) -> None:
        """Have the counters stay as they are."""
        self.counter.requires_grad_(False)
        self.threshold.requires_grad_(False)

    def standardise(self, answers: Sequence[Answer]) -> None:
        """Fix centre and scale of h on these answers."""
        with torch.no_grad():
            states, bags, _ = self._states(answers)
            self.spread.copy_(torch.stack([state[bags.state].float().std() for state in states]))
            h = self(answers)
            self.middle += h.mean(dim=0) / self.scale
            self.scale /= h.std(dim=0) / self.scale + 1e-3

    def forward(self, answers: Sequence[Answer]) -> Tensor:
        """(len(answers), width)."""
        states, bags, score = self._states(answers)
        tokens = bags.tokens.clamp(min=1)[:, None]
        means = []
        counts = []
        rates = []
        for state, counter, threshold, spread in zip(
            states, self.counter, self.threshold, self.spread, strict=True
        ):
            unit = state.float() / spread
            seen = _pool(F.softplus(unit @ counter + threshold), bags)
            means.append(_pool(unit, bags) / tokens)
            counts.append(torch.log1p(seen))
            rates.append(seen / tokens)
        columns = [
            *means,
            *counts,
            *rates,
            torch.log1p(bags.tokens)[:, None],
            *([] if score is None else [score]),
        ]
        return (torch.cat(columns, dim=1).float() - self.middle) * self.scale

    def change(self) -> Tensor:
        """Squared Frobenius norm of what the adapter adds to the layers' weights, |dW|^2.

        dW = s B A with s the adapter's alpha over its rank, so |dW|^2 is s^2 times the sum of the
        entries of (B^T B) * (A A^T), which are as small as the rank.
        """
        total = torch.zeros((), device=self.counter.device)
        named = dict(self.model.named_parameters())
        for name, a in named.items():
            if "lora_A" in name:
                b = named[name.replace("lora_A", "lora_B")]
                total = total + (_whole(b.T @ b) * _whole(a @ a.T)).sum()
        return LORA_SCALE**2 * total

    @torch.no_grad()
    def encode(self, answers: Sequence[Answer], most: int = 0) -> Tensor:
        """The same on the CPU, without gradients, about ENCODED_AT_ONCE answers at a time.

        most: answers that any worker has; those who share layers must run them equally often, if
        need be on nothing.
        """
        calls = max(1, -(-max(most, len(answers)) // ENCODED_AT_ONCE))
        parts = [
            [answers[i] for i in part] for part in np.array_split(np.arange(len(answers)), calls)
        ]
        return torch.cat([self(part or [NOTHING]).cpu()[: len(part)] for part in parts])

    def _states(self, answers: Sequence[Answer]) -> tuple[list[Tensor], Bags, Tensor | None]:
        """States of every pooled layer, what each answer is pooled from, and the pretrained
        scores (n, 1).
        """
        return self._by_token(answers) if self._pooled[-1] == 0 else self._by_sequence(answers)

    def _by_token(self, answers: Sequence[Answer]) -> tuple[list[Tensor], Bags, None]:
        """Where no layer runs a token's state is its embedding, so each is looked up once and
        counted.
        """
        found = [np.unique(answer.answer, return_counts=True) for answer in answers]
        ids, state = np.unique(np.concatenate([ids for ids, _ in found]), return_inverse=True)
        weight = np.concatenate([count for _, count in found]).astype(np.float32)
        embedded = self.model.get_input_embeddings()(self._tensor(ids))
        return (
            [embedded],
            self._bags(
                state, [len(ids) for ids, _ in found], weight, [len(a.answer) for a in answers]
            ),
            None,
        )

    def _by_sequence(self, answers: Sequence[Answer]) -> tuple[list[Tensor], Bags, Tensor | None]:
        """Each answer in as many windows as the model's context asks for, all windows at once."""
        rows = list[np.ndarray]()
        owner = list[int]()
        spans = list[tuple[int, int]]()
        for i, answer in enumerate(answers):
            # A long prompt must leave most of a window to the answer.
            before = cut(answer.before, self._window // PROMPT_SHARE)
            room = self._window - len(before) - len(answer.after)
            edges = [*range(0, max(1, len(answer.answer)), room), len(answer.answer)]
            for start, stop in pairwise(edges):
                rows.append(np.concatenate([before, answer.answer[start:stop], answer.after]))
                owner.append(i)
                spans.append((len(before), len(before) + stop - start))
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for row, content in enumerate(rows):
            # Padded on the right, and masked there, whatever the token is that pads.
            ids[row, : len(content)] = content
            mask[row, : len(content)] = 1
        with torch.autocast(
            self.counter.device.type, self._precision, enabled=self._precision != torch.float32
        ):
            out = self.model(
                input_ids=self._tensor(ids),
                attention_mask=self._tensor(mask),
                output_hidden_states=True,
            )
        states = [out.hidden_states[layer].flatten(0, 1) for layer in self._pooled]
        state = np.concatenate([row * longest + np.arange(*span) for row, span in enumerate(spans)])
        tokens = [len(answer.answer) for answer in answers]
        bags = self._bags(state, tokens, np.ones(len(state), dtype=np.float32), tokens)
        if self.score is None:
            return states, bags, None
        last = [
            row
            for row, (own, after) in enumerate(zip(owner, [*owner[1:], -1], strict=True))
            if own != after
        ]
        ends = self._tensor(np.array([row * longest + len(rows[row]) - 1 for row in last]))
        return states, bags, self.score(states[-1][ends]).float()

    def _bags(
        self, state: np.ndarray, sizes: list[int], weight: np.ndarray, tokens: list[int]
    ) -> Bags:
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return Bags(
            self._tensor(state),
            self._tensor(offsets),
            self._tensor(weight),
            self._tensor(np.array(tokens, dtype=np.float32)),
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, device=self.counter.device)


def _pool(states: Tensor, bags: Bags) -> Tensor:
    """(n, columns) weighted sums of each answer's states."""
    weight = bags.weight.to(states.dtype)
    return F.embedding_bag(bags.state, states, bags.offsets, mode="sum", per_sample_weights=weight)


def check(source: str, layers: int | None, score_head: bool) -> None:
    """ElectorateError if there is no such model, or it lacks the score head or the layers that
    are asked of it; reads no weights.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from None
    architectures = config.architectures or ["nothing"]
    if score_head and not any(name.endswith(SCORED) for name in architectures):
        known = ", ".join(architectures)
        raise ElectorateError(
            f"reward.model: {source} has no score head ({known}); set reward.score_head: false to "
            "do without"
        )
    # Where nothing is said of labels, transformers assumes two; loading tells what there are.
    labels = config.to_diff_dict().get("id2label", {})
    if score_head and len(labels) > 1:
        raise _several_outputs(source, f"{len(labels)} outputs")
    if layers is not None and layers > config.num_hidden_layers:
        raise ElectorateError(
            f"reward.layers: {source} has {config.num_hidden_layers} layers, not {layers}"
        )


def load(
    source: str,
    layers: int | None,
    score_head: bool,
    lora_rank: int,
    seed: int,
    precision: str = "float32",
) -> tuple[Encoder, Any]:
    """An encoder with LoRA on its layers, and its tokenizer, from a folder or a hub id;
    safetensors only, no code of the model's own.

    layers: how many run; 0 looks up embeddings alone, None runs all. precision: of the model's
    weights and of what it computes; the adapter's own are float32. Raises ElectorateError as
    `check` does.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check(source, layers, score_head)
    torch.manual_seed(seed)
    depth = {} if layers is None else {"num_hidden_layers": layers}
    kind, heads = (
        (AutoModelForSequenceClassification, {"num_labels": 1}) if score_head else (AutoModel, {})
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        whole = kind.from_pretrained(
            source, use_safetensors=True, dtype=getattr(torch, precision), **depth, **heads
        )
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from None
    except RuntimeError as error:
        if score_head and "mismatch" in str(error):
            raise _several_outputs(source, "more than one output") from None
        raise _unloadable(source, error) from None
    for parameter in whole.parameters():
        parameter.requires_grad_(False)
    score = getattr(whole, "score", None) if score_head else None
    if score_head and score is None:
        raise ElectorateError(
            f"reward.model: {source} scores elsewhere than at the last token; set "
            "reward.score_head: false to do without"
        )
    backbone = whole.base_model if score_head else whole
    layers_run = whole.config.num_hidden_layers
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # nothing reads it, and what nothing reads cannot learn
    model = backbone if layers_run == 0 or lora_rank == 0 else _with_lora(backbone, lora_rank)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return Encoder(
        model, score, layers_run, _context(whole.config, tokenizer), pad or 0, precision
    ), tokenizer


def _several_outputs(source: str, outputs: str) -> ElectorateError:
    return ElectorateError(
        f"reward.model: the score head of {source} has {outputs}; one is needed, which is the "
        "reward. Choose another model, or set reward.score_head: false to do without the head"
    )


def _unloadable(source: str, error: Exception) -> ElectorateError:
    reason = " ".join(str(error).split())[:200]
    return ElectorateError(
        f"reward.model: {source}: cannot be loaded: {reason}; give a hub id, a folder or "
        "package:NAME/PATH"
    )


def _with_lora(model: Any, rank: int) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model,
        LoraConfig(
            r=rank, lora_alpha=LORA_SCALE * rank, target_modules="all-linear", lora_dropout=0.0
        ),
    )


def _whole(matrix: Tensor) -> Tensor:
    """A matrix whose parts may lie with several workers."""
    full: Callable[[], Tensor] | None = getattr(matrix, "full_tensor", None)
    return matrix if full is None else full()


def _context(config: Any, tokenizer: Any) -> int:
    """Tokens a sequence may have; some tokenizers say 1e30 for not knowing."""
    return int(min(config.max_position_embeddings, tokenizer.model_max_length))


def load_adapter(encoder: Encoder, folder: Path) -> None:
    """Put what `save_adapter` wrote back into an encoder of the same model."""
    if hasattr(encoder.model, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        set_peft_model_state_dict(
            encoder.model, load_peft_weights(str(folder), device=str(encoder.counter.device))
        )


def save_adapter(encoder: Encoder, trained: Mapping[str, Tensor], folder: Path) -> None:
    """The LoRA adapter as peft's files, if there is one. trained: the encoder's trained tensors
    by name, whole.
    """
    if hasattr(encoder.model, "peft_config"):
        own = {
            name.removeprefix("model."): value
            for name, value in trained.items()
            if name.startswith("model.")
        }
        encoder.model.save_pretrained(folder, state_dict=own)


def of_settings(settings: Reward, cache_dir: Path) -> tuple["Encoder", Any]:
    """The encoder that the settings name, untrained, and its tokenizer.

    Raises:
        ElectorateError: the model is not there, or cannot be what the settings ask of it.
    """
    source = model_files.resolve("reward.model", settings.model, cache_dir)
    return load(
        source, settings.layers, settings.score_head, settings.lora_rank, 0, settings.precision
    )
