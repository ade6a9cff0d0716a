"""One reader of texts: what a conversation is, and that style is measured on what was said."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.data import conversations, vote_files
from tests.conftest import made_text

TEXT = st.text(st.characters(blacklist_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1))
def test_lists_of_turns_are_read_however_they_are_written(said: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in said]
    parts = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in said]
    for written in (json.dumps(said), json.dumps(messages), json.dumps(parts)):
        assert conversations.turns(written) == said
        assert conversations.plain(written) == "\n\n".join(said)
    assert conversations.turns(repr(said), python=True) == said


def test_null_is_a_turn_without_text() -> None:
    assert conversations.turns('["a", null]') == ["a", ""]
    assert conversations.turns("['it''s', null, None, \"null\"]", python=True) == [
        "its",
        "",
        "",
        "null",
    ]
    assert conversations.turns("['a', null]") is None


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "[1, 2]", "['apple']", "[see above] it is", "{}", "[" * 5000, '[["a"], 3]'],
)
def test_any_other_text_is_left_as_it_is(text: str) -> None:
    assert conversations.turns(text) is None
    assert conversations.plain(text) == text


@given(TEXT)
def test_no_text_is_a_crash(text: str) -> None:
    conversations.plain(text)
    conversations.turns(text, python=True)


def test_style_is_measured_on_what_was_said(tmp_path: Path) -> None:
    rows = [
        {
            "model_a": "a",
            "model_b": "b",
            "winner": "model_a",
            "response_a": made_text(i % 5, i),
            "response_b": made_text((i + 1) % 5, i),
        }
        for i in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "plain.parquet")
    listed = [
        row | {name: json.dumps([row[name]]) for name in ("response_a", "response_b")}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(listed), tmp_path / "listed.parquet")
    plain, _ = vote_files.read(tmp_path / "plain.parquet", style=True)
    of_lists, _ = vote_files.read(tmp_path / "listed.parquet", style=True)
    assert plain.style is not None
    assert of_lists.style is not None
    assert np.ptp(plain.style[:, 0]) > 0
    assert np.array_equal(plain.style, of_lists.style)
