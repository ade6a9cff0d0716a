from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.config.run import Config
from electorate.data import prompts
from electorate.data.features import AXES, standardise
from electorate.population import judges, personas, planted, voters
from electorate.population.personas import Electorate, Personas
from electorate.population.voters import BLOCK
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import ARCHETYPES, made_config


def made_electorate(config: Config, seed: int = 0) -> Electorate:
    chosen = prompts.select(config)
    random = np.random.default_rng(seed)
    contestants = len(config.contestants)
    manner = random.normal(size=(1, contestants, len(AXES)))
    z = standardise(manner + 0.7 * random.normal(size=(len(chosen), contestants, len(AXES))))
    return planted.plant(config, chosen, z)


def population(**changes: object) -> dict[str, object]:
    return {"size": 300, "archetypes": {name: {} for name in ARCHETYPES}, **changes}


def test_a_draw_depends_on_its_key_and_on_nothing_else() -> None:
    one = generator(1, Stream.VOTES, block=3, round_=2).random(5)
    assert np.array_equal(one, generator(1, Stream.VOTES, block=3, round_=2).random(5))
    for other in (
        (2, Stream.VOTES, 3, 2),
        (1, Stream.PERSONAS, 3, 2),
        (1, Stream.VOTES, 4, 2),
        (1, Stream.VOTES, 3, 1),
    ):
        assert not np.array_equal(one, generator(*other).random(5))


def test_personas_do_not_change_when_the_population_grows() -> None:
    small = made_electorate(made_config(population=population(size=100)))
    large = made_electorate(made_config(population=population(size=2 * BLOCK)))
    few = personas.draw(small, 0)
    many = personas.draw(large, 0)
    assert (len(few), len(many), large.blocks) == (100, BLOCK, 2)
    for field in fields(Personas):
        assert np.array_equal(getattr(few, field.name), getattr(many, field.name)[:100])


@pytest.mark.parametrize("heterogeneity", [0.5, 1.0, 2.0])
def test_heterogeneity_is_the_ratio_of_taste_to_strength(heterogeneity: float) -> None:
    electorate = made_electorate(
        made_config(population=population(size=4 * BLOCK, heterogeneity=heterogeneity))
    )
    people = [personas.draw(electorate, block) for block in range(4)]
    personal = np.concatenate([p.taste for p in people]) - electorate.common_taste
    utility = np.einsum("nd,pmd->npm", personal, electorate.z)
    assert utility.std() / electorate.strength.std() == pytest.approx(heterogeneity, rel=0.03)


def test_personas_differ_on_the_named_axes_alone_and_as_much() -> None:
    electorate = made_electorate(
        made_config(
            population=population(
                size=3 * BLOCK, axes=["length", "hedging"], common_taste={"code": 0.5}
            )
        )
    )
    personal = (
        np.concatenate([personas.draw(electorate, block).taste for block in range(3)])
        - electorate.common_taste
    )
    assert [
        axis for axis, spread in zip(AXES, personal.std(axis=0), strict=True) if spread > 0
    ] == ["length", "hedging"]
    assert electorate.common_taste[AXES.index("code")] == 0.5
    assert np.count_nonzero(electorate.common_taste) == 1
    utility = np.einsum("nd,pmd->npm", personal, electorate.z)
    assert utility.std() / electorate.strength.std() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("where", [{"axes": ["lenght"]}, {"common_taste": {"lenght": 1.0}}])
def test_an_axis_that_does_not_exist_is_one_line(where: dict[str, object]) -> None:
    with pytest.raises(
        ElectorateError, match="'lenght' is not a taste axis; allowed are length, headers"
    ):
        planted.check(made_config(population=population(**where)))


def test_without_heterogeneity_everybody_wants_and_asks_the_same() -> None:
    electorate = made_electorate(made_config(population=population(heterogeneity=0.0)))
    utilities = judges.mean_utilities(electorate, personas.draw(electorate, 0))
    assert np.allclose(utilities, utilities[0])
    assert np.allclose(electorate.prompt_weights, electorate.prompt_weights[0])


def test_the_archetypes_share_of_taste_is_as_configured() -> None:
    share = population(size=4 * BLOCK, archetype_share=0.25)
    electorate = made_electorate(made_config(population=share))
    taste = np.concatenate([personas.draw(electorate, block).taste for block in range(4)])
    archetype = np.concatenate([personas.draw_archetypes(electorate, block) for block in range(4)])
    within = sum(
        taste[archetype == k].var(axis=0).sum() * (archetype == k).mean() for k in range(6)
    )
    assert within == pytest.approx((electorate.personal_sd**2).sum(), rel=0.03)


def test_sampled_users_are_the_personas_of_their_blocks() -> None:
    electorate = made_electorate(
        made_config(population=population(size=3 * BLOCK), evaluation={"users": 500})
    )
    ids = voters.compared(electorate)
    assert len(ids) == 500
    assert np.all(np.diff(ids) > 0)
    people = voters.with_ids(electorate, ids)
    assert np.array_equal(people.user_id, ids)
    block = ids[-1] // BLOCK
    assert np.array_equal(people.taste[-1], personas.draw(electorate, block).taste[ids[-1] % BLOCK])


