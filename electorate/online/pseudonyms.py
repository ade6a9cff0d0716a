"""Users' ids as they are kept, where nobody who reads the disk may tell whose they are.

A pseudonym is an HMAC of the id (Krawczyk, Bellare and Canetti, RFC 2104): the same for the same id
and key, and without the key not even a list of all ids tells which is whose. Whoever has the key
and an id still finds its user, so that it can be ranked for, given its votes, and erased.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from electorate.base.errors import ElectorateError
from electorate.storage import files

BYTES = 32


@dataclass(frozen=True)
class Pseudonyms:
    """key: that ids are hashed with; None: they are kept as they are."""

    key: bytes | None = None

    def of(self, user: str) -> str:
        """As the user's id is kept."""
        if self.key is None:
            return user
        return hmac.new(self.key, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


PLAIN = Pseudonyms()


def of_file(path: Path | None) -> Pseudonyms:
    """By the key in a file, which is made where it is not there; of no file ids as they are.

    Raises:
        ElectorateError: the file cannot be read or made, or holds no key.
    """
    if path is None:
        return PLAIN
    try:
        key = files.secret(path, BYTES)
    except OSError as error:
        raise ElectorateError(f"{path}: cannot be read or made: {error.strerror}") from None
    if len(key) != BYTES:
        raise ElectorateError(f"{path}: is no key, which has {BYTES} random bytes; name a new file")
    return Pseudonyms(key)
