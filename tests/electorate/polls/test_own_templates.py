"""The user's own texts for judges: named in a config, taken with it, refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.modes import MODES, RANKING
from electorate.config.poll import Poll
from electorate.config.run import Config
from electorate.polls import own_templates
from tests.conftest import in_process
from tests.simulations.judging_server import Handler, JudgingServer
from tests.simulations.test_model_voters import CODERS, model_voters, write_config

VERDICT = "I am $card. I asked: $prompt\n$rule\nAnswer A:\n$a\n\nAnswer B:\n$b\n\nMine is"
RANKING_TEXT = "I am $card. I asked: $prompt\n$rule\n$answers\n\nMine is"


def run_config(folder: Path, **changes: Any) -> Config:
    path = write_config(folder, "http://127.0.0.1:9/v1", voters=model_voters(**changes))
    return config_file.load(path)


def test_a_config_takes_the_text_of_the_file_so_that_a_changed_one_is_another_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "verdict.txt"
    path.write_text(VERDICT)
    plain = run_config(tmp_path)
    named = run_config(tmp_path, templates={"verdict": str(path)})
    one = own_templates.with_texts(named)
    assert one.judging is not None
    assert one.judging.templates == {"verdict": VERDICT}
    assert own_templates.with_texts(one) == one
    path.write_text(VERDICT + " this: ")
    other = own_templates.with_texts(named)
    assert len({plain.digest(), one.digest(), other.digest()}) == 3
    assert own_templates.with_texts(plain) == plain


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"templates": {"verdict": "nowhere.txt"}}, "voters.templates.verdict: nowhere.txt cannot"),
        (
            {"templates": {"verdict": "$card $prompt $a $b"}},
            "voters.templates.verdict: lacks $rule",
        ),
        ({"templates": {"ranking": VERDICT}}, "voters.templates.ranking: $a is not filled"),
        ({"templates": {"verdict": VERDICT + " $5"}}, "a $ stands before no name; write $$"),
        (
            {"new_prompts": {"model": "judge", "template": "About $subject"}},
            "voters.new_prompts.template: $subject is not filled; allowed are $card, $difficulty",
        ),
    ],
)
def test_what_is_wrong_with_a_text_is_one_line(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    config = run_config(tmp_path)
    voters = config_file.validated(
        Config, {**config.model_dump(mode="json"), "voters": model_voters()}, "config"
    ).judging
    assert voters is not None
    changed = voters.model_validate({**voters.model_dump(), **changes})
    with pytest.raises(ElectorateError) as error:
        own_templates.with_texts(config.model_copy(update={"voters": changed}))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mode_there_is_not_is_one_line(tmp_path: Path) -> None:
    path = write_config(
        tmp_path, "http://127.0.0.1:9/v1", voters=model_voters(templates={"verdikt": "x"})
    )
    done = in_process("run", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "verdikt" in done.stderr
    assert "verdict" in done.stderr


def test_the_texts_that_are_there_are_ones_a_user_could_have_written(tmp_path: Path) -> None:
    templates = {mode.name: mode.text for mode in (*MODES.values(), RANKING)}
    config = run_config(tmp_path, templates=templates)
    assert own_templates.with_texts(config) == config


def test_judges_are_asked_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = JudgingServer(others=CODERS)
    asked = list[str]()
    key = Handler.key

    def noting(self: Handler, body: dict[str, Any]) -> str:
        asked.append(body["messages"][0]["content"])
        return key(self, body)

    monkeypatch.setattr(Handler, "key", noting)
    (tmp_path / "verdict.txt").write_text(VERDICT)
    (tmp_path / "ranking.txt").write_text(RANKING_TEXT)
    content = yaml.safe_load(write_config(tmp_path, server.url).read_text())
    del content["voters"], content["votes"], content["evaluation"]
    content |= {
        "personas": {"size": 2},
        "judges": [{"name": "j", "model": "judge"}],
        "templates": {m: str(tmp_path / f"{m}.txt") for m in ("verdict", "ranking")},
        "battles": 2,
        "rankings": {"personas": 2, "prompts": 1},
        "checks": {"repeats": 0, "injections": 0},
    }
    path = tmp_path / "poll.yaml"
    path.write_text(yaml.safe_dump(content))
    assert config_file.load_as(Poll, path).templates
    done = in_process("poll", path, "--out", tmp_path / "poll")
    assert done.returncode == 0, done.stderr[-2000:]
    assert asked
    assert all(text.startswith("I am ") and text.endswith("Mine is") for text in asked)
