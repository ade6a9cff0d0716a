"""The data sets that `import` reads. To add one, see docs/extending.md."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.base.registry import Registry, load
from electorate.importers import imported
from electorate.importers.imported import Imported


@dataclass(frozen=True)
class ImporterSpec:
    """A data set's format.

    Attributes:
        name: as users choose it.
        label: what the file is, for `--help`.
        read: "module:function" or a function from the path to what was gathered.
        convert: instead of `read`, from the path and the folder to write to, to the lines to print.
    """

    name: str
    label: str
    read: str | Callable[[Path], Imported] | None = None
    convert: str | Callable[[Path, Path], list[str]] | None = None


_HERE = "electorate.importers."
IMPORTERS: Registry[ImporterSpec] = Registry(
    "data set",
    ImporterSpec(
        "lmsys",
        "battles of the Kaggle competitions LMSYS Chatbot Arena and WSDM Cup",
        _HERE + "lmsys:read",
    ),
    ImporterSpec("mtbench", "MT-bench human judgements", _HERE + "mtbench:read"),
    ImporterSpec(
        "alpaca-eval",
        "model_outputs.json and annotations.json, or a folder of them",
        _HERE + "alpaca_eval:read",
    ),
    ImporterSpec(
        "personas",
        "attributes of people as JSON or JSON Lines; makes personas.jsonl, for `poll`",
        convert=_HERE + "personas:convert",
    ),
    ImporterSpec(
        "prism",
        "PRISM's utterances.jsonl: opening turns, each pair of scored responses a vote",
        _HERE + "prism:read",
    ),
    ImporterSpec(
        "arena",
        "arena-human-preference-100k or -140k: messages of both conversations",
        _HERE + "arena_preferences:read",
    ),
    ImporterSpec(
        "arena-hard",
        "judgements in both orders: Arena-Hard's games, or MT-bench's g1_winner and g2_winner",
        _HERE + "arena_hard:read",
    ),
    ImporterSpec(
        "fastchat", "FastChat's model_answer files, or a folder of them", _HERE + "fastchat:read"
    ),
    ImporterSpec(
        "open-webui", "Open WebUI's feedback export: battles and thumbs", _HERE + "open_webui:read"
    ),
    ImporterSpec(
        "jsonl",
        "any votes as JSON Lines: model_a, model_b, winner; optionally user_id, prompt_id, weight "
        "and texts",
        _HERE + "jsonl:read",
    ),
)


def convert(name: str, path: Path, out: Path) -> list[str]:
    """Read `path` as this data set into folder `out`.

    Returns:
        lines that say what came of every row.

    Raises:
        ElectorateError: the file cannot be read, nothing in it can be used, or the folder holds
            imported files already.
    """
    spec = IMPORTERS[name]
    if spec.convert is not None:
        lines: list[str] = load(spec.convert)(path, out)
        return lines
    if spec.read is None:
        raise ValueError(f"importer {name!r} has neither `read` nor `convert`")
    imported.check(out)
    found: Imported = load(spec.read)(path)
    if not found.votes and not found.responses:
        aside = found.set_aside
        first = f"; the first: row {aside[0].row}: {aside[0].reason}" if aside else ""
        raise ElectorateError(f"{path}: nothing in it can be imported as {name}{first}")
    return found.write(out)
