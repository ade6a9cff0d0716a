"""Rankings for a prompt that nobody has answered yet: what a form will say of the answers, told
from the prompt alone.

    base_k(x, m) ~ b_km + B_km . g(x),    taste(x, m) ~ t_m + T_m . g(x)

g(x) is what the encoder reads in the prompt. Distilled by ridge regression from what the form says
of answers to training prompts, so that one encoding of a prompt ranks all models for every user.
Prompt-to-Leaderboard (Frick et al., 2025) predicts ratings from prompts too, for everybody alike
and from votes.
"""

from dataclasses import dataclass, replace

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.rewards.weights import PersonalRead, Read

PENALTIES = np.logspace(0, 7, 29)  # of the ridge; leave-one-out chooses
TINY = 1e-12


@dataclass(frozen=True)
class PromptRead(PersonalRead):
    """What a prompt tells of answers not written yet. unsaid: (K, R + 1, R + 1), the covariance
    over prompts of what it does not tell of an answer's (base, taste), the models' common part
    left out.
    """

    unsaid: Floats


@dataclass(frozen=True)
class PromptHead:
    """middle, scale: (F,) of what is read in prompts. base: (F + 1, K * M), taste: (F + 1, M * R),
    coefficients and in the last row their constants. unsaid: see PromptRead.
    """

    middle: Floats
    scale: Floats
    base: Floats
    taste: Floats
    unsaid: Floats

    def read(self, g: Floats, teacher: Read) -> PromptRead:
        """What it tells of the answers of all models to n prompts, read as g (n, F); whose votes
        weigh how, as the form it tells.
        """
        x = np.column_stack([(g - self.middle) * self.scale, np.ones(len(g))])
        archetype_count = len(teacher.base)
        base = (
            (x @ self.base)
            .reshape(len(g), archetype_count, -1)
            .transpose(1, 0, 2)
            .reshape(archetype_count, -1)
        )
        rank = len(self.unsaid[0]) - 1
        taste = (x @ self.taste).reshape(base.shape[1], rank)
        own = personal(teacher)
        scales = (own.side, own.tau, own.eta_sd, own.models)
        return PromptRead(
            base,
            own.eta,
            taste,
            own.mean,
            *scales,
            self.unsaid,
            prompt_correlation=own.prompt_correlation,
        )


def distil(g: Floats, prompts: Ints, teacher: Read) -> PromptHead:
    """From what is read in all prompts, g (P, F), and what `teacher` says of all answers to
    `prompts`, which lie prompt by prompt.
    """
    models = teacher.base.shape[1] // len(g)
    own = personal(teacher)
    x = g[prompts]
    middle = x.mean(axis=0)
    scale = 1 / (x.std(axis=0) + 1e-6)
    x = (x - middle) * scale
    base = own.base.reshape(len(own.base), len(g), models).transpose(1, 0, 2)[prompts]
    taste = own.taste.reshape(len(g), models, -1)[prompts]
    of_base, left_base = _ridge(x, base.reshape(len(x), -1))
    of_taste, left_taste = _ridge(x, taste.reshape(len(x), -1))
    unsaid = _unsaid(left_base.reshape(base.shape), left_taste.reshape(taste.shape))
    return PromptHead(middle, scale, of_base, of_taste, unsaid)


def personal(read: Read) -> PersonalRead:
    """A form without weights of a user's own as one whose users have none."""
    if isinstance(read, PersonalRead):
        return read
    archetype_count, answers = read.base.shape
    return PersonalRead(
        read.base,
        read.eta,
        np.zeros((answers, 0)),
        np.zeros((archetype_count, 0)),
        0.0,
        0.0,
        0.0,
        0,
    )


def without_label(read: PersonalRead, shares: Floats) -> PersonalRead:
    """For users who may be of any archetype, (K,) shares summing to 1: what it says on average,
    one kind for all.
    """

    def mixed(by_kind: Floats) -> Floats:
        mean: Floats = np.tensordot(shares, by_kind, axes=1)[None].astype(float, copy=False)
        return by_kind if len(by_kind) == 1 else mean

    mean = replace(read, base=mixed(read.base), eta=mixed(read.eta), mean=mixed(read.mean))
    return replace(mean, unsaid=mixed(mean.unsaid)) if isinstance(mean, PromptRead) else mean


def _ridge(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(F + 1, O) coefficients of y (n, O) on x (n, F), whose columns have mean 0, and (n, O)
    what each row's own are missed by when it is left out. One penalty for all columns, by
    leave-one-out (Allen, 1974).
    """
    if not y.shape[1]:
        return np.zeros((x.shape[1] + 1, 0)), y
    mean = y.mean(axis=0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    along = u.T @ (y - mean)
    best = (np.inf, 0.0)
    for penalty in PENALTIES:
        missed = _left_out(u, s, along, y - mean, penalty)
        best = min(best, (float((missed**2).sum()), penalty))
    penalty = best[1]
    coefficients = vt.T @ ((s / (s**2 + penalty))[:, None] * along)
    return np.vstack([coefficients, mean]), _left_out(u, s, along, y - mean, penalty)


def _left_out(u: Floats, s: Floats, along: Floats, y: Floats, penalty: float) -> Floats:
    share = s**2 / (s**2 + penalty)
    # Where there are more columns than rows a small penalty fits every row, and what is left of it
    # is 0 / 0.
    free = np.maximum(1 - (u**2) @ share - 1 / len(u), TINY)
    missed: Floats = (y - u @ (share[:, None] * along)) / free[:, None]
    return missed


def _unsaid(base: Floats, taste: Floats) -> Floats:
    """(K, R + 1, R + 1) from what is missed of base (n, K, M) and taste (n, M, R)."""
    n, archetype_count, models = base.shape
    found = []
    for k in range(archetype_count):
        missed = np.concatenate([base[:, k, :, None], taste], axis=2)
        missed = (missed - missed.mean(axis=1, keepdims=True)).reshape(n * models, -1)
        found.append(missed.T @ missed / (n * max(1, models - 1)))
    return np.array(found)
