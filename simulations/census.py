"""Stage 5: everybody after the last round, block by block, and what is found about them."""

from typing import Any

import numpy as np
import ray

from actors.pool import CohortPool
from electorate.cast import Cast
from electorate.census import NULLS, SUSPECT, BlockCensus
from electorate.evaluation import findings
from electorate.personas import ADVERSARIAL, CARELESS, CONDUCTS, SINCERE, Electorate, Personas
from electorate.ratings import bradley_terry
from electorate.ratings.bradley_terry import OUTCOMES, Fit
from electorate.ratings.posteriors import Prior
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints, to_elo
from simulations.progress import Advance

Findings = dict[str, Any]


def take(electorate: Electorate, pool: CohortPool, whole: Fit, prior: Prior, advance: Advance) -> Findings:
    """Rate every persona by System A's prior, and say what the population is like: who differs, who votes without looking."""
    last, shared = len(electorate.config.votes.checkpoints) - 1, ray.put(prior)
    blocks: list[BlockCensus | None] = [None] * electorate.blocks
    for block, found in pool.run(range(electorate.blocks), lambda actor, b: actor.census.remote(last, b, shared, whole.strength)):
        blocks[block] = found
        advance()
    everybody = [block for block in blocks if block is not None]
    null_probability, null, suspicion, conduct = (np.concatenate([block[i] for block in everybody]) for i in range(4))
    rate = electorate.config.evaluation.false_discovery_rate
    return {
        "differ": {name: findings.differing(null_probability[:, i], null[:, i], rate) for i, name in enumerate(NULLS)},
        "conduct": _conduct(suspicion, conduct),
        "leaderboards": _leaderboards(electorate, _by_group(everybody, len(whole.strength))),
    }


def ceiling(electorate: Electorate, people: Personas, cast: Cast, prior: Prior) -> Findings:
    """How far the compared people's votes agree with themselves."""
    tau, most = findings.split_half(cast, people.archetype, electorate.seed, prior, MODELS[electorate.config.ratings.ties])
    return {"half_tau": tau, "correlation_ceiling": most}


def _conduct(suspicion: Floats, conduct: Ints) -> Findings:
    """How well suspicion tells those who do not vote by their taste from those who do."""
    found: Findings = {"suspects": int((suspicion > SUSPECT).sum()), "users": len(conduct)}
    for kind in (CARELESS, ADVERSARIAL):
        own = (conduct == kind) | (conduct == SINCERE)
        found[f"{CONDUCTS[kind]}_auc"] = findings.auc(suspicion[own], conduct[own] == kind)
        found[CONDUCTS[kind]] = int((conduct == kind).sum())
    found["sincere_suspected"] = float((suspicion[conduct == SINCERE] > SUSPECT).mean()) if np.any(conduct == SINCERE) else None
    return found


def _by_group(blocks: list[BlockCensus], models: int) -> Ints:
    """(3, 2, M, M, 3) votes by conduct and suspicion."""
    total = np.zeros(len(CONDUCTS) * 2 * models**2 * OUTCOMES, dtype=np.int64)
    for block in blocks:
        total[block.counts.place] += block.counts.times
    return total.reshape(len(CONDUCTS), 2, models, models, OUTCOMES)


def _leaderboards(electorate: Electorate, counts: Ints) -> list[Findings]:
    """A row a model: its rating by all votes, without the suspects', and by the sincere alone (the planted truth)."""
    settings = electorate.config.ratings
    chosen = {"all": counts.sum(axis=(0, 1)), "without_suspects": counts[:, 0].sum(axis=0), "sincere": counts[SINCERE].sum(axis=0)}
    ratings = {}
    for name, weight in chosen.items():
        ratings[name] = to_elo(bradley_terry.fit(weight, MODELS[settings.ties], settings.prior_sd).strength)
    names = electorate.config.contestant_names
    return [{"model": model, **{name: float(of[m]) for name, of in ratings.items()}} for m, model in enumerate(names)]
