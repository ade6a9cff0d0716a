"""personal_rm: a reward model of a persona's own, fine-tuned from everybody's on that persona's
votes and pulled back toward it.

    loss_u = -sum over u's votes of log P + lambda/2 (|dW|_F^2 + |dtheta|^2)

dW is what an adapted layer's weight has moved by, (alpha / r)(B A - B_0 A_0), and dtheta the same
of the rest that learns. It costs a training a persona, so it is for a handful; the weights of
electorate/rewards/weights.py are for millions.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from electorate.base.scale import Floats
from electorate.config.reward import Reward
from electorate.ratings.ties import MODELS
from electorate.rewards import weights
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.encoder import LORA_SCALE
from electorate.rewards.losses import log_odds
from electorate.rewards.network import Network, step_of
from electorate.rewards.texts import Answer
from electorate.rewards.training import RATES
from electorate.rewards.weights import Read

BASE = "pooled_rm"  # where everybody's reward model is read off
STEPS = 40  # of Adam, each on all of a persona's votes
SCALES = (0.01, 0.1, 1.0)  # times the config's lambda_reg: a persona has few votes
HELD_OUT = 5  # one vote in so many tells which of them suits


@dataclass(frozen=True)
class Adapted:
    """base: (n, A) what n personas' own reward models say of A answers, nats; eta: their tie
    parameter; scale: times lambda_reg.
    """

    base: Floats
    eta: float
    scale: float


def adapt(
    network: Network, answers: list[Answer], votes: AnswerVotes, settings: Reward, ties: str
) -> Adapted:
    """A model for each user of `votes`, from its own; the network stays as it is.

    The scale is the one by which one vote in HELD_OUT of everybody is best predicted from the
    others.
    """
    users = [votes.of_users(u, u + 1) for u in range(len(votes.archetype))]
    by_scale = {
        scale: sum(_predicted(network, answers, own, settings, scale, ties) for own in users)
        for scale in SCALES
    }
    scale = max(by_scale, key=lambda tried: by_scale[tried])
    tuned = [_tuned(network, answers, own, settings, scale, ties) for own in users]
    return Adapted(np.stack([read.base[0] for read in tuned]), float(tuned[0].eta[0]), scale)


def _predicted(
    network: Network,
    answers: list[Answer],
    votes: AnswerVotes,
    settings: Reward,
    scale: float,
    ties: str,
) -> float:
    """Log-likelihood of one vote in HELD_OUT of a persona's given the others."""
    out = np.arange(len(votes)) % HELD_OUT == 0
    read = _tuned(network, answers, votes.take(np.flatnonzero(~out)), settings, scale, ties)
    return float(
        weights.log_likelihood(read, votes.take(np.flatnonzero(out)), None, MODELS[ties]).sum()
    )


def _tuned(
    network: Network,
    answers: list[Answer],
    votes: AnswerVotes,
    settings: Reward,
    scale: float,
    ties: str,
) -> Read:
    """What a persona's own model says of all answers, after STEPS on its votes."""
    own = copy.deepcopy(network)
    head = own.heads[BASE]
    learning = {
        name: p
        for name, p in own.named_parameters()
        if p.requires_grad and (name.startswith("encoder.") or p is head.base)
    }
    start = {name: p.detach().clone() for name, p in learning.items()}
    optimizer = torch.optim.Adam(
        [{"params": [p], "lr": _rate(name, settings)} for name, p in learning.items()]
    )
    rows, place = np.unique(np.concatenate([votes.answer_a, votes.answer_b]), return_inverse=True)
    a, b = np.split(place, 2)
    read = [answers[row] for row in rows]
    step = step_of(votes, a, b, own.encoder.counter.device)
    for _ in range(STEPS if len(votes) else 0):
        odds = log_odds(ties)(*head.linear(own.encoder(read), step, None))
        log_likelihood = odds.gather(1, step.outcome[:, None]).sum()
        optimizer.zero_grad()
        (scale * settings.lambda_reg / 2 * _moved(learning, start) - log_likelihood).backward()
        optimizer.step()
    found: Read = head.read(own.encoder.encode(answers), np.zeros(len(answers), dtype=np.int64))
    return found


def _rate(name: str, settings: Reward) -> float:
    if not name.startswith("encoder."):
        return RATES["heads"]
    return settings.learning_rate if "lora_" in name else settings.counter_rate


def _moved(learning: dict[str, Tensor], start: dict[str, Tensor]) -> Tensor:
    """Squared distance from where they started, layers by their weights' own."""
    total = []
    for name, p in learning.items():
        if "lora_A" in name:
            b = name.replace("lora_A", "lora_B")
            moved = learning[b] @ p - start[b] @ start[name]
            total.append((LORA_SCALE * moved).square().sum())
        elif "lora_B" not in name:
            total.append((p - start[name]).square().sum())
    return torch.stack(total).sum()