def test_newcomers_are_personas_past_the_population_whose_votes_are_in_no_log(
    tmp_path: Path,
) -> None:
    electorate = made_electorate(
        made_config(population=population(size=BLOCK + 7), evaluation={"newcomers": 20})
    )
    ids = voters.newcomers(electorate)
    assert ids.tolist() == list(range(2 * BLOCK, 2 * BLOCK + 20))
    people = voters.with_ids(electorate, ids)
    grown = made_electorate(made_config(population=population(size=4 * BLOCK)))
    assert np.array_equal(people.taste, voters.with_ids(grown, ids).taste)
    cohort = Cohort(electorate, RunFolder(tmp_path))
    found = cohort.logged(0, 2, ids % BLOCK, 100)
    votes = electorate.config.votes.checkpoints[0]
    assert np.array_equal(found.user, np.repeat(np.arange(100, 120), votes))
    again = cohort.logged(0, 2, ids % BLOCK, 100)
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(found).items())
    assert not np.array_equal(
        found.outcome, cohort.logged(1, 2, ids % BLOCK, 100).outcome[: len(found.outcome)]
    )
    assert not list(tmp_path.rglob("*.parquet"))


def test_personas_of_one_archetype_alone_are_compared() -> None:
    few = {"persona": "student", "users": 7}
    electorate = made_electorate(made_config(population=population(), evaluation=few))
    chosen = voters.compared(electorate)
    labels = personas.draw_archetypes(electorate, 0)
    assert np.array_equal(chosen, np.flatnonzero(labels == ARCHETYPES.index("student"))[:7])
    assert not len(voters.newcomers(electorate))
    rare = {"student": {"share": 1e-9}, "coder": {}}
    config = made_config(population=population(archetypes=rare), evaluation=few)
    with pytest.raises(ElectorateError, match="none of the 300 voters is a student; raise their"):
        voters.compared(made_electorate(config))


def test_one_label_in_five_is_wrong() -> None:
    electorate = made_electorate(made_config(population=population(size=BLOCK)))
    wrong = voters.wrong_labels(electorate, 0) != personas.draw_archetypes(electorate, 0)
    assert wrong.mean() == pytest.approx(0.2, abs=0.03)


def test_a_named_taste_moves_its_archetype() -> None:
    archetypes = {name: {} for name in ARCHETYPES} | {"coder": {"taste": {"code": 6.0}}}
    electorate = made_electorate(made_config(population=population(archetypes=archetypes)))
    coder = electorate.archetype_taste[ARCHETYPES.index("coder")]
    assert np.argmax(coder) == AXES.index("code")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"population": population(archetypes={"coder": {"taste": {"wit": 1.0}}})},
            "'wit' is not a taste axis",
        ),
        (
            {
                "contestants": [
                    {"name": "a", "model": "m", "arena_name": "gpt-9000"},
                    {"name": "b", "model": "m"},
                ]
            },
            "'gpt-9000' is not in the",
        ),
    ],
)
def test_unknown_axes_and_arena_names_are_refused_before_anything_runs(
    changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(ElectorateError, match=expected):
        planted.check(made_config(**changes))


def test_tastes_drift_from_round_to_round_and_nothing_else_does() -> None:
    electorate = made_electorate(made_config(population=population(size=BLOCK, drift=0.6)))
    rounds = [personas.draw(electorate, 0, r) for r in range(3)]
    own = [
        p.taste - electorate.common_taste - electorate.archetype_taste[p.archetype] for p in rounds
    ]
    for r in (1, 2):
        assert np.corrcoef(own[0].ravel(), own[r].ravel())[0, 1] == pytest.approx(
            (1 - 0.6**2) ** (r / 2), abs=0.02
        )
        assert own[r].std() == pytest.approx(electorate.personal_sd[0], rel=0.02)
        for name in ("archetype", "strength_scale", "tie_threshold", "conduct"):
            assert np.array_equal(getattr(rounds[0], name), getattr(rounds[r], name)), name
    still = made_electorate(made_config(population=population(size=BLOCK)))
    assert np.array_equal(personas.draw(still, 0, 2).taste, rounds[0].taste)


def test_the_careless_and_the_adversarial_are_as_many_as_configured_and_change_nobody_else() -> (
    None
):
    electorate = made_electorate(
        made_config(population=population(size=BLOCK, careless=0.2, adversarial=0.1))
    )
    drawn = personas.draw(electorate, 0)
    share = np.bincount(drawn.conduct, minlength=3) / BLOCK
    assert share == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    sincere = personas.draw(made_electorate(made_config(population=population(size=BLOCK))), 0)
    assert np.array_equal(sincere.taste, drawn.taste)
    assert not sincere.conduct.any()
