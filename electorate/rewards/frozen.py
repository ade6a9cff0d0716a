"""States below the first layer that learns: computed once a training, kept on disk by content.

A layer below the adapter's first gives the same states every time it is run. They are computed by
passes without gradients, written to memory-mapped files, and read back segment by segment; what is
run afterwards are the layers above alone.
"""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from electorate.rewards.packing import NO_PREFIX, Pack, segments

INDEX = "index.json"


class FrozenStates:
    """Of segments' tokens, by layer.

    first: the first layer that learns; as many as there are where none does.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.first = first
        index = json.loads((folder / INDEX).read_text())
        self._rows: dict[str, int] = index["rows"]
        shape = (index["tokens"], index["width"])
        self._dtypes = {int(layer): getattr(torch, own) for layer, own in index["dtypes"].items()}
        self._states = {
            layer: np.memmap(_file(folder, layer), _stored(dtype), "r", shape=shape)
            for layer, dtype in self._dtypes.items()
        }

    def __deepcopy__(self, _: object) -> "FrozenStates":
        """Itself: it never changes, and its files must not be copied into memory."""
        return self

    def of(self, pack: Pack, device: torch.device) -> dict[int, Tensor] | None:
        """(1, T, width) by layer; None where a segment's are not kept."""
        rows = list[np.ndarray]()
        for key, (first, last) in _keyed(pack):
            start = self._rows.get(key)
            if start is None:
                return None
            rows.append(np.arange(start, start + last - first))
        at = np.concatenate(rows)
        return {
            layer: torch.from_numpy(states[at]).view(self._dtypes[layer])[None].to(device)
            for layer, states in self._states.items()
        }


class Writer:
    """Keeps states as they are computed, and makes them whole when all are there."""

    def __init__(self, folder: Path, layers: Sequence[int]) -> None:
        self._folder = folder
        self._unsaved = folder.with_name(f".{folder.name}-{os.getpid()}")
        shutil.rmtree(self._unsaved, ignore_errors=True)
        self._unsaved.mkdir(parents=True)
        self._handles = {layer: _file(self._unsaved, layer).open("wb") for layer in layers}
        self._rows = dict[str, int]()
        self._dtypes = dict[int, str]()
        self._tokens = 0
        self._width = 0

    def add(self, pack: Pack, states: dict[int, Tensor]) -> None:
        """The (T, width) states of a pack's tokens by layer; segments that are there are left."""
        stored = {layer: _bits(own) for layer, own in states.items()}
        self._dtypes = {layer: str(own.dtype).split(".")[1] for layer, own in states.items()}
        for key, (first, last) in _keyed(pack):
            if key in self._rows:
                continue
            for layer, own in stored.items():
                self._handles[layer].write(own[first:last].tobytes())
                self._width = own.shape[1]
            self._rows[key] = self._tokens
            self._tokens += last - first

    def close(self) -> None:
        """Have what was added be there under the folder's name."""
        for handle in self._handles.values():
            handle.close()
        index = {
            "rows": self._rows,
            "tokens": self._tokens,
            "width": self._width,
            "dtypes": self._dtypes,
        }
        (self._unsaved / INDEX).write_text(json.dumps(index))
        try:
            self._unsaved.rename(self._folder)
        except OSError:
            # Another worker of this machine was there first, with the same.
            shutil.rmtree(self._unsaved)
            if not self._folder.exists():
                raise


def checksums(model: nn.Module) -> list[int]:
    """CRC-32 of each pretrained tensor, in order."""
    return [zlib.crc32(_bits(own).tobytes()) for own in model.parameters() if not own.requires_grad]


def digest(*parts: Any) -> str:
    """Of what states hang on, as a folder's name."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else json.dumps(part).encode())
        total.update(b";")
    return total.hexdigest()[:24]


def _keyed(pack: Pack) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each segment's key, by its tokens and those it follows, and where it lies."""
    spans = list(segments(pack))
    for span, before in zip(spans, pack.prefix, strict=True):
        if span[0] == span[1]:
            continue
        prompt = b"" if before == NO_PREFIX else pack.ids[slice(*spans[before])].tobytes()
        yield digest(prompt, pack.ids[slice(*span)].tobytes()), span


def _file(folder: Path, layer: int) -> Path:
    return folder / f"layer={layer}.bin"


def _stored(dtype: torch.dtype) -> type:
    return np.float32 if dtype == torch.float32 else np.int16


def _bits(states: Tensor) -> np.ndarray:
    own = states.detach().cpu().contiguous()
    found: np.ndarray = (own if own.dtype == torch.float32 else own.view(torch.int16)).numpy()
    return found
