"""Judges at work: questions in, readings out, each failure counted by its kind."""

from collections import Counter
from collections.abc import Sequence

from electorate.config.contest import Contest, Contestant, content_key
from electorate.config.engines import asked
from electorate.config.judging import Judging, ModelJudge
from electorate.inference.asking import Asking
from electorate.inference.completions import Call
from electorate.polls import judge_bias, reading, wording
from electorate.polls.cards import Card
from electorate.polls.reading import Reading, Unread
from electorate.polls.wording import Attempt, Question


class Panel:
    """Puts questions to judges, again where that helps.

    Args:
        contest: which models there are, and the seed.
        judging: who judges, and how.
        cards: of the personas that questions are about.
        asking: asks the models.
        counted: calls, by key and attempt, whose answers could not be used and were counted
            before; it grows.

    Attributes:
        contestants: whose answers are judged.
        unread: how many answers could not be used, by kind, put right later or not.
        lost: questions without a reading at the end, by kind.
    """

    def __init__(
        self,
        contest: Contest,
        judging: Judging,
        cards: Sequence[Card],
        asking: Asking,
        counted: set[tuple[str, Attempt]],
    ) -> None:
        self.judging = judging
        self.seed = contest.seed
        self.contestants = contest.contestants
        self.cards = cards
        self.unread = Counter[str]()
        self.lost = Counter[str]()
        self._asking = asking
        self._counted = counted
        self._models = asked(contest.models)
        self._judges = {judge.name: judge for judge in judging.judges}

    def ask(self, questions: Sequence[Question], what: str) -> list[Reading | Unread]:
        """A reading of each question, or why there is none."""
        found: dict[int, Reading | Unread] = {}
        pending = dict.fromkeys(range(len(questions)), Attempt())
        while pending:
            calls = {i: self._call(questions[i], attempt) for i, attempt in pending.items()}
            answers = self._asking.answers(list(calls.values()), what)
            temperature = self.judging.criteria_temperature
            following = dict[int, Attempt]()
            for i, attempt in pending.items():
                answer = answers[calls[i].key]
                found[i] = reading.read(questions[i], answer, temperature)
                if (next_ := self._again(found[i], attempt, calls[i].key)) is not None:
                    following[i] = next_
            pending = following
            what = f"{what}, again"
        return [found[i] for i in range(len(questions))]

    def family(self, judge: ModelJudge) -> str:
        """What the names of models of the judge's family begin with."""
        return judge_bias.family(judge.family or judge.model)

    def is_kin(self, judge: ModelJudge, contestant: Contestant) -> bool:
        """Whether the two are one model or of one family."""
        name = contestant.arena_name or contestant.name
        return contestant.model == judge.model or judge_bias.family(name) == self.family(judge)

    def _again(self, read: Reading | Unread, attempt: Attempt, key: str) -> Attempt | None:
        """How to ask again, if that helps; what could not be read is counted once."""
        if isinstance(read, Reading):
            return None
        following = reading.again(read, attempt)
        if (key, attempt) not in self._counted:
            self._counted.add((key, attempt))
            self.unread[read.kind] += 1
            if following is None:
                self.lost[read.kind] += 1
        return following

    def _call(self, question: Question, attempt: Attempt) -> Call:
        judge = self._judges[question.judge]
        model = self._models[judge.model]
        card = self.cards[question.persona].text(question.order)
        templates = self.judging.templates
        body = wording.body(question, card, judge, model, self.seed, attempt, templates)
        return Call(content_key({"served": model.identity(), "body": body}), judge.model, body)
