"""System A fits any table of votes, or says that it could not; and it is never worse than not
personalising.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import worlds
from electorate.config.run import RatingSettings
from electorate.evaluation import held_out, people, vote_odds
from electorate.ratings import bradley_terry, offsets, posteriors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.offsets import InMemory, NotConvergedError
from electorate.ratings.ties import MODELS, TieModel
from electorate.ratings.user_votes import UserVotes

# Of each world here; `python -m benchmarks.worlds` draws 20.
DRAWS = 2
OTHERS = {"users alike, few votes": 4, "100,000 votes by one": 1}


@st.composite
def vote_tables(draw: st.DrawFn) -> tuple[UserVotes, int, int]:
    """Votes, how many models there are and how many archetypes."""
    users = draw(st.integers(1, 8))
    models = draw(st.integers(2, 7))
    votes = draw(st.integers(1, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    a = random.integers(0, models, votes)
    b = (a + random.integers(1, models, votes)) % models
    archetype_count = draw(st.integers(1, min(3, users)))
    outcomes = draw(st.sampled_from([(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)]))
    outcome = np.array(outcomes)[random.integers(0, len(outcomes), votes)]
    if draw(st.booleans()):
        # Whoever is named first wins: users, and models, that can be told apart without error.
        outcome = np.where(outcome == 2, 2, (a > b).astype(np.int64))
    user = (
        random.integers(0, users, votes) if draw(st.booleans()) else np.zeros(votes, dtype=np.int64)
    )
    weight = np.exp(3 * random.normal(size=votes)) if draw(st.booleans()) else None
    prompt = random.integers(-1, draw(st.integers(1, 9)), votes) if draw(st.booleans()) else None
    votes_ = UserVotes(
        archetype=random.integers(0, archetype_count, users),
        user=user,
        a=a,
        b=b,
        outcome=outcome,
        weight=weight,
        prompt=prompt,
    )
    return votes_.by_user(), models, archetype_count


def global_fit(votes: UserVotes, models: int, ties: TieModel) -> Fit:
    weight = np.zeros((models, models, 3))
    np.add.at(weight, (votes.a, votes.b, votes.outcome), votes.weights)
    return bradley_terry.fit(weight, ties, 1000.0)


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(vote_tables(), st.sampled_from(sorted(MODELS)), st.booleans())
def test_every_fit_is_finite_and_has_converged_or_says_that_it_has_not(
    table: tuple[UserVotes, int, int], name: str, low_rank: bool
) -> None:
    (votes, models, archetype_count) = table
    ties = MODELS[name]
    users = InMemory([votes], ties)
    start = global_fit(votes, models, ties)
    try:
        prior = offsets.fit(users, start, archetype_count)
        prior = offsets.with_factors(users, start, prior, 2) if low_rank else prior
    except NotConvergedError:
        return
    assert offsets.TAU_FLOOR <= prior.sd <= offsets.TAU_CEILING
    assert np.isfinite(prior.mean).all()
    at = posteriors.posterior(votes, prior, ties)
    assert at.converged.all()
    user, a, b = (
        x.ravel()
        for x in np.meshgrid(range(votes.users), range(models), range(models), indexing="ij")
    )
    differ = a != b
    said = at.differences(user[differ], a[differ], b[differ])
    odds = vote_odds.predictive(*said, ties)
    assert np.isfinite(odds).all()
    assert np.all(said.variance > 0)
    assert odds.min() >= 0


@pytest.mark.parametrize("world", worlds.WORLDS)
def test_personal_ratings_are_never_worse_than_the_global_ranking(world: str) -> None:
    found = [
        worlds.losses(world, seed, ("elo_offset",)) for seed in range(OTHERS.get(world, DRAWS))
    ]
    over = np.mean([loss["elo_offset"] - loss["global_bt"] for loss in found])
    assert over <= worlds.ALLOWED
    assert not any(loss["elo_offset failed"] for loss in found)


@pytest.mark.parametrize(
    "world",
    ["users differ", "no ties", "every tenth tie", "two camps", "clustered by prompt, no ties"],
)
def test_where_there_is_something_to_gain_it_is_gained(world: str) -> None:
    found = [worlds.losses(world, seed, ("elo_offset",)) for seed in range(DRAWS)]
    assert np.mean([loss["elo_offset"] - loss["global_bt"] for loss in found]) < -0.005


def test_without_ties_there_is_no_tie_parameter_to_run_away() -> None:
    drawn = worlds.WORLDS["no ties"](np.random.default_rng(3)).votes
    archetype = np.zeros(60, dtype=np.int64)
    votes = UserVotes(
        archetype=archetype, user=drawn.user, a=drawn.a, b=drawn.b, outcome=drawn.outcome_of_3
    ).by_user()
    for ties in MODELS.values():
        start = global_fit(votes, 8, ties)
        prior = offsets.fit(InMemory([votes], ties), start, 1)
        assert prior.mean[0, -1] == pytest.approx(start.eta, abs=1e-4)
        assert prior.tie_sd == offsets.TIE_SD_FLOOR


def test_users_who_can_be_told_apart_without_error_keep_finite_ratings() -> None:
    """500 users with two equal votes each, half each way, had a mean of 15,684 nats, at which
    exp overflows.
    """
    votes = worlds.equal_votes(np.random.default_rng(0)).votes
    own = UserVotes(
        archetype=np.zeros(500, dtype=np.int64),
        user=votes.user,
        a=votes.a,
        b=votes.b,
        outcome=votes.outcome,
    ).by_user()
    ties = MODELS["davidson"]
    prior = offsets.fit(InMemory([own], ties), global_fit(own, 2, ties), 1)
    assert np.abs(prior.mean[:, :2]).max() < 1
    mode = posteriors.posterior(own, prior, ties).mode
    assert np.all(
        (mode[:, 0] > mode[:, 1])
        == (np.bincount(own.user, np.where(own.outcome == own.a, 1, -1)) > 0)
    )


def test_a_fit_that_does_not_converge_gives_the_global_ranking_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    votes = worlds.people(np.random.default_rng(0)).votes
    fold = held_out.folds(votes.prompt, 5, 0)
    monkeypatch.setattr(offsets, "PASSES", 1)
    found = held_out.predict(votes, fold, people.ALL, RatingSettings(ties="davidson"))
    assert len(found["elo_offset"].failed) == len(found["elo_offset_low_rank"].failed) == 5
    assert not found["elo_online"].failed
    assert "did not converge in 1 passes" in found["elo_offset"].failed[0]
    assert "elo_offset uses the global ranking: System A did not converge" in caplog.text
    assert np.array_equal(found["elo_offset"].odds, found["global_bt"].odds)


def test_each_pass_climbs() -> None:
    """The objective never falls, as long as the evidence is that of all users."""
    votes = worlds.camps(np.random.default_rng(0)).votes
    own = UserVotes(
        archetype=np.zeros(60, dtype=np.int64),
        user=votes.user,
        a=votes.a,
        b=votes.b,
        outcome=votes.outcome,
        weight=None,
        prompt=votes.prompt,
    )
    ties = MODELS["davidson"]

    class Watched(InMemory):
        seen: list[float] = []  # noqa: RUF012 of one test

        def sums(
            self, prior: offsets.Prior, tries: offsets.Tries, everybody: bool
        ) -> list[offsets.Sums]:
            found = super().sums(prior, tries, everybody)
            self.seen.append(float(found[0].evidence[0]) - (prior.sd**2 + prior.tie_sd**2) / 2)
            return found

    users = Watched([own.by_user()], ties)
    offsets.fit(users, global_fit(own, 8, ties), 1)
    best = np.maximum.accumulate(users.seen)
    assert users.seen[-1] >= best[-1] - 0.05
    assert best[-1] > users.seen[0] + 3
