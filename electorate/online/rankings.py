"""A user's ranking from the standings: by what, on how many votes, and how sure each place is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from electorate.cast import Cast
from electorate.config import TOLD_BY_PROMPT
from electorate.draws import Stream, generator
from electorate.errors import ElectorateError
from electorate.online.base import Base, Run
from electorate.online.people import People, Person
from electorate.online.standings import Standings
from electorate.online.store import NO_PROMPT, NO_SEGMENT
from electorate.ratings import bradley_terry, leaderboard, posteriors
from electorate.ratings.posteriors import UserVotes
from electorate.ratings.ties import MODELS
from electorate.rewards import prompt_head, weights
from electorate.rewards import store as reward_store
from electorate.rewards.battles import Battles
from electorate.rewards.systems import on_answers
from electorate.rewards.weights import PersonalRead
from electorate.scale import ELO_PER_NAT, Floats, Ints, to_elo

CONFIDENCE = 0.95
DRAWS = 4096  # of who is first: a chance of a half is told to 0.8%
SYSTEM_A = "elo_offset"


@dataclass(frozen=True)
class Entry:
    """A model's place. rating, ci_low, ci_high: Elo points, about the mean of all models, 1000; p_top1: that it is the user's first
    among those ranked.
    """

    rank: int
    model: str
    rating: float
    ci_low: float
    ci_high: float
    p_top1: float


@dataclass(frozen=True)
class Ranking:
    """system, version: what made it; stale: whether that was trained on votes erased since. standings: the version of the votes it
    counts. personal: whether it is the user's own; note: why it is not. votes: of the user, that it rests on.
    """

    system: str
    version: str
    stale: bool
    standings: int
    personal: bool
    note: str
    segment: str | None
    votes: int
    ranking: tuple[Entry, ...]


@dataclass(frozen=True)
class PromptSystem:
    """The form of System B that ranks on prompts, and the training in force."""

    form: str
    round_: int
    version: str
    read: PersonalRead

    @classmethod
    def of(cls, run: Run) -> "PromptSystem | None":
        """The most capable personal form that the run trained, the one that prompt_head tells of; None where it trained none."""
        versions, systems = reward_store.read_versions(run.folder), run.electorate.config.evaluation.systems
        for form in [form for form in TOLD_BY_PROMPT if form in systems] if versions else ():
            last = versions[max(versions)]
            read = reward_store.read(reward_store.of_round(run.folder, last), form)
            if isinstance(read, PersonalRead):
                return cls(form, last, reward_store.version_name(run.folder, last), read)
        return None


class Rankings:
    """Every ranking of a base; what it holds does not change between standings."""

    def __init__(self, base: Base) -> None:
        self.base, self.people = base, People(base)
        self.by_prompt = PromptSystem.of(base.run) if base.run else None
        self._version = base.run.electorate.config.digest()[:12] if base.run else ""
        self._prompts = {text: i for i, text in enumerate(base.run.prompts.text)} if base.run else {}

    def leaderboard(self, standings: Standings, segment: str | None, ties: str | None) -> list[dict[str, object]]:
        """Rows of electorate/ratings/leaderboard.py, best first. ties: another model of ties than the run's.

        Raises ElectorateError if there is no such segment.
        """
        k = self.people.segment(segment)
        if not standings.fits:
            return []
        fit = standings.fits[k + 1]
        if ties is not None:
            counts = standings.counts.sum(axis=0) if k == NO_SEGMENT else standings.counts[k]
            fit = bradley_terry.fit(counts, MODELS[ties], self.base.prior_sd)
        return sorted(leaderboard.rows(standings.models, fit, CONFIDENCE), key=lambda row: -float(row["rating"]))

    def prompt(self, text: str) -> int | None:
        """The run's prompt with this text, if it has one."""
        return self._prompts.get(text)

    def of_user(
        self, standings: Standings, user: str | None, segment: str | None = None, candidates: Sequence[str] | None = None
    ) -> Ranking:
        """For a user: its own by System A, or where it has not voted its segment's or everyone's.

        segment: counts where the user has none of its own. candidates: the models to rank, None for all.
        Raises ElectorateError if there is no such segment or model.
        """
        person, rows = self.people.who(standings, user, segment), _rows(standings.models, candidates)
        prior = standings.unlabelled if standings.prior is None or person.segment == NO_SEGMENT else standings.prior
        votes, label = self.people.votes(standings, person), person.segment if prior is standings.prior else 0
        if prior is None or not len(votes.user):
            system = "global_bt" if person.segment == NO_SEGMENT else "segment_bt"
            fit = standings.fits[person.segment + 1] if standings.fits else None
            entries = () if fit is None else _entries(standings.models, rows, fit.strength, fit.covariance[:-1, :-1])
            return self._ranking(standings, system, self._version, user, person, 0, entries)
        own = UserVotes(1, np.array([label]), votes.user, votes.a, votes.b, votes.outcome)
        at = posteriors.posterior(own, prior, self.base.ties)
        entries = _entries(standings.models, rows, at.mode[0, :-1], at.covariance[0, :-1, :-1])
        return self._ranking(standings, SYSTEM_A, self._version, user, person, len(votes.user), entries)

    def on_stored(
        self, standings: Standings, user: str | None, prompt: int, segment: str | None = None, candidates: Sequence[str] | None = None
    ) -> Ranking:
        """By the models' answers to a prompt of the run, for a user. See `of_user`.

        Raises ElectorateError too if the run trained nothing that reads answers.
        """
        by_prompt, models = self.reads_prompts(), len(standings.models)
        told = weights.on_prompt(by_prompt.read, prompt, models)
        return self.on_answers(standings, user, by_prompt.form, told, np.arange(models), segment, candidates)

    def on_answers(
        self,
        standings: Standings,
        user: str | None,
        system: str,
        told: PersonalRead,
        models: Ints,
        segment: str | None = None,
        candidates: Sequence[str] | None = None,
    ) -> Ranking:
        """By what `told` says of answers (A,) by these models, for a user, whose weights come from its votes on the run's answers."""
        by_prompt, person = self.reads_prompts(), self.people.who(standings, user, segment)
        names = [standings.models[m] for m in models]
        rows, votes = _rows(names, candidates), self.people.votes(standings, person)
        votes = Cast(*(values[votes.prompt != NO_PROMPT] for values in votes))
        read, label = by_prompt.read, np.array([max(0, person.segment)])
        if person.segment == NO_SEGMENT and self.base.run is not None:
            read, told = (prompt_head.without_label(one, self.base.run.shares) for one in (read, told))
        own = weights.solve(read, Battles.of(votes, label, len(standings.models)), self.base.ties)
        strength, covariance = on_answers(told, label, own, models)
        entries = _entries(names, rows, strength[0], covariance[0])
        return self._ranking(standings, system, by_prompt.version, user, person, len(votes.user), entries)

    def reads_prompts(self) -> PromptSystem:
        """What ranks on prompts. Raises ElectorateError if nothing does."""
        if self.by_prompt is None:
            raise ElectorateError("prompt: nothing here reads prompts; serve a run whose config has a reward section, or leave it out")
        return self.by_prompt

    def _ranking(
        self,
        standings: Standings,
        system: str,
        version: str,
        user: str | None,
        person: Person,
        votes: int,
        entries: tuple[Entry, ...],
    ) -> Ranking:
        segment, note = None if person.segment == NO_SEGMENT else self.base.segments[person.segment], ""
        if not votes:
            known = "no user was named" if user is None else "the user is not known" if person.number is None else "the user has no votes"
            note = f"{known}; this is {'everyone' if segment is None else segment}'s ranking"
        by_prompt, run = self.by_prompt, self.base.run
        stale = (
            by_prompt is not None
            and run is not None
            and version == by_prompt.version
            and reward_store.is_stale(run.folder, by_prompt.round_)
        )
        return Ranking(system, version, stale, standings.version, votes > 0, note, segment, votes, entries)


