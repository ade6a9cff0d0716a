"""Folds that learn for a few steps, in whatever process they are."""

from electorate.base.scale import Floats
from electorate.rewards import few
from electorate.rewards.held_out import Folds


class QuickFolds(Folds):
    """Enough steps to tell folds apart, in a process that a test cannot reach to patch it."""

    def predict(self, held_out: int) -> dict[str, Floats]:
        steps = few.STEPS
        few.STEPS = 8
        try:
            return super().predict(held_out)
        finally:
            few.STEPS = steps
