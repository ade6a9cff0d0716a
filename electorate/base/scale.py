"""The Elo scale: ratings are 1000 + 400/ln(10) * strength, strength in natural-log odds (nats)."""

from math import log

import numpy as np
import numpy.typing as npt

ELO_PER_NAT = 400 / log(10)
ELO_CENTRE = 1000.0

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def to_elo(strength: Floats) -> Floats:
    """Strengths in nats to ratings in Elo points."""
    return ELO_CENTRE + ELO_PER_NAT * strength


def to_nats(elo: float) -> float:
    """A difference in Elo points to one in nats."""
    return elo / ELO_PER_NAT
