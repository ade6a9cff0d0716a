"""`make bench`: every benchmark, each figure beside its reference."""

from benchmarks import leaderboards, null, votes

for benchmark in (leaderboards, null, votes):
    benchmark.main()
