"""The short form of a run whose voters are language models: what `poll` reads."""

from typing import Self

from pydantic import Field, model_validator

from electorate.config.contest import Contest
from electorate.config.judging import Judging
from electorate.config.reward import Reward
from electorate.config.run import Config, Votes
from electorate.config.voters import ModelVoters


class Poll(Contest, Judging):
    """Who judges, as whom, and what is checked: the fields of `voters` stand at the top."""

    battles: int = Field(
        10, ge=1, le=10_000, description="a persona, on prompts and pairs drawn evenly"
    )
    reward: Reward | None = Field(None, description="null: no System B")

    @model_validator(mode="after")
    def _judges_make_sense(self) -> Self:
        self.check(self)
        return self

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Votes a persona at which systems are rated: a run's, up to `battles`."""
        usual = Votes.model_fields["checkpoints"].default
        return (*(votes for votes in usual if votes < self.battles), self.battles)

    def as_run(self) -> Config:
        """The run that this is short for."""
        contest = {name: getattr(self, name) for name in Contest.model_fields}
        judging = {name: getattr(self, name) for name in Judging.model_fields}
        return Config(
            **contest,
            voters=ModelVoters(kind="model", **judging),
            votes=Votes(checkpoints=self.checkpoints),
            reward=self.reward,
        )
