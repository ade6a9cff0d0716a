"""`--dry-run`: what a run would ask of its models, and what that would cost."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from electorate.base.pairs import pair_indices
from electorate.config.contest import Contest
from electorate.config.engines import asked
from electorate.config.judging import MOST_RANKED, Judging, ModelJudge, NewPrompts
from electorate.config.run import Config
from electorate.data import prompts as prompts_module
from electorate.inference.completions import Call
from electorate.inference.spending import CHARACTERS_A_TOKEN, Cost, cost, of_calls, prices_of
from electorate.polls import cards, new_prompts, own_templates, wording
from electorate.polls.cards import Card
from electorate.polls.wording import Attempt, Question
from electorate.population.voters import BLOCK
from electorate.storage.response_cache import ResponseCache
from simulations.answers import Answers
from simulations.model_voters import CHECKED

COUNTS = ("requests", "stored", "tokens in, about", "tokens out, at most")
SAMPLED = 50  # questions whose length stands for that of all
ORDERS = 2  # in which a battle is judged
PLEAS = 3  # how often a battle is judged that tries pleas


@dataclass(frozen=True)
class Line:
    """What a model is asked for one purpose.

    stored: how many answers more are stored already, and cost nothing.
    """

    purpose: str
    model: str
    cost: Cost
    stored: int = 0


@dataclass(frozen=True)
class BattleCounts:
    """How many battles judges judge: for votes, for the rankings that are the truth, for checks;
    and by how many personas, at most, all responses are ranked at once.
    """

    votes: int
    truth: int
    checks: int
    ranked: int


def of_run(config: Config) -> list[Line]:
    """What the run would ask, but for contestants' responses that are stored.

    Judgements that are stored count all the same; questions put again, as their answer could not be
    read, do not.
    """
    config = own_templates.with_texts(config)
    judging = config.judging
    lines = list(_contestants(config, judging))
    if judging is None:
        return lines
    last = config.votes.checkpoints[-1]
    first = min(config.users, BLOCK, max(2, CHECKED // last))
    modes = len(judging.modes)
    truth = min(config.compared, config.users) * _of_truth(config, judging)
    # The first mode's judgements of these battles are votes, and stored.
    checks = (modes - 1) * first * last + _of_checks(judging)
    battles = BattleCounts(
        config.users * last, truth, checks, min(first, judging.rankings.personas)
    )
    return [*lines, *_judges(config, judging, battles)]


def show(lines: Sequence[Line], contest: Contest, console: Console) -> None:
    """Print the lines and their sum, and how to go on."""
    total = sum((line.cost for line in lines), Cost())
    stored = sum(line.stored for line in lines)
    table = Table(title="What would be asked", title_justify="left", box=None)
    table.add_column("for")
    table.add_column("model")
    for name in COUNTS if total.usd is None else (*COUNTS, "USD, about"):
        table.add_column(name, justify="right")
    for line in [*lines, Line("in all", "", total, stored)]:
        table.add_row(line.purpose, line.model, *_cells(line))
    console.print(table)
    if total.usd is None:
        console.print("without models.NAME.price (USD a million tokens) no cost is known")
    budget = contest.budget
    over = [
        f"budget.{name}: {limit:,g}"
        for name, limit, most in (
            ("requests", budget.requests, total.requests),
            ("usd", budget.usd, total.usd or 0.0),
        )
        if limit is not None and most > limit
    ]
    if over:
        console.print(f"it may stop early, resumable: {', '.join(over)}", highlight=False)
    console.print("nothing was asked; the same command without --dry-run asks", highlight=False)


def announce(lines: Sequence[Line], console: Console) -> None:
    """Say in a line what a run is about to ask; nothing where all of it is stored."""
    total = sum((line.cost for line in lines), Cost())
    if not total.requests:
        return
    usd = "" if total.usd is None else f", about {total.usd:,.2f} USD"
    console.print(
        f"to ask: at most {total.requests:,} requests, about {total.tokens_in:,} tokens in and "
        f"{total.tokens_out:,} out{usd} (--dry-run lists them)",
        highlight=False,
    )


def _cells(line: Line) -> list[str]:
    counts = (line.cost.requests, line.stored, line.cost.tokens_in, line.cost.tokens_out)
    usd = [] if line.cost.usd is None else [f"{line.cost.usd:,.2f}"]
    return [*(f"{count:,}" for count in counts), *usd]


def _contestants(contest: Contest, judging: Judging | None) -> Iterator[Line]:
    """Prompts that are to be written, and the contestants' responses."""
    if judging is not None and judging.new_prompts is not None:
        writers = list(islice(_cards(contest, judging), BLOCK))
        yield from _on_new_prompts(contest, judging.new_prompts, writers)
        return
    prompts = prompts_module.select(contest)
    cache_dir = Path(contest.cluster.cache_dir).expanduser()
    with closing(ResponseCache(cache_dir / "answers.sqlite")) as cache:
        answers = Answers(contest, prompts, cache)
    for model, found in of_calls(answers.missing, contest.models).items():
        yield Line("contestants' responses", model, found)
    if answers.stored:
        yield Line("contestants' responses", "", Cost(), answers.stored)


