"""A run's votes as a file with names, prompts and responses, as `rate`, `human`, `calibrate` and
`predict` read it.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from electorate.data import run_files, winners
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog

ROWS = 20_000  # votes whose texts are in memory at once
KEPT = ("p_a", "p_b", "p_tie", "judge")


def write(folder: RunFolder) -> None:
    """Write votes.parquet from the log, part by part.

    Its columns are user_id, persona (the name on its card), archetype, prompt_id, prompt, model_a,
    model_b, response_a, response_b, winner, p_a, p_b, p_tie and judge.

    Raises:
        ElectorateError: a file of the run cannot be read.
    """
    with files.replacing(folder.votes_file) as path:
        writer = None
        for part in _parts(folder):
            writer = writer or pq.ParquetWriter(path, part.schema, compression="zstd")
            writer.write_table(part)
        if writer is not None:
            writer.close()


def _parts(folder: RunFolder) -> Iterator[pa.Table]:
    """The votes with their texts, ROWS at a time."""
    config = run_files.read_config(folder)
    log = VoteLog(folder.votes, config.contestant_names)
    texts = _Texts(folder)
    for round_ in range(len(config.votes.checkpoints)):
        for block in sorted(log.blocks(round_)):
            votes = log.read(round_, block)
            for first in range(0, len(votes), ROWS):
                yield texts.beside(votes.slice(first, ROWS))


class _Texts:
    """What the numbers in a run's log stand for."""

    def __init__(self, folder: RunFolder) -> None:
        names = run_files.read_config(folder).contestant_names
        prompts = run_files.read_prompts(folder)
        self._names = pa.array(names)
        self._prompts = pa.array(prompts.text)
        responses = run_files.read_responses(folder, len(prompts), names)
        self._responses = responses["response"].combine_chunks()
        self._personas = files.read_table(folder.personas, ["user_id", "name", "archetype"])

    def beside(self, votes: pa.Table) -> pa.Table:
        """These votes of the log, with texts for numbers."""
        persona = pc.index_in(votes["user_id"], self._personas["user_id"])
        prompt = votes["prompt_id"]
        columns = {
            "user_id": votes["user_id"],
            "persona": self._personas["name"].take(persona),
            "archetype": self._personas["archetype"].take(persona),
            "prompt_id": prompt,
            "prompt": self._prompts.take(prompt),
            "winner": pa.array(winners.NAMES).take(votes["outcome"]),
        }
        for side in ("a", "b"):
            model = votes[f"model_{side}"]
            place = pc.add(pc.multiply(prompt, len(self._names)), model)
            columns[f"model_{side}"] = self._names.take(model)
            columns[f"response_{side}"] = self._responses.take(place)
        return pa.table(columns | {name: votes[name] for name in KEPT})
