from collections import Counter
from pathlib import Path

import pytest

from electorate.base.errors import ElectorateError
from electorate.data import prompts
from electorate.data.prompts import PromptSet
from tests.conftest import ARCHETYPES, made_config


def select(**settings: object) -> PromptSet:
    return prompts.select(made_config(prompts=settings))


def test_the_built_in_set_has_forty_prompts_an_archetype_with_topics() -> None:
    chosen = select(per_archetype=40)
    assert Counter(chosen.archetype) == dict.fromkeys(ARCHETYPES, 40)
    assert len(set(chosen.text)) == len(chosen)
    for archetype in ARCHETYPES:
        assert (
            len({t for a, t in zip(chosen.archetype, chosen.topic, strict=True) if a == archetype})
            >= 5
        )


@pytest.mark.parametrize("n", [3, 6, 10, 40])
def test_every_archetype_is_split_alike(n: int) -> None:
    chosen = select(per_archetype=n)
    for archetype in ARCHETYPES:
        split = Counter(
            s for a, s in zip(chosen.archetype, chosen.split, strict=True) if a == archetype
        )
        assert min(split[name] for name in prompts.SPLITS) >= 1
        assert split["train"] >= split["test"]
    assert sorted([*chosen.ids("train"), *chosen.ids("validation"), *chosen.ids("test")]) == list(
        range(6 * n)
    )


def test_a_table_reads_back_and_left_out_prompts_are_in_no_split() -> None:
    chosen = select()
    assert PromptSet.from_table(chosen.table()) == chosen
    fewer = chosen.leaving_out({0, 5})
    used = {*fewer.ids("train"), *fewer.ids("validation"), *fewer.ids("test")}
    assert used == set(range(len(chosen))) - {0, 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "line 1: not JSON"),
        ('{"archetype": "coder"}', "line 1: needs the keys"),
        ('{"archetype": "coder", "topic": "t", "prompt": " "}', "line 1: needs the keys"),
        ('["a"]', "line 1: needs the keys"),
        ("", "has 0 for archetype 'coder'"),
    ],
)
def test_a_wrong_prompt_file_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(ElectorateError, match=expected):
        select(source=str(path))


def test_too_many_prompts_asked_for_says_how_many_there_are() -> None:
    with pytest.raises(
        ElectorateError, match="500 are asked for, but builtin has 42 for archetype 'coder'"
    ):
        select(per_archetype=500)
