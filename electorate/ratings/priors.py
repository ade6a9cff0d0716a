"""System A's prior as a file: what a run found its population to be like, for the users who come after it."""

from dataclasses import fields
from typing import Any
from zipfile import BadZipFile

import numpy as np

from electorate.errors import ElectorateError
from electorate.ratings.posteriors import Prior
from electorate.scale import Floats
from electorate.storage import files
from electorate.storage.places import Place

OPTIONAL = ("factors", "mean_covariance")


def write(path: Place, prior: Prior) -> None:
    """Keep it whole."""
    columns: dict[str, Any] = {field.name: getattr(prior, field.name) for field in fields(prior)}
    files.write_arrays(path, **{name: value for name, value in columns.items() if value is not None})


def read(path: Place) -> Prior:
    """What `write` kept. Raises ElectorateError if it is missing or damaged."""
    try:
        columns = files.read_arrays(path)
        return Prior(columns["mean"], float(columns["sd"]), float(columns["tie_sd"]), *map(columns.get, OPTIONAL))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ElectorateError(
            f"{path}: cannot be read ({error}); run the config again with elo_offset among evaluation.systems and another --out"
        ) from None


def without_label(prior: Prior, shares: Floats) -> Prior:
    """For a user who may be of any archetype, (K,) shares summing to 1: one kind, with the mixture's mean, and with what the
    archetypes' means are apart as factors, so that strengths have the mixture's covariance.
    """
    mean: Floats = shares @ prior.mean
    apart = np.sqrt(shares)[:, None] * (prior.mean - mean)[:, :-1]
    factors = apart if prior.factors is None else np.vstack([prior.factors, apart])
    return Prior(mean[None], prior.sd, prior.tie_sd, factors)
