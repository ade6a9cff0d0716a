"""What System B learns from: the answers of a run as tokens, and the votes of its first personas
about them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from electorate.base.scale import Ints
from electorate.config.reward import Reward
from electorate.data import run_files
from electorate.data.conversations import plain
from electorate.data.votes import NamedVotes
from electorate.population.logged_votes import COLUMNS, LoggedVotes
from electorate.population.voters import BLOCK, Voters
from electorate.rewards import texts
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.texts import Answer
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog


@dataclass(frozen=True)
class Texted:
    """Anybody's votes, and the texts that they are about, tokenised once. battles: all votes in
    the file's order; answers, prompt and model as a Corpus has them.
    """

    answers: list[Answer]
    prompt: Ints
    model: Ints
    battles: AnswerVotes
    models: int

    def corpus(self, votes: Ints) -> "Corpus":
        """To learn from these votes alone."""
        known = self.battles.take(votes)
        known = known.take(np.argsort(known.user, kind="stable"))
        return Corpus(self.answers, self.prompt, self.model, known, *known.split(0))


@dataclass(frozen=True)
class Corpus:
    """answers: A of them, in order of prompt; prompt and model: (A,) of each. battles: votes on
    them; learned and held_out: their prompts. asked: all prompts, read as answers to nothing,
    where that is wanted.
    """

    answers: list[Answer]
    prompt: Ints
    model: Ints
    battles: AnswerVotes
    learned: Ints
    held_out: Ints
    asked: Sequence[Answer] = ()

    def rows(self, prompts: Ints) -> Ints:
        """Where the answers to these prompts lie."""
        first = np.searchsorted(self.prompt, prompts)
        last = np.searchsorted(self.prompt, prompts, side="right")
        return np.concatenate(
            [np.arange(*span) for span in zip(first, last, strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )


def of_run(run: RunFolder, voters: Voters, settings: Reward, round_: int, tokenizer: Any) -> Corpus:
    """From a run's folder, votes of rounds 0..round_."""
    prompts = run_files.read_prompts(run).text
    models = voters.models
    names = voters.config.contestant_names
    table = run_files.read_responses(run, len(prompts), names)
    responses = [text or "" for text in table["response"].to_pylist()]
    answers = texts.tokenise(
        tokenizer,
        [prompts[i // models] for i in range(len(responses))],
        responses,
        settings.max_tokens,
    )
    battles = votes_of_run(run, voters, settings, round_)
    prompt, model = np.divmod(np.arange(len(answers)), models)
    asked = texts.tokenise(tokenizer, [""] * len(prompts), prompts, settings.max_tokens)
    return Corpus(
        answers,
        prompt,
        model,
        battles,
        *battles.split(voters.seed, voters.training_prompts),
        asked,
    )


def votes_of_run(run: RunFolder, voters: Voters, settings: Reward, round_: int) -> AnswerVotes:
    """The votes of rounds 0..round_ that System B learns from."""
    learned_from = min(settings.voters, voters.size)
    blocks = range(-(-learned_from // BLOCK))
    log = VoteLog(run.votes, voters.config.contestant_names)
    votes = [
        LoggedVotes.of_block(log.read(r, block, COLUMNS), 0, r).of_users(
            np.arange(block * BLOCK, min(learned_from, (block + 1) * BLOCK)), block * BLOCK
        )
        for block in blocks
        for r in range(round_ + 1)
    ]
    archetype = np.concatenate([voters.archetype_of(block) for block in blocks])[:learned_from]
    return AnswerVotes.of_run(LoggedVotes.by_user(votes), archetype, voters.models)


def of_votes(
    votes: NamedVotes, tokenizer: Any, max_tokens: int, made: Ints | None = None
) -> Texted:
    """From anybody's votes with texts, users and prompts: each answer to each prompt once,
    whoever voted on it.

    made: (n,) as AnswerVotes has it.
    """
    read = votes.texts
    group = votes.prompt
    if read is None or group is None:
        raise ValueError("votes without texts or prompts")
    columns = [
        np.column_stack([group, read.prompt, models, response])
        for models, response in ((votes.a, read.a), (votes.b, read.b))
    ]
    distinct, place = np.unique(np.concatenate(columns), axis=0, return_inverse=True)
    asked = [plain(read.prompts[i]) for i in distinct[:, 1]]
    responses = [plain(read.responses[i]) for i in distinct[:, 3]]
    answers = texts.tokenise(tokenizer, asked, responses, max_tokens)
    place_a, place_b = np.split(place.ravel(), 2)
    battles = AnswerVotes.of(
        votes,
        outcome=votes.outcome_of_3,
        archetype=np.zeros(int(votes.user.max()) + 1, dtype=np.int64),
        answer_a=place_a,
        answer_b=place_b,
        made=made,
    )
    return Texted(answers, distinct[:, 0], distinct[:, 2], battles, len(votes.models))
