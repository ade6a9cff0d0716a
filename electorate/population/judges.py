"""The taste judge: a persona with planted tastes looks at two answers and votes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from electorate.base.columns import Columns
from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.base.votes import BOTH_BAD, OUTCOMES, TIE, Votes
from electorate.population import kernels, pairing
from electorate.population.pairing import Pairs
from electorate.population.personas import Electorate, Personas
from electorate.population.voters import ADVERSARIAL, BLOCK, CARELESS
from electorate.storage.vote_columns import table_of

A = 0
B = 1


@dataclass(frozen=True)
class Ballots(Columns):
    """Votes as columns of shape (n, v): user by vote of this round. probabilities: (n, v, 3) for A,
    B, tie (both-bad is one).
    """

    prompt: Ints
    pairs: Pairs
    probabilities: Floats
    outcome: Ints

    def table(self, user_id: Ints, first_step: int, judge: str) -> pa.Table:
        """The votes as columns of the vote log, user by user.

        Args:
            user_id: (n,) of the users.
            first_step: how many votes each user has cast before.
            judge: what cast the votes.
        """
        n, v = self.outcome.shape
        votes = Votes(
            user=np.repeat(user_id, v),
            a=self.pairs.a.ravel(),
            b=self.pairs.b.ravel(),
            outcome=self.outcome.ravel(),
            prompt=self.prompt.ravel(),
            first_shown=self.pairs.first_shown.ravel(),
        )
        step = np.tile(np.arange(first_step, first_step + v), n)
        return table_of(votes, step, judge, self.probabilities.reshape(-1, OUTCOMES))


def utilities(electorate: Electorate, personas: Personas, prompts: Ints) -> Floats:
    """(n, len(prompts), M) utility of every answer to these prompts, in logits of the judge."""
    taste = np.einsum("nd,pmd->npm", personas.taste, electorate.z[prompts], optimize=True)
    worth = electorate.strength + electorate.quality[prompts]
    strength = personas.strength_scale[:, None, None] * worth
    own = taste + personas.model_taste[:, None, :]
    return electorate.config.judge.decisiveness * (strength + own)


def mean_utilities(electorate: Electorate, personas: Personas) -> Floats:
    """(n, M) mean utility over all of each persona's prompts, weighted by its archetype's mix:
    the overall truth.
    """
    z = np.einsum("kp,pmd->kmd", electorate.prompt_weights, electorate.z)
    taste = np.einsum("nd,nmd->nm", personas.taste, z[personas.archetype])
    quality = electorate.prompt_weights @ electorate.quality
    worth = electorate.strength + quality[personas.archetype]
    strength = personas.strength_scale[:, None] * worth
    return electorate.config.judge.decisiveness * (strength + (taste + personas.model_taste))


def vote_probabilities(
    difference: Floats, threshold: Floats, shift: Floats, lapse: Floats | float
) -> Floats:
    """(..., 3) probabilities of A, B and tie from U_A - U_B, in logits; all broadcast together.

    Rao and Kupper (1967) with the persona's own threshold; shift favours A (the answer shown
    first); a lapse is a vote at random.
    """
    a = expit(difference + shift - threshold)
    b = expit(-difference - shift - threshold)
    odds = np.empty((*np.broadcast_shapes(a.shape, b.shape), 3))
    odds[..., A] = a
    odds[..., B] = b
    odds[..., TIE] = 1.0 - a - b
    at_random = np.asarray(lapse)[..., None]
    return (1 - at_random) * odds + at_random / 3


def expected_probabilities(
    electorate: Electorate, personas: Personas, difference: Floats, prompt: int
) -> Floats:
    """(n, ..., 3) vote probabilities on a prompt, averaged over which answer is shown first.
    difference: (n, ...).
    """
    threshold = personas.tie_threshold * electorate.tie_scale[prompt]
    seen, lapse = _conduct(electorate, personas)
    flat = difference.reshape(len(personas), -1) * seen[:, None]
    odds = either_first(flat, threshold[:, None], personas.position_bias[:, None], lapse)
    return odds.reshape(*difference.shape, 3)


def either_first(difference: Floats, threshold: Floats, shift: Floats, lapse: Floats) -> Floats:
    """(n, k, 3) `vote_probabilities`, averaged over which answer is shown first.

    Args:
        difference: (n, k).
        threshold, shift: (n, k or 1).
        lapse: (n,).
    """
    odds = np.empty((*difference.shape, 3))
    kernels.either_first(difference, threshold, shift, lapse, odds)
    return odds


def _conduct(electorate: Electorate, personas: Personas) -> tuple[Floats, Floats]:
    """(n,) the sign with which each persona lets its taste speak, and its share of votes at
    random.
    """
    sign = np.where(personas.conduct == ADVERSARIAL, -1.0, 1.0)
    return sign, np.where(personas.conduct == CARELESS, 1.0, electorate.config.judge.lapse_rate)


def vote(
    electorate: Electorate,
    personas: Personas,
    block: int,
    round_: int,
    votes: int,
    chosen: Pairs | None = None,
) -> Ballots:
    """`votes` battles for each persona of the block, judged. The draws depend on nothing else.

    chosen: which pairs, (n, votes); None draws them evenly.
    """
    n = len(personas)
    contestants = len(electorate.strength)
    random = generator(electorate.seed, Stream.VOTES, block, round_)
    where, luck = random.random((2, BLOCK, votes))
    pairs = chosen
    if pairs is None:
        # Drawn for a whole block, so that a user's pairs do not hang on how many others there are.
        pairs = pairing.uniform(random, (BLOCK, votes), contestants).take(slice(n))
    prompt = _draw_prompts(electorate, personas.archetype, where[:n])

    difference, probabilities = on_battles(electorate, personas, prompt, pairs)
    outcome = (luck[:n] >= probabilities[..., A]).astype(np.int64) + (
        luck[:n] >= probabilities[..., : B + 1].sum(-1)
    )
    below = electorate.config.judge.both_bad_below
    if below is not None:
        outcome[
            (outcome == TIE) & _both_below(electorate, personas, prompt, pairs.a, difference, below)
        ] = BOTH_BAD
    return Ballots(prompt, pairs, probabilities, outcome)


def on_battles(
    electorate: Electorate, personas: Personas, prompt: Ints, pairs: Pairs
) -> tuple[Floats, Floats]:
    """How each persona would vote on battles of its own, n personas by v battles.

    Args:
        prompt: (n, v).
        pairs: of shape (n, v).

    Returns:
        (n, v) utility of A less B's, in logits, and (n, v, 3) probabilities of A, B and tie.
    """
    a = pairs.a
    b = pairs.b
    worth_a = electorate.strength[a] + electorate.quality[prompt, a]
    worth_b = electorate.strength[b] + electorate.quality[prompt, b]
    contrast = electorate.z[prompt, a] - electorate.z[prompt, b]
    # Without BLAS (optimize=False), so that the sum is the same on any machine's thread count.
    taste = np.einsum("nvd,nd->nv", contrast, personas.taste, optimize=False)
    rows = np.arange(len(personas))[:, None]
    own = taste + (personas.model_taste[rows, a] - personas.model_taste[rows, b])
    sign, lapse = _conduct(electorate, personas)
    difference = (
        electorate.config.judge.decisiveness
        * sign[:, None]
        * (personas.strength_scale[:, None] * (worth_a - worth_b) + own)
    )
    shift = np.where(pairs.first_shown == 0, 1.0, -1.0) * personas.position_bias[:, None]
    threshold = personas.tie_threshold[:, None] * electorate.tie_scale[prompt]
    probabilities = vote_probabilities(difference, threshold, shift, lapse[:, None])
    return difference, probabilities


def _both_below(
    electorate: Electorate,
    personas: Personas,
    prompt: Ints,
    a: Ints,
    difference: Floats,
    below: float,
) -> Ints:
    """(n, v) whether neither answer's utility reaches `below`."""
    sign = _conduct(electorate, personas)[0][:, None]
    decisiveness = electorate.config.judge.decisiveness
    taste = np.einsum("nvd,nd->nv", electorate.z[prompt, a], personas.taste, optimize=False)
    worth = electorate.strength[a] + electorate.quality[prompt, a]
    own = taste + personas.model_taste[np.arange(len(personas))[:, None], a]
    of_a = decisiveness * (personas.strength_scale[:, None] * worth + own)
    of_b = of_a - sign * difference
    bad: Ints = np.maximum(of_a, of_b) < below
    return bad


def _draw_prompts(electorate: Electorate, archetype: Ints, uniform: Floats) -> Ints:
    """Training prompts by each persona's mix. uniform: (n, v) in [0, 1)."""
    training = electorate.training_prompts
    weights = electorate.prompt_weights[:, training]
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    chosen = np.empty(uniform.shape, dtype=np.int64)
    for k in range(len(edges)):
        rows = archetype == k
        chosen[rows] = np.searchsorted(edges[k, :-1], uniform[rows], side="right")
    return training[chosen]
