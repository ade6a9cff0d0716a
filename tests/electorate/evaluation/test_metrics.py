import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from electorate.base.scale import ELO_PER_NAT
from electorate.config.metrics import OVERALL, UNSEEN
from electorate.evaluation import metrics
from electorate.evaluation.intervals import Bootstrap
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import Normal, Prediction, Strengths
from electorate.evaluation.scoring import Scores
from electorate.ratings.ties import MODELS

RANDOM = np.random.default_rng(0)


def test_rank_correlations_are_scipys_also_with_equal_values() -> None:
    estimate = RANDOM.integers(0, 4, (50, 7)).astype(float)
    truth = RANDOM.normal(size=(50, 7))
    tau = metrics.kendall_tau(Standing(estimate), Standing(truth))
    rho = metrics.spearman_rho(Standing(estimate), Standing(truth))
    for i in range(50):
        assert tau[i] == pytest.approx(kendalltau(estimate[i], truth[i]).statistic)
        assert rho[i] == pytest.approx(spearmanr(estimate[i], truth[i]).statistic)


def test_ranking_metrics_by_hand() -> None:
    truth = np.array([4.0, 3.0, 2.0, 1.0])
    got = metrics.ranking(Standing(np.array([3.0, 4.0, 1.0, 2.0])), Standing(truth))
    assert got["kendall_tau"] == pytest.approx((4 - 2) / 6)
    assert got["ranking_accuracy"] == 0
    assert got["top1_accuracy"] == 0
    assert got["top3_accuracy"] == pytest.approx(2 / 3)
    assert got["regret"] == pytest.approx(ELO_PER_NAT)
    best = metrics.ranking(Standing(truth), Standing(truth))
    assert (
        best["kendall_tau"],
        best["regret"],
        best["ranking_accuracy"],
        best["top3_accuracy"],
    ) == (1, 0, 1, 1)


def test_the_best_of_a_subset_is_its_first_of_equals() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 4, (5, 3, 8)).astype(float)
    subsets = np.array([random.choice(8, 4, replace=False) for _ in range(6)])
    place = values[..., subsets].argmax(axis=-1)
    assert np.array_equal(Standing(values).best_of(subsets), subsets[np.arange(6), place])


@pytest.mark.parametrize("rows", [1, 4])
def test_calibration_sums_are_those_of_histograms(rows: int) -> None:
    random = np.random.default_rng(0)
    said = random.dirichlet(np.ones(3), (rows, 9))
    true = random.dirichlet(np.ones(3), (4, 9)) * 2
    sums = metrics.calibration_sums(said, true, prompts=2)
    of_all = np.broadcast_to(said, true.shape).reshape(4, -1)
    for user in range(4):
        for column, weights in enumerate((2 * of_all[user], true.reshape(4, -1)[user])):
            bins, _ = np.histogram(of_all[user], metrics.ECE_BINS, (0, 1), weights=weights)
            assert sums[user, :, column] == pytest.approx(bins)
        counts, _ = np.histogram(of_all[user], metrics.ECE_BINS, (0, 1))
        assert np.array_equal(sums[user, :, 2], 2 * counts)


def test_a_constant_estimate_correlates_with_nothing() -> None:
    assert metrics.kendall_tau(Standing(np.zeros(4)), Standing(np.arange(4.0))) == 0
    assert metrics.spearman_rho(Standing(np.zeros(4)), Standing(np.arange(4.0))) == 0


def test_expected_scores_are_what_sampled_votes_score_on_average() -> None:
    true = np.array([0.5, 0.3, 0.2])
    predicted = np.array([0.6, 0.3, 0.1])
    got = Prediction(np.zeros((1, 2)), predicted[None, None]).scores(true[None, None])
    outcome = RANDOM.choice(3, size=200_000, p=true)
    assert got["log_loss"] == pytest.approx(-np.log(predicted[outcome]).mean(), abs=0.01)
    assert got["brier"] == pytest.approx(
        ((np.eye(3)[outcome] - predicted) ** 2).sum(axis=1).mean(), abs=0.01
    )


