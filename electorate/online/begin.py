"""What is served, and the votes that it begins with, taken into the store."""

from pathlib import Path

import numpy as np

from electorate.base.errors import ElectorateError
from electorate.base.progress import Bar
from electorate.base.scale import Ints
from electorate.base.votes import MISSING
from electorate.data import vote_files
from electorate.data.votes import NamedVotes, votes_a_unit
from electorate.online.base import ONLINE, Base
from electorate.online.given import KIND, segment_of_users, segment_of_votes, segments_of
from electorate.online.sent import NO_PROMPT, NO_SEGMENT, NOBODY, Batch, Vote
from electorate.online.store import VoteStore
from electorate.ratings.ties import DEFAULT
from electorate.storage import files
from electorate.storage.run_folder import RunFolder

KEY = "human"  # that the votes are said to come from
AT_ONCE = 1000
DONE = "votes-taken"
IMPORTED = "votes.parquet"  # of a folder that `import` wrote
SERVED = Path("runs/served")


def folder_of(path: Path, out: Path | None = None, by: str | None = None) -> Path:
    """The folder to serve: `path` itself, or where it is a file of votes, or a folder that
    `import` wrote, one that is made for it.

    Args:
        path: a run's folder, a new one, an import's, or a file of votes.
        out: for a file of votes, the folder that is made; None: one by its name in runs/served.
        by: for a file of votes, the column whose values are its users' segments.

    Raises:
        ElectorateError: the file holds no votes or cannot be read, the folder serves something
            else, or `out` or `by` is given without a file.
    """
    imported = path / IMPORTED
    is_import = not RunFolder(path).manifest.exists() and imported.exists()
    file = imported if is_import else path
    if not file.is_file():
        for name, value in (("--out", out), ("--by", by)):
            if value is not None:
                raise ElectorateError(
                    f"{name} {value}: is for a file of votes; {path} is a folder, which has its own"
                )
        return path
    folder = out or (SERVED / (path.name if is_import else path.stem)).absolute()
    _claim(RunFolder(folder), file.absolute(), by)
    return folder


def _claim(folder: RunFolder, file: Path, by: str | None) -> None:
    """Make a folder for a file of votes, or find that it is the file's already."""
    digest = files.sha256(file)
    if folder.manifest.exists():
        manifest = folder.read_manifest()
        if manifest.get("kind") != KIND:
            raise ElectorateError(f"--out {folder.path}: holds a run; give another folder")
        if manifest["sha256"] != digest or manifest["by"] != by:
            raise ElectorateError(
                f"--out {folder.path}: serves {manifest['votes']} as it was when it began"
                f"{'' if manifest['by'] is None else ', by ' + manifest['by']}; give another "
                f"folder, or serve {folder.path} and send new votes to POST /v1/votes"
            )
        return
    if isinstance(folder.path, Path) and (folder.path / ONLINE).exists():
        raise ElectorateError(f"--out {folder.path}: holds online votes; give another folder")
    folder.require_empty()
    try:
        votes, set_aside = vote_files.read(file, by=by, thumbs=True)
    except ElectorateError as error:
        raise ElectorateError(f"{error}; serve takes a folder, or a file of votes") from None
    prompt = votes.prompt
    folder.write_manifest(
        {
            "kind": KIND,
            "votes": str(file),
            "sha256": digest,
            "by": by,
            "segments": list(segments_of(votes)),
            "prompts": 0 if prompt is None else int(prompt.max(initial=-1)) + 1,
            "ties": DEFAULT,
            "left_out": vote_files.by_reason(set_aside),
        }
    )


def take_in(base: Base, store: VoteStore, bar: Bar) -> None:
    """Take the votes that the base was given into the store, once.

    What was begun and stopped is finished: a vote is known by its row in the file. A user who was
    erased since does not come back, as this is done before anybody can be.

    Raises:
        ElectorateError: the file of votes is gone or changed.
    """
    done = base.folder / DONE
    if base.given is None or done.exists():
        return
    votes = base.given.votes()
    segments = base.given.segments
    segment = segment_of_votes(votes, segments)
    # A vote without a value is on no segment's board, whatever its user's other votes are on.
    board = np.where(segment == NO_SEGMENT, len(segments), segment) if segments else segment
    if votes.names_users:
        segment = segment_of_users(votes, segments)[votes.user]
    for name in sorted(set(votes.models) - set(store.models.names)):
        store.add_model(name, KEY)
    thumbs = 0 if votes.thumbs is None else len(votes.thumbs)
    with bar("Taking votes in", len(votes) + thumbs, 0) as advance:

        def take(batch: Batch) -> None:
            (taken,) = store.add([batch])
            if isinstance(taken, Exception):
                raise taken
            advance(len(batch.votes))

        for first in range(0, len(votes), AT_ONCE):
            take(_batch(votes, segment, board, first, min(first + AT_ONCE, len(votes))))
        for first in range(0, thumbs, AT_ONCE):
            take(_thumbs(votes, first, min(first + AT_ONCE, thumbs)))
    done.touch()


def _batch(votes: NamedVotes, segment: Ints, board: Ints, first: int, last: int) -> Batch:
    prompt = votes.prompt
    first_shown = np.full(len(votes), MISSING) if votes.first_shown is None else votes.first_shown
    rows = [
        Vote(
            id=str(row),
            user=_name_of(votes, row),
            model_a=votes.models[votes.a[row]],
            model_b=votes.models[votes.b[row]],
            outcome=int(votes.outcome[row]),
            first_shown=int(first_shown[row]),
            prompt=NO_PROMPT if prompt is None else int(prompt[row]),
            segment=int(segment[row]),
            weight=float(votes.weight[row]),
            board=int(board[row]),
        )
        for row in range(first, last)
    ]
    return Batch(KEY, rows)


def _thumbs(votes: NamedVotes, first: int, last: int) -> Batch:
    """Thumbs on one answer each; where the file names nobody, nobody's thumb tells of another's."""
    thumbs = votes.thumbs
    if thumbs is None:
        raise ValueError("votes without thumbs")
    named = votes.names_users
    unit = votes_a_unit(thumbs.weight)
    rows = [
        Vote(
            id=f"thumb {row}",
            user=votes.user_names[thumbs.user[row]] if named else f"(thumb {row + 1}, unnamed)",
            model_a=votes.models[thumbs.model[row]],
            model_b=NOBODY,
            outcome=0 if thumbs.up[row] else 1,
            weight=float(thumbs.weight[row]) * unit,
        )
        for row in range(first, last)
    ]
    return Batch(KEY, rows)


def _name_of(votes: NamedVotes, row: int) -> str:
    """Who cast a vote; where the file names nobody, somebody who cast no other."""
    if not votes.names_users:
        return f"(row {row + 1}, unnamed)"
    return votes.user_names[votes.user[row]]
