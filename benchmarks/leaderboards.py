"""`rate` beside arena-rank 0.1.1 on fresh votes: how far ratings and interval widths differ, and
the time each takes.

`python -m benchmarks.leaderboards store` writes what arena-rank says of the votes of STORED_SEED
to STORED, which a test holds `rate` against.
"""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from electorate.base.scale import ELO_PER_NAT
from electorate.data import vote_files
from electorate.evaluation import rating as rate
from electorate.ratings import leaderboard
from electorate.storage import tables

ROOT = Path(__file__).parent.parent
PEER = ROOT / ".venv-peers" / "bin" / "python"
STORED = ROOT / "tests" / "simulations" / "arena_rank.json"
STORED_SEED = 20251211
SIZES = ((20, 20_000), (200, 60_000))  # models, votes
MANY = (200, 2_000_000)
# than arena-rank once compiled; Elo
FASTER = 30
CLOSER = 0.01
RATING_BOUND = 0.05
WIDTH_BOUND = 0.01


def fresh_votes(models: int, n: int, seed: int) -> pa.Table:
    """Votes of a Bradley-Terry electorate, some models shown far more often than others, one
    vote in five a tie.
    """
    # `random` alone, whose stream is the same in every version of NumPy.
    random = np.random.Generator(np.random.Philox(seed)).random
    strength = 2.8 * (random(models) - 0.5)
    a = (random(n) ** 1.5 * models).astype(int)
    b = (a + 1 + (random(n) * (models - 1)).astype(int)) % models
    tied = random(n)
    luck = random(n)
    won = np.where(luck < 1 / (1 + np.exp(strength[b] - strength[a])), "model_a", "model_b")
    winner = np.where(tied < 0.05, "both_bad", np.where(tied < 0.2, "tie", won))
    return pa.table(
        {
            "model_a": [f"model-{i:03d}" for i in a],
            "model_b": [f"model-{i:03d}" for i in b],
            "winner": winner,
        }
    )


def ours(path: Path) -> dict[str, Any]:
    """What `rate` says of a vote file, and the seconds it took from the columns, reading left
    out as for the peer.
    """
    rows = tables.read(path, vote_files.REQUIRED)
    start = time.perf_counter()
    read, _ = vote_files.of_rows(rows)
    board = leaderboard.rows(
        read.models, rate.fit(read, rate.Options(ties="half")).fit, rate.CONFIDENCE
    )
    seconds = time.perf_counter() - start
    columns = {
        key: [row[name] for row in board]
        for key, name in (("ratings", "rating"), ("low", "ci_low"), ("high", "ci_high"))
    }
    return {"models": list(read.models), **columns, "seconds": seconds}


def differences(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """The largest rating difference up to a shift, Elo points, and the largest relative one of
    interval widths.
    """
    assert one["models"] == other["models"]
    rating = np.array(one["ratings"]) - np.array(other["ratings"])
    widths = [np.array(found["high"]) - np.array(found["low"]) for found in (one, other)]
    return float(np.abs(rating - rating.mean()).max()), float(
        np.abs(widths[0] / widths[1] - 1).max()
    )


def arena_rank(path: Path) -> dict[str, Any]:
    """What arena-rank says of it, in the peers' own environment (`make bench` installs it)."""
    script = ROOT / "benchmarks" / "arena_rank_peer.py"
    found: dict[str, Any] = json.loads(
        subprocess.run([PEER, script, path], check=True, capture_output=True, text=True).stdout
    )
    return found


def main() -> None:
    """Print the differences beside their bounds, and the times, on votes nobody has seen."""
    print("rate beside arena-rank 0.1.1, fresh votes, from the same columns:")
    for models, n in (*SIZES, MANY):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "votes.parquet"
            pq.write_table(fresh_votes(models, n, secrets.randbits(32)), path)
            own = min((ours(path) for _ in range(3)), key=lambda found: found["seconds"])
            peer = arena_rank(path)
        rating, width = differences(own, peer)
        bound = CLOSER if (models, n) == MANY else RATING_BOUND
        print(
            f"  {models} models, {n:,} votes: ratings within {rating:.4f} Elo (bound {bound}), ",
            end="",
        )
        print(f"interval widths within {100 * width:.2f}% (bound {100 * WIDTH_BOUND:.0f}%)")
        first, again = peer["seconds"]
        asked = f" (at least {FASTER} asked)" if (models, n) == MANY else ""
        warm = again / own["seconds"]
        cold = first / own["seconds"]
        print(
            f"    {warm:.0f} times as fast as arena-rank once compiled{asked}, {cold:.0f} times "
            "with compiling"
        )
    beside_evalica()


def beside_evalica() -> None:
    """Whole processes, from one Parquet file to a board, in turn: ours with intervals, evalica's
    without; and how far the ratings differ.
    """
    models, n = MANY
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.parquet"
        pq.write_table(fresh_votes(models, n, secrets.randbits(32)), path)
        boards = {name: Path(folder) / f"{name}.parquet" for name in ("ours", "evalica")}
        rate_it = [Path(sys.executable).parent / "electorate", "rate", path]
        command = {
            "ours": [*rate_it, "--ties", "half", "--out", boards["ours"]],
            "evalica": [PEER, ROOT / "benchmarks" / "evalica_peer.py", path, boards["evalica"]],
        }
        seconds = {name: list[float]() for name in command}
        for _ in range(3):
            for name, words in command.items():
                start = time.perf_counter()
                subprocess.run(list(map(str, words)), check=True, capture_output=True, cwd=ROOT)
                seconds[name].append(time.perf_counter() - start)
        own = pq.read_table(boards["ours"]).to_pandas().set_index("model")["rating"]
        peer = pq.read_table(boards["evalica"]).to_pandas().set_index("model")["score"]
    other = ELO_PER_NAT * np.log(peer.loc[own.index].to_numpy())
    away = own.to_numpy() - other
    took = {name: float(np.median(of)) for name, of in seconds.items()}
    print(
        f"  {models} models, {n:,} votes, whole processes: {took['ours']:.2f} s with intervals, "
        f"evalica 0.4.2 {took['evalica']:.2f} s without: {took['ours'] / took['evalica']:.2f} of "
        f"its time (at most 0.5 asked); ratings within {np.abs(away - away.mean()).max():.2f} Elo"
    )


def store() -> None:
    """Write what arena-rank says of the stored seed's votes."""
    found = {}
    for models, n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "votes.parquet"
            pq.write_table(fresh_votes(models, n, STORED_SEED), path)
            peer = arena_rank(path)
        found[str(models)] = {
            key: [round(x, 6) for x in peer[key]] for key in ("ratings", "low", "high")
        } | {"models": peer["models"]}
    STORED.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    store() if sys.argv[1:] == ["store"] else main()
