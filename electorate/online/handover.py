"""Snapshots handed from the writer to replicas by way of files, so that their size is no limit.

A snapshot is a pickle, and each of its large arrays a file beside it, which replicas map into
memory. An array that the snapshot before had too, the same object, keeps its file: what is written
and read is what changed. All of it is the writer's own and goes when it starts anew.
"""

import mmap
import pickle
import secrets
from pathlib import Path
from typing import Any

from electorate.online.snapshot import Snapshot

LARGE = 1 << 16  # bytes from which on an array has a file of its own
KEPT = 3  # snapshots whose files stay, for replicas that are about to read one


class Outbox:
    """Where the writer puts snapshots. folder: emptied, as what lies there is another writer's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrays: dict[int, tuple[Any, str]] = {}  # by identity: the array, and its file
        self._files: list[set[str]] = []  # of the snapshots that are kept, oldest first
        self._written = 0
        self._own = secrets.token_hex(4)  # so that no other writer's file has the same name
        folder.mkdir(parents=True, exist_ok=True)
        self.empty()

    def empty(self) -> None:
        """Remove every snapshot: nobody may read what they hold any more."""
        for path in self._folder.iterdir():
            path.unlink()
        self._arrays = {}
        self._files = []

    def put(self, snapshot: Snapshot) -> str:
        """Write a snapshot; returns the name that `Inbox.take` reads it by. Raises OSError."""
        arrays = dict[int, tuple[Any, str]]()
        names = list[str]()

        def keep_inside(buffer: pickle.PickleBuffer) -> bool:
            view = buffer.raw()
            if view.nbytes < LARGE:
                return True
            array = view.obj
            known = self._arrays.get(id(array)) or arrays.get(id(array))
            name = known[1] if known else self._write(".array", view)
            arrays[id(array)] = (array, name)
            names.append(name)
            return False

        content = pickle.dumps(snapshot, protocol=5, buffer_callback=keep_inside)
        name = self._write(".snapshot", pickle.dumps((names, content)))
        self._arrays = arrays
        self._files.append({name, *names})
        self._remove_old()
        return name

    def _write(self, ending: str, content: bytes | memoryview) -> str:
        self._written += 1
        name = f"{self._own}-{self._written}{ending}"
        (self._folder / name).write_bytes(content)
        return name

    def _remove_old(self) -> None:
        while len(self._files) > KEPT:
            old = self._files.pop(0)
            for name in old.difference(*self._files):
                (self._folder / name).unlink(missing_ok=True)


class Inbox:
    """Where a replica takes them from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._maps: dict[str, mmap.mmap] = {}

    def take(self, name: str) -> Snapshot:
        """The snapshot of this name. Raises OSError if it is gone, as there are newer ones."""
        names, content = pickle.loads((self._folder / name).read_bytes())  # noqa: S301 the writer's
        maps = {one: self._maps.get(one) or self._map(one) for one in names}
        snapshot: Snapshot = pickle.loads(content, buffers=[maps[one] for one in names])  # noqa: S301
        self._maps = maps
        return snapshot

    def _map(self, name: str) -> mmap.mmap:
        with (self._folder / name).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
