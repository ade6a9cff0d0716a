"""Votes that were there before anybody voted online, which the endpoint begins with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.data import vote_files
from electorate.data.vote_files import NO_VALUE
from electorate.data.votes import NamedVotes, effective
from electorate.online.sent import NO_SEGMENT
from electorate.population import people
from electorate.population.voters import BLOCK
from electorate.ratings.ties import Name
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import Manifest, RunFolder
from electorate.storage.vote_log import VoteLog

Row = dict[str, Any]
KIND = "votes"  # of the manifest of a folder that serves a file of votes


class GivenVotes(Protocol):
    """People's votes that are taken into the store once, and rated with those that come online."""

    @property
    def ties(self) -> Name:
        """The tie model that they are rated by."""
        ...

    @property
    def prompts(self) -> int:
        """How many prompts they are on."""
        ...

    @property
    def segments(self) -> tuple[str, ...]:
        """Groups that their users are of; none where nothing says so."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """Rows that are no votes, by reason, a line each."""
        ...

    def votes(self) -> NamedVotes:
        """All of them. Raises ElectorateError where they are gone or changed."""
        ...

    def kept(self, is_user: Callable[[str], bool]) -> dict[str, list[Row]]:
        """What is kept of a user beside the store, but for its votes: rows by the file's name."""
        ...

    def erase(self, is_user: Callable[[str], bool]) -> None:
        """Remove a user, by its name, from whatever keeps these votes beside the store."""
        ...


@dataclass(frozen=True)
class _OfManifest:
    """What a folder's manifest says of given votes."""

    manifest: Manifest

    @property
    def ties(self) -> Name:
        """The tie model that they are rated by."""
        ties: Name = self.manifest["ties"]
        return ties

    @property
    def prompts(self) -> int:
        """How many prompts they are on."""
        return int(self.manifest["prompts"])

    @property
    def left_out(self) -> tuple[str, ...]:
        """Rows of a file that are no votes, by reason; a run has told of its own."""
        return tuple(self.manifest.get("left_out", ()))


