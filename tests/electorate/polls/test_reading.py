"""What a judge's answers say, and that none of them is silently a tie."""

import numpy as np
import pytest

from electorate.inference.completions import OVERFLOW, TIME_OUT, Answer
from electorate.polls import reading
from electorate.polls.reading import Reading, Unread
from electorate.polls.wording import Attempt, Question


def question(mode: str = "verdict", answers: int = 2) -> Question:
    return Question("j", mode, 0, "p", tuple(f"answer {i}" for i in range(answers)))


def said(text: str, top: dict[str, float] | None = None, **more: object) -> Answer:
    return Answer(text, "stop", 1, 0.1, top=top, **more)  # type: ignore[arg-type]


def read(mode: str, answer: Answer, temperature: float = 1.0) -> Reading | Unread:
    return reading.read(question(mode), answer, temperature)


def test_a_verdict_is_the_share_of_each_letter_whatever_else_was_likely() -> None:
    found = read(
        "verdict",
        said(
            "A",
            {
                "A": np.log(0.3),
                " B": np.log(0.1),
                "C": np.log(0.1),
                "The": np.log(0.4),
                "B": np.log(0.05),
            },
        ),
    )
    assert isinstance(found, Reading)
    assert np.exp(found.odds) == pytest.approx([0.6, 0.2, 0.2])


def test_a_letter_out_of_sight_is_no_likelier_than_the_least_in_sight() -> None:
    found = read("verdict", said("A", {"A": -0.1, "x": -4.0}))
    assert isinstance(found, Reading)
    assert found.odds[1] == found.odds[2] == pytest.approx(found.odds[0] - 3.9)


def test_what_an_engine_forbids_does_not_break_the_sum() -> None:
    found = read("verdict", said("B", {"A": -9999.0, "B": 0.0, "C": -9999.0}))
    assert isinstance(found, Reading)
    assert np.exp(found.odds).sum() == pytest.approx(1.0)
    assert found.odds.argmax() == 1


def test_a_letter_without_probabilities_is_believed_in_part() -> None:
    found = read("verdict", said("B.", None))
    assert isinstance(found, Reading)
    assert np.exp(found.odds) == pytest.approx([0.05, 0.9, 0.05])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said("I think the first is nicer", None), "prose"),
        (said("The", {"The": -0.2, "I": -2.0}), "prose"),
        (said("", None), "empty"),
        (said("   ", {}), "empty"),
        (said("I'm sorry, but I cannot choose.", None), "refusal"),
        (said("I can\u2019t help with that", None), "refusal"),
        (said("No.", None, refused=True), "refusal"),
        (Answer("", "error", 0, 1.0, "ReadTimeout", TIME_OUT), TIME_OUT),
        (Answer("", "error", 0, 1.0, "HTTP 500: no", "HTTP 500"), "HTTP 500"),
        (Answer("", "error", 0, 1.0, "HTTP 400: maximum context length", OVERFLOW), OVERFLOW),
    ],
)
def test_what_says_nothing_has_its_kind(answer: Answer, kind: str) -> None:
    for mode in ("verdict", "criteria", "ranking"):
        found = read(mode, answer)  # type: ignore[arg-type]
        assert isinstance(found, Unread), mode
        assert found.kind == kind


FIVE = "relevance: A\naccuracy: AB\nclarity: B\nlogical flow: A\nresponsiveness: NA"


def test_criteria_become_a_softmax_over_won_lost_and_level_and_na_is_both_bad() -> None:
    found = read("criteria", said(FIVE), temperature=2.0)
    assert isinstance(found, Reading)
    weights = np.exp(np.array([2, 1, 2]) / 2.0)
    assert np.exp(found.odds) == pytest.approx(weights / weights.sum())
    assert found.both_bad == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        '{"relevance": "A", "accuracy": "AB", "clarity": "B", "logical_flow": "A", '
        '"responsiveness": "NA"}',
        "**Relevance**: A\n**Accuracy**: AB\n**Clarity**: B\n**Logical flow**: "
        "A\n**Responsiveness**: NA",
        "Relevance - a, accuracy - ab, clarity - b, logical flow - a, responsiveness - na",
    ],
)
def test_criteria_are_read_however_they_are_laid_out(text: str) -> None:
    plain = read("criteria", said(FIVE))
    found = read("criteria", said(text))
    assert isinstance(plain, Reading)
    assert isinstance(found, Reading)
    assert found.odds == pytest.approx(plain.odds)
    assert found.both_bad == plain.both_bad


def test_two_criteria_are_too_few_to_be_an_answer() -> None:
    found = read("criteria", said("relevance: A\naccuracy: B and so on"))
    assert found == Unread("prose", "relevance: A\naccuracy: B and so on")


def test_a_ranking_is_over_all_letters_shown() -> None:
    found = reading.read(
        question("ranking", 4), said("C", {"A": -3.0, "B": -2.0, "C": -0.5, "D": -1.5}), 1.0
    )
    assert isinstance(found, Reading)
    assert list(np.argsort(-found.odds)) == [2, 3, 1, 0]


def test_asking_again_where_it_helps_and_only_there() -> None:
    assert reading.again(Unread("prose", "well"), Attempt()) == Attempt(0, "well")
    assert reading.again(Unread("prose", "well"), Attempt(0, "well")) is None
    assert reading.again(Unread("empty"), Attempt()) == Attempt(0, "...")
    rooms = [Attempt()]
    while (following := reading.again(Unread(OVERFLOW), rooms[-1])) is not None:
        rooms.append(following)
    assert [room.halvings for room in rooms] == [0, 1, 2, 3]
    assert reading.again(Unread(TIME_OUT), Attempt()) is None


def test_a_prompt_is_its_first_paragraph_without_quotes() -> None:
    assert (
        reading.prompt(said('"How do I boil an egg?"\n\nI hope this helps.'))
        == "How do I boil an egg?"
    )
    assert isinstance(reading.prompt(said("Sorry, no.")), Unread)
    assert isinstance(reading.prompt(said("Ok.")), Unread)


def test_letters_must_have_most_of_the_mass() -> None:
    top = {"Sure": np.log(0.6), "A": np.log(0.3), "B": np.log(0.05)}
    assert read("verdict", said("Sure", top)) == Unread(reading.PROSE, "Sure")
    top = {"A": np.log(0.2), " A": np.log(0.2), "B": np.log(0.15), "So": np.log(0.4)}
    assert isinstance(read("verdict", said("A", top)), Reading)


def test_a_judge_that_only_thinks_is_unread() -> None:
    for mode in ("verdict", "criteria", "ranking"):
        assert read(mode, said("", reasoned=True)) == Unread(reading.THINKING)
