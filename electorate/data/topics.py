"""The rule that gives a prompt of unknown origin a topic, and with it an archetype that asks
such things.

The first topic with one of its words in the prompt is the prompt's; a prompt with none of them is
everyday talk. A rule of words is crude, but it can be read, and it says the same every time.
"""

import re
from typing import NamedTuple


class Topic(NamedTuple):
    """A topic, the archetype whose it is, and the pattern of its words."""

    name: str
    archetype: str
    words: str


# Narrow topics first: an email about code is about code.
RULE = (
    Topic(
        "programming",
        "coder",
        r"python|java(script)?|typescript|c\+\+|c#|rust|golang|sql|html|css|php|react|regex|bash|linux|git(hub)?|docker|api|"
        r"code|coding|programs?|programming|programmers?|algorithms?|functions?|compil\w+|debug\w*|software|website|server|databases?",
    ),
    Topic(
        "writing_fiction",
        "creative_writer",
        r"story|stories|poems?|poetry|haiku|lyrics|songs?|novel|fiction|screenplay|scene|dialogue|characters?|plot|rhyme|limerick|"
        r"fantasy|imagine|pretend|role ?play|act as|jokes?|script|movies?|film|series",
    ),
    Topic(
        "work",
        "business",
        r"e-?mails?|marketing|business|customers?|clients?|sales|startup|company|companies|manager|meeting|linkedin|resume|cv|"
        r"interview|job|career|revenue|brand|advert\w*|ads?|slogan|product|invest\w*|stocks?|budget|strategy|report|tweets?|employees?|office",
    ),
    Topic(
        "mathematics",
        "student",
        r"calculate|equations?|solve|maths?|mathematic\w*|algebra|geometry|integers?|prime|"
        r"probability|percent\w*|fractions?|sum of|how many|average|essay|homework|exam|quiz|"
        r"grammar|synonyms?|antonyms?|translate|vocabulary|paraphrase|summari[sz]e|sentences?|"
        r"words?",
    ),
    Topic(
        "scholarship",
        "academic",
        r"quantum|physics|chemi\w+|biolog\w+|genetic\w*|evolution\w*|econom\w+|philosoph\w+|psycholog\w+|sociolog\w+|histor\w+|"
        r"theor\w+|research|scien\w+|stud(y|ies)|hypothes[ie]s|statistic\w*|politic\w*|war|empire|century|cultur\w+|societ\w+|climate|"
        r"planets?|galaxy|stars?|universe|atoms?|molecul\w+|neuro\w*|law|government|religio\w+|language",
    ),
)
EVERYDAY = Topic("everyday", "everyday", "")
_PATTERNS = [
    (topic, re.compile(rf"(?<!\w)(?:{topic.words})(?!\w)", re.IGNORECASE)) for topic in RULE
]


def of(prompt: str) -> Topic:
    """The topic of a prompt."""
    return next((topic for topic, pattern in _PATTERNS if pattern.search(prompt)), EVERYDAY)
