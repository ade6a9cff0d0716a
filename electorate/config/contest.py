"""Who answers what, and where it runs: what a config has whoever votes."""

import hashlib
import json
from typing import Self

from pydantic import Field, model_validator

from electorate.config.engines import Model, asked, recordings
from electorate.config.section import DisplayName, Name, Section

RECORDED = "recorded"


class Contestant(Section):
    """A served model with its system prompt and decoding settings."""

    name: DisplayName
    model: Name = Field(description="a key of models")
    system: str = Field("", description="the system prompt; empty for none")
    temperature: float = Field(0.7, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling mass")
    max_tokens: int = Field(512, ge=1, le=131072, description="tokens an answer may have")
    seed: int | None = Field(None, ge=0, description="the endpoint's sampling seed")
    arena_name: str | None = Field(
        None, description="its name in the Chatbot Arena table, if it has one"
    )
    recorded_as: str | None = Field(
        None, description="its name in a recorded model's file, if that is not `name`"
    )

    @property
    def recorded(self) -> str:
        """Its name in a file of recorded responses."""
        return self.recorded_as or self.name


class Prompts(Section):
    """The prompts that contestants are asked."""

    source: str = Field(
        "builtin",
        description=(
            "builtin, recorded (those of the recorded models), or a JSONL file of archetype, "
            "topic, prompt"
        ),
    )
    per_archetype: int | None = Field(
        6, ge=3, description="prompts an archetype, split 60/20/20; null takes all there are"
    )


class Cluster(Section):
    """Where it runs. Nothing here changes a result, so it is left out of the config's hash."""

    address: str | None = Field(
        None, description="a Ray cluster's address, or auto; none starts Ray on this machine"
    )
    cohorts: int = Field(
        2,
        ge=0,
        le=100_000,
        description=(
            "actors that hold the personas; 0 runs a small study in this process, without Ray"
        ),
    )
    cpus_per_cohort: float = Field(0.5, ge=0, description="Ray CPUs an actor asks for")
    serve_port: int = Field(
        8000, ge=0, le=65535, description="Ray Serve's HTTP port on loopback; 0 takes a free one"
    )
    cache_dir: str = Field(
        "~/.cache/electorate", description="answers and converted models, shared by runs"
    )


class Budget(Section):
    """What one command may ask of models at most; answers that are stored cost nothing. Nothing
    here changes a result, so it is left out of the config's hash.
    """

    requests: int | None = Field(None, ge=0, description="requests; null: any number")
    usd: float | None = Field(None, ge=0, description="USD, by models.NAME.price; null: any amount")


class Contest(Section):
    """Who answers what: what a config of a run and its short form, a poll, have in common."""

    seed: int = Field(0, ge=0, lt=2**63, description="of every draw")
    models: dict[Name, Model] = Field({}, description="model id to where it is served")
    contestants: tuple[Contestant, ...] = Field(
        (), max_length=1000, description="who is compared; none: all models of the recordings"
    )
    allow_cut_answers: bool = Field(
        False,
        description="go on where most answers of a contestant are empty or cut at its max_tokens",
    )
    prompts: Prompts = Prompts()
    cluster: Cluster = Cluster()
    budget: Budget = Budget()

    @model_validator(mode="after")
    def _prices_are_known(self) -> Self:
        priced = any(model.price is not None for model in asked(self.models).values())
        if self.budget.usd is not None and not priced:
            raise ValueError(
                "budget.usd: no model has a price; give models.NAME.price, with input and output "
                "in USD a million tokens"
            )
        return self

    @model_validator(mode="after")
    def _contestants_make_sense(self) -> Self:
        if not self.asks_models:
            return self
        if not self.models:
            raise ValueError("models: is missing; it says where the contestants are served")
        names = self.contestant_names
        recorded = recordings(self.models)
        if len(names) == 1 or not (names or recorded):
            raise ValueError(
                f"contestants: at least 2 are needed, not {len(names)}; only with a recorded model "
                "may they be left out"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"contestants: {twice[0]!r} is named twice; each name once")
        for i, contestant in enumerate(self.contestants):
            if contestant.model not in self.models:
                known = ", ".join(self.models)
                raise ValueError(
                    f"contestants.{i}.model: {contestant.model!r} is not one of models ({known})"
                )
        asked_recorded = not names or any(c.model in recorded for c in self.contestants)
        if asked_recorded != (self.prompts.source == RECORDED):
            raise ValueError(
                "prompts.source: must be recorded when a contestant is, and only then: it answers "
                "no other prompts"
            )
        return self

    @property
    def asks_models(self) -> bool:
        """Whether there is anything to ask; nothing where people voted already."""
        return True

    @property
    def contestant_names(self) -> tuple[str, ...]:
        """In the order that votes and ratings count them in."""
        return tuple(contestant.name for contestant in self.contestants)

    @property
    def archetypes(self) -> tuple[str, ...]:
        """Whose prompts are asked; none: those of everybody the source has prompts for."""
        return ()

    def digest(self) -> str:
        """SHA-256 of everything that can change a result, as 64 hex digits.

        What is as it is by default is left out, so that a field that a later version adds changes
        no digest. (A default that changes needs a new format of run folders.)
        """
        content = self.model_dump(
            mode="json", exclude={"cluster": True, "budget": True}, exclude_defaults=True
        )
        for model in content.get("models", {}).values():
            model.pop("price", None)
        # How a training computes is no part of what it learns.
        for name in ("tokens_per_pass", "checkpoint_activations", "compile_layers"):
            content.get("reward", {}).pop(name, None)
        return content_key(content)


def content_key(content: object) -> str:
    """SHA-256 of a JSON-able value in its canonical form, as 64 hex digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