@lru_cache(16)
def _normal(models: int) -> Floats:
    """(DRAWS, models), the same for everybody."""
    drawn: Floats = generator(0, Stream.TOP).standard_normal((DRAWS, models))
    return drawn


def _rows(models: Sequence[str], candidates: Sequence[str] | None) -> Ints:
    """Places of the candidates among the models. Raises ElectorateError if one is not there."""
    if candidates is None:
        return np.arange(len(models))
    for name in candidates:
        if name not in models:
            raise ElectorateError(
                f"candidates: {name!r} is not a contestant; there are {', '.join(models[:10])}{', ...' * (len(models) > 10)}"
            )
    return np.array([models.index(name) for name in dict.fromkeys(candidates)], dtype=np.int64)


def _entries(models: Sequence[str], rows: Ints, strength: Floats, covariance: Floats) -> tuple[Entry, ...]:
    """Places of these rows from all models' strengths (M,) and covariance (M, M), nats."""
    # Votes say nothing of the models' common level.
    level = np.eye(len(models)) - 1 / len(models)
    mean, spread = (level @ strength)[rows], (level @ covariance @ level)[np.ix_(rows, rows)]
    values, vectors = np.linalg.eigh(spread)
    drawn = mean + _normal(len(rows)) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    first = np.bincount(drawn.argmax(axis=1), minlength=len(rows)) / DRAWS
    half = float(ndtri((1 + CONFIDENCE) / 2)) * ELO_PER_NAT * np.sqrt(np.maximum(np.diag(spread), 0.0))
    rating = to_elo(mean)
    low, high = rating - half, rating + half

    def entry(place: int, i: int) -> Entry:
        middle, bottom, top = (round(float(x), 2) for x in (rating[i], low[i], high[i]))
        return Entry(place, models[rows[i]], middle, bottom, top, round(float(first[i]), 4))

    return tuple(entry(place + 1, i) for place, i in enumerate(np.argsort(-mean, kind="stable").tolist()))
