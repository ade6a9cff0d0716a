"""People's battles as planted personas can fight them again: who, on what, between which models."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from electorate.base.draws import Stream, generator
from electorate.base.errors import ElectorateError
from electorate.base.scale import Floats, Ints
from electorate.base.votes import MISSING, Votes
from electorate.data import features
from electorate.data.conversations import plain
from electorate.data.votes import NamedVotes

MOST_USERS = 1000
MOST_VOTES = 20_000
FEWEST_VOTES = 100
FEWEST_USERS = 5
EVERYONE = "everyone"
NONE = -1


@dataclass(frozen=True, kw_only=True)
class Design(Votes):
    """n battles with people's votes, and what is known of models, prompts and users.

    Attributes:
        models: names.
        prompts: texts.
        responses: texts.
        answer: (P, M) which response, or NONE.
        z: (P, M, D) the responses' measures, standardised; 0 where there is none.
        archetype: (users,) of each; archetypes: names.
    """

    WHOLE = frozenset({"models", "prompts", "responses", "answer", "z", "archetype", "archetypes"})

    prompt: Ints
    first_shown: Ints
    models: tuple[str, ...]
    prompts: Sequence[str]
    responses: Sequence[str]
    answer: Ints
    z: Floats
    archetype: Ints
    archetypes: tuple[str, ...]

    @property
    def users(self) -> int:
        """The number of users who vote."""
        return len(self.archetype)

    @property
    def contrast(self) -> Floats:
        """(n, D) measures of A's response less B's."""
        difference: Floats = self.z[self.prompt, self.a] - self.z[self.prompt, self.b]
        return difference

    def with_outcome(self, outcome: Ints) -> "Design":
        """The same battles with other votes on them."""
        return replace(self, outcome=outcome)


def of_votes(votes: NamedVotes, origin: str) -> tuple[Design, list[str]]:
    """The battles of votes with texts and users, at most MOST_VOTES by MOST_USERS, drawn; and what
    a reader has to know of them.

    Raises:
        ElectorateError: they are too few, or name no users. It begins with `origin`.
    """
    if votes.texts is None or not votes.names_users:
        raise ElectorateError(f"{origin}: needs prompt, response_a, response_b and user_id")
    notes = list[str]()
    votes, dropped = _of_first_responses(votes)
    if dropped:
        notes.append(f"{dropped:,} votes left out: of a second response of a model to a prompt")
    some = _some(votes)
    if len(some) < len(votes):
        notes.append(f"fitted to {len(some):,} of {len(votes):,} votes, of users drawn evenly")
    if votes.texts is None:
        raise ValueError("votes that lost their columns")
    present, user = np.unique(votes.user[some], return_inverse=True)
    if len(some) < FEWEST_VOTES or len(present) < FEWEST_USERS:
        raise ElectorateError(
            f"{origin}: {len(some)} votes of {len(present)} users; at least {FEWEST_VOTES} of "
            f"{FEWEST_USERS} are needed"
        )
    answer = _answers(votes)
    archetype, archetypes = _archetypes(votes, present)
    first = np.full(len(some), MISSING) if votes.first_shown is None else votes.first_shown[some]
    responses = [plain(text) for text in votes.texts.responses]
    design = Design(
        user=user.astype(np.int64),
        prompt=votes.texts.prompt[some],
        a=votes.a[some],
        b=votes.b[some],
        first_shown=first,
        outcome=votes.outcome_of_3[some],
        models=votes.models,
        prompts=[plain(text) for text in votes.texts.prompts],
        responses=responses,
        answer=answer,
        z=_measures(responses, answer),
        archetype=archetype,
        archetypes=archetypes,
    )
    return design, notes


def whole(design: Design) -> tuple[Ints, Ints]:
    """Prompts and models of which every one has answered every other, ascending: those missing most
    are left out first.
    """
    there = design.answer != NONE
    prompts = np.arange(there.shape[0])
    models = np.arange(there.shape[1])
    while not (here := there[np.ix_(prompts, models)]).all():
        by_prompt = (~here).mean(axis=1)
        by_model = (~here).mean(axis=0)
        if by_prompt.max() >= by_model.max():
            prompts = np.delete(prompts, by_prompt.argmax())
        else:
            models = np.delete(models, by_model.argmax())
    return prompts, models


def _of_first_responses(votes: NamedVotes) -> tuple[NamedVotes, int]:
    """The votes on the first response of each model to each prompt, and how many others there
    are.
    """
    if votes.texts is None:
        raise ValueError("votes without texts")
    answer = _answers(votes)
    prompt = votes.texts.prompt
    kept = (answer[prompt, votes.a] == votes.texts.a) & (answer[prompt, votes.b] == votes.texts.b)
    return votes.take(np.flatnonzero(kept)), int((~kept).sum())


def _answers(votes: NamedVotes) -> Ints:
    """(P, M) the first response of each model to each prompt, NONE without."""
    if votes.texts is None:
        raise ValueError("votes without texts")
    texts = votes.texts
    answer = np.full((len(texts.prompts), len(votes.models)), NONE)
    # Backwards, so that the first stays.
    for model, response in ((votes.b, texts.b), (votes.a, texts.a)):
        answer[texts.prompt[::-1], model[::-1]] = response[::-1]
    return answer


def _some(votes: NamedVotes) -> Ints:
    """Rows of whole users, drawn evenly until they are MOST_USERS or have MOST_VOTES."""
    cast = np.bincount(votes.user)
    voters = np.flatnonzero(cast)
    drawn = generator(0, Stream.CALIBRATION).permutation(voters)[:MOST_USERS]
    enough = np.searchsorted(np.cumsum(cast[drawn]), MOST_VOTES) + 1
    return np.flatnonzero(np.isin(votes.user, drawn[:enough]))


def _archetypes(votes: NamedVotes, present: Ints) -> tuple[Ints, tuple[str, ...]]:
    """(users,) each user's most frequent value of the column that votes are grouped by, and the
    values; one for all without.
    """
    if votes.group is None:
        return np.zeros(len(present), dtype=np.int64), (EVERYONE,)
    counts = np.zeros((int(votes.user.max()) + 1, len(votes.group_names)))
    np.add.at(counts, (votes.user, votes.group), 1)
    used, of = np.unique(counts[present].argmax(axis=1), return_inverse=True)
    return of.astype(np.int64), _as_ids([votes.group_names[value] for value in used])


def _as_ids(values: Sequence[str]) -> tuple[str, ...]:
    """Values of a column as a config may have them for ids, each different."""
    found = dict[str, None]()
    for place, value in enumerate(values):
        plain_id = re.sub(r"[^A-Za-z0-9]+", "-", value).strip("-")[:60] or "value"
        found[f"{plain_id}-{place}" if plain_id in found else plain_id] = None
    return tuple(found)


def _measures(responses: Sequence[str], answer: Ints) -> Floats:
    """(P, M, D) standardised within prompt over the models that answered."""
    raw = features.measure(responses)[answer]
    raw[answer == NONE] = np.nan
    there = np.flatnonzero((answer != NONE).any(axis=1))
    z = np.zeros_like(raw)
    centred = raw[there] - np.nanmean(raw[there], axis=1, keepdims=True)
    sd = np.sqrt(np.nanmean(centred**2, axis=(0, 1)))
    scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-12)
    z[there] = np.nan_to_num(np.clip(scaled, -features.FURTHEST, features.FURTHEST))
    return z
