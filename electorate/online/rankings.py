"""A user's ranking from the snapshot: by what, on how many votes, and how sure each place is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from electorate.base.draws import Stream, generator
from electorate.base.errors import RequestError
from electorate.base.scale import ELO_PER_NAT, Floats, Ints, to_elo
from electorate.config.reward import TOLD_BY_PROMPT
from electorate.online import thumbs
from electorate.online.base import Base, Run
from electorate.online.people import People, Person
from electorate.online.sent import NO_MODEL, NO_PROMPT, NO_SEGMENT
from electorate.online.snapshot import ONLINE, Snapshot
from electorate.population.logged_votes import LoggedVotes
from electorate.ratings import bradley_terry, leaderboard, posteriors
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.prior import Prior
from electorate.ratings.ties import MODELS, TieModel
from electorate.rewards import prompt_head, weights
from electorate.rewards import store as reward_store
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.systems import on_answers
from electorate.rewards.weights import PersonalRead

CONFIDENCE = 0.95
DRAWS = 4096  # of who is first: a chance of a half is told to 0.8%
SYSTEM_A = "elo_offset"
OF_MANY = ("global_bt", "segment_bt")  # rankings that are nobody's own


@dataclass(frozen=True)
class Entry:
    """A model's place. rating, ci_low, ci_high: Elo points, about the mean of all models, 1000;
    p_top1: that it is the user's first among those ranked.
    """

    rank: int
    model: str
    rating: float
    ci_low: float
    ci_high: float
    p_top1: float


@dataclass(frozen=True)
class Ranking:
    """A user's ranking, and what it rests on.

    Attributes:
        system, version: what made it.
        stale: whether that was trained on votes erased since.
        snapshot: the version of the votes it counts.
        personal: whether it is the user's own.
        note: why it is not.
        votes: of the user, that a ranking of its own rests on.
        weight: of each of the user's online votes in the boards, under the cap of a user.
    """

    system: str
    version: str
    stale: bool
    snapshot: int
    personal: bool
    note: str
    segment: str | None
    votes: int
    weight: float
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
        """The most capable personal form that the run trained, the one that prompt_head tells of;
        None where it trained none.
        """
        versions = reward_store.read_versions(run.folder)
        systems = run.voters.config.evaluation.systems
        for form in [form for form in TOLD_BY_PROMPT if form in systems] if versions else ():
            last = versions[max(versions)]
            read = reward_store.read(reward_store.of_round(run.folder, last), form)
            if isinstance(read, PersonalRead):
                return cls(form, last, reward_store.version_name(run.folder, last), read)
        return None


class Rankings:
    """Every ranking of a base; what it holds does not change from one snapshot to the next."""

    def __init__(self, base: Base) -> None:
        run = base.run
        self.base = base
        self.people = People(base)
        self.by_prompt = PromptSystem.of(run) if run else None
        self._version = run.voters.config.digest()[:12] if run else ""
        self._prompts = {text: i for i, text in enumerate(run.prompts.text)} if run else {}

    def leaderboard(
        self, snapshot: Snapshot, segment: str | None, ties: str | None
    ) -> list[dict[str, object]]:
        """Rows of electorate/ratings/leaderboard.py, best first.

        ties: another tie model than the run's. Raises RequestError if there is no such segment.
        """
        fit = self.fit(snapshot, segment)
        counts = self.counts(snapshot, segment)
        if fit is None or counts is None:
            return []
        if ties not in (None, self.base.ties_name):
            models = (self.base.ties, MODELS[ties])
            plain, other = (bradley_terry.fit(counts, of, self.base.prior_sd) for of in models)
            fit = _with_errors_of(fit, plain, other)
        ranked = set(snapshot.ranked)
        is_ranked = np.array([name in ranked for name in snapshot.models])
        shift = -float(to_elo(fit.strength)[is_ranked].mean() - to_elo(np.zeros(1))[0])
        rows = leaderboard.rows(snapshot.models, fit, CONFIDENCE, shift)
        shown = [row for row in rows if row["model"] in ranked]
        return sorted(shown, key=lambda row: -float(row["rating"]))

    def fit(self, snapshot: Snapshot, segment: str | None) -> Fit | None:
        """Everyone's ratings, or a segment's; None before the first vote. Raises RequestError if
        there is no such segment.
        """
        k = self.people.segment(segment)
        return snapshot.fits[k + 1] if snapshot.fits else None

    def counts(self, snapshot: Snapshot, segment: str | None) -> Floats | None:
        """(M, M, 3) votes that `fit` rests on; None before the first."""
        k = self.people.segment(segment)
        if not snapshot.fits:
            return None
        found: Floats = snapshot.counts.sum(axis=0) if k == NO_SEGMENT else snapshot.counts[k]
        return found

    def prompt(self, text: str) -> int | None:
        """The run's prompt with this text, if it has one."""
        return self._prompts.get(text)

    def of_user(
        self,
        snapshot: Snapshot,
        user: str | None,
        segment: str | None = None,
        candidates: Sequence[str] | None = None,
    ) -> Ranking:
        """For a user: its own by System A, or where it has not voted its segment's or everyone's.

        segment: counts where the user has none of its own. candidates: the models to rank, None for
        all that are not retired. Raises RequestError if there is no such segment or model.
        """
        person = self.people.who(snapshot, user, segment)
        ranked = _rows(snapshot.models, snapshot.ranked)
        rows = ranked if candidates is None else _rows(snapshot.models, candidates)
        by_segment = snapshot.prior is not None and person.segment != NO_SEGMENT
        prior = snapshot.prior if by_segment else snapshot.unlabelled
        votes = self.people.votes(snapshot, person)
        if prior is None or not len(votes.user):
            system = "global_bt" if person.segment == NO_SEGMENT else "segment_bt"
            fit = snapshot.fits[person.segment + 1] if snapshot.fits else None
            if person.segment == NO_SEGMENT and snapshot.with_thumbs is not None:
                fit = snapshot.with_thumbs
            entries: tuple[Entry, ...] = ()
            if fit is not None:
                covariance = fit.covariance[:-1, :-1]
                entries = _entries(snapshot.models, rows, ranked, fit.strength, covariance)
            return self._ranking(snapshot, system, self._version, user, person, votes, entries)
        archetype = np.array([person.segment if by_segment else 0])
        models = len(snapshot.models)
        prior, own = thumbs.beside(prior, votes)
        at = posteriors.posterior(own.user_votes(archetype, 1.0), prior, self.base.ties)
        mode = at.mode[0, :models]
        covariance = at.total_covariance[0, :models, :models]
        entries = _entries(snapshot.models, rows, ranked, mode, covariance)
        return self._ranking(snapshot, SYSTEM_A, self._version, user, person, votes, entries)

    def rests_on(self, snapshot: Snapshot, user: str | None, segment: str | None) -> object:
        """What of_user's answer changes with, but for the version it names.

        A run's prior is the same from snapshot to snapshot, so a user's ranking changes with its
        votes alone; without a run, with models that it does not have, and for who has not voted,
        with everybody's.
        """
        person = self.people.who(snapshot, user, segment)
        votes = self.people.many_votes(snapshot, person)
        everyones = not votes or len(snapshot.models) > len(self.contestants)
        return (
            person,
            votes,
            snapshot.erasures,
            snapshot.models,
            snapshot.retired,
            snapshot.made if everyones else None,
        )

    def on_stored(
        self,
        snapshot: Snapshot,
        user: str | None,
        prompt: int,
        segment: str | None = None,
        candidates: Sequence[str] | None = None,
    ) -> Ranking:
        """By the models' answers to a prompt of the run, for a user. See `of_user`.

        Raises RequestError too if the run trained nothing that reads answers.
        """
        by_prompt = self.reads_prompts()
        models = self.contestants
        answers_read = weights.on_prompt(by_prompt.read, prompt, len(models))
        return self.on_answers(
            snapshot, user, by_prompt.form, answers_read, models, segment, candidates
        )

    @property
    def contestants(self) -> Ints:
        """Places of the run's contestants, which System B knows; models added since are none."""
        run = self.base.run
        return np.arange(0 if run is None else len(run.voters.config.contestants))

    def on_answers(
        self,
        snapshot: Snapshot,
        user: str | None,
        system: str,
        answers_read: PersonalRead,
        models: Ints,
        segment: str | None = None,
        candidates: Sequence[str] | None = None,
    ) -> Ranking:
        """By what `told` says of answers (A,) by these models, for a user.

        The user's weights come from its votes on the run's answers.
        """
        by_prompt = self.reads_prompts()
        person = self.people.who(snapshot, user, segment)
        names = [snapshot.models[m] for m in models]
        ranked = [name for name in names if name not in snapshot.retired]
        rows = _rows(names, ranked if candidates is None else candidates)
        votes = self.people.votes(snapshot, person)
        contestants = len(self.contestants)
        known = (votes.prompt != NO_PROMPT) & (np.maximum(votes.a, votes.b) < contestants)
        known &= votes.b != NO_MODEL
        votes = votes.take(known)
        archetype = np.array([max(0, person.segment)])
        read = by_prompt.read
        if person.segment == NO_SEGMENT and self.base.run is not None:
            shares = self.base.run.shares
            read, answers_read = (
                prompt_head.without_label(one, shares) for one in (read, answers_read)
            )
        own = weights.solve(read, AnswerVotes.of_run(votes, archetype, contestants), self.base.ties)
        strength, covariance = on_answers(answers_read, archetype, own, models)
        everyone = np.arange(len(names))
        entries = _entries(names, rows, everyone, strength[0], covariance[0])
        return self._ranking(snapshot, system, by_prompt.version, user, person, votes, entries)

    def reads_prompts(self) -> PromptSystem:
        """What ranks on prompts. Raises RequestError if nothing does."""
        if self.by_prompt is None:
            raise RequestError(
                "prompt: nothing here reads prompts; serve a run whose config has a reward "
                "section, or leave it out"
            )
        return self.by_prompt

    def _ranking(
        self,
        snapshot: Snapshot,
        system: str,
        version: str,
        user: str | None,
        person: Person,
        votes: LoggedVotes,
        entries: tuple[Entry, ...],
    ) -> Ranking:
        segment = None if person.segment == NO_SEGMENT else self.base.segments[person.segment]
        many = len(votes.user)
        personal = many > 0 and system not in OF_MANY
        note = ""
        if not personal:
            why = "how far users differ is not known yet" if many else "the user has no votes"
            if user is None:
                why = "no user was named"
            elif person.number is None:
                why = "the user is not known"
            note = f"{why}; this is {'everyone' if segment is None else segment}'s ranking"
        return Ranking(
            system=system,
            version=version,
            stale=self._is_stale(version),
            snapshot=snapshot.version,
            personal=personal,
            note=note,
            segment=segment,
            votes=many,
            weight=float(snapshot.caps.of_user(int(np.count_nonzero(votes.round_ == ONLINE)))),
            ranking=entries,
        )

    def _is_stale(self, version: str) -> bool:
        run = self.base.run
        by_prompt = self.by_prompt
        if by_prompt is None or run is None or version != by_prompt.version:
            return False
        return reward_store.is_stale(run.folder, by_prompt.round_)


