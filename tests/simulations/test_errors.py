"""What is said of an error hangs on its class."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from electorate.base import errors
from electorate.base.errors import (
    ElectorateError,
    EndpointError,
    RequestError,
    StorageError,
    WorkLostError,
)
from serve.api import STATUS
from simulations import cli
from tests.conftest import ROOT

CONFIG = str(ROOT / "configs" / "quickstart.yaml")


@pytest.mark.parametrize(
    ("command", "error", "code", "advice"),
    [
        ("run", ElectorateError("votes: none"), 2, ""),
        ("run", StorageError("disk full"), 2, "; what is written is kept, run again with --resume"),
        (
            "poll",
            EndpointError("HTTP 500"),
            2,
            "; answers so far are kept, run again with --",
        ),
        ("run", WorkLostError("blocks [3]"), 2, "; finished work is kept, run again with --resume"),
        ("sweep", StorageError("disk full"), 2, "; what is written is kept, run again to go on"),
        ("report", StorageError("disk full"), 2, ""),
        ("run", KeyboardInterrupt(), 130, "; what is done is kept, run again with --resume"),
        ("run", ZeroDivisionError("1/0"), 1, "; what is done is kept, run again with --resume"),
    ],
)
def test_the_class_of_an_error_says_how_to_go_on(
    command: str,
    error: BaseException,
    code: int,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, command, fail)
    out = ["--out", "folder"] if command == "sweep" else []
    assert cli.main([command, CONFIG, *out]) == code
    *above, line = capsys.readouterr().err.splitlines()
    assert line.startswith("electorate: ")
    assert advice in line
    assert ("--resume" in line) == ("with --" in advice)
    is_bug = code == 1
    assert bool(above) == is_bug
    assert ("which is a bug" in line) == is_bug
    assert any("ZeroDivisionError" in one for one in above) == is_bug


def subclasses(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for one in kind.__subclasses__() for deeper in subclasses(one))]


def test_every_refusal_has_a_status_and_travels_between_processes() -> None:
    for kind in subclasses(RequestError):
        if kind.__module__ == errors.__name__:
            assert kind in STATUS
            again = pickle.loads(pickle.dumps(kind("why")))
            assert (type(again), str(again)) == (kind, "why")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--explore", "2"), "--explore 2.0: Input should be less than or equal to 1"),
        (
            ("--explore", "0.6", "--holdout", "0.5"),
            "--holdout 0.5: explore and holdout are more than 1 together",
        ),
        (("--retain-days", "-3"), "--retain-days -3.0: Input should be greater than 0"),
        (("--reward-gpus", "-1"), "--reward-gpus -1.0: Input should be greater than or equal to 0"),
    ],
)
def test_an_option_of_serve_out_of_bounds_is_one_line(
    option: tuple[str, str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", str(tmp_path / "new"), *option]) == 2
    assert capsys.readouterr().err == f"electorate: {says}\n"