@dataclass(frozen=True)
class ComparedPeople(_OfManifest):
    """People whose votes a run compared. manifest: of its folder."""

    folder: RunFolder

    @property
    def segments(self) -> tuple[str, ...]:
        """None: they were compared as one population."""
        return ()

    def votes(self) -> NamedVotes:
        """Their votes, from the run's log; where `human` kept none, as it once did, from the file
        that was compared.

        Raises:
            ElectorateError: the file is gone, or is another one by now.
        """
        if self.folder.votes.exists():
            return people.votes_of_run(self.folder)
        place = Path(self.manifest["votes"])
        if not _is_unchanged(place, self.manifest):
            raise ElectorateError(
                f"{place}: the votes that {self.folder.path} was made of are gone or changed; put "
                "the file back, or run `human` again"
            )
        return effective(vote_files.read(place)[0])

    def kept(self, is_user: Callable[[str], bool]) -> dict[str, list[Row]]:
        """A person's ratings, gains and row in the list of who voted."""
        numbers = self._numbers(is_user)
        return {place.name: rows_of(place, key) for place, key in self._tables(is_user, numbers)}

    def erase(self, is_user: Callable[[str], bool]) -> None:
        """Remove a person from the log, the ratings and the list of who voted."""
        folder = self.folder
        numbers = self._numbers(is_user)
        for place, key in self._tables(is_user, numbers):
            remove_rows(place, key)
        for number in numbers:
            of_run = people.of_run(folder)
            log = VoteLog(folder.votes, of_run.config.contestant_names)
            log.remove_user(0, number // BLOCK, number)

    def _numbers(self, is_user: Callable[[str], bool]) -> list[int]:
        """A person's number in the run, as a list; none where `human` kept none, as it once did."""
        if not self.folder.personas.exists():
            return []
        rows = files.read_table(self.folder.personas).to_pylist()
        return [row["user_id"] for row in rows if is_user(row["name"])]

    def _tables(
        self, is_user: Callable[[str], bool], numbers: Sequence[int]
    ) -> list[tuple[Place, int | str]]:
        """The tables that may have rows about a person, and what they call it."""
        folder = self.folder
        found = list[tuple[Place, int | str]]()
        for place in (folder.people, folder.who_gains):
            if place.exists():
                names = set(files.read_table(place)["user_id"].to_pylist())
                found += [(place, name) for name in filter(is_user, names)]
        for number in numbers:
            found += tables_of_number(folder, number)
        return found


@dataclass(frozen=True)
class VotesFile(_OfManifest):
    """A file of votes that is served. manifest: of the folder that votes online are kept in."""

    @property
    def segments(self) -> tuple[str, ...]:
        """Values of the column that was named, none without one."""
        return tuple(self.manifest["segments"])

    def votes(self) -> NamedVotes:
        """Of the file.

        Raises:
            ElectorateError: it is gone, or is another one by now.
        """
        place = Path(self.manifest["votes"])
        if not _is_unchanged(place, self.manifest):
            raise ElectorateError(
                f"{place}: gone or changed before all of its votes were taken in; put the file "
                "back, or give --out another folder"
            )
        return effective(vote_files.read(place, by=self.manifest["by"], thumbs=True)[0])

    def kept(self, is_user: Callable[[str], bool]) -> dict[str, list[Row]]:  # noqa: ARG002
        """Nothing: the store alone keeps these votes."""
        return {}

    def erase(self, is_user: Callable[[str], bool]) -> None:
        """Nothing: the store alone keeps these votes; the file is its owner's."""


def _is_unchanged(place: Path, manifest: Manifest) -> bool:
    return place.exists() and files.sha256(place) == manifest["sha256"]


def segments_of(votes: NamedVotes) -> tuple[str, ...]:
    """The values of the column that votes are grouped by."""
    if votes.group is None:
        return ()
    seen = np.unique(votes.group)
    return tuple(sorted(votes.group_names[g] for g in seen if votes.group_names[g] != NO_VALUE))


def segment_of_votes(votes: NamedVotes, segments: tuple[str, ...]) -> Ints:
    """(n,) the place among the segments of each vote's value; NO_SEGMENT for a vote without any."""
    if votes.group is None:
        return np.full(len(votes), NO_SEGMENT)
    place = {name: k for k, name in enumerate(segments)}
    of_value = np.array([place.get(name, NO_SEGMENT) for name in votes.group_names])
    return of_value[votes.group]


def segment_of_users(votes: NamedVotes, segments: tuple[str, ...]) -> Ints:
    """(users,) each user's place among the segments: the commonest of its votes, the first of
    equally common ones; NO_SEGMENT for a user without any.
    """
    users = 1 + int(votes.user.max(initial=-1))
    if not segments:
        return np.full(users, NO_SEGMENT)
    of_vote = segment_of_votes(votes, segments)
    there = of_vote != NO_SEGMENT
    counts = np.zeros((users, len(segments)), dtype=np.int64)
    np.add.at(counts, (votes.user[there], of_vote[there]), 1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), NO_SEGMENT)


def tables_of_number(folder: RunFolder, number: int) -> list[tuple[Place, int]]:
    """A run's tables that have rows about a persona or a person, and its number."""
    block = folder.users / f"block={number // BLOCK}.parquet"
    of_judges = (folder.votes_file, folder.judgements, folder.rankings)
    there = [place for place in of_judges if place.exists()]
    return [(place, number) for place in (folder.personas, block, *there)]


def rows_of(place: Place, user: int | str) -> list[Row]:
    """A table's rows about a user, what is not known as None; none where there is no table."""
    if not place.exists():
        return []
    table = _part(place, user)
    rows = table.filter(pc.equal(table["user_id"], user)).to_pylist()
    return [{name: _known(value) for name, value in row.items()} for row in rows]


def _known(value: object) -> object:
    """None for what is not a number, which JSON does not have."""
    return None if isinstance(value, float) and math.isnan(value) else value


def remove_rows(place: Place, user: int | str) -> None:
    """Rewrite a table without a user's rows, if it is there and has any."""
    if rows_of(place, user):
        files.keep_rows(place, lambda part: pc.not_equal(part["user_id"], user))


def _part(place: Place, user: int | str) -> pa.Table:
    """The part of a table that a user's rows are in, as far as that is known."""
    within = ("user_id", user, user) if isinstance(user, int) else None
    return files.read_table(place, within=within)
