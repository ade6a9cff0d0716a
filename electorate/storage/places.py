"""Where a run's files lie: a folder of this machine's file system, or an object store named by a
URI, `s3://` or `gs://`.

Both are asked in pathlib's words, so that what reads and writes a run need not know which of the
two it is. A store keeps an object whole or not at all, as files.replacing does on a disk.
"""

import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from electorate.base.errors import ElectorateError, StorageError

LOG = logging.getLogger(
    "object_store"
)  # not under electorate: a run's log may lie in the very store that is away
SCHEMES = ("s3", "gs")
PAUSES_S = (
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
)  # between tries; each try has the client's own, some seconds of them
OF_THE_STORE = re.compile(r"AWS Error|google::cloud")
PASSES = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT|THROTTLING|UNAVAILABLE|DEADLINE_EXCEEDED|curlCode"
)
T = TypeVar("T")
_away: set[str] = set()  # stores that did not answer for as long as they were waited for


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or what pathlib would call a folder of them. root: s3://BUCKET; key: parts
    joined by /; options: the URI's query.

    Methods do what pathlib's of the same name do. Raises ElectorateError where the store refuses,
    or has not answered for a minute.
    """

    root: str
    key: PurePosixPath
    options: str = ""

    def __str__(self) -> str:
        # Without the options, which say how to get there and are long.
        return f"{self.root}/{self.key}"

    @property
    def uri(self) -> str:
        """By which `place` finds it again."""
        return f"{self}?{self.options}" if self.options else str(self)

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(self.root, self.key / name, self.options)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.key.name

    @property
    def parent(self) -> "ObjectPath":
        """The folder that it is in."""
        return ObjectPath(self.root, self.key.parent, self.options)

    @property
    def filesystem(self) -> Any:
        """The filesystem, as pyarrow has it."""
        return _opened(self.root, self.options)[0]

    @property
    def path(self) -> str:
        """The path within the filesystem."""
        return f"{_opened(self.root, self.options)[1]}/{self.key}"

    def absolute(self) -> "ObjectPath":
        """Itself: a URI always is."""
        return self

    def is_absolute(self) -> bool:
        """Always true of an address."""
        return True

    def exists(self) -> bool:
        """Whether there is an object of this name, or there are some in this folder."""
        return self._kind() != pafs.FileType.NotFound

    def is_dir(self) -> bool:
        """Whether there are objects in this folder."""
        return self._kind() == pafs.FileType.Directory

    def read_bytes(self) -> bytes:
        """All of it. Raises FileNotFoundError."""
        # The size is asked for first, and so many bytes are read: of an object that is replaced in
        # between, the first bytes of what took its place.
        while True:
            content: bytes = self.read(lambda file: file.read())
            if self._tried(lambda: self.filesystem.get_file_info(self.path).size) == len(content):
                return content

    def read_text(self, encoding: str) -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def read(self, reader: Callable[[pa.NativeFile], T]) -> T:
        """What the reader makes of the object, of which it need not fetch all; it may be called
        again. Raises what the reader raises.
        """

        def with_file() -> T:
            with self.filesystem.open_input_file(self.path) as file:
                return reader(file)

        return self._tried(with_file)

    def write_buffer(self, content: pa.Buffer | bytes) -> None:
        """Replace the content, whole or not at all."""

        def at_once() -> None:
            # In one piece: a stream that is closed after an error in between would keep what it
            # has.
            with self.filesystem.open_output_stream(self.path) as stream:
                stream.write(content)

        self._tried(at_once)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        try:
            self._tried(lambda: self.filesystem.delete_file(self.path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def iterdir(self) -> list["ObjectPath"]:
        """What is in this folder, by name; nothing where there is no such folder."""
        return [self / name for name in sorted(self.listing())]

    def glob(self, pattern: str) -> list["ObjectPath"]:
        """What in this folder has a name like the pattern."""
        return [path for path in self.iterdir() if fnmatch(path.name, pattern)]

    def listing(self) -> dict[str, float]:
        """Name to when it was written last, of all that is in this folder."""

        # pyarrow finds a folder in Google's store only if somebody made an object of that name, so
        # what is in folders is listed too.
        def infos() -> Any:
            selector = pafs.FileSelector(
                self.path, allow_not_found=True, recursive=self.root.startswith("gs")
            )
            return self.filesystem.get_file_info(selector)

        found = dict[str, float]()
        for info in self._tried(infos):
            name = info.path[len(self.path) + 1 :].partition("/")[0]
            found[name] = max(found.get(name, 0.0), (info.mtime_ns or 0) / 1e9)
        return found

    def _kind(self) -> Any:
        return self._tried(lambda: self.filesystem.get_file_info(self.path).type)

    def _tried(self, ask: Callable[[], T]) -> T:
        """The answer, once the store gives one.

        A store that somebody in this process gave up is asked once, so that a run can end.
        """
        pauses = iter(PAUSES_S)
        while True:
            try:
                found = ask()
            except FileNotFoundError:
                raise
            except (OSError, pa.ArrowException) as error:
                message = " ".join(str(error).split())
                if not OF_THE_STORE.search(message):
                    raise
                passes = PASSES.search(message) is not None
                pause = next(pauses, None) if passes and self.root not in _away else None
                if pause is None:
                    _away.update([self.root] if passes else [])
                    raise StorageError(f"{self}: the object store: {message[:300]}") from None
                LOG.warning(f"{self.root} does not answer, asked again in {pause:g} s")
                time.sleep(pause)
            else:
                _away.discard(self.root)
                return found


Place: TypeAlias = Path | ObjectPath


def place(text: str) -> Place:
    """A path, or a URI as pyarrow takes it: s3://BUCKET/KEY?region=...&endpoint_override=...,
    gs://BUCKET/KEY, file:///PATH.

    Raises ElectorateError for any other, and for one that holds a secret, which logs and manifests
    would keep.
    """
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(parts.path)
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ElectorateError(
            f"{text}: not a place for files; allowed are a path and "
            f"{', '.join(f'{s}://BUCKET/KEY' for s in SCHEMES)}"
        )
    if ":" in parts.netloc.rpartition("@")[0]:
        raise ElectorateError(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}: no keys in a URI; put them where "
            "the store's own clients look "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS)"
        )
    key = PurePosixPath(parts.path.strip("/"))
    if not key.name or ".." in key.parts:
        raise ElectorateError(
            f"{text}: names no folder in the bucket; give {parts.scheme}://{parts.netloc}/KEY"
        )
    return ObjectPath(f"{parts.scheme}://{parts.netloc}", key, parts.query)


def listing(folder: Place) -> dict[str, float]:
    """Name to when it was written last, seconds since 1970, of all that is in a folder; nothing
    where there is none.
    """
    if isinstance(folder, ObjectPath):
        return folder.listing()
    found = dict[str, float]()
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # a temporary name, gone by now
            found[path.name] = path.stat().st_mtime
    return found


@lru_cache
def _opened(root: str, options: str) -> tuple[Any, str]:
    """pyarrow's file system and what it calls the bucket.

    Raises OSError where the store does not say which region it is in.
    """
    if root.startswith("gs") and "retry_limit_seconds" not in options:
        options = "&".join(
            part for part in (options, "retry_limit_seconds=10") if part
        )  # it is 15 min otherwise
    try:
        filesystem, bucket = pafs.FileSystem.from_uri(f"{root}?{options}" if options else root)
    except pa.ArrowInvalid as error:
        raise ElectorateError(f"{root}: {' '.join(str(error).split())[:300]}") from None
    return filesystem, bucket
