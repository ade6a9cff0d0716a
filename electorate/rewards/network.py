"""One encoder and every form's heads on it: all forms learn from the same reading of an answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from electorate.base.scale import Floats, Ints
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import Form
from electorate.rewards.losses import log_odds
from electorate.rewards.texts import Answer
from electorate.rewards.weights import PersonalRead, PreferenceRead, Read

FIRST_ETA = -0.5
SMALLEST = 1e-3  # of an sd, so that nothing ever divides by zero
FIRST_SD = 0.3  # nats, of everything that is a user's own, before anything is learned


class Step(NamedTuple):
    """Votes of one step as tensors of length n. a, b: rows of the step's answers; model_a,
    model_b: which models; archetype.
    """

    user: Tensor
    archetype: Tensor
    a: Tensor
    b: Tensor
    model_a: Tensor
    model_b: Tensor
    side: Tensor
    outcome: Tensor


def step_of(votes: AnswerVotes, a: Ints, b: Ints, device: torch.device) -> Step:
    """These votes, whose answers are rows a and b of the step's."""
    columns = (votes.user, votes.archetype[votes.user], a, b, votes.a, votes.b)
    user, archetype, a_, b_, model_a, model_b = (
        torch.as_tensor(column, device=device) for column in columns
    )
    side = torch.as_tensor(votes.side, dtype=torch.float32, device=device)
    return Step(
        user,
        archetype,
        a_,
        b_,
        model_a,
        model_b,
        side,
        torch.as_tensor(votes.outcome, device=device),
    )


class Head(nn.Module):
    """The parameters of a form that is not personal: what a rating reads, and the models'
    strengths where it has them.
    """

    def __init__(self, form: Form, encoder: Encoder, archetype_count: int, models: int) -> None:
        super().__init__()
        width = encoder.width
        self.form = form
        # Users who differ in ties alone share all the rest, archetypes and all.
        rows = archetype_count if form.segments or (form.personal and form.tastes) else 1
        self.register_buffer("reads", torch.full((width,), float(form.text == "all")))
        if form.text == "length":
            self.reads[encoder.length_at] = 1.0
        self.base = nn.Parameter(torch.zeros(width))
        self.segment = nn.Parameter(torch.zeros(archetype_count, width)) if form.segments else None
        self.strength = nn.Parameter(torch.zeros(rows, models)) if form.ratings else None
        self.eta = nn.Parameter(torch.full((rows,), FIRST_ETA))

    def linear(self, h: Tensor, step: Step, own: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: ARG002 of personal forms
        """(n,) difference and tie parameter of each vote, from answers h (answers, width)."""
        score = self._scores(h)
        row = step.archetype if len(score) > 1 else torch.zeros_like(step.archetype)
        d = score[row, step.a] - score[row, step.b]
        row = step.archetype if len(self.eta) > 1 else torch.zeros_like(step.archetype)
        if self.strength is not None:
            d = d + self.strength[row, step.model_a] - self.strength[row, step.model_b]
        return d, self.eta[row]

    def penalty(self) -> Tensor:
        """Sum of squares of what reads text."""
        base = (self.base * self.reads).square().sum()
        return base if self.segment is None else base + self.segment.square().sum()

    @torch.no_grad()
    def read(self, h: Tensor, model: Ints) -> Read:
        """What it says of answers h (A, width) by these models (A,)."""
        score = self._scores(h.to(self.base.device))
        if self.strength is not None:
            score = score + self.strength[:, model]
        rows = max(len(score), len(self.eta))
        return Read(_array(score.expand(rows, -1)), _array(self.eta.expand(rows)))

    def _scores(self, h: Tensor) -> Tensor:
        """(K or 1, n) ratings of answers without the models' strengths."""
        base = (h @ (self.base * self.reads))[None]
        return base if self.segment is None else base + self.segment @ h.T


class PersonalHead(Head):
    """Of a personal form.

    A user's own part is drawn as electorate/rewards/weights.py has it: (w, position, offsets or
    none, tie).
    """

    def __init__(
        self, form: Form, encoder: Encoder, archetype_count: int, models: int, rank: int
    ) -> None:
        super().__init__(form, encoder, archetype_count, models)
        rank = rank if form.tastes and form.text != "none" else 0
        self.rank = rank
        self.offsets = form.ratings and form.tastes
        self.size = rank + 1 + (models if self.offsets else 0) + 1
        self.taste = nn.Parameter(torch.randn(encoder.width, rank) * FIRST_SD / max(1, rank) ** 0.5)
        # Of position, offsets, tie parameter.
        self.log_scales = nn.Parameter(torch.full((3,), float(np.log(FIRST_SD))))
        self.register_buffer("mean", torch.zeros(len(self.eta), rank))
        self._kinds = archetype_count

    def linear(self, h: Tensor, step: Step, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """(n,) difference and tie parameter of each vote, from answers h (answers, width). own:
        (users, size).
        """
        d, eta = super().linear(h, step, None)
        if own is None:
            return d, eta
        w = own[step.user]
        scales = self.log_scales.exp()
        taste = h @ self.taste
        r = self.rank
        d = (
            d
            + ((taste[step.a] - taste[step.b]) * w[:, :r]).sum(dim=1)
            + scales[0] * step.side * w[:, r]
        )
        if self.offsets:
            at = torch.arange(len(w), device=w.device)
            d = d + scales[1] * (w[at, r + 1 + step.model_a] - w[at, r + 1 + step.model_b])
        return d, eta + scales[2] * w[:, -1]

    def penalty(self) -> Tensor:
        """Sum of squares of what reads text."""
        return super().penalty() + self.taste.square().sum()

    @torch.no_grad()
    def read(self, h: Tensor, model: Ints) -> PersonalRead:
        """What it says of answers h (A, width) by these models (A,)."""
        for_all = super().read(h, model)
        taste = _array(h.to(self.taste.device) @ self.taste)
        side, tau, eta_sd = self.log_scales.exp().tolist()
        tau, models = (tau, self.size - self.rank - 2) if self.offsets else (0.0, 0)
        return PersonalRead(
            for_all.base,
            for_all.eta,
            taste,
            _array(self.mean.expand(self._kinds, -1)),
            side,
            tau,
            eta_sd,
            models,
        )

    @torch.no_grad()
    def rescale(self, own: Floats, archetype: Ints) -> Floats:
        """Take the archetypes' means and the spread of users out of draws (draws, users, size)
        from their posteriors and into the parameters; returns the draws as they are under the
        new ones.

        The parameter-expanded M-step (Liu, Rubin and Wu, 1998): plain EM takes hundreds of rounds
        to move a scale.
        """
        r = self.rank
        archetype = archetype if len(self.mean) > 1 else np.zeros_like(archetype)
        means = np.array(
            [
                own[:, archetype == k].mean(axis=(0, 1))
                if np.any(archetype == k)
                else np.zeros(self.size)
                for k in range(len(self.mean))
            ]
        )
        means[:, r] = 0.0  # no archetype has a side
        away = own - means[archetype]
        covariance = np.tensordot(away[..., :r], away[..., :r], axes=((0, 1), (0, 1))) / (
            away.shape[0] * away.shape[1]
        )
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, SMALLEST**2)) @ vectors.T
        blocks = slice(r, r + 1), slice(r + 1, self.size - 1), slice(self.size - 1, None)
        sds = [
            max(SMALLEST, float(np.sqrt((away[..., block] ** 2).mean())))
            if away[..., block].size
            else 1.0
            for block in blocks
        ]
        scales = self.log_scales.exp()
        if self.strength is not None and self.offsets:
            self.strength += scales[1] * self.strength.new_tensor(means[:, blocks[1]])
        self.eta += scales[2] * self.eta.new_tensor(means[:, -1])
        self.taste.copy_(self.taste @ self.taste.new_tensor(root))
        self.log_scales += self.log_scales.new_tensor(np.log(sds))
        self.mean.copy_(self.mean.new_tensor(np.linalg.solve(root, means[:, :r].T).T))
        turned = away.copy()
        turned[..., :r] = own[..., :r] @ np.linalg.inv(root)
        for block, sd in zip(blocks, sds, strict=True):
            turned[..., block] /= sd
        return turned