def test_the_truth_is_calibrated_and_overconfidence_is_not() -> None:
    true = RANDOM.dirichlet(np.ones(3), (20, 40))
    perfect = metrics.calibration_sums(true, true).sum(axis=0)
    assert metrics.expected_calibration_error(perfect) == pytest.approx(0)
    sharp = true**3 / (true**3).sum(axis=-1, keepdims=True)
    assert (
        metrics.expected_calibration_error(metrics.calibration_sums(sharp, true).sum(axis=0)) > 0.1
    )


def test_the_posterior_predictive_is_less_sure_than_the_plug_in() -> None:
    mode = np.array([[1.0, -1.0, -0.5]])
    ties = MODELS["davidson"]
    sure = Normal(mode, np.zeros((1, 3, 3)), ties).prediction
    unsure = Normal(mode, np.diag([0.5, 0.5, 0.0])[None], ties).prediction
    plug_in = Strengths(mode[:, :2], mode[:, 2], ties).prediction
    assert sure.odds == pytest.approx(plug_in.odds)
    assert 0.5 < unsure.odds[0, 0, 0] < sure.odds[0, 0, 0]
    draws = RANDOM.normal(2.0, 1.0, 200_000)
    assert unsure.odds[0, 0] == pytest.approx(
        ties.probabilities(draws, np.array(-0.5)).mean(axis=0), abs=0.003
    )


def scores(tau: np.ndarray) -> Scores:
    n = len(tau)
    odds = np.full((n, 2, 3), 1 / 3)
    unseen = {(UNSEEN, "kendall_tau"): np.repeat(tau, 4, axis=1)}
    return Scores({(OVERALL, "kendall_tau"): tau} | unseen, metrics.calibration_sums(odds, odds))


def test_gains_are_paired_and_intervals_cover_the_mean() -> None:
    base = RANDOM.normal(0.5, 0.3, (400, 1))
    both = {"global_bt": scores(base), "elo_offset": scores(base + 0.02)}
    bootstrap = Bootstrap(seed=0, users=400, prompts=4, resamples=300, confidence=0.95)
    rows = np.arange(400)
    gain = bootstrap.of(both, rows).gains("global_bt")["elo_offset"][OVERALL, "kendall_tau"]
    assert (gain.value, gain.ci_low, gain.ci_high) == pytest.approx((0.02, 0.02, 0.02))
    own = bootstrap.of(both, rows).estimates()["global_bt"][OVERALL, "kendall_tau"]
    half = 1.96 * base.std() / 20
    assert (own.ci_high - own.ci_low) / 2 == pytest.approx(half, rel=0.2)
    assert own.ci_low < own.value < own.ci_high
    few = bootstrap.of(both, rows[:7]).estimates()["global_bt"][UNSEEN, "kendall_tau"]
    assert few.users == 7
    assert few.value == pytest.approx(base[:7].mean())


def test_a_segment_that_resamples_miss_is_judged_by_those_that_hold_it() -> None:
    """Resamples of everybody leave out a small segment now and then; they are not its zeros."""
    base = RANDOM.normal(0.5, 0.01, (400, 1))
    bootstrap = Bootstrap(seed=0, users=400, prompts=4, resamples=300, confidence=0.95)
    for key in ((OVERALL, "kendall_tau"), (UNSEEN, "kendall_tau"), (UNSEEN, "ece")):
        few = bootstrap.of({"a": scores(base)}, np.array([3, 5])).estimates()["a"][key]
        assert np.isfinite([few.ci_low, few.ci_high]).all()
        if key[1] == "kendall_tau":
            assert few.ci_low > 0.4


def test_one_user_has_a_value_and_no_interval() -> None:
    bootstrap = Bootstrap(seed=0, users=4, prompts=4, resamples=60, confidence=0.95)
    both = {"global_bt": scores(np.full((4, 1), 0.5)), "a": scores(np.full((4, 1), 0.7))}
    one = bootstrap.of(both, np.array([2])).gains("global_bt")["a"][OVERALL, "kendall_tau"]
    assert one.value == pytest.approx(0.2)
    assert np.isnan([one.ci_low, one.ci_high]).all()
