"""System A's prior as a file: what a run found its population to be like, for users still to
come.
"""

from dataclasses import fields
from typing import Any
from zipfile import BadZipFile

from electorate.base.errors import ElectorateError
from electorate.ratings.prior import Prior
from electorate.storage import files
from electorate.storage.places import Place

NUMBERS = ("sd", "tie_sd", "prompt_correlation")


def write(path: Place, prior: Prior) -> None:
    """Write the prior to a file, whole or not at all."""
    columns: dict[str, Any] = {field.name: getattr(prior, field.name) for field in fields(prior)}
    there = {name: value for name, value in columns.items() if value is not None}
    files.write_arrays(path, **there)


def read(path: Place) -> Prior:
    """What `write` kept; a file without a field has its default.

    Raises ElectorateError if it is missing or damaged.
    """
    try:
        arrays: dict[str, Any] = files.read_arrays(path)
        numbers = {name: float(arrays[name]) for name in NUMBERS if name in arrays}
        return Prior(**(arrays | numbers))
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ElectorateError(
            f"{path}: cannot be read ({error}); run the config again with elo_offset among "
            "evaluation.systems and another --out"
        ) from None
