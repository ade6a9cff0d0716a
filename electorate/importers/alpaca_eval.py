"""AlpacaEval's files: model_outputs.json (responses) and annotations.json (votes), or a folder
of them.
"""

from functools import partial
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.importers.imported import Imported, NoVoteError, Row
from electorate.storage import tables

FILES = ("model_outputs.json", "annotations.json")
OUTPUTS = ("instruction", "output", "generator")
ANNOTATIONS = ("instruction", "output_1", "output_2", "generator_1", "generator_2", "preference")


def read(path: Path) -> Imported:
    """Every output as a response; every annotation as a vote of its annotator.

    preference is 1 for the first output, 2 for the second, and a weighted annotator's lies between:
    below 1.5 the first wins, above it the second, and 1.5 (or 0, as older files have it) is a tie.
    """
    paths = sorted(file for name in FILES for file in path.rglob(name)) if path.is_dir() else [path]
    if not paths:
        raise ElectorateError(f"{path}: holds no {' or '.join(FILES)}")
    found = Imported()
    for file in paths:
        rows = tables.read(file, ("instruction",), (*OUTPUTS[1:], *ANNOTATIONS[1:], "annotator"))
        there = set(rows.table.column_names)
        if there.issuperset(ANNOTATIONS):
            found.take(rows, partial(_vote, found))
        elif there.issuperset(OUTPUTS):
            found.take(rows, partial(_response, found))
        else:
            raise ElectorateError(
                f"{file}: has neither {', '.join(OUTPUTS)} nor {', '.join(ANNOTATIONS)}"
            )
    return found


def _response(found: Imported, row: Row) -> None:
    prompt, response, model = (row[name] for name in OUTPUTS)
    if prompt is None or model is None or response is None:
        raise NoVoteError("without instruction, output or generator")
    found.response(None, prompt, model, response)


def _vote(found: Imported, row: Row) -> None:
    prompt, a, b = (row[name] for name in ANNOTATIONS[:3])
    if prompt is None or a is None or b is None:
        raise NoVoteError("without instruction or output")
    found.vote(
        row["generator_1"],
        row["generator_2"],
        _winner(row["preference"]),
        user_id=row.get("annotator"),
        prompt_id=prompt,
        prompt=[prompt],
        response_a=[a],
        response_b=[b],
    )


def _winner(preference: str | None) -> str:
    try:
        value = float(preference or "")
    except ValueError:
        raise NoVoteError("without a preference") from None
    if value in (0.0, 1.5):
        return "tie"
    if not 1 <= value <= 2:
        raise NoVoteError("preference not from 1 to 2")
    return "model_a" if value < 1.5 else "model_b"
