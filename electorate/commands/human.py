"""`human`: whether personal rankings predict real people's votes better than the global one does.

Needs neither Ray nor a run. Its folder holds the comparison, a learning curve, everybody's own
ratings and the leaderboard; `serve` ranks from it.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from electorate.base.scale import Ints
from electorate.commands import beliefs, human_tables, logs
from electorate.commands.progress import bar
from electorate.config import config_file
from electorate.config.run import Reward
from electorate.data import votes as votes_module
from electorate.data.votes import Votes
from electorate.evaluation import held_out, people, rating, user_ratings
from electorate.evaluation.people import BASELINE, FOLDS, SEEDS, Compared, NotConverged, Predicted
from electorate.evaluation.results import EVERYONE, GAINS, METRICS, NOT_CONVERGED, metric_rows
from electorate.ratings import leaderboard
from electorate.ratings.offsets import NotConvergedError
from electorate.storage import files, lock
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder


def human(path: Path, out: Place, ties: str, reward: Path | None, console: Console) -> None:
    """Predict each vote from votes on other prompts, and leave what came of it in folder `out`.

    Folds share no prompt, and every system has the same: FOLDS of them with SEEDS fold seeds. For
    the learning curve folds share no user either.

    Args:
        path: a file of votes; rows that are no votes are counted and left out.
        reward: a config whose reward section says what System B reads the answers with; None: no
            System B.

    Raises:
        ElectorateError: what the user can put right.
    """
    folder = RunFolder(out)
    folder.require_empty()
    by_text = None if reward is None else config_file.load_reward(reward)
    votes, set_aside = votes_module.read(path, texts=by_text is not None)
    for line in votes_module.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    prompt = people.prompts(votes, str(path))
    with lock.held(out), logs.kept(folder.log, out.name):
        with bar(console, "Predicting held-out votes (fold seeds)", SEEDS) as advance:
            predicted, not_converged = people.predict(votes, prompt, ties, advance=advance)
        if by_text is not None:
            predicted |= _predict_by_text(votes, prompt, ties, *by_text, console)
        whole = Compared(None, *people.estimates(votes, prompt, predicted), not_converged)
        curve = _curve(votes, prompt, ties, console)
        _write_tables(folder, votes, [whole, *curve], predicted)
        rated = _write_ratings(folder, votes, ties, console)
        verdict = human_tables.verdict(whole, curve)
        _write_manifest(folder, path, votes, ties, not_converged, verdict)
    human_tables.show(votes, whole, curve, ties, console)
    beliefs.beside(path, console)
    if rated:
        console.print(f"everybody's own ratings: {folder.people}", highlight=False, soft_wrap=True)
    console.print(f"folder: {out}; `serve {out}` ranks from it", highlight=False, soft_wrap=True)


def _predict_by_text(
    votes: Votes, prompt: Ints, ties: str, settings: Reward, cache_dir: Path, console: Console
) -> Predicted:
    from electorate.rewards import corpus, encoder
    from electorate.rewards import held_out as rewards_held_out

    reader, tokenizer = encoder.of_settings(settings, cache_dir)
    # A training takes a vote that counts for less than one for nobody's.
    of = corpus.of_votes(
        replace(votes, prompt=prompt, weight=np.ones(len(votes))), tokenizer, settings.max_tokens
    )
    by_seed = []
    with bar(console, "Training System B (folds)", SEEDS * FOLDS) as advance:
        for seed in range(SEEDS):
            by_seed.append(
                rewards_held_out.predict(
                    of, held_out.folds(prompt, FOLDS, seed), settings, reader, ties, advance
                )
            )
    return {
        str(form): np.array([said[form] for said in by_seed]) for form in rewards_held_out.PREDICTED
    }


def _curve(votes: Votes, prompt: Ints, ties: str, console: Console) -> list[Compared]:
    """The learning curve of users to whose votes nothing was fitted; none for fewer than FOLDS."""
    users = len(np.unique(votes.users))
    if users < FOLDS:
        line = f"no learning curve: {users} users; at least {FOLDS} are needed, one a fold"
        console.print(line, highlight=False)
        return []
    fits = len(people.newcomer_folds(votes))
    with bar(console, "Predicting for new users (fits)", fits) as advance:
        return people.learning_curve(votes, prompt, ties, advance)


def _write_tables(
    folder: RunFolder, votes: Votes, compared: list[Compared], predicted: Predicted
) -> None:
    all_on_others = round(len(votes) * (1 - 1 / FOLDS) / len(np.unique(votes.users)))
    metrics = list[dict[str, Any]]()
    gains = list[dict[str, Any]]()
    for one in compared:
        known = all_on_others if one.known is None else one.known
        where = {"users": one.users, "segment": EVERYONE, "votes_per_user": known}
        versions = dict.fromkeys(one.not_converged, NOT_CONVERGED)
        metrics += metric_rows(one.estimates, where, versions)
        gains += metric_rows(one.gains, where | {"baseline": BASELINE}, versions)
    files.write_table(folder.metrics, pa.Table.from_pylist(metrics, schema=METRICS))
    files.write_table(folder.gains, pa.Table.from_pylist(gains, schema=GAINS))
    columns = {"outcome": votes.outcome_of_3}
    for name, said in predicted.items():
        columns |= {
            f"{name}_{outcome}": said.mean(axis=0)[:, i]
            for i, outcome in enumerate(("a", "b", "tie"))
        }
    files.write_table(folder.path / "predictions.parquet", pa.table(columns))
    values = {
        name: {metric: e.value for (_, metric), e in by_key.items()}
        for name, by_key in compared[0].estimates.items()
    }
    files.write_text(folder.summary, json.dumps(values, indent=2) + "\n")


def _write_ratings(folder: RunFolder, votes: Votes, ties: str, console: Console) -> bool:
    """The leaderboard, and everybody's own ratings by System A; whether it converged."""
    rated = rating.fit(votes, rating.Options(ties))
    rows = leaderboard.rows(votes.models, rated.fit, people.CONFIDENCE)
    files.write_table(folder.leaderboard, pa.Table.from_pylist(rows))
    try:
        table = user_ratings.table(votes, ties)
    except NotConvergedError as error:
        console.print(f"no own ratings: {error}", highlight=False, soft_wrap=True)
        return False
    files.write_table(folder.people, table)
    return True


def _write_manifest(
    folder: RunFolder,
    path: Path,
    votes: Votes,
    ties: str,
    not_converged: NotConverged,
    verdict: str,
) -> None:
    counted = {
        "rows": len(votes),
        "users": len(np.unique(votes.users)),
        "models": len(votes.models),
        "prompts": int(votes.prompt.max()) + 1 if votes.prompt is not None else 0,
        "folds": FOLDS,
        "fold_seeds": SEEDS,
    }
    origin = {"votes": str(path.absolute()), "sha256": files.sha256(path)}
    what = {"status": "complete", "kind": "human", "ties": ties, "not_converged": not_converged}
    what["verdict"] = verdict
    folder.write_manifest({**what, **origin, **counted})
