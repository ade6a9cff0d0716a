import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from electorate.base.errors import ElectorateError
from electorate.config import config_file
from electorate.config.contest import Contest
from electorate.config.engines import Endpoint, OpenAIModel, VllmModel
from electorate.config.poll import Poll
from electorate.config.run import Config, Votes
from electorate.config.section import Section
from serve.settings import Settings
from tests.conftest import ROOT, made_config, plain_config


def load(tmp_path: Path, content: object, *settings: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return config_file.load(path, settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["population.size=-5"], ["population.size", "-5", "greater than or equal to 1"]),
        (
            ["population.sise=5"],
            ["population.sise", "unknown key", "did you mean size", "heterogeneity"],
        ),
        (["contestants.1.name=c0"], ["contestants", "'c0' is named twice"]),
        (["contestants.0.model=other"], ["contestants.0.model", "'other'", "models (m)"]),
        (["contestants.0.temprature=1"], ["contestants.0.temprature", "did you mean temperature"]),
        (["models.m.engine=vlm"], ["models.m", "vllm"]),
        (["models.m.base_uri=x"], ["models.m.base_uri", "did you mean base_url"]),
        (["models.m.base_url=ftp://x"], ["models.m.base_url", "ftp://x"]),
        (["votes.checkpoints=[5, 5]"], ["votes.checkpoints", "must rise"]),
        (["votes.checkpoints=[]"], ["votes.checkpoints", "at least 1"]),
        (["judge.lapse_rate=1.5"], ["judge.lapse_rate", "1.5", "less than or equal to 1"]),
        (["judge.decisiveness=.nan"], ["judge.decisiveness", "nan"]),
        (["population.size=ten"], ["population.size", "ten", "integer"]),
        (["evaluation.systems=[best]"], ["evaluation.systems", "best", "global_bt"]),
        (["evaluation.systems=[oracle]"], ["evaluation.systems", "name one of them too"]),
        (["evaluation.systems=[arena, arena]"], ["evaluation.systems", "each system once"]),
        (["population.archetypes={}"], ["population.archetypes", "at least 1"]),
        (["seed=-1"], ["seed", "-1"]),
        (["nonsense"], ["--set nonsense", "a.b=c"]),
        (["a..b=1"], ["--set a..b=1", "a.b=c"]),
        (["contestants.99.name=x"], ["--set contestants.99.name=x", "no place"]),
        (["seed=[1"], ["--set seed=[1", "YAML"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_field_value_and_what_is_allowed(
    tmp_path: Path, settings: list[str], expected: list[str]
) -> None:
    with pytest.raises(ElectorateError) as caught:
        load(tmp_path, plain_config(), *settings)
    line = str(caught.value)
    assert "\n" not in line
    for part in expected:
        assert part in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds NoneType"),
        ("- a", "holds list"),
        ("a: [", "not YAML"),
        ("seed: 1\nseed: 2", "line 2: key 'seed' is there twice"),
        ("models: {a: {}, a: {}}", "key 'a' is there twice"),
    ],
)
def test_what_is_no_config_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ElectorateError, match=expected) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ElectorateError, match="no such file"):
        config_file.load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ElectorateError, match="UTF-8"):
        config_file.load(tmp_path / "b.yaml")


def test_the_resolved_config_reads_back_equal(tmp_path: Path) -> None:
    config = made_config()
    assert load(tmp_path, config_file.dump(config)) == config


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["votes.eval_freq=20"], (20, 40, 50)),
        (["votes.eval_freq=25"], (25, 50)),
        (["votes.eval_freq=80"], (50,)),
        (["votes.checkpoints=[30]", "votes.eval_freq=10"], (10, 20, 30)),
    ],
)
def test_checkpoints_every_so_many_votes_end_at_the_last(
    tmp_path: Path, settings: list[str], expected: tuple[int, ...]
) -> None:
    config = load(tmp_path, plain_config(), *settings)
    assert config.votes.checkpoints == expected
    assert load(tmp_path, config_file.dump(config)) == config


def test_a_mapping_may_be_merged_into_another_in_yaml(tmp_path: Path) -> None:
    """As configs/arena_gpu.yaml does for its models: what is given beside the merge wins, and is
    not there twice.
    """
    text = yaml.safe_dump({**plain_config(), "models": None}).replace(
        "models: null", "models: {m: &m MODEL, other: {<<: *m, model: b}}"
    )
    config = load(
        tmp_path,
        text.replace(
            "MODEL", "{engine: openai, base_url: 'http://127.0.0.1:9/v1', model: a, retries: 2}"
        ),
    )
    assert {name: (model.model, model.retries) for name, model in config.models.items()} == {
        "m": ("a", 2),
        "other": ("b", 2),
    }


def test_the_hash_sees_what_changes_a_result_and_nothing_else() -> None:
    content = plain_config()
    same = copy.deepcopy(content)
    other = copy.deepcopy(content)
    same["cluster"] = {"cohorts": 7}
    other["judge"] = {"decisiveness": 2.5}
    digest = Config.model_validate(content).digest()
    assert Config.model_validate(same).digest() == digest
    assert Config.model_validate(other).digest() != digest


def test_every_preset_loads_and_every_field_is_described() -> None:
    presets = sorted((ROOT / "configs").glob("*.yaml"))
    assert presets
    for preset in presets:
        # Some are of a reward model alone, for people's votes.
        content = yaml.safe_load(preset.read_text())
        if "reward" in content:
            assert config_file.load_reward(preset)[0].model
        if "applications" in content:
            Settings.model_validate(content["applications"][0]["args"])
        elif "judges" in content:
            config_file.load_as(Poll, preset)
        elif set(content) != {"reward"}:
            config_file.load(preset)
    sections = [Config, Poll, Settings, *Section.__subclasses__(), VllmModel, OpenAIModel, Endpoint]
    nested = {
        "prompts",
        "population",
        "judge",
        "votes",
        "ratings",
        "evaluation",
        "cluster",
        "name",
        "engine",
    }
    nested |= {"personas", "rankings", "checks", "budget"}
    for section in sections:
        for name, field in section.model_fields.items():
            assert field.description or name in nested, (
                f"{section.__name__}.{name} has no description"
            )


