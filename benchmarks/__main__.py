"""`make bench`: every benchmark, each figure beside its reference. The coverage study, which takes longest, is its own command."""

from benchmarks import endpoint, judging, leaderboards, null, offsets, population, raylets, training, votes, weights

if __name__ == "__main__":
    for benchmark in (leaderboards, votes, offsets, weights, training, judging, endpoint, population, raylets, null):
        benchmark.main()
