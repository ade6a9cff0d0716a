"""Counter-based random draws, so that a vote depends on its place and never on who drew it."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a draw is for. The numbers are part of every result: never reuse or reorder them."""

    PERSONAS = 0
    VOTES = 1
    PLANTED_STRENGTH = 2
    ARCHETYPE_TASTE = 3
    SPLIT = 4
    WRONG_LABELS = 5
    EVALUATION_USERS = 6
    BOOTSTRAP = 7
    AGREEMENT = 8
    SUBSETS = 9
    FOLDS = 10
    EVIDENCE = 11
    CONDUCT = 12
    DRIFT = 13
    BOOTSTRAP_VOTES = 14
    PAIRING = 15
    HALVES = 16
    SIGNS = 17
    HELD_OUT_PROMPTS = 18
    TRAINING = 19
    WEIGHTS = 20
    SYNTHETIC = 21
    CARDS = 22
    CARD_ORDER = 23
    POLL = 24
    POLL_CHECKS = 25
    TOP = 26
    ANSWER_QUALITY = 27
    MODEL_TASTE = 28
    CALIBRATION = 29
    TIES_OF_PROMPTS = 30


def generator(seed: int, stream: Stream, block: int = 0, round_: int = 0) -> np.random.Generator:
    """A Philox generator keyed by (seed, stream, block, round); equal keys give equal draws.

    The key is (seed, stream) and (round, block) fill the high words of the 256-bit counter, which
    leaves 2**128 draws to each before two of them could meet (Salmon et al., 2011).
    """
    counter = np.array([0, 0, round_, block], dtype=np.uint64)
    key = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))
