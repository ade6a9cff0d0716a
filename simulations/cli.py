"""The command line: run a config and draw its report, rate votes, predict people's, import data
sets.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from electorate.base import checkout
from electorate.base.errors import ElectorateError
from electorate.commands import cli, next_step
from electorate.commands.cli import Command
from electorate.storage.places import Place
from simulations.arguments import CLASSIC, LAMBDA_UNIT, parser

if TYPE_CHECKING:
    from electorate.config.run import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; see `electorate.commands.cli.run`."""
    return cli.run(_parser, COMMANDS, arguments, _advice)


def _parser() -> argparse.ArgumentParser:
    checkout.require_own_packages()
    return parser()


def _advice(chosen: argparse.Namespace, kept: str) -> str:
    """How to go on with a command that ended early."""
    if chosen.command not in ("run", "poll", "sweep"):
        return ""
    resume = "" if chosen.command == "sweep" else " with --resume"
    return f"; {kept}, run again{resume} to go on"


def _run(chosen: argparse.Namespace, console: Console) -> None:
    from electorate.config import config_file

    plain = config_file.load(chosen.config, chosen.settings)
    given = _settings(_short(chosen) | classic(chosen, plain))
    config = config_file.load(chosen.config, [*chosen.settings, *given])
    _carry_out(config, chosen, console)


def _short(chosen: argparse.Namespace) -> dict[str, Any]:
    """Config key to value, of the options that are short for one."""
    return {
        "seed": chosen.seed,
        "cluster.cohorts": chosen.cohorts,
        "cluster.address": chosen.address,
    }


def _settings(short: Mapping[str, Any]) -> list[str]:
    """As --set takes them; None is not given."""
    return [f"{key}={value}" for key, value in short.items() if value is not None]


def _poll(chosen: argparse.Namespace, console: Console) -> None:
    from electorate.config import config_file
    from electorate.config.poll import Poll
    from electorate.data import old_polls, recorded
    from electorate.polls import own_templates
    from electorate.storage.run_folder import RunFolder
    from simulations.report import finished

    settings = [*chosen.settings, *_settings(_short(chosen))]
    poll = own_templates.with_texts(config_file.load_as(Poll, chosen.config, settings))
    folder = RunFolder(_out(chosen))
    if not chosen.dry_run and old_polls.is_one(folder):
        of_config = recorded.with_contestants(poll)
        if old_polls.is_complete(folder, of_config, chosen.resume):
            finished.show(folder, console)
            return
        old_polls.make_way(folder)
    _carry_out(poll.as_run(), chosen, console)


def _carry_out(config: "Config", chosen: argparse.Namespace, console: Console) -> None:
    """Do a run, or say what it would ask."""
    from electorate.data import recorded

    config = recorded.with_contestants(config)
    if chosen.dry_run:
        from electorate.population import planted
        from simulations import estimate

        if config.population is not None:
            planted.check(config)
        estimate.show(estimate.of_run(config), config, console)
        return
    # Ray takes seconds to import; a wrong config should not.
    from simulations import run
    from simulations.report import finished

    if config.people is None:
        from simulations import estimate

        estimate.announce(estimate.of_run(config), console)
    finished.show(run.run(config, _out(chosen), chosen.resume, console), console)


def classic(chosen: argparse.Namespace, config: "Config") -> dict[str, Any]:
    """Config key to value, of the options of the classic experiment."""
    short = {key: getattr(chosen, key) for _, key, _, _ in CLASSIC}
    if config.reward is not None:
        # Learning curves of System B ask for a training at each checkpoint.
        short["reward.incremental"] = short["evaluation.incremental"]
        if (lambda_reg := short.pop("ratings.lambda_reg")) is not None:
            short["reward.lambda_reg"] = LAMBDA_UNIT * lambda_reg
    if config.judging is not None and config.judging.new_prompts is not None:
        short["voters.new_prompts.most"] = short.pop("prompts.per_archetype")
    return short


def _out(chosen: argparse.Namespace) -> Place:
    """Where the results go; a Ray job's own folder is no place for them."""
    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ  # Ray sets it for a job's driver
    if in_job and not (chosen.out and chosen.out.is_absolute()):
        raise ElectorateError(
            f"--out {chosen.out or '(none)'}: a Ray job's working directory is temporary; give an "
            "absolute folder"
        )
    out: Place = chosen.out or Path("runs") / chosen.config.stem
    return out.absolute()


