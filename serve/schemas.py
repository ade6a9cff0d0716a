"""Requests and responses of the API, as its OpenAPI document describes them."""

from typing import Annotated, Any, Literal

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
    """Refuses unknown fields and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Problem(Wire):
    """An error, in one line."""

    detail: str


class Vote(Wire):
    """One vote: which of two models' responses to a prompt a user preferred."""

    id: Name = Field(
        description=(
            "Your id for this vote of this user. Sending it again with the same key does not count "
            "it twice; sending another vote under the same id is refused."
        )
    )
    user_id: UserId
    model_a: Name
    model_b: Name
    winner: Winner
    first_shown: Literal["model_a", "model_b"] = Field(
        "model_a", description="The response that was shown first."
    )
    prompt_id: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The prompt's number in the run, if it is one of the run's prompts.",
    )
    segment: Name | None = Field(
        None,
        description=(
            "The segment whose leaderboard counts this vote; if none is given, the user's segment. "
            "The segment of a user's first vote becomes the user's segment."
        ),
    )


class Votes(Wire):
    """Votes that are stored together: all of them or none."""

    votes: list[Vote] = Field(min_length=1, max_length=1000)


class Acknowledged(Wire):
    """The votes are stored on disk."""

    version: Version = Field(description="A read with this min_version counts these votes.")
    new: int = Field(description="The number of votes that had not been sent before.")


class Done(Wire):
    """The change is stored on disk."""

    version: Version = Field(description="A read with this min_version sees the change.")


class Model(Wire):
    """A model that can be voted on."""

    name: str
    retired: bool = Field(
        description="True if the model is no longer ranked and takes no more votes."
    )
    votes: int = Field(description="The number of its battles, by weight.")


class OpenAIModel(Wire):
    """A model that a chat completion can name, in OpenAI's format."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "electorate"


class Models(Wire):
    """All models, and those that a chat completion can name."""

    version: Version
    models: list[Model]
    object: Literal["list"] = "list"
    data: list[OpenAIModel] = Field(
        description="Models that a chat completion can name; empty without contestants."
    )


class NewModel(Wire):
    """A model to add."""

    name: Name


class ModelChange(Wire):
    """Changes to a model; fields left out stay as they are."""

    name: Name | None = Field(None, description="The model's new name.")
    retired: bool | None = None


class Voter(Wire):
    """A user or an API key, and what its votes weigh."""

    name: str
    votes: int
    weight: float = Field(
        description="The weight of each of its votes in the leaderboards, under the caps."
    )
    share: float = Field(description="Its share of the weight of all votes received.")
    flags: list[str] = Field(description="Unusual patterns in its votes.")


class Voters(Wire):
    """The users and keys with the most votes, and the rule by which votes are weighted."""

    weights: str
    users: list[Voter]
    keys: list[Voter]


class ExportedVote(Wire):
    """A stored vote of a user."""

    model_a: str
    model_b: str | None = Field(description="Null for a thumb on model_a's response alone.")
    winner: str = Field(
        description="model_a, model_b, tie or tie (bothbad); up or down for a thumb."
    )
    first_shown: str | None
    prompt_id: int | None = Field(
        description="The prompt's number in the run or the file of votes."
    )
    weight: float = Field(description="The number of votes it counts as, before the caps.")
    at: int | None = Field(description="Unix time in seconds; null if unknown.")
    key: str | None = Field(
        description="The API key that sent the vote; null for a vote of the run."
    )


class Written(Wire):
    """An entry of the audit log about a user."""

    at: float = Field(description="Unix time in seconds.")
    key: str
    what: str
    user: int | None
    votes: int | None
    version: int | None


class ExportedAnswer(Wire):
    """A response of a contestant to a user. The text is not stored."""

    at: float = Field(description="Unix time in seconds.")
    key: str
    model: str
    probability: float = Field(description="The probability with which this contestant was chosen.")
    tokens: int
    usd: float


class ExportedThumb(Wire):
    """A thumb on a response that the gateway chose, and how it chose."""

    at: float = Field(description="Unix time in seconds.")
    answer: str
    model: str
    probability: float = Field(description="The probability with which this contestant was chosen.")
    by_user: str = Field(description="The best contestant by the user's own ranking.")
    by_all: str = Field(description="The best contestant by everyone's ranking.")
    up: bool


class UserExport(Wire):
    """Everything that is stored about a user."""

    user_id: str
    segment: str | None
    votes: list[ExportedVote]
    answers: list[ExportedAnswer] = Field(
        description="Responses of the gateway; their texts are not stored."
    )
    thumbs: list[ExportedThumb]
    written: list[Written]
    tables: dict[str, list[dict[str, Any]]] = Field(
        description="Rows about the user in the run's tables, such as its ratings, by file."
    )


class Place(Wire):
    """A model on a leaderboard, with a 95% interval."""

    model: str
    rating: float
    ci_low: float
    ci_high: float
    rank_low: int = Field(description="The best rank that is consistent with the votes.")
    rank_high: int = Field(description="The worst rank that is consistent with the votes.")
    votes: int
    cost: float | None = Field(
        None, description="The cost of a response in USD, from the setting `costs`."
    )


class Leaderboard(Wire):
    """Bradley-Terry ratings of everyone or of a segment, best first."""

    segment: str | None
    ties: Ties = Field(description="The tie model of the ratings.")
    version: Version
    votes: int = Field(description="The number of votes received through the API, by all users.")
    weights: str = Field(
        description="The rule by which votes received through the API are weighted."
    )
    leaderboard: list[Place]


class Matrix(Wire):
    """Wins and battles between each pair of models, by weight; a tie is half a win."""

    models: list[str] = Field(
        description="The models, best first: rows and columns of `won` and `battles`."
    )
    won: list[list[float]]
    battles: list[list[float]]
    version: Version


class FirstPlace(Wire):
    """How certain a leaderboard's first place is; null with fewer than two models."""

    first: str | None = None
    second: str | None = None
    lead: float | None = Field(
        None, description="The lead of the first model over the second, in Elo points."
    )
    votes: int = Field(0, description="The number of votes on the leaderboard, by weight.")
    needed: int | None = Field(
        None,
        description=(
            "The total number of votes at which this lead would be significant; null for a tie."
        ),
    )
    flipped_by: int | None = Field(
        None,
        description=(
            "The smallest number of votes whose removal puts `rival` first; null if over half."
        ),
    )
    rival: str | None = None
    version: Version


