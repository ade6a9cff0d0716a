"""The judges of a poll at work: questions in, readings out, each failure counted by its kind."""

from collections import Counter
from collections.abc import Sequence

from electorate.contest import content_key
from electorate.endpoints import Call, served_as
from electorate.polls import reading, wording
from electorate.polls.cards import Card
from electorate.polls.config import Poll
from electorate.polls.reading import Reading, Unread
from electorate.polls.wording import Attempt, Question
from simulations.asking import Asking


class Panel:
    """Puts questions to judges, again where that helps.

    unread: how many answers could not be used, by kind, put right later or not; lost: questions without a reading at the end.
    """

    def __init__(self, poll: Poll, cards: Sequence[Card], asking: Asking) -> None:
        self._poll, self._cards, self._asking = poll, cards, asking
        self._judges = {judge.name: judge for judge in poll.judges}
        self.unread, self.lost = Counter[str](), Counter[str]()

    def ask(self, questions: Sequence[Question], what: str) -> list[Reading | Unread]:
        """A reading of each question, or why there is none."""
        found: dict[int, Reading | Unread] = {}
        pending = dict.fromkeys(range(len(questions)), Attempt())
        while pending:
            calls = {i: self._call(questions[i], attempt) for i, attempt in pending.items()}
            answers = self._asking.answers(list(calls.values()), what)
            following = dict[int, Attempt]()
            for i, attempt in pending.items():
                found[i] = said = reading.read(questions[i], answers[calls[i].key], self._poll.criteria_temperature)
                if isinstance(said, Unread):
                    self.unread[said.kind] += 1
                    if (next_ := reading.again(said, attempt)) is not None:
                        following[i] = next_
                    else:
                        self.lost[said.kind] += 1
            pending, what = following, f"{what}, again"
        return [found[i] for i in range(len(questions))]

    def _call(self, question: Question, attempt: Attempt) -> Call:
        judge = self._judges[question.judge]
        model = self._poll.models[judge.model]
        card = self._cards[question.persona].text(question.order)
        body = wording.body(question, card, judge, model, self._poll.seed, attempt)
        return Call(content_key({"served": served_as(model), "body": body}), judge.model, body)
