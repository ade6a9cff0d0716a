"""`make bench`: every benchmark, each figure beside its reference."""

from benchmarks import null, votes

for benchmark in (null, votes):
    benchmark.main()
