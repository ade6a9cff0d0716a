"""Rows as columns are selected and concatenated alike, whatever holds them."""

import importlib
import pkgutil
from dataclasses import dataclass, fields

import numpy as np
import pytest

import electorate
from electorate.base.columns import Columns
from electorate.base.scale import Ints
from electorate.base.votes import Votes


@dataclass(frozen=True)
class Inner(Columns):
    WHOLE = frozenset({"texts"})

    texts: list[str]
    text: Ints


@dataclass(frozen=True)
class Outer(Columns):
    WHOLE = frozenset({"names"})

    names: tuple[str, ...]
    a: Ints
    wide: Ints
    inner: Inner | None = None
    other: Ints | None = None


def made(n: int, first: int = 0) -> Outer:
    a = np.arange(first, first + n)
    return Outer(("x", "y"), a, np.column_stack([a, -a]), Inner(["t"], a * 2))


@pytest.mark.parametrize(
    "rows", [np.array([3, 0, 3]), slice(1, 4), np.array([True, False, True, False, False])]
)
def test_rows_are_taken_from_every_column(rows: np.ndarray) -> None:
    whole = made(5)
    taken = whole.take(rows)
    expected = np.arange(5)[rows]
    assert np.array_equal(taken.a, expected)
    assert np.array_equal(taken.wide, np.column_stack([expected, -expected]))
    assert taken.inner is not None
    assert np.array_equal(taken.inner.text, 2 * expected)
    assert (taken.names, taken.inner.texts, taken.other) == (("x", "y"), ["t"], None)
    assert len(taken) == len(expected)


def test_parts_are_joined_in_order() -> None:
    joined = Outer.joined([made(2), made(3, 2)])
    assert np.array_equal(joined.a, np.arange(5))
    assert joined.inner is not None
    assert np.array_equal(joined.inner.text, 2 * np.arange(5))


def test_whatever_holds_votes_does_so_by_columns() -> None:
    """No class of the domain has a `take` or `joined` of rows of its own beside Columns."""
    for module in pkgutil.walk_packages(electorate.__path__, "electorate."):
        if not module.name.startswith(("electorate.rewards.job", "electorate.commands.cli")):
            importlib.import_module(module.name)
    kinds = {kind.__name__ for kind in every(Columns)}
    expected = {
        "Votes",
        "NamedVotes",
        "AnswerVotes",
        "Design",
        "Texts",
        "UserVotes",
        "LoggedVotes",
        "Ballots",
        "Pairs",
        "Personas",
        "TasteVotes",
    }
    assert expected <= kinds
    for kind in every(Columns):
        assert {field.name for field in fields(kind)} >= kind.WHOLE  # type: ignore[arg-type]
        assert "take" not in vars(kind)
        assert "__len__" not in vars(kind)
        # There is one type of votes, with what a part of the system knows besides.
        if {"a", "b", "outcome"} <= {field.name for field in fields(kind)}:  # type: ignore[arg-type]
            assert issubclass(kind, Votes), kind


def every(kind: type[Columns]) -> list[type[Columns]]:
    own = kind.__subclasses__()
    return own + [below for one in own for below in every(one)]