def _sweep(chosen: argparse.Namespace, console: Console) -> None:
    if chosen.seeds < 1:
        raise ElectorateError(f"--seeds {chosen.seeds}: at least 1")
    from simulations.sweep import sweep

    sweep(chosen.config, chosen.settings, chosen.over, chosen.seeds, _out(chosen), console)


def _human(chosen: argparse.Namespace, console: Console) -> None:
    from electorate.commands.human import human
    from simulations.report import finished

    folder = human(chosen.votes, chosen.out, chosen.ties, chosen.reward, console, chosen.by)
    finished.write(folder)
    finished.show(folder, console)


def _report(chosen: argparse.Namespace, console: Console) -> None:
    from electorate.storage.run_folder import RunFolder
    from simulations.report import finished

    folder = RunFolder(chosen.folder.absolute())
    manifest = folder.read_manifest()
    status = manifest["status"]
    if status != "complete":
        raise ElectorateError(
            f"{chosen.folder}: the run is {status}; finish it with `run CONFIG --out "
            f"{chosen.folder} --resume` first"
        )
    if manifest.get("kind") != "human" and not folder.config.exists():
        raise ElectorateError(
            f"{chosen.folder}: holds no run's config; only a run has a report, other comparisons "
            "have their tables"
        )
    finished.write(folder)
    finished.show(folder, console)


def _predict(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.predict import predict

    predict(chosen.train, chosen.test, chosen.out, chosen.config, console)


def _serve(chosen: argparse.Namespace, console: Console) -> None:
    from pydantic import ValidationError

    from serve.settings import Settings
    from simulations import serving

    costs = {} if chosen.costs is None else serving.costs_of_answers(chosen.costs)
    try:
        settings = Settings(
            folder=chosen.folder,
            costs=costs,
            out=chosen.out,
            by=chosen.by,
            keys=chosen.keys,
            retain_days=chosen.retain_days,
            hash_ids=chosen.hash_ids,
            models=chosen.models,
            live=chosen.live,
            contestants=chosen.contestants,
            explore=chosen.explore,
            holdout=chosen.holdout,
            reward_gpus=chosen.reward_gpus,
            hosts=serving.names_of(chosen.host),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]).replace("_", "-")
        raise ElectorateError(f"--{name} {problem['input']}: {problem['msg']}") from None
    serving.serve(settings, chosen.host, chosen.port, chosen.address, console)


def _route_eval(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.route_eval import route_eval

    route_eval(chosen.folder, chosen.costs, console)


def _compare(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.compare import compare

    compare([folder.absolute() for folder in chosen.folders], console)


def _submit(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.submit import submit

    submit(
        chosen.config,
        chosen.settings,
        chosen.address,
        chosen.out,
        chosen.resume,
        to=chosen.to,
        detach=chosen.detach,
        console=console,
    )


def _fetch(chosen: argparse.Namespace, console: Console) -> None:
    from simulations.submit import fetch

    fetch(chosen.folder.absolute(), chosen.to)
    if chosen.to is not None:
        next_step.tell(console, f"electorate report {chosen.to}", f"electorate serve {chosen.to}")


def _status(chosen: argparse.Namespace, console: Console) -> None:
    from simulations import status

    status.show(chosen.what, console)


def _keys(chosen: argparse.Namespace, console: Console) -> None:
    from simulations import serving

    limits = (chosen.tokens_a_minute, chosen.usd_a_day)
    serving.keys(chosen.file, chosen.name, chosen.may, console, *limits)


def _init(chosen: argparse.Namespace, console: Console) -> None:
    from simulations import init

    given = init.Given(
        chosen.have,
        chosen.votes,
        chosen.url,
        chosen.model,
        chosen.api_key_env,
        chosen.voters,
        chosen.out,
    )
    init.init(given, _answer, console)


def _answer(question: str) -> str:
    """What is typed.

    Raises:
        ElectorateError: nobody is there to type.
    """
    try:
        return input(question)
    except EOFError:
        raise ElectorateError(
            "init: no terminal to ask questions; pass --have, and what it needs"
        ) from None


COMMANDS: dict[str, Command] = {
    **cli.COMMANDS,
    "init": _init,
    "human": _human,
    "run": _run,
    "poll": _poll,
    "predict": _predict,
    "sweep": _sweep,
    "report": _report,
    "compare": _compare,
    "route-eval": _route_eval,
    "serve": _serve,
    "keys": _keys,
    "submit": _submit,
    "fetch": _fetch,
    "status": _status,
}