class Record(Wire):
    """A user's results with a model."""

    model: str
    won: int
    tied: int
    lost: int
    expected: float = Field(description="Wins expected by everyone's ranking; a tie is half a win.")


class Records(Wire):
    """A user's results by model, the model with the most battles first."""

    user_id: str
    votes: int
    records: list[Record]
    version: Version


class RankedModel(Wire):
    """A model's place for a user. Rating and 95% interval are in Elo points; the mean of all
    models is 1000.
    """

    rank: int
    model: str
    rating: float
    ci_low: float
    ci_high: float
    p_top1: float = Field(
        description="The probability that it is this user's best model of those ranked."
    )


class Answer(Wire):
    """A contestant's response."""

    model: Name
    response: Annotated[str, StringConstraints(max_length=200_000)]


class PersonalRanking(Wire):
    """The models ranked for a user, and what the ranking is based on."""

    user_id: str | None
    segment: str | None
    system: str = Field(
        description="The system that made it: elo_offset, hybrid, segment_bt, global_bt and others."
    )
    system_version: str = Field(description="The version of the run's config or of the training.")
    stale: bool = Field(
        description="True if the training data included votes that were erased later."
    )
    personal: bool = Field(description="True if it is based on the user's own votes.")
    note: str = Field(description="Why it is not personal.")
    votes: int = Field(description="The number of the user's votes that it is based on.")
    weight: float = Field(
        description="The weight of each of the user's votes in the leaderboards, under the caps."
    )
    version: Version = Field(description="The version of the votes that it counts.")
    ranking: list[RankedModel]
    responses: list[Answer] | None = Field(
        None, description="The responses that were ranked, if contestants were asked for them."
    )


class RankingRequest(Wire):
    """A request for a ranking.

    With a `prompt`, models are ranked by their responses to it: those given in `responses`; else,
    with `live`, those that contestants give now; else the run's, if it has this prompt; else by the
    prompt alone.
    """

    user_id: Name | None = None
    segment: Name | None = Field(None, description="The segment to use if the user has none.")
    prompt: Text | None = None
    responses: list[Answer] | None = Field(
        None, min_length=1, max_length=100, description="Responses to the prompt to rank."
    )
    live: bool = Field(
        False,
        description=(
            "Ask the contestants now and rank their responses; needs an endpoint started with "
            "--live."
        ),
    )
    candidates: list[Name] | None = Field(
        None, min_length=1, max_length=500, description="The models to rank; null for all."
    )
    min_version: Version = 0


class RouteRequest(Wire):
    """A request for the contestant that should answer this user."""

    user_id: Name | None = None
    segment: Name | None = Field(None, description="The segment to use if the user has none.")
    prompt: Text | None = None
    max_cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    min_version: Version = 0


class Route(Wire):
    """The contestant with the highest expected utility of those within the cost."""

    model: str
    cost: float
    rating: float
    p_top1: float = Field(
        description="The probability that it is the best of those within the cost."
    )
    system: str
    personal: bool
    version: Version


class Battle(Wire):
    """Two responses to a prompt, for a user to compare."""

    prompt_id: int
    prompt: str
    a: Answer
    b: Answer


class Segment(Wire):
    """A segment, and some of its personas."""

    name: str
    personas: list[str]


class Curve(Wire):
    """A learning curve: a metric of a system by votes per user, with 95% intervals."""

    system: str
    label: str = Field(description="The system in words.")
    metric: str
    title: str = Field(description="The metric in words.")
    votes: list[int]
    value: list[float]
    ci_low: list[float]
    ci_high: list[float]


class About(Wire):
    """What this endpoint serves."""

    models: list[str]
    segments: list[Segment]
    personas: int
    prompts: bool = Field(description="True if models can be ranked for a prompt.")
    curves: list[Curve]


class Health(Wire):
    """Whether the endpoint is ready."""

    status: Literal["ok"]


class OpenAIError(Wire):
    """An error in OpenAI's format."""

    message: str
    type: str
    param: str | None = None
    code: int | None = None


class OpenAIProblem(Wire):
    """An error in OpenAI's format."""

    error: OpenAIError


class Feedback(Wire):
    """Feedback on two responses to one user, or a thumb on one."""

    better: Text | None = Field(None, description="x-electorate-id of the better response.")
    worse: Text | None = Field(None, description="x-electorate-id of the other response.")
    tie: bool = Field(False, description="True if neither was better.")
    answer: Text | None = Field(
        None, description="x-electorate-id of the response that the thumb is for."
    )
    thumb: Literal["up", "down"] | None = None
