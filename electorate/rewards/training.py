"""Training System B: the network by gradients on prompts, the users by Newton between epochs.

An epoch goes over the prompts in steps. A step encodes the answers to some prompts once and scores
every vote about them, under weights drawn from each user's posterior; then the users' posteriors
are worked out anew (Monte Carlo EM). Prompts are shared out among processes of a torch.distributed
group, where there is one, and so are users.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.config.reward import Reward
from electorate.ratings.summed import in_order
from electorate.ratings.ties import TieModel
from electorate.rewards import prompt_head, weights
from electorate.rewards.corpus import Corpus
from electorate.rewards.encoder import NOTHING
from electorate.rewards.network import Network, PersonalHead, Step, step_of
from electorate.rewards.prompt_head import PromptHead, PromptRead
from electorate.rewards.texts import Answer
from electorate.rewards.weights import PersonalRead, Read

SAMPLE = 1500  # answers that fix the scale of h
DRAWN = (
    2048  # users' posteriors are drawn from so often that this many draws say what users are like
)
# Adam's step for each kind of parameter; adapter and counters have the config's.
RATES = {"heads": 3e-3, "ratings": 3e-2}
DEPENDENCE_USERS = 1024  # who say how far votes of one user on one prompt repeat each other
ReadT = TypeVar("ReadT", bound=Read)
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
WARM = 0.4  # of all steps, before the rate falls to zero in a line


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train; the config's reward section says what each is.

    passes: over the prompts in an epoch; between epochs the users' posteriors are worked out, which
    for few prompts costs more than a pass.
    """

    epochs: int
    prompts_per_step: int
    learning_rate: float
    counter_rate: float
    lambda_reg: float
    passes: int = 1

    @classmethod
    def of(cls, settings: Reward) -> "Plan":
        """As the config has it."""
        rates = settings.learning_rate, settings.counter_rate
        return cls(
            settings.epochs,
            settings.prompts_per_step,
            *rates,
            settings.lambda_reg,
        )


