"""What is typed wrong on the command line names what it may be meant for."""

import pytest

from simulations import cli


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["runn", "x.yaml"], "did you mean run?"),
        (["raet", "x.csv"], "did you mean rate?"),
        (["run", "x.yaml", "--num_promts", "3"], "did you mean --num-prompts?"),
        (["run", "x.yaml", "--sede=3"], "did you mean --seed?"),
        (["rate", "x.csv", "--mtrix"], "did you mean --matrix?"),
        (["rate", "x.csv", "--ties", "davidsen"], "did you mean davidson?"),
    ],
)
def test_a_misspelt_command_option_or_choice_says_what_is_close(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(typed)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(meant)


def test_what_is_close_to_nothing_has_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["rate", "x.csv", "--zzzzzz"])
    assert "did you mean" not in capsys.readouterr().err
