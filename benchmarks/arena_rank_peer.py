"""Run by the peer's own Python: arena-rank's ratings and intervals of a vote file, as JSON on
standard output.
"""

import json
import sys
import time

import pandas as pd
from arena_rank.models.bradley_terry import BradleyTerry
from arena_rank.utils.data_utils import PairDataset

votes = pd.read_parquet(sys.argv[1])
seconds = []
for _ in range(4):  # the first pays for compilation
    start = time.perf_counter()
    data = PairDataset.from_pandas(votes)
    found = BradleyTerry(n_competitors=len(data.competitors)).compute_ratings_and_cis(data)
    ratings, low, high = (
        found[key].tolist() for key in ("ratings", "rating_lower", "rating_upper")
    )
    seconds.append(time.perf_counter() - start)
print(
    json.dumps(
        {
            "models": data.competitors,
            "ratings": ratings,
            "low": low,
            "high": high,
            "seconds": [seconds[0], min(seconds[1:])],
        }
    )
)
