"""Requests as endpoints take them, and what their refusals mean."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from electorate.config.engines import OpenAIModel, Request
from electorate.inference import endpoints, requests

BODY: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is\ud83d a cat?"},
    ],
    "temperature": 0.7,
    "top_p": 1.0,
    "max_tokens": 9,
    "logprobs": True,
    "top_logprobs": 20,
}


def test_the_standard_is_left_as_it_is() -> None:
    body = BODY | {"messages": BODY["messages"][:1]}
    assert requests.shaped(body, Request()) == body


def test_every_difference_is_one_setting() -> None:
    shaped = requests.shaped(
        BODY,
        Request(
            max_tokens_as="max_completion_tokens",
            sampling=False,
            system_role=False,
            top_logprobs=5,
            extra={"chat_template_kwargs": {"enable_thinking": False}},
        ),
    )
    assert shaped == {
        "messages": [{"role": "user", "content": "Be brief.\n\nWhat is\ufffd a cat?"}],
        "max_completion_tokens": 9,
        "logprobs": True,
        "top_logprobs": 5,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    none = requests.shaped(BODY, Request(top_logprobs=0))
    assert not {"logprobs", "top_logprobs"} & set(none)


def test_a_difference_makes_other_answers_and_the_standard_none() -> None:
    model = {"engine": "openai", "base_url": "http://here/v1", "model": "m"}
    plain = OpenAIModel.model_validate(model).identity()
    assert plain == model
    same = OpenAIModel.model_validate(model | {"request": {"sampling": True}}).identity()
    assert same == plain
    other = OpenAIModel.model_validate(model | {"request": {"sampling": False}}).identity()
    assert other == plain | {"request": {"sampling": False}}


@pytest.mark.parametrize(
    ("refusal", "setting"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens_as: max_completion_tokens",
        ),
        (
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the "
            "default (1) value is supported.",
            "sampling: false",
        ),
        ("System role not supported", "system_role: false"),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", "system_role: false"),
        ("`top_logprobs` must be less than or equal to 5", "top_logprobs: 5"),
        ("logprobs is not supported by this model", "top_logprobs: 0"),
        ("This model does not exist", ""),
    ],
)
def test_a_refusal_is_named_with_the_setting_that_mends_it(refusal: str, setting: str) -> None:
    expected = f"; set models.m.request.{setting}" if setting else ""
    assert requests.mended_by(refusal, "models.m") == expected


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("3", 3, 3),
        ("0.25", 0.25, 0.25),
        ("9999", 60, 60),
        ("-1", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("in 20 s", 10, 20),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
)
def test_when_to_come_again_is_a_number_or_a_date(value: str, low: float, high: float) -> None:
    if value == "in 20 s":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    wait = endpoints._retry_after(value)
    assert low <= wait <= high
