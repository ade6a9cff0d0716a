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
from electorate.online.routing import Choice
from electorate.storage import files

NAME = "answer-ids.key"
BYTES = 32
_WRONG = "is no id of an answer of this gateway"


class AnswerId(NamedTuple):
    """An answer.

    Attributes:
        user: who asked; empty for nobody.
        model: the contestant.
        probability: with which it was chosen; 0 where no ranking chose it.
        by_user: the best by the user's own ranking, which may be another contestant.
        by_all: the best by everyone's.
        nonce: makes it different from any other.
    """

    user: str
    model: str
    probability: float
    by_user: str
    by_all: str
    nonce: str


def secret(folder: Path) -> bytes:
    """The folder's key, made when it is first asked for; replicas on other nodes find the same."""
    return files.secret(folder / NAME, BYTES)


def write(key: bytes, user: str, model: str, choice: Choice, probability: float) -> str:
    """The id of a new answer.

    Args:
        key: that it is signed with.
        user: who asked.
        model: who answered.
        choice: what was chosen when it was asked.
        probability: with which that one was chosen.
    """
    said = [user, model, round(probability, 9), choice.by_user, choice.by_all]
    content = json.dumps([*said, secrets.token_hex(8)])
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
        user, model, probability, *chosen, nonce = json.loads(base64.urlsafe_b64decode(padded))
        # Ids given by earlier versions do not say whom rankings would have chosen.
        by_user, by_all = chosen or ("", "")
        return AnswerId(user, model, probability, by_user, by_all, nonce)
    except (binascii.Error, ValueError, TypeError):
        raise RequestError(f"{where}: {_WRONG}") from None


def _signature(key: bytes, encoded: str) -> str:
    signed = hmac.new(key, encoded.encode("utf-8", "replace"), hashlib.sha256)
    return signed.hexdigest()[:32]
