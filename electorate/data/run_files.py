"""What a run's folder holds, read back by its keys and checked against the manifest."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats
from electorate.config import config_file
from electorate.config.run import Config
from electorate.data.features import AXES
from electorate.data.prompts import PromptSet
from electorate.storage import files, joins
from electorate.storage.places import Place
from electorate.storage.run_folder import CHECKED, Manifest, RunFolder


def read_config(folder: RunFolder) -> Config:
    """The config in a run's folder.

    Raises:
        ElectorateError: it cannot be read, or is not the one the run was begun with.
    """
    config = config_file.load(folder.config)
    manifest = _manifest(folder)
    if manifest.get("format", 1) >= CHECKED and config.digest() != manifest["config_hash"]:
        raise ElectorateError(
            f"{folder.config}: was changed after the run began (hash {config.digest()[:12]}, "
            f"not {manifest['config_hash'][:12]}); undo the change, or run the changed config with "
            "another --out"
        )
    return config


def voters_kind(folder: RunFolder) -> str:
    """Who voted in a run: planted, model or people."""
    # What `human` wrote before it was a run.
    if folder.read_manifest().get("kind") == "human":
        return "people"
    return read_config(folder).voters.kind


def claim(folder: RunFolder, config: Config, resume: bool) -> Manifest | None:
    """Take a folder for this config. See `RunFolder.claim`."""

    def digest_of(place: Place) -> str:
        return config_file.load(place).digest()

    return folder.claim(config_file.dump(config), config.digest(), digest_of, resume)


def read_prompts(folder: RunFolder) -> PromptSet:
    """The prompts by their ids."""
    table = files.read_table(folder.prompts)
    keys = {"prompt_id": range(len(table))}
    return PromptSet.from_table(_checked(folder, "prompts", folder.prompts, table, keys))


def read_features(folder: RunFolder, prompts: int, contestants: Sequence[str]) -> Floats:
    """(prompts, contestants, axes) standardised features of the responses."""
    table = files.read_table(folder.features)
    keys = {"prompt_id": range(prompts), "contestant": contestants}
    table = _checked(folder, "features", folder.features, table, keys)
    flat = np.stack([table.column(axis).to_numpy() for axis in AXES], axis=-1)
    z: Floats = flat.reshape(prompts, len(contestants), len(AXES))
    return z


def features_table(z: Floats, contestants: Sequence[str]) -> pa.Table:
    """The columns of features.parquet, from features as `read_features` returns them."""
    prompts, models, axes = z.shape
    flat = z.reshape(-1, axes)
    columns = {axis: pa.array(flat[:, i]) for i, axis in enumerate(AXES)}
    prompt_id = pa.array(np.repeat(np.arange(prompts), models), pa.int32())
    return pa.table({"prompt_id": prompt_id, "contestant": [*contestants] * prompts} | columns)


def read_responses(folder: RunFolder, prompts: int, contestants: Sequence[str]) -> pa.Table:
    """The responses, prompt by prompt, each prompt's in the contestants' order."""
    table = files.read_table(folder.responses)
    keys = {"prompt_id": range(prompts), "contestant": contestants}
    return _checked(folder, "responses", folder.responses, table, keys)


def digests(**tables: pa.Table) -> dict[str, str]:
    """For the manifest's `tables`: what each one held when it was written."""
    return {name: joins.digest(table) for name, table in tables.items()}


def _checked(
    folder: RunFolder, name: str, place: Place, table: pa.Table, keys: Mapping[str, Sequence[Any]]
) -> pa.Table:
    manifest = _manifest(folder)
    expected = math.prod(len(values) for values in keys.values())
    if manifest.get("format", 1) < CHECKED and not set(keys) <= {*table.column_names}:
        # Of the first format, where the order of rows was all that told them apart.
        if len(table) != expected:
            raise ElectorateError(f"{place}: has {len(table)} rows instead of {expected}")
        return table
    table = joins.in_order(place, table, keys)
    joins.check(place, table, manifest.get("tables", {}).get(name))
    return table


def _manifest(folder: RunFolder) -> Manifest:
    """Empty where there is none yet."""
    return folder.read_manifest() if folder.manifest.exists() else {}
