"""What asking models costs, and the budget at which it stops."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from electorate.base.errors import ElectorateError
from electorate.config.contest import Budget
from electorate.config.engines import Model, Price, asked
from electorate.inference.completions import Answer, Call

CHARACTERS_A_TOKEN = 4  # of English text, about
# What a token holds at the least: what is asked last is to fit the budget in any language.
BYTES_A_TOKEN = 2
MILLION = 1e6  # tokens, that prices are for


class BudgetError(ElectorateError):
    """The budget does not allow what is still to be asked."""

    kept = "answers so far are kept"


@dataclass(frozen=True)
class Cost:
    """Of some requests. usd: None where no price is known.

    tokens_in: of what models read, estimated. tokens_out: of what they may answer, at most.
    """

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None

    def __add__(self, other: "Cost") -> "Cost":
        known = [cost.usd for cost in (self, other) if cost.usd is not None]
        return Cost(
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            sum(known) if known else None,
        )


def of_calls(calls: Iterable[Call], models: Mapping[str, Model]) -> dict[str, Cost]:
    """What calls that are not answered yet would cost, by model."""
    prices = prices_of(models)
    total = dict[str, Cost]()
    for call in calls:
        read = len(_text(call)) // CHARACTERS_A_TOKEN
        total[call.model] = total.get(call.model, Cost()) + cost(
            1, read, _most_tokens(call), prices.get(call.model)
        )
    return total


def cost(requests: int, tokens_in: int, tokens_out: int, price: Price | None) -> Cost:
    """Of so many requests that read and answer so many tokens in all."""
    return Cost(requests, tokens_in, tokens_out, _usd(tokens_in, tokens_out, price))


def prices_of(models: Mapping[str, Model]) -> dict[str, Price]:
    """By the ids of the models that have one."""
    return {name: model.price for name, model in asked(models).items() if model.price is not None}


class Spending:
    """Counts what is asked, and says how much more the budget allows.

    A call is asked only if the budget holds even a longest answer to it, so it is never exceeded
    but by what failed tries cost.

    Args:
        budget: of one command; where it is run again to go on, it has as much again.
        prices: by model; a model without one costs nothing.

    Attributes:
        requests: answers asked for.
        usd: what they cost.
    """

    def __init__(self, budget: Budget, prices: Mapping[str, Price]) -> None:
        self._budget = budget
        self._prices = prices
        self.requests = 0
        self.usd = 0.0

    def affordable(self, calls: Sequence[Call]) -> int:
        """How many of the calls, from the first on, the budget still allows."""
        most = len(calls)
        if self._budget.requests is not None:
            most = min(most, max(0, self._budget.requests - self.requests))
        if self._budget.usd is None:
            return most
        left = self._budget.usd - self.usd
        for place, call in enumerate(calls[:most]):
            left -= self._at_most(call)
            if left < 0:
                return place
        return most

    def add(self, call: Call, answer: Answer) -> None:
        """Count a call that was asked."""
        self.requests += 1
        read = answer.tokens_in or len(_text(call)) // CHARACTERS_A_TOKEN
        self.usd += _usd(read, answer.tokens, self._prices.get(call.model)) or 0.0

    def error(self, what: str, left: int) -> BudgetError:
        """That the budget allows no more, with what is left to ask."""
        spent = f"{self.requests:,} requests"
        limits = list[str]()
        if self._budget.requests is not None:
            limits.append(f"budget.requests: {self._budget.requests:,}")
        if self._budget.usd is not None:
            spent += f" and USD {self.usd:.2f}"
            limits.append(f"budget.usd: {self._budget.usd:g}")
        return BudgetError(
            f"{what}: {left:,} requests are left, and the budget allows no more of them "
            f"({', '.join(limits)}; spent: {spent})"
        )

    def _at_most(self, call: Call) -> float:
        read = len(_text(call).encode(errors="replace")) // BYTES_A_TOKEN
        return _usd(read, _most_tokens(call), self._prices.get(call.model)) or 0.0


def _usd(tokens_in: int, tokens_out: int, price: Price | None) -> float | None:
    if price is None:
        return None
    return (tokens_in * price.input + tokens_out * price.output) / MILLION


def _text(call: Call) -> str:
    """All that the model is given to read."""
    return "\n".join(str(message["content"]) for message in call.body["messages"])


def _most_tokens(call: Call) -> int:
    return int(call.body.get("max_tokens") or 0)
