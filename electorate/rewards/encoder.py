"""What is read in an answer: a Hugging Face model's states of its tokens, pooled into one vector h.

For the input embeddings, a middle and the last layer that is run, h holds the mean state, and
learned counts: each of COUNTERS asks of every token how much it is one of its kind, and says how
many there were and how many a token. A mean of states alone hides how many headers or numbers an
answer has (docs/decisions/0005-reward-model.md). Then the number of tokens and, where the model has
one, its pretrained score.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 its usual name
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from electorate.rewards import frozen, packing, states
from electorate.rewards.attention import ARCHITECTURES
from electorate.rewards.frozen import FrozenStates
from electorate.rewards.texts import Answer

COUNTERS = 128
LORA_SCALE = 2  # the adapter's alpha over its rank
ENCODED_AT_ONCE = 1024  # answers, where each token is looked up alone
NOTHING = Answer(*[np.zeros(1, dtype=np.int64)] * 3)


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
    pretrained reward head, or none; layers: how many run; context: tokens of a sequence;
    tokens_per_pass: that a pass holds at most; pad: the token that fills up where passes are
    padded.
    """

    def __init__(
        self,
        model: Any,
        score: nn.Module | None,
        layers: int,
        context: int,
        tokens_per_pass: int,
        pad: int,
        precision: str,
    ) -> None:
        super().__init__()
        self._precision = getattr(torch, precision)
        self.model = model
        self.score = score
        self._context = context
        self.tokens_per_pass = tokens_per_pass
        self._pad = pad
        # None: of an architecture that is read padded.
        self._causal = ARCHITECTURES.get(model.config.model_type)
        self._frozen: FrozenStates | None = None
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

    def passes(self, answers: Sequence[Answer]) -> list[Sequence[Answer]]:
        """Answers, in order, by the passes that they are read in."""
        if self.runs_layers:
            return packing.passes(answers, self._context, self.tokens_per_pass, self._packing)
        return [answers]

    def cost(self, answers: Sequence[Answer]) -> int:
        """Of these answers in one pass through the layers, in tokens; 0 where none runs."""
        return packing.cost(answers, self._context, self._packing) if self.runs_layers else 0

    @property
    def _packing(self) -> packing.Packing:
        if self._causal is None:
            return "padded"
        return "shared" if self._causal else "packed"

    @torch.no_grad()
    def keep_frozen(self, answers: Sequence[Answer], folder: Path) -> None:
        """Have what lies below the first layer that learns computed once for these answers, and
        kept in a folder by content: of the weights, and of the answers.
        """
        first = self._first_that_learns()
        if self._causal is None or not self.runs_layers or first == 0:
            return
        layers = sorted({layer for layer in self._pooled if layer <= first} | {first})
        ids = [ids.tobytes() for answer in answers for ids in vars(answer).values()]
        shape = [layers, self._context, str(self._precision), frozen.checksums(self.model)]
        own = folder / frozen.digest(shape, *ids)
        if not own.exists():
            kept = frozen.Writer(own, layers)
            for read in self.passes(answers):
                pack = packing.pack(read, self._context, self._causal)
                with self._autocast():
                    of = states.entering(self.model, pack, layers, self._causal)
                kept.add(pack, {layer: of[layer][0] for layer in layers})
            kept.close()
        self._frozen = FrozenStates(own, first)

    def _first_that_learns(self) -> int:
        """The layer; as many as run where none does."""
        own = states.layers_of(self.model)
        learns = [any(p.requires_grad for p in layer.parameters()) for layer in own]
        return learns.index(True) if any(learns) else len(learns)

    def _autocast(self) -> torch.autocast:
        half = self._precision != torch.float32
        return torch.autocast(self.counter.device.type, self._precision, enabled=half)

    def standardise(self, answers: Sequence[Answer]) -> None:
        """Fix centre and scale of h on these answers."""
        with torch.no_grad():
            self.spread.copy_(self._spread(answers))
            h = self(answers)
            self.middle += h.mean(dim=0) / self.scale
            self.scale /= h.std(dim=0) / self.scale + 1e-3

    def forward(self, answers: Sequence[Answer], fewest: int = 1) -> Tensor:
        """(len(answers), width).

        Passes beyond the first are run without keeping what their gradients need, and again when
        those are asked for: memory is that of one pass (GradCache; Gao et al., 2021,
        arXiv:2101.06983).

        Args:
            fewest: passes to run: workers that share layers must all run equally many, if need be
                on nothing.
        """
        passes = self.passes(answers)
        if len(passes) == 1 and fewest == 1:
            return self.one_pass(answers)
        passes += [[NOTHING]] * (fewest - len(passes))
        h = [checkpoint(self.one_pass, own, use_reentrant=False) for own in passes]
        return torch.cat(h)[: len(answers)]

    def _spread(self, answers: Sequence[Answer]) -> Tensor:
        """(pools,) the standard deviation of each pooled layer's states."""
        count = 0
        sums = torch.zeros(2, len(self.spread), dtype=torch.float64, device=self.spread.device)
        for own in self.passes(answers):
            layers, bags, _ = self._states(own)
            for i, layer in enumerate(layers):
                read = layer[bags.state].float()
                sums[0, i] += read.sum(dtype=torch.float64)
                sums[1, i] += read.square().sum(dtype=torch.float64)
            count += read.numel()
        total, squares = sums
        return ((squares - total.square() / count) / (count - 1)).sqrt().to(self.spread.dtype)

    def one_pass(self, answers: Sequence[Answer]) -> Tensor:
        """(len(answers), width), by one pass."""
        layers, bags, score = self._states(answers)
        tokens = bags.tokens.clamp(min=1)[:, None]
        means = []
        counts = []
        rates = []
        for state, counter, threshold, spread in zip(
            layers, self.counter, self.threshold, self.spread, strict=True
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
    def encode(self, answers: Sequence[Answer], fewest: int = 1) -> Tensor:
        """The same on the CPU, without gradients. fewest: see `forward`."""
        if self.runs_layers:
            return self(answers or [NOTHING], fewest).cpu()[: len(answers)]
        calls = max(1, -(-len(answers) // ENCODED_AT_ONCE))
        parts = [
            [answers[i] for i in part] for part in np.array_split(np.arange(len(answers)), calls)
        ]
        return torch.cat([self(part or [NOTHING]).cpu()[: len(part)] for part in parts])

    @property
    def runs_layers(self) -> bool:
        """Whether any layer runs, or embeddings are looked up alone."""
        return self._pooled[-1] > 0

    def _states(self, answers: Sequence[Answer]) -> tuple[list[Tensor], Bags, Tensor | None]:
        """States of every pooled layer, what each answer is pooled from, and the pretrained
        scores (n, 1).
        """
        return self._by_sequence(answers) if self.runs_layers else self._by_token(answers)

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
        """Each answer in as many windows as the model's context asks for, all in one pass."""
        with self._autocast():
            if self._causal is None:
                found = states.padded(self.model, answers, self._pooled, self._context, self._pad)
            else:
                found = states.packed(
                    self.model,
                    answers,
                    self._pooled,
                    self._context,
                    self._causal,
                    self._frozen,
                )
        tokens = np.arange(sum(found.sizes))
        bags = self._bags(tokens, found.sizes, np.ones(len(tokens), dtype=np.float32), found.sizes)
        score = None if self.score is None else self.score(found.last).float()
        return found.layers, bags, score

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


def _whole(matrix: Tensor) -> Tensor:
    """A matrix whose parts may lie with several workers."""
    full: Callable[[], Tensor] | None = getattr(matrix, "full_tensor", None)
    return matrix if full is None else full()
