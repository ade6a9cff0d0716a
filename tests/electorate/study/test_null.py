import numpy as np

from benchmarks.null import BOUNDS, gain


def test_personas_who_do_not_differ_are_not_found_to_differ() -> None:
    """The mean over 5 population seeds, and the same measure where personas do differ."""
    assert BOUNDS[0] <= np.mean([gain(seed, heterogeneity=0.0) for seed in range(5)]) <= BOUNDS[1]
    assert gain(0, heterogeneity=1.0) > 0.02
