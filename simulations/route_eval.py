"""`route-eval`: what routing by a run's rankings is worth to its users, and what it costs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.commands import next_step
from electorate.commands.progress import bar
from electorate.config.run import Config, RatingSettings
from electorate.config.systems import GATED
from electorate.data import costs as contestants_costs
from electorate.data import run_files
from electorate.data.prompts import PromptSet
from electorate.evaluation import people as people_module
from electorate.evaluation import routing, scoring
from electorate.evaluation.routing import GLOBAL, Prices, Routed, Router
from electorate.inference.spending import CHARACTERS_A_TOKEN, MILLION, prices_of
from electorate.population import people as voters_of_people
from electorate.population import voters as voters_module
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.study import pool as pools
from electorate.study import routers
from electorate.study.pool import Pool
from electorate.study.systems import Rater
from simulations import backends, live_routing
from simulations.report import finished
from simulations.report import routing as report

REQUESTS = 1000
# What routes on people's votes, on prompts that it has not seen.
OF_PEOPLE = {
    **{name: routers.LABELS[name] for name in (GLOBAL, "elo_offset")},
    GATED: "by the user, where that is expected to gain",
}
UNPRICED_PEOPLE = "for quality against cost give --costs FILE"
UNPRICED = f"{UNPRICED_PEOPLE}, or models.NAME.price in the run's config.yaml"


def route_eval(path: Place, costs: Path | None, console: Console) -> None:
    """Compare routers on a finished run, write routing.parquet and routing.json, and draw them in
    its report; and by thumbs on the answers of a gateway that serves this folder.

    costs: a file of what contestants cost (electorate/data/costs.py); None: by the config's prices.

    Raises:
        ElectorateError: what the user can put right.
    """
    folder = RunFolder(path)
    # What is in an object store is not served.
    kept = live_routing.read(path) if isinstance(path, Path) else None
    if kept is None or _is_run(folder):
        _on_run(folder, costs, console)
    if kept is not None:
        live_routing.show(kept, console)


def _is_run(folder: RunFolder) -> bool:
    return folder.manifest.exists() and "config_hash" in folder.read_manifest()


def _on_run(folder: RunFolder, costs: Path | None, console: Console) -> None:
    path = folder.path
    if not _is_run(folder) or folder.read_manifest()["status"] != "complete":
        raise ElectorateError(
            f"{path}: holds no finished run, and no thumbs on a gateway's answers; finish it with "
            "--resume, run `human` again, or serve it with --contestants FILE --holdout 0.1"
        )
    of_people = run_files.voters_kind(folder) == "people"
    compare = _of_people if of_people else _of_run
    report.write(folder, compare(folder, costs, console))
    report.show(folder, console)
    finished.write(folder)
    console.print(f"plot and table: {folder.report}", highlight=False, soft_wrap=True)
    next_step.tell(console, f"electorate serve {path} --contestants configs/endpoints.yaml")


def _of_run(folder: RunFolder, costs: Path | None, console: Console) -> Routed:
    """On the compared users and test prompts, whose true utilities are known."""
    config = run_files.read_config(folder)
    prompts = run_files.read_prompts(folder)
    electorate = voters_module.of_run(folder)
    numbers = voters_module.compared(electorate)
    test = electorate.truth_prompts(prompts.ids("test"))
    prices = _prices(folder, config, prompts, test, costs)
    checkpoints = config.votes.checkpoints
    by_votes = dict[int, Mapping[str, Router]]()
    with backends.of_run(config, folder, {}, console) as pool:
        rater = Rater(electorate, numbers, pool, folder)
        with bar(console, "Routing", len(checkpoints)) as advance:
            for round_, votes in enumerate(checkpoints):
                by_votes[votes] = _after(rater, round_, pool, test, prices)
                advance()
    unit = "Elo points of true utility"
    return Routed(by_votes, prices.rates, routers.LABELS, unit, UNPRICED)


def _after(
    rater: Rater, round_: int, pool: Pool, test: Ints, prices: Prices
) -> Mapping[str, Router]:
    """Every router on the votes up to a round."""
    at = rater.at(round_, voters_module.with_ids(rater.voters, rater.people, round_))
    found = routers.of_round(at)
    people = at.people
    work = []
    for rows in scoring.chunks(len(people)):
        work.append(({n: system.take(rows) for n, system in found.items()}, people.take(rows)))
    parts = pools.results(pool, "route", work, test, prices)
    return routing.resampled(routing.joined(parts), rater.voters.seed)


def _of_people(folder: RunFolder, costs: Path | None, console: Console) -> Routed:
    """On held-out votes: a router chooses between the two contestants of each."""
    votes = voters_of_people.votes_of_run(folder)
    prompt = people_module.prompts(votes, str(folder.path))
    cost = np.zeros(len(votes.models))
    if costs is not None:
        each = contestants_costs.of_requests(costs)
        if each is None:
            raise ElectorateError(
                f"{costs}: has no column usd_per_1000, which is needed here, as votes do not say "
                "how many tokens answers had"
            )
        cost = contestants_costs.in_order(costs, each, votes.models)
    settings = RatingSettings(ties=folder.read_manifest()["ties"])
    with bar(console, "Routing (fold seeds)", people_module.SEEDS) as advance:
        predicted, _ = people_module.predict(
            votes, prompt, settings, tuple(OF_PEOPLE), people_module.SEEDS, advance
        )
    odds = {name: own.mean(axis=0) for name, own in predicted.items()}
    odds[routing.RANDOM] = np.full((len(votes), 3), 1 / 3)
    labels = OF_PEOPLE | {routing.RANDOM: routers.LABELS[routing.RANDOM]}
    at = routing.rates(cost)
    found = routing.on_votes(votes, prompt, odds, cost, at)
    votes_a_user = round(len(votes) / len(np.unique(votes.user)))
    unit = "share of votes whose winner is chosen"
    return Routed({votes_a_user: found}, at, labels, unit, UNPRICED_PEOPLE)


def _prices(
    folder: RunFolder, config: Config, prompts: PromptSet, test: Ints, costs: Path | None
) -> Prices:
    """What requests cost by the file, else by the config's prices."""
    if costs is not None and (each := contestants_costs.of_requests(costs)) is not None:
        expected = contestants_costs.in_order(costs, each, config.contestant_names)
        return Prices(expected, np.tile(expected, (len(test), 1)), routing.rates(expected))
    if costs is not None:
        by_name = contestants_costs.of_tokens(costs)
        prices = contestants_costs.in_order(costs, by_name, config.contestant_names)
    else:
        known = prices_of(config.models)
        prices = np.array(
            [
                (price.input, price.output) if (price := known.get(one.model)) else (0.0, 0.0)
                for one in config.contestants
            ]
        )
    cost = _by_tokens(folder, config, prompts, prices)
    train = np.setdiff1d(np.arange(len(prompts)), test)
    expected = cost[train].mean(axis=0)
    return Prices(expected, cost[test], routing.rates(expected))


def _by_tokens(folder: RunFolder, config: Config, prompts: PromptSet, prices: Floats) -> Floats:
    """(P, M) USD that 1,000 requests would cost, by the tokens of each prompt and answer.

    prices: (M, 2) USD a million tokens, read and written.
    """
    if not prices.any():
        return np.zeros((len(prompts), len(config.contestants)))
    contestants = config.contestants
    rows = run_files.read_responses(folder, len(prompts), config.contestant_names).to_pylist()
    # Recorded answers have no count of tokens.
    written = [row["tokens"] or len(row["response"] or "") / CHARACTERS_A_TOKEN for row in rows]
    asked = np.array([len(text) for text in prompts.text])
    system_prompt = np.array([len(one.system or "") for one in contestants])
    read = (asked[:, None] + system_prompt) / CHARACTERS_A_TOKEN
    spent = np.reshape(written, read.shape) * prices[:, 1] + read * prices[:, 0]
    cost: Floats = REQUESTS / MILLION * spent
    return cost
