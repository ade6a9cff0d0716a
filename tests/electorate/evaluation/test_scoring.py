import numpy as np
import pytest

from electorate.base.pairs import pair_indices
from electorate.base.scale import ELO_PER_NAT, Floats, Ints
from electorate.config.metrics import OVERALL, UNSEEN
from electorate.config.systems import ORACLE
from electorate.evaluation import metrics, orders, scoring
from electorate.evaluation.metrics import Standing
from electorate.evaluation.predictions import Prediction, Strengths, System
from electorate.population import judges, personas
from electorate.population.personas import Electorate
from electorate.ratings.ties import MODELS
from tests.conftest import made_config
from tests.electorate.population.test_personas import made_electorate, population

PROMPTS = np.array([3, 8, 11])


class Repeats:
    """Says on every prompt what another system says, each time as if anew."""

    def __init__(self, other: System) -> None:
        self._other = other
        self.overall: Floats = other.overall

    def on(self, prompt: int) -> Prediction:
        said = self._other.on(prompt)
        return Prediction(said.strength, said.odds)

    def take(self, users: Ints) -> System:
        return Repeats(self._other.take(users))


@pytest.fixture(scope="module")
def electorate() -> Electorate:
    contestants = [{"name": f"c{i}", "model": "m"} for i in range(8)]
    return made_electorate(made_config(contestants=contestants, population=population(size=600)))


def score(electorate: Electorate, systems: dict[str, System]) -> dict[str, scoring.Scores]:
    people = personas.draw(electorate, 0)
    rows = scoring.chunks(len(people))
    return scoring.joined(
        [
            scoring.score(
                {n: s.take(r) for n, s in systems.items()}, electorate, people.take(r), PROMPTS
            )
            for r in rows
        ]
    )


def test_scores_are_what_each_user_and_prompt_says_one_by_one(electorate: Electorate) -> None:
    people = personas.draw(electorate, 0)
    random = np.random.default_rng(1)
    own = random.normal(size=(600, 8))
    found = score(electorate, {"own": Strengths(own, np.full(600, -0.5), MODELS["davidson"])})[
        "own"
    ]
    a, b = pair_indices(8)
    for user, p in ((0, 0), (255, 1), (256, 2), (599, 0)):
        one = people.take(np.array([user]))
        utility = judges.utilities(electorate, one, PROMPTS[p : p + 1])[0, 0]
        assert found.values[UNSEEN, "regret"][user, p] == pytest.approx(
            ELO_PER_NAT * (utility.max() - utility[own[user].argmax()])
        )
        tau = metrics.kendall_tau(Standing(own[user]), Standing(utility))
        assert found.values[UNSEEN, "kendall_tau"][user, p] == pytest.approx(tau)
        true = judges.expected_probabilities(electorate, one, (utility[a] - utility[b])[None], 0)[0]
        said = MODELS["davidson"].probabilities(own[user][a] - own[user][b], np.array(-0.5))
        assert found.values[UNSEEN, "log_loss"][user, p] == pytest.approx(
            -(true * np.log(said)).sum(-1).mean()
        )
        assert found.values[UNSEEN, "brier"][user, p] == pytest.approx(
            (1 - 2 * (true * said).sum(-1) + (said**2).sum(-1)).mean()
        )
    truth = judges.mean_utilities(electorate, people)
    assert found.values[OVERALL, "kendall_tau"][:, 0] == pytest.approx(
        metrics.kendall_tau(Standing(own), Standing(truth))
    )


def test_a_system_that_says_the_same_everywhere_scores_as_one_that_is_asked_each_time(
    electorate: Electorate,
) -> None:
    own = Strengths(
        np.random.default_rng(2).normal(size=(600, 8)), np.full(600, -0.5), MODELS["davidson"]
    )
    one_for_all = Strengths(electorate.strength[None], np.array([-0.5]), MODELS["davidson"])
    found = score(
        electorate,
        {"own": own, "again": Repeats(own), "all": one_for_all, "all again": Repeats(one_for_all)},
    )
    for name in ("own", "all"):
        again = found["again" if name == "own" else "all again"]
        assert found[name].calibration == pytest.approx(again.calibration)
        for key, values in found[name].values.items():
            assert values == pytest.approx(again.values[key])


def test_the_oracle_is_the_best_and_six_at_random_leave_less_to_regret(
    electorate: Electorate,
) -> None:
    upside_down = Strengths(-electorate.strength[None], np.array([-0.5]), MODELS["davidson"])
    found = score(electorate, {"upside_down": upside_down})
    oracle = found[ORACLE].values
    other = found["upside_down"].values
    for key in ((UNSEEN, "regret"), (UNSEEN, "regret_of_6"), (OVERALL, "regret")):
        assert np.all(oracle[key] == 0)
    assert oracle[UNSEEN, "log_loss"].mean() < other[UNSEEN, "log_loss"].mean()
    assert 0 < other[UNSEEN, "regret_of_6"].mean() < other[UNSEEN, "regret"].mean()
    assert metrics.expected_calibration_error(
        found[ORACLE].calibration.sum(axis=0)
    ) == pytest.approx(0, abs=1e-12)


def test_regret_of_subsets_by_hand() -> None:
    utility = np.array([[3.0, 2.0, 1.0, 0.0]])
    subsets = np.array([[1, 2, 3], [0, 2, 3]])
    estimate = Standing(np.array([[0.0, 1.0, 2.0, 3.0]]))
    found = metrics.subset_regret(estimate, Standing(utility), subsets)
    assert found == pytest.approx([ELO_PER_NAT * (2 + 3) / 2])


def test_orders_say_who_moves_where_and_for_whom() -> None:
    personal = np.array([[3.0, 2.0, 1.0], [2.0, 3.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    segments = {"all": np.arange(4), "few": np.array([0, 1])}
    rows = orders.table(
        ("x", "y", "z"), np.array([1.0, 0.0, -1.0]), personal, personal[:, ::-1], segments, 0.95
    ).to_pylist()
    at = {(row["segment"], row["model"]): row for row in rows}
    assert (
        at["all", "x"]["global_rank"],
        at["all", "x"]["personal_rank"],
        at["all", "x"]["first_share"],
    ) == (1, 1.25, 0.75)
    assert (
        at["few", "y"]["personal_rank"],
        at["few", "y"]["first_share"],
        at["few", "y"]["n_users"],
    ) == (1.5, 0.5, 2)
    assert at["all", "z"]["true_first_share"] == 0.75
    assert at["few", "y"]["ci_low"] < 1.5 < at["few", "y"]["ci_high"]
