"""Where the gateway's contestants are reached, what they cost, and which of them are left alone for
a while because they failed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from electorate.base.errors import ElectorateError
from electorate.config.contest import Contest, Contestant
from electorate.config.engines import Endpoint, Price
from electorate.inference import endpoints
from electorate.inference.endpoints import Connection

FAILURES = 3  # in a row, after which a contestant is left alone
ALONE_S = 30.0
FIRST_TOKENS = 256.0  # of an answer, until some are seen
KEPT = 0.95  # of the mean of an answer's tokens, at each answer
LETTERS = 4.0  # a token of a prompt


@dataclass
class Upstream:
    """A contestant and where it is reached; what came of the last requests to it.

    Attributes:
        failures: in a row.
        alone_until: when it may be asked again.
        tokens: of an answer, on average.
    """

    contestant: Contestant
    connection: Connection
    price: Price | None
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    alone_until: float = 0.0
    tokens: float = field(default=FIRST_TOKENS)

    @property
    def is_open(self) -> bool:
        """Whether it may be asked."""
        return self.clock() >= self.alone_until

    def asked(self) -> None:
        """A request goes to it. Of one that was left alone it is the only one for a while, so that
        what still fails fails for a single user.
        """
        if self.failures >= FAILURES:
            self.alone_until = self.clock() + ALONE_S

    def failed(self) -> None:
        """A request was not answered; after several it is left alone, and then tried once."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.alone_until = self.clock() + ALONE_S

    def answered(self, tokens: int | None = None) -> None:
        """A request was answered, in so many tokens where that is known."""
        self.failures = 0
        self.alone_until = 0.0
        if tokens is not None:
            self.tokens = KEPT * self.tokens + (1 - KEPT) * tokens

    def cost(self, letters: int) -> float:
        """USD that a request of so many letters is expected to cost; 0 without a price."""
        return self.cost_of(letters / LETTERS, self.tokens)

    def cost_of(self, read: float, written: float) -> float:
        """USD of so many tokens read and written; 0 without a price."""
        if self.price is None:
            return 0.0
        return (self.price.input * read + self.price.output * written) / 1e6

    def body(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A client's request as the contestant takes it: to its model, in its manner where the
        client says nothing else, and without the client's user.
        """
        own = self.contestant
        request = self.connection.request
        body = {name: value for name, value in given.items() if name != "user"}
        body["model"] = self.connection.model
        if own.system:
            body["messages"] = [{"role": "system", "content": own.system}, *given["messages"]]
        if request.sampling:
            body.setdefault("temperature", own.temperature)
            body.setdefault("top_p", own.top_p)
        if not {"max_tokens", "max_completion_tokens"} & set(body):
            body[request.max_tokens_as] = own.max_tokens
        return body | dict(request.extra)


def of_contest(contest: Contest, served_at: str | None) -> dict[str, Upstream]:
    """Every contestant by name.

    served_at: base URL of the models that Electorate serves itself.

    Raises:
        ElectorateError: one cannot be asked.
    """
    reached = endpoints.connections(contest.models, served_at, 1)
    found = {}
    for contestant in contest.contestants:
        model = contest.models[contestant.model]
        if contestant.model not in reached or not isinstance(model, Endpoint):
            raise ElectorateError(
                f"contestant {contestant.name!r}: nothing says where its model "
                f"{contestant.model!r} is served; recordings answer nothing new"
            )
        found[contestant.name] = Upstream(contestant, reached[contestant.model], model.price)
    return found
