import numpy as np
import pytest

from electorate.base.errors import ElectorateError
from electorate.base.scale import ELO_PER_NAT
from electorate.data import arena
from electorate.population import planted
from tests.conftest import made_config


def test_both_boards_are_there_and_a_model_without_a_name_has_no_rating() -> None:
    raw = arena.ratings(["gpt-4-0613", None, "claude-3-opus-20240229"], "raw")
    controlled = arena.ratings(["gpt-4-0613", None, "claude-3-opus-20240229"], "style_control")
    assert np.isnan(raw[1])
    assert controlled[[0, 2]] == pytest.approx([1277.46, 1323.68])
    assert not np.array_equal(raw[[0, 2]], controlled[[0, 2]])


def test_an_unknown_name_says_what_is_close() -> None:
    with pytest.raises(ElectorateError, match="close to it: gpt-4-0613"):
        arena.ratings(["gpt-4-0631"], "raw")


def test_planted_strength_is_the_style_controlled_rating_where_there_is_one() -> None:
    names = ["gpt-4-0613", "claude-3-opus-20240229", None]
    contestants = [
        {"name": f"c{i}", "model": "m", "arena_name": name} for i, name in enumerate(names)
    ]
    strength = planted.plant_strength(made_config(contestants=contestants))
    assert ELO_PER_NAT * (strength[1] - strength[0]) == pytest.approx(1323.68 - 1277.46)
    assert strength.mean() == pytest.approx(0)
