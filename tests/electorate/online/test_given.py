"""A file of votes is served: its models, its users by their ids, and their segments."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.base.errors import ElectorateError
from electorate.base.progress import unshown
from electorate.data import vote_files
from electorate.online import base as bases
from electorate.online import begin, given
from electorate.online.counter import Counter
from electorate.online.rankings import Rankings
from electorate.online.sent import NO_SEGMENT, Batch, Vote

MODELS = ("east", "middle", "west")


def two_countries(file: Path, users: int = 60, votes: int = 40, seed: int = 0) -> Path:
    """Users of one country like models in one order, those of the other in the opposite one."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), votes)
    a = random.integers(0, 3, len(user))
    b = (a + random.integers(1, 3, len(user))) % 3
    sign = np.where(user % 2, 1.0, -1.0)
    a_wins = random.random(len(user)) < 1 / (1 + np.exp(-sign * (b - a)))
    columns = {
        "user_id": [f"user {one}" for one in user],
        "prompt_id": np.arange(len(user)) % 50,
        "model_a": np.array(MODELS)[a],
        "model_b": np.array(MODELS)[b],
        "winner": np.where(a_wins, "model_a", "model_b"),
        "country": np.where(user % 2, "Eastland", "Westland"),
        "first_shown": np.where(random.random(len(user)) < 0.5, "model_a", "model_b"),
    }
    pq.write_table(pa.table(columns), file)
    return file


def served(folder: Path) -> Counter:
    """What counts the votes of a folder that serves a file."""
    base = bases.of_folder(folder)
    counter = Counter(base, base.open_store())
    begin.take_in(base, counter.store, unshown)
    return counter


def order(rankings: Rankings, counter: Counter, user: str | None, segment: str | None) -> list[str]:
    found = rankings.of_user(counter.snapshot(), user, segment)
    return [entry.model for entry in found.ranking]