def compile_kernels(ties: TieModel) -> None:
    """Rank two models for nobody, so that no request waits for what is compiled at its first use:
    on a new installation that takes ten seconds, in which nothing else is answered. What was
    compiled is kept on disk.
    """
    nothing = np.zeros(1, dtype=np.int64)
    vote = LoggedVotes(
        user=nothing,
        prompt=nothing,
        a=nothing,
        b=nothing + 1,
        first_shown=nothing,
        outcome=nothing,
        round_=nothing,
    )
    prior = Prior(np.zeros((1, 3)), 1.0, 1.0, mean_covariance=np.eye(3)[None])
    at = posteriors.posterior(vote.user_votes(nothing, 1.0), prior, ties)
    rows = np.arange(2)
    _entries(("a", "b"), rows, rows, at.mode[0, :-1], at.total_covariance[0, :-1, :-1])


def _with_errors_of(clustered: Fit, plain: Fit, other: Fit) -> Fit:
    """The other tie model's fit, its errors as much wider than plain ones as clustering makes
    those of the first.
    """
    wider = np.sqrt(np.diag(clustered.covariance) / np.maximum(np.diag(plain.covariance), 1e-300))
    return replace(other, covariance=wider[:, None] * other.covariance * wider)


@lru_cache(16)
def _normal(models: int) -> Floats:
    """(DRAWS, models), the same for everybody."""
    drawn: Floats = generator(0, Stream.TOP).standard_normal((DRAWS, models))
    return drawn


