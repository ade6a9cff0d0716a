"""Whether the intervals that `human` gives hold: on votes of simulated people who are like those of
a file, how often the interval of System A's gain holds the mean gain over all such votes.

    python -m benchmarks.people_coverage FILE [DRAWS]

The people are fitted to FILE by electorate/calibration, and vote on its battles anew in each draw,
with new tastes and new responses. The file lies outside of the project; see docs/people.md.
"""

import sys
from pathlib import Path

import numpy as np

from electorate.base.scale import Floats
from electorate.calibration import design as design_module
from electorate.calibration import fit as fit_module
from electorate.calibration.design import Design
from electorate.config.metrics import UNSEEN
from electorate.config.run import RatingSettings
from electorate.data import vote_files
from electorate.data.votes import NamedVotes
from electorate.evaluation import people
from electorate.evaluation.two_systems import BASELINE, SYSTEM_A

DRAWS = 200
SETTINGS = RatingSettings(ties="davidson")
METRICS = ("log_loss", "pair_accuracy")
# A gain is printed to three digits. In most draws of people who do not differ System A has the
# global ranking's order, and a gain in pair accuracy of 0 without a width.
DIGITS = 5e-4


def main(path: Path, draws: int) -> None:
    """Print the coverage of each metric's gain."""
    votes, _ = vote_files.read(path, texts=True)
    design, _ = design_module.of_votes(votes, str(path))
    found = fit_module.fit(design)
    config = fit_module.population_config(
        design, found.at, found.taste, found.axes, found.parameters
    )
    rows = []
    for seed in range(draws):
        rows.append(_gains(fit_module.cast(design, config, 10_000 + seed)))
        print(f"{seed + 1}/{draws}", end="\r", file=sys.stderr, flush=True)
    print("| votes | gain in | mean | spread of gains | mean half-width | intervals that hold it |")
    print("|---|---|---|---|---|---|")
    for metric, values in zip(METRICS, np.swapaxes(rows, 0, 1), strict=True):
        gain, low, high = values.T
        mean = gain.mean()
        held = ((low - DIGITS <= mean) & (mean <= high + DIGITS)).mean()
        print(
            f"| {path.stem} | {metric} | {mean:+.4f} | {gain.std():.4f} | "
            f"{((high - low) / 2).mean():.4f} | {held:.1%} of {draws} |"
        )


def _gains(design: Design) -> Floats:
    """(METRICS, 3) gain and interval of each metric."""
    n = len(design)
    prompt = np.unique(design.prompt, return_inverse=True)[1].astype(np.int64)
    names = tuple(map(str, range(design.users)))
    votes = NamedVotes.of(
        design,
        prompt=prompt,
        weight=np.ones(n),
        first_shown=None,
        models=design.models,
        user_names=names,
    )
    predicted, _ = people.predict(votes, prompt, SETTINGS, (BASELINE, SYSTEM_A), seeds=1)
    _, gains = people.estimates(votes, prompt, predicted)
    found = [gains[SYSTEM_A][UNSEEN, metric] for metric in METRICS]
    return np.array([[one.value, one.ci_low, one.ci_high] for one in found])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else DRAWS)
