"""What goes over the wire, as the OpenAPI document describes it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from electorate.ratings import ties


def _usable_in_paths(name: str) -> str:
    """A user's id as it can be read and erased by: clients take `.` and `..` out of a path."""
    if {".", ".."} & set(name.split("/")):
        raise ValueError("no part between slashes may be `.` or `..`")
    return name


Name = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
UserId = Annotated[Name, AfterValidator(_usable_in_paths)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
Winner = Literal["model_a", "model_b", "tie", "both_bad"]
Ties = ties.Name
Version = Annotated[int, Field(ge=0, le=2**53)]


class Wire(BaseModel):
    """Takes no field that it does not know, and no type for another."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(Wire):
    """What went wrong, in one line."""

    detail: str


class Vote(Wire):
    """One judgement of one battle."""

    id: Name = Field(
        description=(
            "yours: of one vote of a user. Sent again with the same key it is not counted again; "
            "with another vote it is refused"
        )
    )
    user_id: UserId
    model_a: Name
    model_b: Name
    winner: Winner
    first_shown: Literal["model_a", "model_b"] = Field(
        "model_a", description="which answer stood first"
    )
    prompt_id: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="of the run's prompts, where the battle was on one of them",
    )
    segment: Name | None = Field(
        None,
        description=(
            "whose board the vote counts in, the user's where none is named; the one named with a "
            "user's first vote stays the user's"
        ),
    )


class Votes(Wire):
    """Votes to be taken together."""

    votes: list[Vote] = Field(min_length=1, max_length=1000)


class Acknowledged(Wire):
    """The votes are on disk."""

    version: Version = Field(description="a read with this min_version counts them")
    new: int = Field(description="how many were not known before")


class Done(Wire):
    """It is on disk."""

    version: Version = Field(description="a read with this min_version knows it")


class Model(Wire):
    """A model that votes are on, or may be on."""

    name: str
    retired: bool = Field(description="whether it takes no more votes and is not ranked")
    votes: int = Field(description="battles it was in, by weight")


class OpenAIModel(Wire):
    """What a chat completion may ask for, as OpenAI's clients read it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "electorate"


class Models(Wire):
    """All of them, and what the gateway's clients may ask for."""

    version: Version
    models: list[Model]
    object: Literal["list"] = "list"
    data: list[OpenAIModel] = Field(description="of the gateway; none without contestants")


class NewModel(Wire):
    """A model that votes may be on from now on."""

    name: Name


class ModelChange(Wire):
    """What becomes of a model; what is left out stays as it is."""

    name: Name | None = Field(None, description="what it is called from now on")
    retired: bool | None = None


class Voter(Wire):
    """A user or a key."""

    name: str
    votes: int
    weight: float = Field(description="what the cap leaves of each of its votes in the boards")
    share: float = Field(description="of all online votes' weight")
    flags: list[str] = Field(description="what is odd about its votes")


class Voters(Wire):
    """Who votes most, and by which rule votes are weighed."""

    weights: str
    users: list[Voter]
    keys: list[Voter]


class ExportedVote(Wire):
    """A vote of a user."""

    model_a: str
    model_b: str | None = Field(description="none: a thumb on model_a's answer alone")
    winner: str = Field(description="model_a, model_b, tie or tie (bothbad); of a thumb up or down")
    first_shown: str | None
    prompt_id: int | None = Field(description="of the run's prompts, or the file's")
    weight: float = Field(description="as how many votes it counts, before any cap")
    at: int | None = Field(description="seconds since 1970; none: nobody kept it")
    key: str | None = Field(description="the key that sent it; none: it is of a run")


class Written(Wire):
    """That something was written about a user."""

    at: float = Field(description="seconds since 1970")
    key: str
    what: str
    user: int | None
    votes: int | None
    version: int | None


class ExportedAnswer(Wire):
    """That a contestant answered a user."""

    at: float = Field(description="seconds since 1970")
    key: str
    model: str
    probability: float = Field(description="with which it was chosen")
    tokens: int
    usd: float


class UserExport(Wire):
    """All that is kept of a user."""

    user_id: str
    segment: str | None
    votes: list[ExportedVote]
    answers: list[ExportedAnswer] = Field(description="of the gateway; their words are not kept")
    written: list[Written]


class Place(Wire):
    """A model on a leaderboard. Intervals are of 95%."""

    model: str
    rating: float
    ci_low: float
    ci_high: float
    rank_low: int = Field(description="the best rank that the votes leave possible")
    rank_high: int = Field(description="the worst")
    votes: int
    cost: float | None = Field(None, description="of an answer, by the setting `costs`, in USD")


class Leaderboard(Wire):
    """Bradley-Terry ratings of everyone or of a segment, best first."""

    segment: str | None
    ties: Ties = Field(description="the tie model of the ratings")
    version: Version
    votes: int = Field(description="that came online, by everyone")
    weights: str = Field(description="the rule by which online votes are weighed")
    leaderboard: list[Place]


class Matrix(Wire):
    """Battles between models. won: row over column, by weight, a tie being half a win."""

    models: list[str] = Field(description="best first")
    won: list[list[float]]
    battles: list[list[float]]
    version: Version


class FirstPlace(Wire):
    """How sure the first place of a board is; nothing where there are fewer than two models."""

    first: str | None = None
    second: str | None = None
    lead: float | None = Field(None, description="of the first over the second, Elo points")
    votes: int = Field(0, description="that the board rests on, by weight")
    needed: int | None = Field(
        None, description="votes in all with which that lead would be shown; none: a tie"
    )
    flipped_by: int | None = Field(
        None,
        description="without so few votes `rival` is first; none: more than half",
    )
    rival: str | None = None
    version: Version


class Record(Wire):
    """A user's battles with a model."""

    model: str
    won: int
    tied: int
    lost: int
    expected: float = Field(description="wins, a tie being half of one, by everyone's ranking")


class Records(Wire):
    """A user's battles by model, those it met most first."""

    user_id: str
    votes: int
    records: list[Record]
    version: Version


class RankedModel(Wire):
    """A model's place for a user. rating and its 95% interval in Elo points, about the mean of
    all models, 1000.
    """

    rank: int
    model: str
    rating: float
    ci_low: float
    ci_high: float
    p_top1: float = Field(description="probability that it is the user's first among those ranked")


class Answer(Wire):
    """A contestant's response."""

    model: Name
    response: Annotated[str, StringConstraints(max_length=200_000)]


class PersonalRanking(Wire):
    """The models in a user's order, and what the order rests on."""

    user_id: str | None
    segment: str | None
    system: str = Field(description="what made it: elo_offset, hybrid, segment_bt, global_bt, ...")
    system_version: str = Field(description="of the run's config or of the training")
    stale: bool = Field(description="whether that was trained on votes erased since")
    personal: bool = Field(description="whether it is the user's own")
    note: str = Field(description="why it is not")
    votes: int = Field(description="of the user, that it rests on")
    weight: float = Field(
        description="what the cap leaves of each of the user's online votes in the leaderboards"
    )
    version: Version = Field(description="of the votes it counts")
    ranking: list[RankedModel]
    responses: list[Answer] | None = Field(
        None, description="that were ranked, where the contestants were asked for them"
    )


class RankingRequest(Wire):
    """What to rank, for whom.

    With a prompt by what the models answer to it: `responses` where they are given, else (`live`)
    what they answer now, else the run's own where it asked this prompt, else what the prompt alone
    tells of them.
    """

    user_id: Name | None = None
    segment: Name | None = Field(None, description="for a user who has none")
    prompt: Text | None = None
    responses: list[Answer] | None = Field(
        None, min_length=1, max_length=100, description="to the prompt; these are ranked"
    )
    live: bool = Field(
        False,
        description=(
            "ask the contestants now, and rank what they answer; where the endpoint was started so"
        ),
    )
    candidates: list[Name] | None = Field(
        None, min_length=1, max_length=500, description="models to rank; none: all"
    )
    min_version: Version = 0


class RouteRequest(Wire):
    """Which contestant should answer this user."""

    user_id: Name | None = None
    segment: Name | None = Field(None, description="for a user who has none")
    prompt: Text | None = None
    max_cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    min_version: Version = 0


class Route(Wire):
    """The contestant with the highest expected utility within the cost."""

    model: str
    cost: float
    rating: float
    p_top1: float = Field(description="among those within the cost")
    system: str
    personal: bool
    version: Version


class Battle(Wire):
    """Two responses to one prompt, for a user to judge."""

    prompt_id: int
    prompt: str
    a: Answer
    b: Answer


class Segment(Wire):
    """An archetype, and some personas of it."""

    name: str
    personas: list[str]


class Curve(Wire):
    """How well a system ranks users' models after so many votes of each."""

    system: str
    metric: str
    votes: list[int]
    value: list[float]
    ci_low: list[float]
    ci_high: list[float]


class About(Wire):
    """What is served."""

    models: list[str]
    segments: list[Segment]
    personas: int
    prompts: bool = Field(description="whether rankings by prompt are there")
    curves: list[Curve]


class Health(Wire):
    """Whether it can answer."""

    status: Literal["ok"]


class OpenAIError(Wire):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None = None
    code: int | None = None


class OpenAIProblem(Wire):
    """What went wrong, as OpenAI's clients read it."""

    error: OpenAIError


class Feedback(Wire):
    """Which of two answers to one user was better, or what the user thought of one alone."""

    better: Text | None = Field(None, description="x-electorate-id of the better answer")
    worse: Text | None = Field(None, description="x-electorate-id of the other one")
    tie: bool = Field(False, description="neither was better")
    answer: Text | None = Field(None, description="x-electorate-id of the answer that is thumbed")
    thumb: Literal["up", "down"] | None = None