def test_a_file_is_served_by_its_users_ids_and_segments(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet")
    folder = begin.folder_of(file, tmp_path / "served", "country")
    counter = served(folder)
    rankings = Rankings(counter.base)
    assert counter.base.segments == ("Eastland", "Westland")
    assert counter.store.votes == 2400
    assert counter.snapshot().counts.sum() == pytest.approx(2400)
    assert set(counter.snapshot().models) == set(MODELS)
    assert order(rankings, counter, None, "Eastland") == list(MODELS)
    assert order(rankings, counter, None, "Westland") == list(MODELS[::-1])
    own = rankings.of_user(counter.snapshot(), "user 0")
    assert (own.personal, own.segment, own.votes) == (True, "Westland", 40)
    assert [entry.model for entry in own.ranking] == list(MODELS[::-1])
    # Of a new user a segment is all that is known at first, and soon it is a prior for its own.
    vote = Vote("1", "new", "east", "middle", outcome=1, segment=0)
    counter.store.add([Batch("app", [vote])])
    assert order(rankings, counter, "new", None) == list(MODELS)
    assert rankings.of_user(counter.snapshot(), "new").system == "elo_offset"
    # With places that were shown first, as the file has them.
    _, kept = counter.store.unfolded()
    assert 0.4 < np.mean(kept["first_shown"].to_numpy()) < 0.6


@pytest.mark.parametrize("named", [True, False])
def test_the_board_of_a_topic_is_of_the_votes_on_it(tmp_path: Path, named: bool) -> None:
    """As `rate --by` has it, whoever cast them; a user's segment is its commonest topic."""
    file = two_countries(tmp_path / "votes.parquet")
    random = np.random.default_rng(1)
    topic = random.choice(["code", "maths", "poems", ""], 2400, p=[0.6, 0.2, 0.1, 0.1])
    table = pq.read_table(file).append_column("topic", pa.array(topic))
    pq.write_table(table if named else table.drop_columns("user_id"), file)
    counter = served(begin.folder_of(file, tmp_path / "served", "topic"))
    votes, _ = vote_files.read(file, by="topic")
    assert counter.base.segments == ("code", "maths", "poems")
    by_vote = [topic == name for name in (*counter.base.segments, "")]
    expected = np.array([votes.take(rows).by_battle(len(votes.models)) for rows in by_vote])
    assert counter.snapshot().counts == pytest.approx(expected)
    # Nor does it change when the votes move into the log, or are read anew.
    counter.store.fold(counter.read().place)
    again = Counter(counter.base, counter.store)
    assert again.snapshot().counts == pytest.approx(expected)
    if named:
        assert Rankings(counter.base).of_user(again.snapshot(), "user 3").segment == "code"
        own = votes.user == votes.user_names.index("user 3")
        again.store.erase("user 3", "test")
        expected -= [votes.take(own & rows).by_battle(len(votes.models)) for rows in by_vote]
        assert again.snapshot().counts == pytest.approx(expected)


def test_a_vote_online_counts_in_the_segment_that_it_names(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    counter = served(begin.folder_of(file, tmp_path / "served", "country"))
    before = counter.snapshot().counts.sum(axis=(1, 2, 3))
    votes = [
        Vote("1", "user 1", "east", "west", outcome=0, segment=1, board=1),
        Vote("2", "user 1", "east", "west", outcome=0),
        Vote("3", "new", "east", "west", outcome=0, segment=1, board=1),
        Vote("4", "new", "east", "west", outcome=0),
        Vote("5", "nobody's", "east", "west", outcome=0),
    ]
    counter.store.add([Batch("app", votes)])
    assert counter.snapshot().counts.sum(axis=(1, 2, 3)) - before == pytest.approx([1, 3, 1])


def test_thumbs_are_served_too_and_what_is_no_vote_is_told(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=6)
    table = pq.read_table(file).select(["user_id", "model_a", "model_b", "winner"])
    thumbs = [
        {"user_id": f"user {i % 7}", "model_a": "west", "model_b": None, "winner": winner}
        for i, winner in enumerate(["up"] * 14 + ["down"] * 7)
    ]
    wrong = [{"user_id": "user 1", "model_a": "west", "model_b": "west", "winner": "tie"}] * 3
    rows = [*table.to_pylist(), *thumbs, *wrong]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    counter = served(begin.folder_of(file, tmp_path / "served"))
    assert counter.store.votes == 6 * 40 + 21
    assert counter.base.given is not None
    (line,) = counter.base.given.left_out
    assert line.startswith("3 a model against itself")
    # Boards are of battles; a thumb is in its user's own record, whoever has no battle too.
    assert counter.snapshot().counts.sum() == pytest.approx(6 * 40)
    rankings = Rankings(counter.base)
    assert rankings.of_user(counter.snapshot(), "user 6").votes == 3
    assert rankings.of_user(counter.snapshot(), "user 0").votes == 40 + 3


def test_it_goes_on_where_it_stopped_and_nobody_erased_comes_back(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    folder = begin.folder_of(file, tmp_path / "served")
    counter = served(folder)
    counter.store.erase("user 1", "test")
    counter.store.add([Batch("app", [Vote("1", "new", "east", "west", outcome=0)])])
    counter.store.close()
    file_again = begin.folder_of(file, tmp_path / "served")
    again = served(file_again)
    assert again.store.votes == 4 * 40 - 40 + 1
    assert again.store.users.above().name == ("user 0", "user 2", "user 3", "new")
    again.store.close()
    file.unlink()  # the folder has all that is served
    assert served(folder).store.votes == 121


def test_another_file_or_column_is_not_mixed_in(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    out = tmp_path / "served"
    begin.folder_of(file, out)
    with pytest.raises(ElectorateError, match=r"--out .*served: serves .*votes.parquet as it was"):
        begin.folder_of(file, out, "country")
    two_countries(file, users=4, seed=1)
    with pytest.raises(ElectorateError, match="send new votes to POST /v1/votes"):
        begin.folder_of(file, out)
    with pytest.raises(ElectorateError, match="gone or changed before all of its votes"):
        served(out)
    assert begin.folder_of(file, tmp_path / "another") == tmp_path / "another"


def test_an_import_is_served_as_its_file(tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    imported.mkdir()
    two_countries(imported / "votes.parquet", users=4)
    folder = begin.folder_of(imported, tmp_path / "served")
    assert served(folder).store.votes == 160


def test_a_run_of_that_name_stays_what_it_is(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    out = tmp_path / "served"
    (out / "online").mkdir(parents=True)
    with pytest.raises(ElectorateError, match="holds online votes; give another folder"):
        begin.folder_of(file, out)
    for name, value in (("out", tmp_path), ("by", "country")):
        with pytest.raises(ElectorateError, match=f"--{name} .*: is for a file of votes"):
            begin.folder_of(tmp_path / "new", **{name: value})


@pytest.mark.parametrize(
    ("dropped", "by", "says"),
    [
        ("country", "country", "country"),
        ("winner", None, "winner"),
    ],
)
def test_what_a_file_lacks_is_one_line(
    tmp_path: Path, dropped: str, by: str | None, says: str
) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    pq.write_table(pq.read_table(file).drop_columns([dropped]), file)
    with pytest.raises(ElectorateError, match=says) as raised:
        begin.folder_of(file, tmp_path / "served", by)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "served").exists()


def test_votes_of_nobody_make_the_board_alone(tmp_path: Path) -> None:
    file = two_countries(tmp_path / "votes.parquet", users=4)
    pq.write_table(pq.read_table(file).drop_columns(["user_id", "prompt_id"]), file)
    counter = served(begin.folder_of(file, tmp_path / "served"))
    assert counter.snapshot().counts.sum() == pytest.approx(160)
    assert len(counter.store.users.above().name) == 160


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "b", "a"], 1),
        (["a", None, None], 0),
        ([None, None, None], NO_SEGMENT),
        (["b", "a", None], 0),
    ],
)
def test_a_users_segment_is_the_commonest_of_its_votes(
    tmp_path: Path, values: Sequence[str | None], expected: int
) -> None:
    votes = 2 * len(values)
    columns = {
        "user_id": ["one"] * len(values) + ["two"] * len(values),
        "model_a": ["x"] * votes,
        "model_b": ["y"] * votes,
        "winner": ["model_a"] * votes,
        "group": [*values, "a", "b", "b"],
    }
    file = tmp_path / "votes.parquet"
    pq.write_table(pa.table(columns), file)
    votes_by, _ = vote_files.read(file, by="group")
    segments = given.segments_of(votes_by)
    assert segments == ("a", "b")
    assert given.segment_of_users(votes_by, segments).tolist() == [expected, 1]
