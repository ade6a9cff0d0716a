"""What the page shows of a run beside rankings: personas to pick, battles to judge, learning
curves.
"""

import hashlib
from collections import defaultdict
from functools import cached_property

import numpy as np

from electorate.config.metrics import METRICS
from electorate.config.systems import SYSTEMS
from electorate.data import run_files
from electorate.online.base import Base
from electorate.storage import files
from serve.schemas import Answer, Battle, Curve, Segment

PERSONAS = 8  # of each segment
LOOKED_AT = 4096  # personas, to find some of each segment


class Gallery:
    """Of a base; empty where nothing was run."""

    def __init__(self, base: Base) -> None:
        self._run = base.run
        self._names = base.segments
        self._personas = base.personas

    @cached_property
    def segments(self) -> list[Segment]:
        """Each with its first personas, where a run has any."""
        if self._run is None:
            return [Segment(name=name, personas=[]) for name in self._names]
        label = self._run.segments(np.arange(min(self._personas, LOOKED_AT)))
        own = [np.flatnonzero(label == k)[:PERSONAS].tolist() for k in range(len(self._names))]
        return [
            Segment(name=name, personas=[str(persona) for persona in of])
            for name, of in zip(self._names, own, strict=True)
        ]

    @cached_property
    def curves(self) -> list[Curve]:
        """By votes a user, on unseen prompts: the systems that matter most."""
        if self._run is None or not self._run.folder.metrics.exists():
            return []
        points = defaultdict(list)
        for row in files.read_table(self._run.folder.metrics).to_pylist():
            if (
                (row["users"], row["segment"], row["prompts"]) == ("seen", "all", "unseen")
                and row["metric"] in METRICS
                and METRICS[row["metric"]].curves
                and row["system"] in SYSTEMS
                and SYSTEMS[row["system"]].on_page
            ):
                points[row["system"], row["metric"]].append(
                    (row["votes_per_user"], row["value"], row["ci_low"], row["ci_high"])
                )
        return [
            _curve(system, metric, sorted(of))
            for (system, metric), of in sorted(
                points.items(),
                key=lambda item: (list(METRICS).index(item[0][1]), list(SYSTEMS).index(item[0][0])),
            )
        ]

    @cached_property
    def _answers(self) -> tuple[list[int], list[list[Answer]]]:
        """Prompts that all contestants answered, and the answers of each."""
        if self._run is None or not self._run.folder.responses.exists():
            return [], []
        by_prompt = defaultdict(list)
        names = self._run.voters.config.contestant_names
        table = run_files.read_responses(self._run.folder, len(self._run.prompts), names)
        for row in table.select(["prompt_id", "contestant", "response"]).to_pylist():
            if row["response"]:
                by_prompt[row["prompt_id"]].append(
                    Answer(model=row["contestant"], response=row["response"])
                )
        whole = [prompt for prompt, answers in by_prompt.items() if len(answers) == len(names)]
        return whole, [by_prompt[prompt] for prompt in whole]

    def battle(self, user: str, seed: int) -> Battle | None:
        """One, the same for the same user and seed; None where there are no answers."""
        prompts, answers = self._answers
        if not prompts or self._run is None:
            return None
        random = np.random.default_rng(
            [seed, int.from_bytes(hashlib.sha256(user.encode()).digest()[:4], "big")]
        )
        place = int(random.integers(len(prompts)))
        a, b = random.choice(len(answers[place]), 2, replace=False).tolist()
        prompt = prompts[place]
        return Battle(
            prompt_id=prompt,
            prompt=self._run.prompts.text[prompt],
            a=answers[place][a],
            b=answers[place][b],
        )


def _curve(system: str, metric: str, points: list[tuple[int, float, float, float]]) -> Curve:
    votes, value, low, high = ([point[i] for point in points] for i in range(4))
    spec = METRICS[metric]
    better = "lower" if spec.lower_is_better else "higher"
    return Curve(
        system=system,
        label=SYSTEMS[system].label,
        metric=metric,
        title=f"{spec.label} ({better} is better)",
        votes=[int(v) for v in votes],
        value=value,
        ci_low=low,
        ci_high=high,
    )
