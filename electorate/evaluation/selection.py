"""Which votes systems are built from, wherever they lie: after a round of a run
(electorate.study.systems.AfterRound), or of the folds of a file (electorate.evaluation.held_out).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from electorate.base.scale import Ints
from electorate.config.run import RatingSettings
from electorate.ratings import offsets
from electorate.ratings.bradley_terry import Fit
from electorate.ratings.offsets import NotConvergedError, UserBlocks
from electorate.ratings.prior import Prior
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

# Archetypes as they are, one for all, or with one label in five wrong.
Labels = Literal["true", "none", "wrong"]
# Of System A's offsets: as they are, along a few directions too, or of the tie parameter alone.
Form = Literal["plain", "low_rank", "ties_only"]


class Variant(NamedTuple):
    """A variant of System A's prior."""

    form: Form
    labels: Labels


class Selection(Protocol):
    """Votes that everything is fitted to, and what is known of the n users a system is for."""

    @property
    def settings(self) -> RatingSettings:
        """The settings by which votes become ratings."""
        ...

    @property
    def ties(self) -> TieModel:
        """The tie model of all systems."""
        ...

    @property
    def archetype(self) -> Ints:
        """(n,) The archetype of each user."""
        ...

    @property
    def global_fit(self) -> Fit:
        """The Bradley-Terry fit of everybody's votes."""
        ...

    @property
    def segments(self) -> list[Fit]:
        """Bradley-Terry of each archetype's votes."""
        ...

    def prior(self, variant: Variant) -> Prior:
        """System A's prior, fitted once.

        Raises:
            NotConvergedError: the fit did not converge.
        """
        ...

    def known(self, labels: Labels) -> Sequence[UserVotes]:
        """The users' own votes, in blocks of users."""
        ...


@dataclass(frozen=True)
class PriorFit:
    """Fits System A's priors on everybody's votes.

    Attributes:
        users: by how their archetypes are labelled, wherever they lie.
        global_fit: Bradley-Terry of their votes.
        archetype_count: how many there are.
    """

    users: Callable[[Labels], UserBlocks]
    global_fit: Fit
    archetype_count: int
    settings: RatingSettings

    def plain(self, labels: Labels) -> Prior:
        """With offsets alike in every direction. Raises NotConvergedError."""
        return self._fit(labels, self.settings.lambda_reg)

    def ties_only(self, labels: Labels) -> Prior:
        """That leaves a user nothing but its own tie rate. Raises NotConvergedError."""
        return self._fit(labels, offsets.NO_OFFSETS)

    def low_rank(self, plain: Prior) -> Prior:
        """The plain one with the factors that the votes show. Raises NotConvergedError."""
        most = self.settings.factors
        lambda_reg = self.settings.lambda_reg
        return offsets.with_factors(self.users("true"), self.global_fit, plain, most, lambda_reg)

    def with_decisiveness(self, plain: Prior) -> Prior:
        """The plain one of users who follow the global ranking more or less closely."""
        return offsets.with_decisiveness(self.users("true"), self.global_fit, plain)

    def _fit(self, labels: Labels, lambda_reg: float | None) -> Prior:
        count = 1 if labels == "none" else self.archetype_count
        return offsets.fit(self.users(labels), self.global_fit, count, lambda_reg)


@dataclass(frozen=True)
class Priors:
    """System A's priors, each fitted once, whether it converges or not."""

    _tried: dict[Variant, Prior | NotConvergedError] = field(default_factory=dict)

    def of(self, variant: Variant, fit: Callable[[], Prior]) -> Prior:
        """The prior, fitted now if it was not before.

        Raises:
            NotConvergedError: the fit did not converge.
        """
        if variant not in self._tried:
            try:
                self._tried[variant] = fit()
            except NotConvergedError as error:
                self._tried[variant] = error
        found = self._tried[variant]
        if isinstance(found, NotConvergedError):
            raise found
        return found

    @property
    def fitted(self) -> dict[Variant, Prior]:
        """Those that converged so far."""
        return {v: prior for v, prior in self._tried.items() if isinstance(prior, Prior)}
