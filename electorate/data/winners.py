"""Who won, as the field writes it."""

from electorate.base.votes import BOTH_BAD, TIE

OUTCOMES = {"model_a": 0, "model_b": 1, "tie": TIE, "tie (bothbad)": BOTH_BAD}
NAMES = tuple(OUTCOMES)
ALLOWED = "model_a, model_b, tie or tie (bothbad)"
# In lower case. A winner may also be the name of one of the two models.
SPELLINGS = OUTCOMES | {
    "bothbad": 3,
    "both_bad": 3,
    "both bad": 3,
    "neither": 3,
    "a": 0,
    "b": 1,
    "left": 0,
    "right": 1,
    "both": 2,
    "draw": 2,
    "equal": 2,
    # Arena-Hard's grades; how strong a preference is does not count.
    "a>>b": 0,
    "a>b": 0,
    "a=b": 2,
    "b>a": 1,
    "b>>a": 1,
}

# Which answer was shown first; 0 and 1 as a run's own log has it.
SIDES = {"model_a": 0, "model_b": 1, "a": 0, "b": 1, "0": 0, "1": 1}
# A vote on one answer alone, which has no second model.
THUMBS = {"down": 0, "up": 1}


def turned(winner: str) -> str:
    """The same with the sides exchanged."""
    return {"model_a": "model_b", "model_b": "model_a"}.get(winner, winner)


def outcome(text: str) -> int | None:
    """0 for A, 1 for B, 2 for a tie, 3 for both bad, None for what says none of these."""
    return SPELLINGS.get(text.strip().strip("[]").lower())


def of_names(text: str, model_a: str, model_b: str) -> int | None:
    """The same where the text may also be the name of a model.

    What the Chatbot Arena writes comes first, then names, then other spellings: a model may be
    called `A`.
    """
    text = text.strip()
    if text in OUTCOMES:
        return OUTCOMES[text]
    named = [i for i, name in enumerate((model_a, model_b)) if text == name]
    return named[0] if named else outcome(text)
