"""How judges are asked and read: judging modes. To add one, see docs/extending.md.

A mode that can make votes is listed in MODES, and a config names it in `modes`. The listwise
ranking of all answers (`RANKING`) is asked for ground truth alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import AfterValidator

from electorate.base.registry import Registry


@dataclass(frozen=True)
class ModeSpec:
    """A way to ask a judge about answers.

    Attributes:
        name: as a config names it.
        label: what it is, for `--help`.
        template: the file whose text is asked, with $card, $prompt, $rule, $a and $b; or the text
            itself, which has a $ in it.
        reminder: what to say after an answer that could not be read.
        request: "module:function" or a function that gives the rest of the chat completion; see
            electorate.polls.wording.one_letter.
        read: the same that gives what an answer says; see electorate.polls.reading.first_letter.
        listwise: whether all answers are shown, as $answers, and one of them is chosen.
    """

    name: str
    label: str
    template: str
    reminder: str
    request: str | Callable[..., dict[str, Any]]
    read: str | Callable[..., Any]
    listwise: bool = False

    @property
    def text(self) -> str:
        """The text that the judge is asked."""
        return self.template if "$" in self.template else template(self.template)


MODES: Registry[ModeSpec] = Registry(
    "judging mode",
    ModeSpec(
        "verdict",
        "which answer is better, or neither: one letter, by its log-probabilities",
        "verdict.txt",
        "Answer with one letter and nothing else: A, B or C.",
        "electorate.polls.wording:one_letter",
        "electorate.polls.reading:first_letter",
    ),
    ModeSpec(
        "criteria",
        "which answer is better by each of five criteria",
        "criteria.txt",
        "Write the five lines in the form given and nothing else.",
        "electorate.polls.wording:five_lines",
        "electorate.polls.reading:criteria",
    ),
)
RANKING = ModeSpec(
    "ranking",
    "the best of all answers",
    "ground_truth_ranking.txt",
    "Answer with one letter and nothing else.",
    "electorate.polls.wording:one_letter",
    "electorate.polls.reading:first_letter",
    listwise=True,
)


def _known(name: str) -> str:
    """The name of a judging mode, or of the ranking of all answers."""
    return name if name == RANKING.name else MODES.check(name)


ModeName = Annotated[str, AfterValidator(MODES.check)]
AnyModeName = Annotated[str, AfterValidator(_known)]


def named(name: str) -> ModeSpec:
    """A mode by its name."""
    return RANKING if name == RANKING.name else MODES[name]


@cache
def template(name: str) -> str:
    """The text of a file in electorate/polls/templates."""
    return (files("electorate.polls") / "templates" / name).read_text(encoding="utf-8")
