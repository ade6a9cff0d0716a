"""`human`: how well each system predicts real people's votes that it has not seen. Needs neither Ray nor a run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate import config_file
from electorate import votes as votes_module
from electorate.config import Reward
from electorate.draws import Stream, generator
from electorate.errors import ElectorateError
from electorate.evaluation import held_out, metrics
from electorate.evaluation.intervals import Estimate, Key
from electorate.evaluation.results import GAINS, METRICS, metric_rows
from electorate.evaluation.scoring import UNSEEN
from electorate.ratings.ties import MODELS
from electorate.scale import Floats, Ints
from electorate.storage import files, lock
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.votes import Votes
from simulations import rewards
from simulations.progress import bar
from simulations.report import beliefs

FOLDS, SEEDS, RESAMPLES, CONFIDENCE = 5, 4, 1000, 0.95
BASELINE = "global_bt"
Predicted = dict[str, Floats]  # system to (seeds, votes, 3)


def human(path: Path, out: Place, ties: str, reward: Path | None, console: Console) -> None:
    """Predict each vote from the other folds' votes, and leave the comparison in folder `out`.

    reward: a config whose reward section says what System B reads the answers with; None: no System B. Folds share no
    prompt; every system has the same folds, FOLDS of them with SEEDS fold seeds.
    Raises ElectorateError for what the user can put right; rows that are no votes are counted and left out.
    """
    folder = RunFolder(out)
    folder.require_empty()
    by_text = None if reward is None else config_file.load_reward(reward)
    votes, set_aside = votes_module.read(path, texts=by_text is not None)
    for line in votes_module.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    prompt = _prompts(votes, path)
    if votes.user is None:
        raise ElectorateError(f"{path}: has no column {' or '.join(votes_module.USER)}; whose votes they are is what is compared")
    if np.any(votes.weight != 1):
        console.print("weights are left aside: every vote counts once")
        votes = replace(votes, weight=np.ones(len(votes)))
    with lock.held(out):
        predicted = _predict(votes, prompt, ties, console)
        if by_text is not None:
            predicted |= _predict_by_text(votes, prompt, ties, *by_text, console)
        estimates, gains = _estimates(votes, prompt, predicted)
        _write(folder, votes, predicted, estimates, gains, {"votes": str(path), "ties": ties})
    _show(votes, estimates, gains, console)
    beliefs.beside(path, console)
    console.print(f"folder: {out}", highlight=False, soft_wrap=True)


def _prompts(votes: Votes, path: Path) -> Ints:
    """(n,) the prompt of each vote, counted from 0."""
    if votes.prompt is None:
        raise ElectorateError(f"{path}: has no column {' or '.join(votes_module.PROMPT)}; folds must not share a prompt")
    prompts, of = np.unique(votes.prompt, return_inverse=True)
    if len(prompts) < FOLDS:
        raise ElectorateError(f"{path}: {len(prompts)} prompts; at least {FOLDS} are needed, one a fold")
    return of.astype(np.int64)


def _predict_by_text(votes: Votes, prompt: Ints, ties: str, settings: Reward, cache_dir: Path, console: Console) -> Predicted:
    from electorate.rewards import corpus
    from electorate.rewards import held_out as rewards_held_out

    reader, tokenizer = rewards.reader(settings, cache_dir)
    of = corpus.of_votes(replace(votes, prompt=prompt), tokenizer, settings.max_tokens)
    by_seed = []
    with bar(console, "Training System B (folds)", SEEDS * FOLDS) as advance:
        for seed in range(SEEDS):
            by_seed.append(rewards_held_out.predict(of, held_out.folds(prompt, FOLDS, seed), settings, reader, ties, advance))
    return {str(form): np.array([said[form] for said in by_seed]) for form in rewards_held_out.PREDICTED}


def _predict(votes: Votes, prompt: Ints, ties: str, console: Console) -> Predicted:
    predicted = {name: np.empty((SEEDS, len(votes), 3)) for name in held_out.SYSTEMS}
    with bar(console, "Predicting held-out votes", SEEDS * len(predicted)) as advance:
        for seed in range(SEEDS):
            fold = held_out.folds(prompt, FOLDS, seed)
            for name, system in held_out.SYSTEMS.items():
                predicted[name][seed] = held_out.predict(votes, fold, system, MODELS[ties])
                advance()
    return predicted


def _estimates(votes: Votes, prompt: Ints, predicted: Predicted) -> tuple[dict[str, dict[Key, Estimate]], dict[str, dict[Key, Estimate]]]:
    """Each system's metrics, and their differences to the baseline's, with bootstrap intervals over prompts."""
    prompts, users = int(prompt.max()) + 1, len(np.unique(votes.users))
    drawn = generator(0, Stream.BOOTSTRAP).multinomial(prompts, np.full(prompts, 1 / prompts), RESAMPLES)
    times = np.vstack([np.ones(prompts), drawn])
    replicates = {name: _replicates(votes, said, prompt, times) for name, said in predicted.items()}

    def summarise(values: Floats) -> Estimate:
        low, high = np.percentile(values[1:], [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
        return Estimate(float(values[0]), float(low), float(high), users)

    own = {name: {key: summarise(values) for key, values in by_key.items()} for name, by_key in replicates.items()}
    base = replicates[BASELINE]
    gains = {
        name: {key: summarise(values - base[key]) for key, values in by_key.items()}
        for name, by_key in replicates.items()
        if name != BASELINE
    }
    return own, gains


def _replicates(votes: Votes, said: Floats, prompt: Ints, times: Floats) -> dict[Key, Floats]:
    """(1 + resamples,) of each metric, by how often each prompt is drawn; votes by their weight, fold seeds averaged."""
    true, prompts = np.eye(3)[votes.outcome_of_3], times.shape[1]
    at_true = np.take_along_axis(said, votes.outcome_of_3[None, :, None], axis=2)[..., 0]
    by_vote = {
        "log_loss": -np.log(np.maximum(at_true, 1e-12)).mean(axis=0),
        "brier": ((said - true) ** 2).sum(axis=2).mean(axis=0),
        "accuracy": (said.argmax(axis=2) == votes.outcome_of_3).mean(axis=0),
    }
    total = times @ np.bincount(prompt, votes.weight, prompts)
    found = {(UNSEEN, name): times @ np.bincount(prompt, votes.weight * value, prompts) / total for name, value in by_vote.items()}
    bins = sum(metrics.calibration_sums(one[:, None], true[:, None]) for one in said) * votes.weight[:, None, None]
    of_prompt = np.zeros((prompts, *bins.shape[1:]))
    np.add.at(of_prompt, prompt, bins)
    resampled: Floats = np.tensordot(times, of_prompt, axes=1).astype(float, copy=False)
    return found | {(UNSEEN, "ece"): metrics.expected_calibration_error(resampled)}


def _write(
    folder: RunFolder,
    votes: Votes,
    predicted: Predicted,
    estimates: dict[str, dict[Key, Estimate]],
    gains: dict[str, dict[Key, Estimate]],
    manifest: dict[str, object],
) -> None:
    per_user = round(len(votes) * (1 - 1 / FOLDS) / len(np.unique(votes.users)))
    where = {"users": "seen", "segment": "all", "votes_per_user": per_user}
    files.write_table(folder.metrics, pa.Table.from_pylist(metric_rows(estimates, where), schema=METRICS))
    files.write_table(folder.gains, pa.Table.from_pylist(metric_rows(gains, where | {"baseline": BASELINE}), schema=GAINS))
    columns = {"outcome": votes.outcome_of_3}
    for name, said in predicted.items():
        columns |= {f"{name}_{outcome}": said.mean(axis=0)[:, i] for i, outcome in enumerate(("a", "b", "tie"))}
    files.write_table(folder.path / "predictions.parquet", pa.table(columns))
    values = {name: {metric: e.value for (_, metric), e in by_key.items()} for name, by_key in estimates.items()}
    files.write_text(folder.summary, json.dumps(values, indent=2) + "\n")
    counted = {"rows": len(votes), "users": len(np.unique(votes.users)), "models": len(votes.models), "folds": FOLDS, "fold_seeds": SEEDS}
    folder.write_manifest({"status": "complete", "kind": "human", **manifest, **counted})


def _show(votes: Votes, estimates: dict[str, dict[Key, Estimate]], gains: dict[str, dict[Key, Estimate]], console: Console) -> None:
    title = f"{len(votes):,} votes of {len(np.unique(votes.users)):,} people, {FOLDS} folds that share no prompt, {SEEDS} fold seeds"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    for heading in ("log loss", f"over {BASELINE}", "accuracy", "brier", "ece"):
        table.add_column(heading, justify="right")
    for name, by_key in estimates.items():
        gain = gains.get(name, {}).get((UNSEEN, "log_loss"))
        over = "" if gain is None else f"{gain.value:+.4f} [{gain.ci_low:+.4f}, {gain.ci_high:+.4f}]"
        values = {metric: f"{e.value:.4f}" for (_, metric), e in by_key.items()}
        table.add_row(name, values["log_loss"], over, values["accuracy"], values["brier"], values["ece"])
    console.print(table)
