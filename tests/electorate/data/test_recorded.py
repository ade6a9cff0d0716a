from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from electorate.config.run import Config
from electorate.data import prompts, recorded, topics
from electorate.data.features import AXES
from electorate.population import planted
from tests.conftest import ARCHETYPES

ASKED = {
    "Write a Python function that reverses a list.": "coder",
    "Write a short poem about the sea.": "creative_writer",
    "Draft an email to a customer about a late delivery.": "business",
    "Solve the equation 3x + 4 = 19.": "student",
    "Explain quantum entanglement.": "academic",
    "How do I cook rice?": "everyday",
}


@pytest.mark.parametrize("prompt", ASKED)
def test_topics_by_the_words_in_a_prompt(prompt: str) -> None:
    assert topics.of(prompt).archetype == ASKED[prompt]
    assert topics.of(prompt.upper()) == topics.of(prompt)


def test_words_inside_other_words_say_nothing() -> None:
    assert topics.of("Which therapist should I see about my capital?").archetype == "everyday"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        (f"{prompt} ({i})", model)
        for prompt in ASKED
        for i in range(4)
        for model in ("big/one", "two", "three")
    ]
    columns = {
        "prompt": [p for p, _ in rows],
        "model": [m for _, m in rows],
        "response": [f"{p} {m}" for p, m in rows],
    }
    names = {"big/one": "gpt-4-0613", "two": None, "three": None}
    pq.write_table(
        pa.table({**columns, "arena_name": [names[m] for _, m in rows]}), tmp_path / "r.parquet"
    )
    return tmp_path / "r.parquet"


def config(file: Path, archetypes: tuple[str, ...] = ARCHETYPES, **settings: Any) -> Config:
    content = {
        "models": {"r": {"engine": "recorded", "responses": str(file)}},
        "prompts": {"source": "recorded", "per_archetype": None, **settings},
        "population": {"size": 300, "archetypes": {name: {} for name in archetypes}},
    }
    return recorded.with_contestants(Config.model_validate(content))


def test_every_model_of_the_file_is_a_contestant(file: Path) -> None:
    found = [(c.name, c.recorded, c.arena_name) for c in config(file).contestants]
    assert found == [
        ("big/one", "big/one", "gpt-4-0613"),
        ("two", "two", None),
        ("three", "three", None),
    ]
    # The config a run keeps names them, and reads back as it is.
    assert recorded.with_contestants(config(file)) == config(file)


def test_prompts_are_those_every_contestant_answered(file: Path) -> None:
    table = pq.read_table(file).to_pylist()
    table[0]["response"] = None
    pq.write_table(pa.Table.from_pylist(table), file.with_name("fewer.parquet"))
    chosen = prompts.select(config(file.with_name("fewer.parquet")))
    assert len(chosen) == 23
    assert table[0]["prompt"] not in chosen.text
    assert Counter(chosen.archetype) == {**dict.fromkeys(ARCHETYPES, 4), "coder": 3}
    assert min(Counter(chosen.split).values()) >= 3


def test_some_prompts_an_archetype(file: Path) -> None:
    chosen = prompts.select(config(file, per_archetype=3))
    assert Counter(chosen.archetype) == dict.fromkeys(ARCHETYPES, 3)


def test_an_archetype_without_prompts_of_its_own_asks_all_alike(file: Path) -> None:
    of = config(file, ("coder", "lawyer"))
    chosen = prompts.select(of)
    assert Counter(chosen.archetype) == {"coder": 4, "": 20}
    z = np.random.default_rng(0).normal(size=(len(chosen), 3, len(AXES)))
    coder, lawyer = planted.plant(of, chosen, z).prompt_weights
    own = np.array([archetype == "coder" for archetype in chosen.archetype])
    assert coder[own].sum() == pytest.approx(0.7 + 0.3 * 4 / 24)
    assert lawyer == pytest.approx(1 / 24)
