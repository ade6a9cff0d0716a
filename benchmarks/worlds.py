"""Votes as people cast them: worlds on which System A must never do worse than not personalising.

Each world is drawn 20 times. Printed beside each other: held-out log loss of the global ranking and
of System A on folds that share no prompt, and their paired difference, which may be at most 0.005.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.config.run import RatingSettings
from electorate.data.votes import NamedVotes
from electorate.evaluation import held_out
from electorate.ratings.ties import MODELS

DRAWS = 20
ALLOWED = 0.005
SYSTEMS = ("elo_offset", "elo_offset_low_rank")


@dataclass(frozen=True)
class Drawn:
    """Votes to hold out from, and each user's archetype (users,)."""

    votes: NamedVotes
    archetype: Ints


def draw(
    random: np.random.Generator,
    strength: Floats,
    user: Ints,
    a: Ints,
    b: Ints,
    prompts: int = 40,
    eta: float = -0.4,
    tie_model: str = "davidson",
    of_prompt: Floats | None = None,
) -> Drawn:
    """Votes of users with these strengths (users, M), on prompts at random.

    of_prompt: (users, prompts, M) added to them, the same for all votes of a user on a prompt.
    """
    users, models = strength.shape
    prompt = random.integers(0, prompts, len(user))
    d = strength[user, a] - strength[user, b]
    if of_prompt is not None:
        d = d + of_prompt[user, prompt, a] - of_prompt[user, prompt, b]
    odds = MODELS[tie_model].probabilities(d, np.full(len(user), eta))
    outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
    names = tuple(f"m{m}" for m in range(models))
    votes = NamedVotes(
        models=names, a=a, b=b, outcome=outcome, weight=np.ones(len(user)), user=user, prompt=prompt
    )
    return Drawn(votes, np.zeros(users, dtype=np.int64))


def pairs(random: np.random.Generator, votes: int, models: int) -> tuple[Ints, Ints]:
    """Two different models for each vote."""
    a = random.integers(0, models, votes)
    return a, (a + random.integers(1, models, votes)) % models


def people(
    random: np.random.Generator,
    users: int = 60,
    each: int = 30,
    models: int = 8,
    sd: float = 0.6,
    scale: float = 1.0,
    **options: object,
) -> Drawn:
    """Users with offsets of their own."""
    strength = np.linspace(-1, 1, models) + sd * random.normal(size=(users, models))
    user = np.repeat(np.arange(users), each)
    return draw(random, scale * strength, user, *pairs(random, len(user), models), **options)  # type: ignore[arg-type]


def camps(random: np.random.Generator) -> Drawn:
    """Two camps that want the opposite."""
    side = np.where(np.arange(60) < 30, 1.0, -1.0)
    user = np.repeat(np.arange(60), 20)
    strength = side[:, None] * np.linspace(-1.5, 1.5, 8)
    return draw(random, strength, user, *pairs(random, len(user), 8))


def equal_votes(random: np.random.Generator) -> Drawn:
    """500 users on two models, two equal votes each, half each way."""
    side = random.permutation(np.arange(500) % 2)
    votes = draw(random, np.zeros((500, 2)), np.repeat(np.arange(500), 2), *pairs(random, 1000, 2))
    outcome = np.where(votes.votes.a == side[votes.votes.user], 0, 1)
    return Drawn(replace(votes.votes, outcome=outcome), votes.archetype)


def disconnected(random: np.random.Generator) -> Drawn:
    """Two groups of models that never met."""
    user = np.repeat(np.arange(60), 30)
    a, b = pairs(random, len(user), 4)
    group = 4 * random.integers(0, 2, len(user))
    strength = np.linspace(-1, 1, 8) + 0.6 * random.normal(size=(60, 8))
    return draw(random, strength, user, a + group, b + group)


def one_of_many(random: np.random.Generator) -> Drawn:
    """100,000 votes by one user, 20 by each of 50 others."""
    user = np.concatenate([np.zeros(100_000, dtype=np.int64), 1 + np.repeat(np.arange(50), 20)])
    strength = np.linspace(-1, 1, 8) + 0.6 * random.normal(size=(51, 8))
    return draw(random, strength, user, *pairs(random, len(user), 8))


def weighted(random: np.random.Generator) -> Drawn:
    """Votes of weights from 0.02 to 50, which say nothing of how often a vote was cast."""
    votes = people(random)
    weight = np.exp(1.5 * random.normal(size=len(votes.votes)))
    return Drawn(replace(votes.votes, weight=weight), votes.archetype)


