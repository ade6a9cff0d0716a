"""A finished run's folder, made in this process: personas voted, System A's prior is fitted, and
a hybrid says the planted truth.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from electorate.config.config_file import dump
from electorate.data import prompts, run_files
from electorate.data.features import AXES
from electorate.evaluation.results import METRICS
from electorate.population.tally import Tally
from electorate.ratings import bradley_terry, offsets, prior_file
from electorate.ratings.ties import MODELS
from electorate.rewards import store
from electorate.rewards.weights import PersonalRead
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.study.cohort import Cohort
from tests.conftest import made_config, made_text
from tests.electorate.population.test_personas import made_electorate, population

CHECKPOINTS = [10, 30]
ANSWER = "<script>document.title = 'broken'</script> says {model} to prompt {prompt}"


def finished_run(path: Path, size: int = 300, reward: bool = True) -> RunFolder:
    systems = ["global_bt", "segment_bt", "elo_offset", *(["hybrid"] if reward else [])]
    changes = {
        "votes": {"checkpoints": CHECKPOINTS},
        "evaluation": {"systems": systems, "bootstrap": 50, "users": size},
    }
    config = made_config(
        population=population(size=size),
        **changes,
        **({"reward": {"model": "unused"}} if reward else {}),
    )
    folder = RunFolder(path)
    electorate = made_electorate(config)
    files.write_text(folder.config, dump(config))
    files.write_table(folder.prompts, prompts.select(config).table())
    features = run_files.features_table(electorate.z, config.contestant_names)
    files.write_table(folder.features, features)
    many, models = electorate.z.shape[:2]
    where = {
        "prompt_id": np.repeat(np.arange(many), models),
        "contestant": [c.name for c in config.contestants] * many,
    }
    texts = [
        ANSWER.format(model=m, prompt=p) + made_text(m, p)
        for p in range(many)
        for m in range(models)
    ]
    files.write_table(folder.responses, pa.table({**where, "response": texts}))
    cohort = Cohort(electorate, folder)
    ties = MODELS[config.ratings.ties]
    for round_ in range(len(CHECKPOINTS)):
        for block in range(electorate.blocks):
            cohort.judge(round_, block)
    last = len(CHECKPOINTS) - 1
    kinds = len(electorate.archetypes)
    whole = bradley_terry.fit(
        Tally.from_log(electorate, folder.votes).counts(last), ties, config.ratings.prior_sd
    )

    users = offsets.InMemory(
        [cohort.user_votes(last, block, "true") for block in range(electorate.blocks)], ties
    )
    prior_file.write(folder.prior, offsets.fit(users, whole, kinds))
    if reward:
        trained = store.of_round(folder, last)
        d = config.judge.decisiveness
        flat_z = electorate.z.reshape(-1, len(AXES))
        strength = np.tile(electorate.strength, many)
        common = electorate.common_taste + electorate.archetype_taste
        read = PersonalRead(
            d * (strength + common @ flat_z.T),
            np.full(kinds, -0.5),
            d * flat_z * electorate.personal_sd,
            np.zeros((kinds, len(AXES))),
            0.1,
            0.2,
            0.2,
            models,
        )
        trained.mkdir(parents=True)
        store.write_reads(trained, {"hybrid": read})
        store.write_history(
            trained, [{"epoch": 0, "held_out": {"hybrid": 0.9}, "gives": {}, "seconds": 1.0}]
        )
        store.write_versions(folder, {last: last})
    at = {"users": "seen", "segment": "all", "baseline": None, "version": None, "n_users": size}
    rows = [
        {
            **at,
            "system": system,
            "votes_per_user": votes,
            "prompts": "unseen",
            "metric": metric,
            "value": 0.5 + votes / 100,
            "ci_low": 0.4,
            "ci_high": 1.0,
        }
        for system in systems
        for votes in CHECKPOINTS
        for metric in ("kendall_tau", "regret")
    ]
    files.write_table(folder.metrics, pa.Table.from_pylist(rows, schema=METRICS))
    folder.write_manifest(
        {"status": "complete", "kind": "run", "config_hash": config.digest(), "seed": config.seed}
    )
    return folder
