"""`calibrate`: a population of simulated voters who agree, tie and repeat as the people of a file
of votes do. Needs no Ray.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.calibration import design as design_module
from electorate.calibration import fit as fit_module
from electorate.calibration import statistics
from electorate.calibration.design import Design
from electorate.calibration.fit import Calibrated
from electorate.commands import next_step
from electorate.commands.progress import bar
from electorate.config import config_file
from electorate.config.run import Config
from electorate.data import recorded, vote_files
from electorate.data.prompts import MIN_PROMPTS
from electorate.storage import files, tables

SIZE = 2000
HEADER = """\
# Simulated voters, fitted by `electorate calibrate` to the people who voted in
# {votes}.
# Their votes on the same battles are off by {distance:.3f} on average in the statistics it prints.
#
#   electorate run {out}
#   electorate run {out} --set population.size=1000000
"""


def calibrate(path: Path, out: Path, by: str | None, console: Console) -> None:
    """Fit a population to the votes of a file, and write a run's config of it to `out`, with the
    responses beside it. Prints the statistics of people's and simulated votes.

    Args:
        path: votes with user_id, prompt, response_a and response_b.
        out: a .yaml file.
        by: a column whose values are the archetypes; None: one for all.

    Raises:
        ElectorateError: what the user can put right.
    """
    if out.suffix not in (".yaml", ".yml"):
        raise ElectorateError(f"--out {out}: must end in .yaml")
    tables.check_writable(out.with_suffix(".parquet"))
    votes, set_aside = vote_files.read(path, texts=True, by=by)
    for line in vote_files.by_reason(set_aside):
        console.print(f"left out: {line}", highlight=False, soft_wrap=True)
    design, notes = design_module.of_votes(votes, str(path))
    prompts, models = design_module.whole(design)
    if len(prompts) < MIN_PROMPTS or len(models) < 2:
        raise ElectorateError(
            f"{path}: {len(models)} models have all answered {len(prompts)} prompts; at least 2 "
            f"and {MIN_PROMPTS} are needed"
        )
    for line in notes:
        console.print(line, highlight=False, soft_wrap=True)
    with bar(console, "Fitting (passes)", fit_module.PASSES + 1) as advance:
        found = fit_module.fit(design, advance)
    responses = out.with_suffix(".responses.parquet")
    files.write_table(responses, _responses(design, prompts, models))
    content = run_config(design, found, models, str(path), responses)
    config_file.validated(Config, content | {"contestants": _contestants(design, models)}, str(out))
    header = HEADER.format(votes=path, distance=found.distance, out=out)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    files.write_text(out, header + text)
    _show(found, console)
    _tell_left_out(design, prompts, models, out, console)
    _tell_next(content["population"]["model_taste"], found, out, console)


def _tell_left_out(
    design: Design, prompts: Ints, models: Ints, out: Path, console: Console
) -> None:
    left = (len(design.models) - len(models), len(design.prompts) - len(prompts))
    if any(left):
        line = (
            f"in {out}: {len(models)} models and {len(prompts)} prompts, every one with a response "
            f"of every other; {left[0]} models and {left[1]} prompts lack some"
        )
        console.print(line, highlight=False, soft_wrap=True)


def _tell_next(taste: float, found: Calibrated, out: Path, console: Console) -> None:
    tastes = {f"{value:.2g}": None for value in sorted((taste, *found.interval("model_taste")))}
    next_step.tell(
        console,
        f"electorate run {out} --cohorts 0    (what would personal rankings give such users?)",
        f"electorate sweep {out} --over population.model_taste={','.join(tastes)} "
        f"--out runs/{out.stem}    (how much of that hangs on the fit?)",
        f"electorate run {out} --set population.size=1000000    (a million of them)",
    )


def run_config(
    design: Design, found: Calibrated, models: Ints, votes: str, responses: Path
) -> dict[str, Any]:
    """The config of a run of voters like these people, on the people's prompts and responses.

    Args:
        models: places of the contestants.
        votes: the file that people's votes are in.
        responses: the file that the responses are in.
    """
    sections = fit_module.sections(design, found.at, found.taste, found.axes, found.parameters)
    strength = sections["population"]["strength"]
    names = [design.models[m] for m in models]
    # A contestant is called as a config may call it.
    given = {recorded.as_name(name): strength[name] for name in names}
    population = {
        "size": SIZE,
        **sections["population"],
        "strength": given,
        "likeness": {"votes": votes, "distance": round(found.distance, 4)},
    }
    return {
        "seed": 0,
        "models": {"recorded": {"engine": "recorded", "responses": str(responses)}},
        "prompts": {"source": "recorded", "per_archetype": None},
        # People voted on them as they are.
        "allow_cut_answers": True,
        "population": population,
        "judge": sections["judge"],
        "votes": {"checkpoints": [5, 10, 20, 50]},
    }


def _contestants(design: Design, models: Ints) -> list[Mapping[str, str]]:
    return [{"name": recorded.as_name(design.models[m]), "model": "recorded"} for m in models]


def _responses(design: Design, prompts: Ints, models: Ints) -> pa.Table:
    """A row a prompt and model, as `engine: recorded` reads it."""
    cells = [(p, m) for p in prompts.tolist() for m in models.tolist()]
    return pa.table(
        {
            "prompt": [design.prompts[p] for p, _ in cells],
            "model": [design.models[m] for _, m in cells],
            "response": [design.responses[design.answer[p, m]] for p, m in cells],
        }
    )


def _show(found: Calibrated, console: Console) -> None:
    """What people's and simulated votes have in common, and what was fitted."""
    table = Table(
        title="votes of people, and of simulated voters on the same battles",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("statistic")
    for heading in ("people", "simulated", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for name, people, simulated in zip(
        statistics.NAMES, found.people, found.simulated.T, strict=True
    ):
        known = simulated[~np.isnan(simulated)]
        if np.isnan(people) or not len(known):
            continue
        low, high = np.quantile(known, [0.025, 0.975])
        inside = "" if low <= people <= high else "not reproduced"
        cells = (f"{people:.3f}", f"{known.mean():.3f}", f"{low:.3f} to {high:.3f}")
        table.add_row(name, *cells, inside)
    console.print(table)
    console.print(
        f"simulated voters are off by {found.distance:.3f} on average in these statistics",
        highlight=False,
    )
    for name, what in fit_module.TOLD.items():
        low, high = found.interval(name)
        if high == 0:
            continue  # the battles say nothing of it
        line = f"{what}: {found.value(name):.2f} [{low:.2f}, {high:.2f}]"
        console.print(line, highlight=False, soft_wrap=True)
    low, high = found.position_interval
    if high > low:
        mean = f"{found.parameters.position:+.2f} [{low:+.2f}, {high:+.2f}]"
        line = f"bias for the answer shown first, mean in logits: {mean}"
        console.print(line, highlight=False, soft_wrap=True)
