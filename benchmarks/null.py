"""The null: when personas do not differ, System A must not seem to gain.

At heterogeneity 0 the mean gain in Kendall tau of elo_offset over global_bt, over population seeds,
must lie in [-0.005, +0.002]. In one process, on made answers; the parts are those that cohorts run.
"""

import tempfile
from pathlib import Path

import numpy as np

from electorate import founding, judges, personas, prompts
from electorate.cohort import Cohort
from electorate.config import Config
from electorate.evaluation import metrics
from electorate.evaluation.metrics import Standing
from electorate.features import AXES, standardise
from electorate.ratings import offsets, posteriors
from electorate.ratings.tally import Tally
from electorate.ratings.ties import MODELS

BOUNDS = (-0.005, 0.002)
ARCHETYPES = ("coder", "academic", "creative_writer", "student", "business", "everyday")


def gain(seed: int, heterogeneity: float, personas_: int = 3000, contestants: int = 6) -> float:
    """Mean over personas of tau(elo_offset) - tau(global_bt) after 50 votes."""
    config = Config.model_validate(
        {
            "seed": seed,
            "models": {"m": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
            "contestants": [{"name": f"c{i}", "model": "m"} for i in range(contestants)],
            "population": {"size": personas_, "heterogeneity": heterogeneity, "archetypes": {name: {} for name in ARCHETYPES}},
            "votes": {"checkpoints": [50]},
        }
    )
    chosen = prompts.select(config)
    random = np.random.default_rng(seed)
    manner = random.normal(size=(1, contestants, len(AXES)))
    z = standardise(manner + 0.7 * random.normal(size=(len(chosen), contestants, len(AXES))))
    electorate = founding.found(config, chosen, z)
    with tempfile.TemporaryDirectory() as folder:
        return _gain(electorate, Cohort(electorate, Path(folder)))


def _gain(electorate: personas.Electorate, cohort: Cohort) -> float:
    tally, blocks = Tally(electorate), range(electorate.blocks)
    for block in blocks:
        tally.ingest(0, block, cohort.judge(0, block))
    whole, _ = tally.rate(0, MODELS["davidson"], 1000.0)
    prior = offsets.fit(
        lambda p: [cohort.offset_sums(0, b, len(blocks), "true", p) for b in blocks],
        whole,
        offsets.first_prior(whole, len(electorate.archetypes)),
    )
    gains = []
    for block in blocks:
        people = personas.draw(electorate, block)
        truth = Standing(judges.mean_utilities(electorate, people))
        own = posteriors.posterior(cohort.user_votes(0, block, "true"), prior, MODELS["davidson"]).mode[:, :-1]
        gains.append(metrics.kendall_tau(Standing(own), truth) - metrics.kendall_tau(Standing(whole.strength), truth))
    return float(np.concatenate(gains).mean())


def main(seeds: int = 20) -> None:
    """Print the null beside its bounds, and the same at heterogeneity 1 beside it."""
    null = [gain(seed, 0.0) for seed in range(seeds)]
    differing = [gain(seed, 1.0) for seed in range(5)]
    inside = BOUNDS[0] <= np.mean(null) <= BOUNDS[1]
    print(f"null (heterogeneity 0), gain of elo_offset over global_bt in Kendall tau, {seeds} seeds x 3,000 personas x 50 votes:")
    print(f"  mean {np.mean(null):+.5f}, reference [{BOUNDS[0]:+.3f}, {BOUNDS[1]:+.3f}] {'inside' if inside else 'OUTSIDE'}")
    print(f"  first 5 seeds {np.mean(null[:5]):+.5f}; above zero in {sum(g > 0 for g in null)} of {seeds}")
    print(f"heterogeneity 1, 5 seeds: mean {np.mean(differing):+.4f}, from {min(differing):+.4f} to {max(differing):+.4f}")