def clustered(random: np.random.Generator, sd: float = 0.5, effect: float = 0.8) -> Drawn:
    """Users who vote some 12 times on a prompt, with an opinion of their own of each answer."""
    strength = np.linspace(-1, 1, 8) + sd * random.normal(size=(30, 8))
    own = effect * random.normal(size=(30, 12, 8))
    user = np.repeat(np.arange(30), 150)
    chosen = pairs(random, len(user), 8)
    return draw(random, strength, user, *chosen, prompts=12, of_prompt=own)


def archetypes(random: np.random.Generator, kinds: int) -> Drawn:
    """Users of archetypes that are known."""
    archetype = np.arange(64) % kinds
    means = 0.6 * random.normal(size=(kinds, 8))
    strength = np.linspace(-1, 1, 8) + means[archetype] + 0.4 * random.normal(size=(64, 8))
    user = np.repeat(np.arange(64), 30)
    return Drawn(draw(random, strength, user, *pairs(random, len(user), 8)).votes, archetype)


def without_ties(drawn: Drawn, kept: int = 0) -> Drawn:
    """The votes but for ties; of those every so manyth."""
    votes = drawn.votes
    tied = np.cumsum(votes.outcome == 2)
    there = (votes.outcome != 2) | ((tied % kept == 0) if kept else False)
    return Drawn(votes.take(np.flatnonzero(there)), drawn.archetype)


WORLDS: dict[str, Callable[[np.random.Generator], Drawn]] = {
    "users differ": people,
    "users differ, Rao-Kupper": lambda r: people(r, tie_model="rao_kupper"),
    "users differ, ties half": lambda r: people(r, tie_model="half", eta=-1.0),
    "users alike": lambda r: people(r, sd=0.0),
    "users alike, few votes": lambda r: people(r, sd=0.0, each=5),
    "two camps": camps,
    "near-separable users": lambda r: people(r, sd=1.0, scale=6.0),
    "all ties": lambda r: people(r, eta=30.0),
    "no ties": lambda r: without_ties(people(r)),
    "no ties, users alike": lambda r: without_ties(people(r, sd=0.0)),
    "every tenth tie": lambda r: without_ties(people(r), 10),
    "one user": lambda r: people(r, users=1, each=300),
    "two models": lambda r: people(r, models=2, each=12),
    "two models, two equal votes a user": equal_votes,
    "disconnected graphs": disconnected,
    "one vote a user": lambda r: people(r, users=1500, each=1),
    "100,000 votes by one": one_of_many,
    "weights": weighted,
    "clustered by prompt": clustered,
    "clustered by prompt, users alike": lambda r: clustered(r, sd=0.0),
    "clustered by prompt, no ties": lambda r: without_ties(clustered(r)),
    **{f"{kinds} archetypes": (lambda r, k=kinds: archetypes(r, k)) for kinds in (2, 4, 16)},
}
TIES = {"users differ, Rao-Kupper": "rao_kupper", "users differ, ties half": "half"}


def losses(world: str, seed: int, wanted: Sequence[str] = SYSTEMS) -> dict[str, float]:
    """Held-out log loss by system on one draw, and how many folds failed and so have the global
    ranking.
    """
    drawn = WORLDS[world](np.random.default_rng(seed))
    votes = drawn.votes
    settings = RatingSettings(ties=TIES.get(world, "davidson"))
    fold = held_out.folds(votes.prompt, 5, seed)
    found = {}
    names = ("global_bt", *wanted)
    for name, predicted in held_out.predict(votes, fold, names, settings, drawn.archetype).items():
        at_seen = np.take_along_axis(predicted.odds, votes.outcome_of_3[:, None], axis=1)[:, 0]
        found[name] = float(np.average(-np.log(np.maximum(at_seen, 1e-12)), weights=votes.weight))
        found[f"{name} failed"] = float(len(predicted.failed))
    return found


def main(draws: int = DRAWS, worlds: tuple[str, ...] = tuple(WORLDS)) -> None:
    """Print a row a world."""
    os.environ["OMP_NUM_THREADS"] = "1"
    print(
        f"held-out log loss over that of the global ranking, {draws} draws a world, at most "
        f"{ALLOWED:+.3f}:"
    )
    print(
        f"  {'world':36s} {'global':>7s} {'System A':>9s} {'+-':>7s} {'low rank':>9s} {'+-':>7s} "
        f"{'failed':>6s}"
    )
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for world in worlds:
            rows = list(pool.map(losses, [world] * draws, range(draws)))
            base = np.array([row["global_bt"] for row in rows])
            cells = []
            for name in SYSTEMS:
                over = np.array([row[name] for row in rows]) - base
                cells.append(f"{over.mean():+9.4f} {over.std() / np.sqrt(draws):7.4f}")
            failed = sum(row[f"{name} failed"] for row in rows for name in SYSTEMS)
            print(f"  {world:36s} {base.mean():7.4f} {' '.join(cells)} {failed:6.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS, tuple(sys.argv[2:]) or tuple(WORLDS))
