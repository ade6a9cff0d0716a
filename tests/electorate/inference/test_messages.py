"""The same answer under every wrapping is the same answer."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from electorate.inference import completions
from electorate.inference.messages import clean, of_message, without_reasoning

WORDS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="<>|"), min_size=1
).filter(lambda text: text.strip() == text)


def wrapped(answer: str, thought: str) -> dict[str, Mapping[str, Any]]:
    """Messages that hold this answer, by how it is wrapped."""
    return {
        "plain": {"content": answer},
        "thought before": {"content": f"<think>\n{thought}\n</think>\n\n{answer}"},
        "in capitals": {"content": f"<THINK>{thought}</THINK>{answer}"},
        "another word": {"content": f"\n<thinking>{thought}</thinking>\n{answer}"},
        "twice": {"content": f"<think>{thought}</think>\n<think></think>{answer}"},
        "opened by the template": {"content": f"{thought}\n</think>\n\n{answer}"},
        "a field": {"content": answer, "reasoning_content": thought},
        "another field": {"content": answer, "reasoning": thought},
        "parts": {"content": [{"type": "text", "text": answer}]},
        "thinking as a part": {
            "content": [
                {"type": "thinking", "thinking": thought},
                {"type": "text", "text": answer},
            ]
        },
        "texts as parts": {"content": [answer[:1], answer[1:]]},
        "no refusal": {"content": answer, "refusal": None, "tool_calls": []},
        "channels": {
            "content": f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant"
            f"<|channel|>final<|message|>{answer}<|return|>"
        },
    }


@given(WORDS, WORDS)
def test_every_wrapping_gives_the_answer(answer: str, thought: str) -> None:
    for name, message in wrapped(answer, thought).items():
        said = of_message(message)
        assert said.text == answer, name
        plain = name in ("plain", "parts", "texts as parts", "no refusal")
        assert said.reasoned != plain, name
        # What was read once is not read otherwise again.
        assert without_reasoning(said.text) == (said.text, False)


@pytest.mark.parametrize(
    ("message", "text", "reasoned"),
    [
        ({"content": "<think>and so on, to the end of the tokens"}, "", True),
        ({"content": None, "reasoning_content": "hm"}, "", True),
        ({"content": None}, "", False),
        ({}, "", False),
        ({"content": []}, "", False),
        ({"content": None, "refusal": "I can't."}, "I can't.", False),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "", False),
        ({"content": "a\ud83d b\0c"}, "a\ufffd b\ufffdc", False),
        ({"content": "use <think> tags, then </think>"}, "use <think> tags, then </think>", False),
        ({"content": "<|channel|>analysis<|message|>hm"}, "", True),
    ],
)
def test_what_is_no_plain_text(message: Mapping[str, Any], text: str, reasoned: bool) -> None:
    said = of_message(message)
    assert (said.text, said.reasoned) == (text, reasoned)


@given(st.text(), st.text())
def test_whatever_was_said_can_be_kept(text: str, field: str) -> None:
    said = of_message({"content": text, "reasoning": field})
    assert "\0" not in said.text
    said.text.encode()
    clean(text).encode()


def read(content: Any) -> completions.Answer:
    return completions.read(json.dumps(content).encode(), 0.0)


def choice(text: str, tokens: list[str], top: dict[str, float], at: int) -> dict[str, Any]:
    logprobs = [{"token": token, "top_logprobs": []} for token in tokens]
    logprobs[at]["top_logprobs"] = [
        {"token": token, "logprob": logprob} for token, logprob in top.items()
    ]
    one = {"message": {"content": text}, "finish_reason": "stop", "logprobs": {"content": logprobs}}
    return {"choices": [one]}


@pytest.mark.parametrize(
    ("tokens", "at"),
    [
        (["A"], 0),
        (["<think>", "hm", "</think>", "\n\n", "A"], 4),
        (["hm", "</th", "ink>", "A"], 3),
    ],
)
def test_a_judge_that_thinks_is_read_after_it(tokens: list[str], at: int) -> None:
    top = {"A": -0.1, "B": -3.0}
    assert read(choice("".join(tokens), tokens, top, at)).top == top


def test_one_that_only_thinks_has_no_first_token() -> None:
    tokens = ["<think>", "A", "or", "B"]
    assert read(choice("".join(tokens), tokens, {"A": -0.1}, 1)).top is None


@pytest.mark.parametrize(
    ("content", "kind", "passes"),
    [
        ({"error": {"message": "overloaded", "code": 503}}, "HTTP 503", True),
        ({"error": {"message": "slow down", "code": "429"}}, "HTTP 429", True),
        ({"error": {"message": "no such model", "code": 404}}, "HTTP 404", False),
        ({"error": "upstream failed"}, completions.REPORTED, True),
        (
            {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]},
            completions.REPORTED,
            True,
        ),
        ({"choices": [{"message": {"content": 3}}]}, completions.MALFORMED, False),
        ({"choices": []}, completions.MALFORMED, False),
        ([], completions.MALFORMED, False),
        (None, completions.MALFORMED, False),
    ],
)
def test_a_failure_inside_an_answer_is_a_failure(content: Any, kind: str, passes: bool) -> None:
    answer = read(content)
    assert (answer.kind, answer.text) == (kind, "")
    assert answer.error
    assert completions.may_pass(answer) == passes


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "message",
                        "content",
                        "error",
                        "usage",
                        "logprobs",
                        "type",
                        "text",
                        "code",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_no_answer_is_a_crash(content: Any) -> None:
    answer = read(content)
    answer.text.encode()


def test_what_an_earlier_version_kept_is_read_as_now() -> None:
    kept = completions.Answer("<think>hm</think>yes\0", "stop", 5, 0.1)
    row = {name: value for name, value in vars(kept).items() if name != "reasoned"}
    again = completions.Answer.stored(row)
    assert (again.text, again.reasoned) == ("yes\ufffd", True)
    assert completions.Answer.stored(vars(again)) == again
