"""Systems that need nothing but votes, built from a Selection, whoever cast them.

A builder takes the Selection and the system's name; electorate/config/systems.py declares them.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from electorate.base.registry import load
from electorate.base.votes import OUTCOMES
from electorate.config.systems import SYSTEMS
from electorate.evaluation.predictions import Offsets, Shares, Strengths, System
from electorate.evaluation.selection import Selection, Variant
from electorate.ratings import elo_online as online_elo
from electorate.ratings.offsets import NotConvergedError

LOG = logging.getLogger("electorate.evaluation.systems")
SYSTEM_A = Variant("plain", "true")
# System A and its variants, by the system's name.
OFFSETS = {
    "personal_ties": Variant("ties_only", "true"),
    "elo_offset": SYSTEM_A,
    "elo_offset_low_rank": Variant("low_rank", "true"),
    "elo_offset_no_labels": Variant("plain", "none"),
    "elo_offset_wrong_labels": Variant("plain", "wrong"),
}


def class_prior(at: Selection, _: str) -> Shares:
    """How often each outcome was seen, whatever the models."""
    share = np.zeros(OUTCOMES)
    for block in at.known("true"):
        share += np.bincount(block.outcome, block.weights, OUTCOMES)
    return Shares(share / share.sum())


def global_bt(at: Selection, _: str) -> Strengths:
    """One Bradley-Terry ranking for all."""
    return Strengths.of_fits([at.global_fit], at.ties)


def segment_bt(at: Selection, _: str) -> System:
    """The Bradley-Terry ratings of each archetype's votes."""
    return Strengths.of_fits(at.segments, at.ties).of_rows(at.archetype)


def elo_online(at: Selection, _: str) -> Strengths:
    """Global ratings, moved by plain Elo updates at each user's votes in the order of casting."""
    k_factor = at.settings.k_factor
    own = [
        online_elo.rate(
            at.global_fit.strength,
            block.users,
            block.user,
            block.a,
            block.b,
            block.outcome,
            k_factor,
        )
        for block in at.known("true")
    ]
    strength = np.concatenate(own)
    return Strengths(strength, np.full(len(strength), at.global_fit.eta), at.ties)


def elo_offset(at: Selection, name: str) -> Offsets:
    """System A: each user's own ratings and tie rate, drawn toward everybody's as strongly as the
    votes ask for; or a variant of OFFSETS. Raises NotConvergedError.
    """
    variant = OFFSETS[name]
    prior = at.prior(variant)
    return Offsets(at.known(variant.labels), prior, at.ties)


def built(at: Selection, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What can be built of the systems of these names, each a System or a Predictor, as those who
    vote need; and why others use the global ranking.
    """
    found = dict[str, Any]()
    not_converged = dict[str, str]()
    for name in names:
        build = SYSTEMS[name].build
        if build is None:
            continue
        try:
            system = load(build)(at, name)
        except NotConvergedError as error:
            LOG.warning("%s uses the global ranking: %s", name, error)
            not_converged[name] = str(error)
            system = global_bt(at, name)
        if system is not None:
            found[name] = system
    return found, not_converged
