"""Prompts that personas write: spread over topics, and near-duplicates left out by a real
encoder.
"""

from electorate.config.engines import OpenAIModel
from electorate.config.judging import NewPrompts, PersonaSettings
from electorate.inference import embeddings, model_files
from electorate.polls import cards, new_prompts

MODELS = {"m": OpenAIModel(engine="openai", base_url="http://127.0.0.1:9/v1", model="m")}
SETTINGS = NewPrompts(
    model="m", topics=("work", "home", "money"), difficulties=("easy", "hard"), per_persona=8
)


def test_every_persona_asks_about_every_topic_and_never_the_same_twice() -> None:
    people = next(cards.in_blocks(PersonaSettings(size=4), 0, 4))
    asked = new_prompts.calls(SETTINGS, MODELS, people)
    assert len({call.key for call, _ in asked}) == len(asked) == 4 * 8
    for persona in people:
        kinds = [
            (about["topic"], about["difficulty"])
            for _, about in asked
            if about["persona"] == persona.persona
        ]
        assert len(set(kinds)) == 6
    content = asked[0][0].body["messages"][0]["content"]
    assert people[0].text() in content
    assert "work" in content


def test_what_says_the_same_in_other_words_is_left_out(tmp_path: object) -> None:
    texts = [
        "How do I boil an egg?",
        "Explain the theory of relativity to me.",
        "How do I boil an egg???",
        "What is the best way to invest a small amount of money?",
        "how do i boil an egg",
    ]
    encoder = model_files.resolve("encoder", SETTINGS.encoder, tmp_path)  # type: ignore[arg-type]
    vectors = embeddings.embed(texts, encoder)
    assert vectors.shape == (5, 384)
    assert new_prompts.distinct(vectors, 0.9) == [0, 1, 3]
    assert new_prompts.distinct(vectors, 1.0)[:2] == [0, 1]
