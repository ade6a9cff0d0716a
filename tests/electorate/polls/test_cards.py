"""Persona cards, drawn or from a file, and the files that `import personas` makes of attributes."""

import json
from pathlib import Path

import pytest

from electorate.base.errors import ElectorateError
from electorate.config.judging import PersonaSettings
from electorate.importers import personas
from electorate.polls import cards
from electorate.polls.cards import Card


def drawn(settings: PersonaSettings, seed: int) -> list[Card]:
    (block,) = cards.in_blocks(settings, seed, 1000)
    return block


def test_drawn_cards_are_the_same_however_many_there_are() -> None:
    few, many = (drawn(PersonaSettings(size=size), seed=3) for size in (7, 50))
    assert many[:7] == few
    assert drawn(PersonaSettings(size=7), seed=4) != few
    assert len({card.text() for card in many}) == 50
    assert {card.segment for card in many} == {
        "coder",
        "academic",
        "creative_writer",
        "student",
        "business",
        "everyday",
    }


def test_another_order_says_the_same_otherwise() -> None:
    card = drawn(PersonaSettings(size=1), seed=0)[0]
    assert card.text(0) != card.text(1)
    assert sorted(card.text(0).splitlines()) == sorted(card.text(1).splitlines())
    assert card.text(1) == card.text(1)


@pytest.mark.parametrize("lines", [False, True])
def test_attributes_of_any_name_become_cards(tmp_path: Path, lines: bool) -> None:
    people = [
        {
            "id": "p1",
            "age": 75,
            "politics": "Moderate, middle of the road",
            "home": {"city": "Cleveland", "state": "OH"},
            "speaks": ["English", "Lithuanian"],
        },
        {"id": "p2", "age": 30, "politics": "Liberal", "home": None, "speaks": []},
        {"id": "p1", "age": 1},
        {"id": "p3", "age": None},
        "no object",
        {"age": 50, "politics": "Moderate, middle of the road"},
    ]
    source = tmp_path / "people.json"
    source.write_text("\n".join(map(json.dumps, people)) if lines else json.dumps(people))
    said = personas.convert(source, tmp_path / "out")
    assert said[0].startswith("3 personas")
    assert "3 rows set aside" in said[1]
    reasons = [
        json.loads(line)["reason"]
        for line in (tmp_path / "out" / "set_aside.jsonl").read_text().splitlines()
    ]
    assert reasons == [
        "an id that an earlier row has",
        "no attribute says anything",
        "not an object of attributes",
    ]
    settings = PersonaSettings(
        source=str(tmp_path / "out" / "personas.jsonl"), size=3, segment_by="politics"
    )
    read = drawn(settings, seed=0)
    assert (
        read[0].text() == "age: 75\npolitics: Moderate, middle of the road\nhome city: Cleveland\n"
        "home state: OH\nspeaks: English, Lithuanian"
    )
    assert [card.persona for card in read] == ["p1", "p2", "row-6"]
    assert [card.segment for card in read] == [
        "Moderate, middle of the road",
        "Liberal",
        "Moderate, middle of the road",
    ]
    with pytest.raises(ElectorateError, match=r"holds personas.jsonl already"):
        personas.convert(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no persona"),
        ("[]", "holds no persona"),
        ("[1, 2]", "row 1: not an object"),
        ("{", "row 1: not an object"),
        ("\xff", "cannot be read as UTF-8"),
    ],
)
def test_what_holds_no_persona_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    source = tmp_path / "people.json"
    source.write_bytes(content.encode("latin-1"))
    with pytest.raises(ElectorateError, match=message) as caught:
        personas.convert(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "personas.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ('{"id": "a", "attributes": {"x": "1"}}', {"size": 2}, "2 are asked for, and .* holds 1"),
        (
            '{"id": "a", "attributes": {"x": "1"}}',
            {"size": 1, "segment_by": "y"},
            "no attribute 'y'; it has x",
        ),
        ('{"id": "a", "attributes": {}}', {"size": 1}, "line 1: is not"),
        ("nonsense", {"size": 1}, "line 1: is not"),
        ('{"id": "a", "attributes": {"x": "1"}}\n' * 2, {"size": 2}, "there twice"),
    ],
)
def test_a_wrong_file_of_cards_is_one_line(
    tmp_path: Path, content: str, settings: dict[str, object], message: str
) -> None:
    path = tmp_path / "personas.jsonl"
    path.write_text(content)
    with pytest.raises(ElectorateError, match=message):
        drawn(PersonaSettings(source=str(path), **settings), seed=0)  # type: ignore[arg-type]
