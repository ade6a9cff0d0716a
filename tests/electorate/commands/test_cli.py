"""How the command line reads what is typed."""

import pytest

from electorate.commands.cli import dashed
from electorate.config import config_file
from simulations import cli
from simulations.arguments import parser
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--num_prompts", "--num-prompts"),
        ("--lambda_reg=0.2", "--lambda-reg=0.2"),
        ("--set=votes.eval_freq=3", "--set=votes.eval_freq=3"),
        ("votes.eval_freq=3", "votes.eval_freq=3"),
        ("runs/my_run", "runs/my_run"),
    ],
)
def test_options_may_have_underscores(typed: str, read: str) -> None:
    assert dashed(typed) == read


def test_the_classic_options_are_taken_as_other_tools_spell_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["run", "no_such.yaml", "--num_prompts", "5", "--eval_freq", "3"]) == 2
    assert "no_such.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "quickstart",
            {"reward.lambda_reg": 600.0, "reward.incremental": True, "prompts.per_archetype": 9},
        ),
        ("population", {"ratings.lambda_reg": 0.2, "prompts.per_archetype": 9}),
        ("classic", {"reward.lambda_reg": 600.0, "voters.new_prompts.most": 9}),
    ],
)
def test_the_classic_options_mean_what_the_config_has(
    config: str, expected: dict[str, object]
) -> None:
    typed = ["--lambda-reg", "0.2", "--num-prompts", "9", "--incremental", "--persona", "coder"]
    chosen = parser().parse_args(["run", f"configs/{config}.yaml", *typed])
    found = cli.classic(chosen, config_file.load(ROOT / "configs" / f"{config}.yaml"))
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["evaluation.persona"] == "coder"
    other = {"ratings.lambda_reg", "reward.lambda_reg", "voters.new_prompts.most"} - {*expected}
    assert not other & {key for key, value in found.items() if value is not None}
