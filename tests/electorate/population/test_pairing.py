import numpy as np

from electorate.base.scale import Floats, Ints
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.population import pairing
from electorate.ratings import posteriors
from electorate.ratings.posteriors import Posterior
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS
from electorate.ratings.user_votes import UserVotes

DAVIDSON = MODELS["davidson"]
M = 12
USERS = 600


def electorate() -> tuple[Prior, Floats]:
    """Users who differ along two directions, drawn from the prior itself."""
    random = np.random.default_rng(0)
    prior = Prior(
        np.append(np.linspace(-0.4, 0.4, M), -0.5)[None],
        0.1,
        0.3,
        np.array([[0.3], [0.2]]) * random.normal(size=(2, M)),
    )
    return prior, random.multivariate_normal(prior.mean[0], prior.covariance, USERS)


def posterior_after(
    prior: Prior, true: Floats, rounds: list[int], active: bool
) -> tuple[Posterior, Ints]:
    """The posterior after these rounds of votes; and the pairs of the last round, as numbers."""
    random = np.random.default_rng(1)
    columns = [np.zeros(0, dtype=np.int64) for _ in range(4)]
    for round_, votes in enumerate(rounds):
        pairs = pairing.uniform(random, (USERS, votes), M)
        if active and round_:
            pairs, _ = pairing.active(random, posterior_of(prior, columns), votes)
        user = np.repeat(np.arange(USERS), votes)
        a = pairs.a.ravel()
        b = pairs.b.ravel()
        odds = DAVIDSON.probabilities(true[user, a] - true[user, b], true[user, -1])
        outcome = (random.random(len(user))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
        columns = [
            np.concatenate(both) for both in zip(columns, (user, a, b, outcome), strict=True)
        ]
    return posterior_of(prior, columns), M * pairs.a + pairs.b


def posterior_of(prior: Prior, columns: list[Ints]) -> Posterior:
    user, a, b, outcome = columns
    archetype = np.zeros(USERS, dtype=np.int64)
    votes = UserVotes(archetype=archetype, user=user, a=a, b=b, outcome=outcome)
    return posteriors.posterior(votes, prior, DAVIDSON)


def tau(at: Posterior, true: Floats) -> float:
    return float(metrics.kendall_tau(Standing(at.mode[:, :M]), Standing(true[:, :M])).mean())


def test_twenty_chosen_votes_say_more_than_thirty_at_random() -> None:
    prior, true = electorate()
    chosen, _ = posterior_after(prior, true, [5, 5, 10], active=True)
    drawn, _ = posterior_after(prior, true, [5, 5, 20], active=False)
    assert tau(chosen, true) > tau(drawn, true)


def test_pairs_are_two_models_and_hang_on_the_user() -> None:
    prior, true = electorate()
    _, pairs = posterior_after(prior, true, [5, 8], active=True)
    assert np.all(pairs // M != pairs % M)
    assert len({tuple(row) for row in pairs.tolist()}) > USERS / 10


def test_the_tau_expected_is_the_tau_there_is() -> None:
    """Users drawn from the prior: what the posterior expects of its own ranking is how good it
    is.
    """
    prior, true = electorate()
    at, _ = posterior_after(prior, true, [20], active=False)
    before = at.covariance.copy()
    _, expected = pairing.active(np.random.default_rng(2), at, 1)
    assert abs(expected.mean() - tau(at, true)) < 0.02
    assert np.array_equal(before, at.covariance)
