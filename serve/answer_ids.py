"""Ids of a gateway's answers, which say whose each is and what was chosen how, so that feedback
needs no record of what was asked. They are signed: nobody can make one up.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import NamedTuple

from electorate.base.errors import RequestError
from electorate.storage import files

NAME = "answer-ids.key"
BYTES = 32
_WRONG = "is no id of an answer of this gateway"


class AnswerId(NamedTuple):
    """An answer.

    Attributes:
        user: who asked; empty for nobody.
        model: the contestant.
        probability: with which it was chosen.
        nonce: makes it different from any other.
    """

    user: str
    model: str
    probability: float
    nonce: str


def secret(folder: Path) -> bytes:
    """The folder's key, made when it is first asked for; replicas on other nodes find the same."""
    return files.secret(folder / NAME, BYTES)


def write(key: bytes, user: str, model: str, probability: float) -> str:
    """The id of a new answer."""
    content = json.dumps([user, model, round(probability, 6), secrets.token_hex(8)])
    encoded = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return f"{encoded}.{_signature(key, encoded)}"


def read(key: bytes, text: str, where: str) -> AnswerId:
    """What an id says.

    Args:
        where: the field it stands in.

    Raises:
        RequestError: this gateway did not give it.
    """
    encoded, _, signature = text.partition(".")
    if not hmac.compare_digest(signature, _signature(key, encoded)):
        raise RequestError(f"{where}: {_WRONG}")
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        return AnswerId(*json.loads(base64.urlsafe_b64decode(padded)))
    except (binascii.Error, ValueError, TypeError):
        raise RequestError(f"{where}: {_WRONG}") from None


def _signature(key: bytes, encoded: str) -> str:
    signed = hmac.new(key, encoded.encode("utf-8", "replace"), hashlib.sha256)
    return signed.hexdigest()[:32]
