"""Stage 5: everybody after the last round, block by block, and what is found about them."""

from typing import Any

import numpy as np

from electorate.base.progress import Advance
from electorate.base.scale import Floats, Ints, to_elo
from electorate.base.votes import OUTCOMES
from electorate.evaluation import findings
from electorate.evaluation.user_report import NULLS, OWN, SUSPECT, BlockReport
from electorate.population.logged_votes import LoggedVotes
from electorate.population.voters import (
    ADVERSARIAL,
    CARELESS,
    CONDUCTS,
    SINCERE,
    Users,
    Voters,
)
from electorate.ratings import bradley_terry, fixed_point, prompt_sample
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.summed import in_order
from electorate.ratings.ties import MODELS
from electorate.study.pool import Pool
from electorate.study.systems import OnCohorts

Findings = dict[str, Any]


def take(voters: Voters, pool: Pool, global_fit: Fit, prior: Prior, advance: Advance) -> Findings:
    """Rate every persona by System A's prior, and say what the population is like: who differs,
    who votes without looking.
    """
    last = len(voters.config.votes.checkpoints) - 1
    work = [(last, block) for block in range(voters.blocks)]
    blocks: list[BlockReport | None] = [None] * voters.blocks
    doubtful = _doubtful(voters, OnCohorts(pool, voters.blocks, last, "true"), global_fit, prior)
    for block, found in pool.run("report_users", work, prior, doubtful, global_fit.strength):
        blocks[block] = found
        advance()
    everybody = [block for block in blocks if block is not None]
    draws = np.concatenate([block.null_draws for block in everybody]) / np.float32(OWN)
    suspicion = np.concatenate([block.suspicion for block in everybody])
    conduct = np.concatenate([block.conduct for block in everybody])
    nulls = [block.null for block in everybody if block.null is not None]
    null = np.concatenate(nulls) if nulls else None
    rate = voters.config.evaluation.false_discovery_rate
    return {
        "differ": {
            name: findings.differing(draws[:, i], None if null is None else null[:, i], rate)
            for i, name in enumerate(NULLS)
        },
        "conduct": _conduct(suspicion, conduct),
        "leaderboards": _leaderboards(voters, _by_group(everybody, len(global_fit.strength))),
    }


def _doubtful(
    voters: Voters, users: OnCohorts, global_fit: Fit, prior: Prior
) -> tuple[Prior, Prior]:
    """The priors by all of which a user must differ; see prompt_sample."""
    return prompt_sample.doubtful(
        prior,
        global_fit,
        in_order(users.sums(prior, [], everybody=True)),
        in_order(users.prompt_scores(prior)),
        in_order(users.moments(prior)),
        voters.unseen,
    )


def ceiling(voters: Voters, people: Users, votes: LoggedVotes, prior: Prior) -> Findings:
    """How far the compared people's votes agree with themselves."""
    tau, most = findings.split_half(
        votes, people.archetype, voters.seed, prior, MODELS[voters.config.ratings.ties]
    )
    return {"half_tau": tau, "correlation_ceiling": most}


def _conduct(suspicion: Floats, conduct: Ints) -> Findings:
    """How well suspicion tells those who do not vote by their taste from those who do."""
    found: Findings = {"suspects": int((suspicion > SUSPECT).sum()), "users": len(conduct)}
    for kind in (CARELESS, ADVERSARIAL):
        own = (conduct == kind) | (conduct == SINCERE)
        found[f"{CONDUCTS[kind]}_auc"] = findings.auc(suspicion[own], conduct[own] == kind)
        found[CONDUCTS[kind]] = int((conduct == kind).sum())
    found["sincere_suspected"] = (
        float((suspicion[conduct == SINCERE] > SUSPECT).mean())
        if np.any(conduct == SINCERE)
        else None
    )
    return found


def _by_group(blocks: list[BlockReport], models: int) -> Floats:
    """(3, 2, M, M, 3) votes by conduct and suspicion."""
    total = np.zeros(len(CONDUCTS) * 2 * models**2 * OUTCOMES, dtype=np.int64)
    for block in blocks:
        total[block.counts.place] += block.counts.weight
    return fixed_point.real(total).reshape(len(CONDUCTS), 2, models, models, OUTCOMES)


def _leaderboards(voters: Voters, counts: Floats) -> list[Findings]:
    """A row a model: its rating by all votes, without the suspects', and by the sincere alone
    (the planted truth).
    """
    settings = voters.config.ratings
    chosen = {
        "all": counts.sum(axis=(0, 1)),
        "without_suspects": counts[:, 0].sum(axis=0),
        "sincere": counts[SINCERE].sum(axis=0),
    }
    ratings = {}
    for name, weight in chosen.items():
        ratings[name] = to_elo(
            bradley_terry.fit(weight, MODELS[settings.ties], settings.prior_sd).strength
        )
    names = voters.config.contestant_names
    return [
        {"model": model, **{name: float(of[m]) for name, of in ratings.items()}}
        for m, model in enumerate(names)
    ]