def _rows(models: Sequence[str], candidates: Sequence[str]) -> Ints:
    """Places of the candidates among the models. Raises RequestError if one is not there."""
    place = {name: m for m, name in enumerate(models) if name}
    for name in candidates:
        if name not in place:
            there = f"{', '.join(list(place)[:10])}{', ...' * (len(place) > 10)}"
            raise RequestError(f"candidates: {name!r} is not a contestant; there are {there}")
    return np.array([place[name] for name in dict.fromkeys(candidates)], dtype=np.int64)


def _entries(
    models: Sequence[str], rows: Ints, of_all: Ints, strength: Floats, covariance: Floats
) -> tuple[Entry, ...]:
    """Places of these rows from all models' strengths (M,) and covariance (M, M), nats.

    of_all: the rows whose mean rating is 1000, as votes say nothing of the models' common level.
    """
    level = np.eye(len(models))[rows]
    level[:, of_all] -= 1 / max(1, len(of_all))
    mean = level @ strength
    spread = level @ covariance @ level.T
    values, vectors = np.linalg.eigh(spread)
    drawn = mean + _normal(len(rows)) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    first = np.bincount(drawn.argmax(axis=1), minlength=len(rows)) / DRAWS
    deviation = np.sqrt(np.maximum(np.diag(spread), 0.0))
    half = float(ndtri((1 + CONFIDENCE) / 2)) * ELO_PER_NAT * deviation
    rating = to_elo(mean)
    numbers = np.column_stack([rating, rating - half, rating + half]).round(2).tolist()
    chance = first.round(4).tolist()
    return tuple(
        Entry(place + 1, models[rows[i]], numbers[i][0], numbers[i][1], numbers[i][2], chance[i])
        for place, i in enumerate(np.argsort(-mean, kind="stable").tolist())
    )