class PreferenceHead(Head):
    """Of a form that predicts anybody's preference."""

    def __init__(self, form: Form, encoder: Encoder, archetype_count: int, models: int) -> None:
        super().__init__(form, encoder, archetype_count, models)
        self.tied = nn.Parameter(torch.zeros(encoder.width))
        self.position = nn.Parameter(torch.zeros(()))

    def linear(self, h: Tensor, step: Step, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """(n,) difference and tie parameter of each vote, from answers h (answers, width)."""
        (d, eta) = super().linear(h, step, own)
        tie = h @ self.tied
        return d + self.position * step.side, eta + tie[step.a] + tie[step.b]

    def penalty(self) -> Tensor:
        """Sum of squares of what reads text."""
        return super().penalty() + self.tied.square().sum()

    @torch.no_grad()
    def read(self, h: Tensor, model: Ints) -> PreferenceRead:
        """What it says of answers h (A, width) by these models (A,)."""
        for_all = super().read(h, model)
        return PreferenceRead(
            for_all.base,
            for_all.eta,
            _array(h.to(self.tied.device) @ self.tied),
            float(self.position),
        )


def head(form: Form, encoder: Encoder, archetype_count: int, models: int, rank: int) -> Head:
    """A form's head, untrained."""
    if form.personal:
        return PersonalHead(form, encoder, archetype_count, models, rank)
    return (PreferenceHead if form.battles else Head)(form, encoder, archetype_count, models)


class Network(nn.Module):
    """An encoder and heads by form."""

    def __init__(
        self,
        encoder: Encoder,
        forms: Mapping[str, Form],
        archetype_count: int,
        models: int,
        rank: int,
        ties: str,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self._log_odds = log_odds(ties)
        self.heads = nn.ModuleDict(
            {
                name: head(form, encoder, archetype_count, models, rank)
                for name, form in forms.items()
            }
        )

    def forward(
        self,
        answers: list[Answer] | Tensor,
        step: Step,
        own: Mapping[str, Tensor],
        passes: int = 1,
    ) -> Tensor:
        """(forms, votes) log-likelihood of every vote by every form; each answer is encoded
        once. answers: or what the encoder makes of them (answers, width), where it learns nothing.
        passes: that the encoder makes, at least.
        """
        h = answers if isinstance(answers, Tensor) else self.encoder(answers, passes)
        log_likelihood = []
        for name, head in self.heads.items():
            odds = self._log_odds(*head.linear(h, step, own.get(name)))
            log_likelihood.append(odds.gather(1, step.outcome[:, None])[:, 0])
        return torch.stack(log_likelihood)


def _array(values: Tensor) -> Floats:
    return values.detach().cpu().numpy().astype(np.float64)


def seeded(seed: int, *arguments: Any) -> Network:
    """A network whose first values hang on the seed alone, whatever was drawn in this process.

    arguments: of Network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(*arguments)