def test_a_field_that_a_later_version_adds_changes_no_hash() -> None:
    class LaterVotes(Votes):
        added: int = 3

    class Later(Config):
        votes: LaterVotes = LaterVotes()
        new: str = "as before"

    content = plain_config(votes={"checkpoints": [10, 30]})
    now = Config.model_validate(content).digest()
    later = Later.model_validate(content).digest()
    assert now == later
    assert Later.model_validate({**content, "new": "other"}).digest() != now


def sections(
    content: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Where in a config a section lies, and of which kind it is."""
    if not isinstance(content, BaseModel):
        return
    yield path, type(content)
    for name in type(content).model_fields:
        value = getattr(content, name)
        items: Iterable[tuple[object, object]] = ()
        if isinstance(value, dict):
            items = value.items()
        if isinstance(value, tuple):
            items = enumerate(value)
        if isinstance(value, BaseModel):
            yield from sections(value, (*path, name))
        for key, one in items:
            yield from sections(one, (*path, name, str(key)))


@pytest.mark.parametrize(
    ("kind", "file"), [(Config, "reward"), (Config, "quickstart"), (Poll, "poll")]
)
def test_a_misspelt_key_anywhere_names_what_is_allowed_there(
    kind: type[Contest], file: str
) -> None:
    path = ROOT / "configs" / f"{file}.yaml"
    config = config_file.load_as(kind, path)
    found = list(sections(config))
    assert len(found) > 8
    for where, section in found:
        key = ".".join((*where, "misspelt_key"))
        with pytest.raises(ElectorateError) as error:
            config_file.load_as(kind, path, [f"{key}=1"])
        (line,) = str(error.value).splitlines()
        assert f"{key}: unknown key" in line, key
        allowed = line.split("allowed are ")[1].split(" (and")[0].split(", ")
        assert allowed == list(section.model_fields), key


@pytest.mark.parametrize(
    ("kind", "file"), [(Config, "reward"), (Config, "endpoints"), (Poll, "poll")]
)
def test_a_needed_key_that_is_misspelt_is_named_and_not_the_one_missing(
    kind: type[Contest], file: str
) -> None:
    path = ROOT / "configs" / f"{file}.yaml"
    tried = 0
    for where, section in sections(config_file.load_as(kind, path)):
        needed = [name for name, field in section.model_fields.items() if field.is_required()]
        content = yaml.safe_load(path.read_text())
        place: Any = content
        for part in where:
            place = place[int(part)] if isinstance(place, list) else place.get(part, {})
        for name in needed:
            if not where or name not in place or name in ("engine", "kind"):
                continue
            changed = {f"{name}s" if key == name else key: value for key, value in place.items()}
            tried += 1
            with pytest.raises(ElectorateError) as error:
                config_file.load_as(kind, path, [f"{'.'.join(where)}={yaml.safe_dump(changed)}"])
            line = str(error.value)
            assert f"{'.'.join((*where, name))}s: unknown key; did you mean {name}?" in line
    assert tried > 3


def test_a_misspelt_engine_or_section_is_named(tmp_path: Path) -> None:
    quickstart = ROOT / "configs" / "quickstart.yaml"
    with pytest.raises(ElectorateError, match="engine is missing, or misspelt as enginee; it is"):
        config_file.load(quickstart, ["models.m={enginee: vllm, source: x}"])
    with pytest.raises(ElectorateError, match=r"judges.0.windw: unknown key.*thinking$"):
        config_file.load_as(Poll, ROOT / "configs" / "poll.yaml", ["judges.0.windw=3"])
    own = tmp_path / "own.yaml"
    own.write_text("reward: {model: m}\nclutser: {cohorts: 1}\n")
    with pytest.raises(ElectorateError, match=r"clutser: unknown key; did you mean cluster\?"):
        config_file.load_reward(own)
    own.write_text("models: {}\ncontestents: []\n")
    with pytest.raises(
        ElectorateError, match=r"contestents: unknown key; did you mean contestants\?"
    ):
        config_file.load_contestants(own)


@pytest.mark.parametrize(
    ("kind", "setting", "hint"),
    [
        (Config, "reward.epoch=3", "did you mean epochs?"),
        (Poll, "judges.0.windw=3", "did you mean window?"),
        (Poll, "new_prompts={model: small, per_persna: 1}", "did you mean per_persona?"),
    ],
)
def test_a_misspelt_key_is_told_what_was_meant(
    kind: type[Contest], setting: str, hint: str
) -> None:
    file = "poll" if kind is Poll else "reward"
    with pytest.raises(ElectorateError) as error:
        config_file.load_as(kind, ROOT / "configs" / f"{file}.yaml", [setting])
    assert hint in str(error.value)


def test_one_archetype_with_a_model_of_its_own_for_each_persona_compares_a_handful() -> None:
    systems = ["global_bt", "pooled_rm", "personal_rm"]
    reward = {"model": "unused"}
    config = made_config(reward=reward, evaluation={"persona": "coder", "systems": systems})
    assert config.compared == 16
    with pytest.raises(ValidationError, match="personal_rm trains a model a persona"):
        made_config(reward=reward, evaluation={"systems": systems})