class Training:
    """The state of a training job in one process of `world`: what a checkpoint holds, and an
    epoch's work.
    """

    def __init__(
        self,
        network: Network,
        wrapped: nn.Module,
        corpus: Corpus,
        ties: TieModel,
        seed: int,
        plan: Plan,
        threads: int = 1,
    ) -> None:
        self.network = network
        self._threads = threads
        self.seconds = dict[str, float]()  # of the last epoch, by what they went into
        self._wrapped = wrapped
        self._corpus = corpus
        self._ties = ties
        self._seed = seed
        self._plan = plan
        self.epochs_done = 0
        self._device = network.encoder.counter.device
        # Of the held-out votes, by form, after the last epoch.
        self.log_likelihood = dict[str, Floats]()
        self._h = torch.zeros(len(corpus.answers), network.encoder.width)
        # Where the encoder learns nothing each answer is encoded once, in the first epoch.
        self._fixed: torch.Tensor | None = None
        self._costs = dict[int, int]()  # of the answers to a prompt, in tokens
        self.rank: int = dist.get_rank() if dist.is_initialized() else 0
        self.world: int = dist.get_world_size() if dist.is_initialized() else 1
        _check(corpus, self.world)
        self._learned = corpus.battles.take(
            np.flatnonzero(np.isin(corpus.battles.prompt, corpus.learned))
        )
        cast = True if corpus.battles.made is None else corpus.battles.made == 0
        self.held_out = corpus.battles.take(
            np.flatnonzero(np.isin(corpus.battles.prompt, corpus.held_out) & cast)
        )
        # Of a user's votes on one prompt, by personal form, after the last epoch.
        self._correlation = dict[str, float]()
        self.optimizer = torch.optim.Adam(_groups(network, plan))
        self.own = {
            name: self._first_draw(name, head)
            for name, head in network.heads.items()
            if isinstance(head, PersonalHead)
        }

    def epoch(self) -> dict[str, Any]:
        """One epoch; returns {"loss": {form: nats}, "held_out": {form: nats}}."""
        self.seconds = {}
        with self._timed("encoding"):
            if not self.network.encoder.learns and self._fixed is None:
                self._h = self._encoded(np.unique(self._corpus.prompt))
                self._fixed = self._h.to(self._device)
        with self._timed("gradients"):
            loss = self._learn()
        self._require_numbers(loss)
        with self._timed("encoding"):
            if self._fixed is None:
                self._h = self._encoded(np.unique(self._corpus.prompt))
        with self._timed("users"):
            held_out = self._solve_users()
        self._require_numbers(held_out)
        self.epochs_done += 1
        return {"loss": loss, "held_out": held_out}

    def _solve_users(self) -> dict[str, float]:
        """The users' posteriors anew; returns the held-out log loss of each form."""
        self.log_likelihood = {}
        for name, head in self.network.heads.items():
            read = head.read(self._h, self._corpus.model)
            mode = None
            if isinstance(head, PersonalHead) and isinstance(read, PersonalRead):
                mode, own = self._posteriors(name, read)
                self.own[name] = head.rescale(own, self._learned.archetype)
            self.log_likelihood[name] = weights.log_likelihood(
                read, self.held_out, mode, self._ties
            )
        return {name: float(-own.mean()) for name, own in self.log_likelihood.items()}

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

    def reads(self) -> dict[str, Read]:
        """What every form says of all answers, after the last epoch."""
        return {
            name: self._with_correlation(name, head.read(self._h, self._corpus.model))
            for name, head in self.network.heads.items()
        }

    def learn_prompt_head(self, teacher: Read) -> tuple[PromptHead, PromptRead]:
        """What `teacher` says of answers, as far as prompts tell: learned on those voted on,
        told of all.
        """
        g = self.network.encoder.encode(self._corpus.asked).numpy().astype(np.float64)
        head = prompt_head.distil(g, self._corpus.battles.prompts, teacher)
        return head, head.read(g, teacher)

    def _require_numbers(self, found: Mapping[Any, float]) -> None:
        if not np.isfinite(list(found.values())).all():
            raise ElectorateError(
                f"reward: the loss is not a number in epoch {self.epochs_done + 1}; lower "
                "reward.learning_rate"
            )

    def _learn(self) -> dict[str, float]:
        """Every step of an epoch; returns the mean log loss of each form."""
        steps = self._steps()
        own = {
            name: torch.as_tensor(drawn[0], dtype=torch.float32, device=self._device)
            for name, drawn in self.own.items()
        }
        total = np.zeros(len(self.network.heads))
        for i, prompts in enumerate(steps):
            done = self.epochs_done * len(steps) + i
            self._set_rates(done / (self._plan.epochs * len(steps)))
            total += self._take_step(prompts, own)
        total = np.sum(self._gathered(total), axis=0)
        mean = total / (max(1.0, self._learned.total) * self._plan.passes)
        return dict(zip(self.network.heads, mean.tolist(), strict=True))

    def _steps(self) -> list[Ints]:
        """The prompts of each step of an epoch."""
        random = generator(self._seed, Stream.TRAINING, round_=self.epochs_done)
        count = len(self._corpus.learned)
        size = self._plan.prompts_per_step
        a_pass = max(1, min(-(-count // size), count // self.world))
        return [
            step
            for _ in range(self._plan.passes)
            for step in np.array_split(random.permutation(self._corpus.learned), a_pass)
        ]

    def _set_rates(self, done: float) -> None:
        """Of all steps this share is done; the rates fall to zero in a line after WARM of them."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, (1 - done) / (1 - WARM))

    def _take_step(self, prompts: Ints, own: Mapping[str, torch.Tensor]) -> Floats:
        """A step of the optimiser; returns each form's log loss, summed over this worker's votes.

        Args:
            own: (users, size) weights of each personal form, drawn from their posteriors.
        """
        votes = self._learned.take(self._learned.on(prompts)).total
        parts = self._parts(prompts)
        scale = self._plan.lambda_reg / (2 * max(1.0, self._learned.total) * len(parts))
        total = np.zeros(len(self.network.heads))
        self.optimizer.zero_grad()
        for i, (part, passes) in enumerate(parts, 1):
            with self._unshared() if i < len(parts) else nullcontext():
                log_likelihood = self._log_likelihood(part, own, passes)
                # The group's mean of gradients is the gradient of the mean over all its votes.
                loss = -log_likelihood.sum() * self.world / max(1.0, votes)
                (loss + scale * self._penalty()).backward()
            total -= log_likelihood.detach().sum(dim=1).cpu().numpy()
        self.optimizer.step()
        return total

    def _penalty(self) -> torch.Tensor:
        """How far weights are from the pretrained model, as lambda_reg counts it."""
        heads = self.network.heads.values()
        of_heads = torch.stack([head.form.scale * head.penalty() for head in heads]).sum()
        penalty: torch.Tensor = of_heads + self.network.encoder.change()
        return penalty

    def _unshared(self) -> AbstractContextManager[None]:
        """Gradients stay with each worker until the step's last part."""
        no_sync: Any = getattr(self._wrapped, "no_sync", nullcontext)
        return no_sync()

    def _parts(self, prompts: Ints) -> list[tuple[Ints, int]]:
        """This worker's prompts of a step in parts, and how many passes each part takes.

        Prompts go together as far as one pass holds their answers, so that nothing is run twice.
        All workers have as many parts of as many passes, as they may share layers.
        """
        none = np.zeros(0, dtype=np.int64)
        shares = [self._by_pass(prompts[rank :: self.world]) for rank in range(self.world)]
        count = max(map(len, shares))
        shares = [share + [none] * (count - len(share)) for share in shares]
        passes = [max(map(self._passes, parts)) for parts in zip(*shares, strict=True)]
        return list(zip(shares[self.rank], passes, strict=True))

    def _by_pass(self, prompts: Ints) -> list[Ints]:
        """Prompts by the pass that holds all their answers; one whose answers are too many for a
        pass is alone.
        """
        groups = list[list[int]]()
        used = 0
        for prompt in prompts:
            cost = self._cost_on(prompt)
            if not groups or used + cost > self.network.encoder.tokens_per_pass:
                groups.append([])
                used = 0
            groups[-1].append(prompt)
            used += cost
        return [np.array(group) for group in groups]

    def _cost_on(self, prompt: int) -> int:
        """Of the answers to a prompt, in tokens of a pass."""
        if prompt not in self._costs:
            asked = self._answers(np.array([prompt])) if self._fixed is None else []
            self._costs[prompt] = self.network.encoder.cost(asked)
        return self._costs[prompt]

    def _passes(self, prompts: Ints) -> int:
        """That the answers to these prompts take."""
        if self._fixed is not None:
            return 1
        return len(self.network.encoder.passes(self._answers(prompts)))

    def _answers(self, prompts: Ints) -> list[Answer]:
        return [self._corpus.answers[row] for row in self._corpus.rows(prompts)] or [NOTHING]

    def _log_likelihood(
        self, prompts: Ints, own: Mapping[str, torch.Tensor], passes: int
    ) -> torch.Tensor:
        """(forms, votes) log-likelihood of the votes on these prompts, each by its weight.

        Args:
            passes: through the layers, at least.
        """
        answers: list[Answer] | torch.Tensor = (
            self._answers(prompts)
            if self._fixed is None
            else self._fixed[self._corpus.rows(prompts)]
        )
        by_vote: torch.Tensor = self._wrapped(answers, self._step(prompts), own, passes)
        weight = self._learned.take(self._learned.on(prompts)).weight
        if weight is None:
            return by_vote
        return by_vote * torch.as_tensor(weight, dtype=by_vote.dtype, device=self._device)

    def _step(self, prompts: Ints) -> Step:
        rows = self._corpus.rows(prompts)
        place = np.empty(len(self._corpus.answers), dtype=np.int64)
        place[rows] = np.arange(len(rows))
        votes = self._learned.take(self._learned.on(prompts))
        return step_of(votes, place[votes.answer_a], place[votes.answer_b], self._device)

    def _posteriors(self, name: str, read: PersonalRead) -> tuple[Floats, Floats]:
        """(users, P) modes, and (draws, users, P) draws from the posteriors; users shared out
        among the processes.
        """
        battles = self._learned
        first, last = (len(battles.archetype) * (self.rank + i) // self.world for i in (0, 1))
        few = battles.of_users(first, min(last, first + DEPENDENCE_USERS // self.world))
        measured = in_order(self._gathered(weights.measure_dependence(read, few, self._ties)))
        self._correlation[name] = measured.prompt_correlation
        read = self._with_correlation(name, read)
        solved = weights.solve(read, battles.of_users(first, last), self._ties, self._threads)
        normal = self._normal(name, self.own[name].shape)[:, first:last]
        drawn = np.array([solved.drawn(np.ascontiguousarray(z)) for z in normal])
        parts = self._gathered((solved.mode, drawn))
        return np.concatenate([mode for mode, _ in parts]), np.concatenate(
            [own for _, own in parts], axis=1
        )

    def _with_correlation(self, name: str, read: ReadT) -> ReadT:
        if not isinstance(read, PersonalRead):
            return read
        return replace(read, prompt_correlation=self._correlation.get(name, 0.0))

    def _first_draw(self, name: str, head: PersonalHead) -> Floats:
        """(draws, users, size) users before anything is known of them."""
        users = len(self._learned.archetype)
        return self._normal(name, (max(1, DRAWN // max(1, users)), users, head.size))

    def _normal(self, name: str, shape: tuple[int, ...]) -> Floats:
        return generator(
            self._seed, Stream.WEIGHTS, list(self.network.heads).index(name), self.epochs_done
        ).standard_normal(shape)

    def _encoded(self, prompts: Ints) -> torch.Tensor:
        """(A, width) of the answers to these prompts; prompts shared out among the processes."""
        shares = [self._corpus.rows(prompts[rank :: self.world]) for rank in range(self.world)]
        mine = shares[self.rank]
        answers = self._corpus.answers
        encoder = self.network.encoder
        passes = max(len(encoder.passes([answers[row] for row in rows])) for rows in shares)
        encoded = torch.zeros(len(answers), encoder.width)
        for rows, h in self._gathered(
            (mine, encoder.encode([answers[row] for row in mine], passes))
        ):
            encoded[rows] = h
        return encoded

    def _gathered(self, own: Any) -> list[Any]:
        """Every process's, in order of rank."""
        if self.world == 1:
            return [own]
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, own)
        return parts

    def state(self) -> dict[str, Any]:
        """All that an epoch hangs on.

        All workers must ask for it; where they share layers, the first alone is given it.
        """
        kept = _kept(self.network)
        own = {name: torch.as_tensor(drawn) for name, drawn in self.own.items()}
        network = {
            name: value
            for name, value in get_model_state_dict(self.network, options=WHOLE).items()
            if name in kept
        }
        optimizer = get_optimizer_state_dict(self.network, self.optimizer, options=WHOLE)
        return {"network": network, "optimizer": optimizer, "own": own, "epochs": self.epochs_done}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        missing = set(_kept(self.network)) ^ set(state["network"])
        if missing:
            raise ElectorateError(
                f"reward: the checkpoint is of another network ({sorted(missing)[0]}); train anew "
                "in another folder"
            )
        of_whole = StateDictOptions(full_state_dict=True, strict=False)
        set_model_state_dict(self.network, state["network"], options=of_whole)
        set_optimizer_state_dict(self.network, self.optimizer, state["optimizer"], options=of_whole)
        self.own = {name: drawn.numpy() for name, drawn in state["own"].items()}
        self.epochs_done = state["epochs"]


def _check(corpus: Corpus, workers: int) -> None:
    """ElectorateError where there are too few prompts to train and to tell when to stop."""
    if not len(corpus.held_out):
        raise ElectorateError(
            f"reward: votes on {len(corpus.learned)} prompt; at least 2 are needed, one to "
            "tell when to stop"
        )
    if len(corpus.learned) < workers:
        raise ElectorateError(
            f"reward.workers: {workers} workers for {len(corpus.learned)} prompts to learn "
            "from; use fewer"
        )


def standardise(network: Network, corpus: Corpus, seed: int) -> None:
    """Fix the scale of h on a sample of the answers that votes are about."""
    rows = corpus.rows(corpus.learned)
    chosen = generator(seed, Stream.TRAINING, block=1).permutation(rows)[:SAMPLE]
    network.encoder.standardise([corpus.answers[row] for row in np.sort(chosen)])


def _kept(network: Network) -> list[str]:
    """What training changes: neither the pretrained weights nor what follows from the config."""
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    own = {name for name, _ in network.named_buffers() if not name.startswith("encoder.model.")}
    return sorted(trained | own)


def _groups(network: Network, plan: Plan) -> list[dict[str, Any]]:
    """Adam's parameter groups with their peak rates."""

    def kind(name: str) -> str:
        if name.startswith("encoder."):
            return "counters" if name in ("encoder.counter", "encoder.threshold") else "adapter"
        return (
            "ratings"
            if name.rsplit(".", 1)[-1] in ("strength", "eta", "log_scales", "position")
            else "heads"
        )

    parameters: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameters.setdefault(kind(name), []).append(parameter)
    rates = RATES | {"adapter": plan.learning_rate, "counters": plan.counter_rate}
    return [{"params": own, "lr": rates[of], "peak": rates[of]} for of, own in parameters.items()]
