"""What evalica 0.4.2 says of a vote file, as its users would ask: run in the peers' environment.

evalica_peer.py VOTES OUT
"""

import sys

import evalica
import pandas as pd

WINNERS = {
    "model_a": evalica.Winner.X,
    "model_b": evalica.Winner.Y,
    "tie": evalica.Winner.Draw,
    "both_bad": evalica.Winner.Draw,
}

if __name__ == "__main__":
    votes = pd.read_parquet(sys.argv[1], columns=["model_a", "model_b", "winner"])
    winners = votes["winner"].map(WINNERS)
    found = evalica.bradley_terry(votes["model_a"], votes["model_b"], winners)
    scores = found.scores.rename("score").rename_axis("model")
    scores.reset_index().to_parquet(sys.argv[2])