def _on_new_prompts(
    contest: Contest, settings: NewPrompts, writers: Sequence[Card]
) -> Iterator[Line]:
    written = [call for call, _ in new_prompts.calls(settings, contest.models, writers)]
    for model, found in of_calls(written, contest.models).items():
        yield Line("new prompts", model, found)
    count = min(len(written), settings.most or len(written))
    prices = prices_of(contest.models)
    for contestant in contest.contestants:
        read = new_prompts.MAX_TOKENS + len(contestant.system) // CHARACTERS_A_TOKEN
        price = prices.get(contestant.model)
        found = cost(count, count * read, count * contestant.max_tokens, price)
        yield Line(f"responses of {contestant.name}", contestant.model, found)


def _judges(contest: Contest, judging: Judging, battles: BattleCounts) -> Iterator[Line]:
    """What judges are asked."""
    models = len(contest.contestant_names)
    listwise = battles.ranked * judging.rankings.prompts * models if models <= MOST_RANKED else 0
    for judge in judging.judges:
        for purpose, count in (
            ("votes", battles.votes),
            ("the judges' own rankings", battles.truth),
            ("checks", battles.checks),
        ):
            if count:
                mode = judging.modes[0]
                found = _questions(contest, judging, judge, mode, 2, ORDERS * count)
                yield Line(purpose, judge.model, found)
        if listwise:
            found = _questions(contest, judging, judge, "ranking", models, listwise)
            yield Line("rankings at once", judge.model, found)


def _questions(
    contest: Contest, judging: Judging, judge: ModelJudge, mode: str, responses: int, count: int
) -> Cost:
    """Of so many questions, as long on the mean as some of them are.

    Responses that are not there yet count as long as they may be.
    """
    longest = [contestant.max_tokens for contestant in contest.contestants] or [0]
    shown = ("x" * int(np.mean(longest) * CHARACTERS_A_TOKEN),) * responses
    model = asked(contest.models)[judge.model]
    texts = _prompt_texts(contest, judging)
    calls = list[Call]()
    for i, card in enumerate(islice(_cards(contest, judging), SAMPLED)):
        question = Question(judge.name, mode, i, texts[i % len(texts)], shown)
        of_card = (question, card.text(), judge, model, contest.seed, Attempt())
        body = wording.body(*of_card, judging.templates)
        calls.append(Call("", judge.model, body))
    sampled = of_calls(calls, contest.models)[judge.model]
    each = count / len(calls)
    tokens_in = round(each * sampled.tokens_in)
    return cost(count, tokens_in, round(each * sampled.tokens_out), model.price)


def _prompt_texts(contest: Contest, judging: Judging) -> Sequence[str]:
    if judging.new_prompts is not None:
        return ["x" * new_prompts.MAX_TOKENS * CHARACTERS_A_TOKEN]
    return prompts_module.select(contest).text


def _cards(contest: Contest, judging: Judging) -> Iterator[Card]:
    for block in cards.in_blocks(judging.personas, contest.seed, BLOCK):
        yield from block


def _of_truth(contest: Contest, judging: Judging) -> int:
    """Battles of one persona's own rankings."""
    pairs = len(pair_indices(len(contest.contestant_names))[0])
    return judging.rankings.prompts * pairs


def _of_checks(judging: Judging) -> int:
    """Battles that only checks need, at most."""
    checks = judging.checks
    people = 0 if checks.people is None else checks.people_battles * checks.people_personas
    repeats = checks.repeats * len(judging.modes)
    return repeats + PLEAS * checks.injections + people
