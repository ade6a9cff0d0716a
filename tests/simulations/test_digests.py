"""From the same responses a run has the same votes to the bit, and the same ratings and metrics.

digests.json was written by an earlier version. Where a change is meant to change a result, say so
in CHANGELOG.md and write it anew:

    python -m pytest tests/simulations/test_digests.py --digests
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from electorate.storage.run_folder import RunFolder
from tests.conftest import in_process

DIGESTS = Path(__file__).parent / "digests.json"
NAMES = ("user_id", "prompt_id", "model_a", "model_b", "outcome", "first_shown", "step")
SYSTEMS = ["global_bt", "segment_bt", "elo_online", "elo_offset", "elo_offset_low_rank", "oracle"]


def votes(run: RunFolder) -> str:
    """A digest of all votes, whatever writes the files."""
    digest = hashlib.sha256()
    for path in sorted(run.votes.rglob("*.parquet")):
        table = pq.read_table(path, columns=list(NAMES))
        for name in NAMES:
            digest.update(table[name].to_numpy().tobytes())
    return digest.hexdigest()


def numbers(path: Any, value: str) -> dict[str, float]:
    """What a table says, by the text in each row."""
    rows = pq.read_table(path).to_pylist()
    found = {}
    for row in rows:
        key = " ".join(str(own) for name, own in row.items() if not isinstance(own, float))
        found[f"{key}"] = row[value]
    return found


def test_results_are_those_of_earlier_versions(
    stored: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = stored(
        population={"size": 400, "archetypes": {"coder": {"taste": {"code": 1.0}}, "academic": {}}},
        prompts={"per_archetype": 10},
        votes={"checkpoints": [5, 20]},
        evaluation={"bootstrap": 50, "users": 100, "newcomers": 0, "systems": SYSTEMS},
    )
    run = RunFolder(tmp_path / "out")
    done = in_process("run", config, "--out", run.path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        "votes": votes(run),
        "leaderboard": numbers(run.leaderboard, "rating"),
        "metrics": numbers(run.metrics, "value"),
    }
    if request.config.getoption("--digests"):
        DIGESTS.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(DIGESTS.read_text())
    assert found["votes"] == expected["votes"]
    for name in ("leaderboard", "metrics"):
        assert found[name] == pytest.approx(expected[name], abs=1e-9, rel=1e-9), name
