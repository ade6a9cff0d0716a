"""`make bench`: every benchmark, each figure beside its reference.

The coverage study, which takes longest, is its own command.
"""

from benchmarks import (
    asking,
    endpoint,
    exploration,
    gateway,
    holdout,
    judging,
    leaderboards,
    many_models,
    many_users,
    model_voters,
    null,
    offsets,
    population,
    rankings,
    raylets,
    training,
    votes,
    weights,
    worlds,
)

if __name__ == "__main__":
    for benchmark in (
        leaderboards,
        votes,
        offsets,
        many_models,
        weights,
        training,
        judging,
        asking,
        model_voters,
        endpoint,
        gateway,
        exploration,
        holdout,
        many_users,
        population,
        raylets,
        null,
        rankings,
        worlds,
    ):
        benchmark.main()
