"""People who rank many models on few prompts: personal ratings must not be worse than everybody's.

Six people each rank 15 models on 50 prompts; what a person thinks of a response differs from what
it thinks of the model (a prompt-by-user effect), and some of that everybody thinks (a prompt's
effect). A ranking is 105 votes that are anything but independent. From the others' votes on 25
prompts and a person's own on k of them: Kendall tau to the person's own mean ranking on the other
25.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from electorate.base.scale import Floats
from electorate.evaluation.metrics import Standing, kendall_tau
from electorate.ratings import bradley_terry, offsets, posteriors
from electorate.ratings.ties import DEFAULT, MODELS
from electorate.ratings.user_votes import UserVotes

PEOPLE = 6
MODELS_N = 15
PROMPTS = 50
OWN = (1, 3, 10, 25)
DRAWS = 8
TIES = MODELS[DEFAULT]
SYSTEMS = ("everybody's ranking", "System A, votes as independent", "System A")


def utilities(random: np.random.Generator, personal: float) -> Floats:
    """(people, prompts, M) what each person thinks of each response when asked to rank."""
    strength = 0.8 * random.normal(size=MODELS_N) + personal * random.normal(
        size=(PEOPLE, MODELS_N)
    )
    of_prompt = 0.6 * random.normal(size=(PROMPTS, MODELS_N))
    of_both = 0.8 * random.normal(size=(PEOPLE, PROMPTS, MODELS_N))
    noise = random.gumbel(size=of_both.shape)
    return strength[:, None] + of_prompt + of_both + noise


def votes_of(utility: Floats, asked: dict[int, range]) -> UserVotes:
    """Every pair of every ranking on the prompts that each person is asked."""
    a, b = np.triu_indices(MODELS_N, 1)
    parts = [
        (u, p, a, b, utility[u, p, a] < utility[u, p, b]) for u, of in asked.items() for p in of
    ]
    user = np.repeat([u for u, *_ in parts], len(a))
    prompt = np.repeat([p for _, p, *_ in parts], len(a))
    columns = (np.concatenate([part[i] for part in parts]) for i in (2, 3, 4))
    first, second, outcome = columns
    archetype = np.zeros(PEOPLE, dtype=np.int64)
    return UserVotes(
        archetype=archetype,
        user=user,
        a=first,
        b=second,
        outcome=outcome.astype(np.int64),
        weight=None,
        prompt=prompt,
    )


def one(seed: int, personal: float, rankings: Sequence[int] = OWN, people: int = PEOPLE) -> Floats:
    """(systems, rankings) mean tau over the first people, from so many rankings of their own."""
    random = np.random.default_rng(seed)
    utility = utilities(random, personal)
    found = np.zeros((len(SYSTEMS), len(rankings), people))
    for person in range(people):
        truth = Standing(
            utility[person, PROMPTS // 2 :].argsort(axis=1).argsort(axis=1).mean(axis=0)[None]
        )
        for i, own in enumerate(rankings):
            asked = {u: range(own if u == person else PROMPTS // 2) for u in range(PEOPLE)}
            votes = votes_of(utility, asked)
            for s, strength in enumerate(_rankings(votes, person)):
                found[s, i, person] = kendall_tau(Standing(strength[None]), truth)[0]
    return found.mean(axis=2)


def _rankings(votes: UserVotes, person: int) -> list[Floats]:
    counts = np.zeros((MODELS_N, MODELS_N, 3))
    np.add.at(counts, (votes.a, votes.b, votes.outcome), 1)
    start = bradley_terry.fit(counts, TIES, 1000.0)
    found = [start.strength]
    for own in (
        UserVotes(
            archetype=votes.archetype, user=votes.user, a=votes.a, b=votes.b, outcome=votes.outcome
        ),
        votes,
    ):
        prior = offsets.fit(offsets.InMemory([own], TIES), start, 1)
        found.append(posteriors.posterior(own, prior, TIES).mode[person, :-1])
    return found


def main(draws: int = DRAWS) -> None:
    """Print tau by system and votes, where people differ much, little and not at all."""
    os.environ["OMP_NUM_THREADS"] = "1"
    print(
        f"{PEOPLE} people rank {MODELS_N} models; tau to their own ranking on other prompts, "
        f"{draws} draws:"
    )
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for personal in (0.6, 0.3, 0.0):
            values = np.array(list(pool.map(one, range(draws), [personal] * draws)))
            print(
                f"  own offsets of {personal:g} nats, own prompts:"
                + "".join(f"{own:16d}" for own in OWN)
            )
            for s, system in enumerate(SYSTEMS):
                over = values[:, s] - values[:, 0]
                error = over.std(axis=0) / np.sqrt(draws)
                cells = "".join(
                    f"{mean:8.3f} {gain:+.3f}" + f"+-{e:.3f}"[1:]
                    if s
                    else f"{mean:8.3f}" + 12 * " "
                    for mean, gain, e in zip(
                        values[:, s].mean(axis=0), over.mean(axis=0), error, strict=True
                    )
                )
                print(f"    {system:32s}{cells}", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
