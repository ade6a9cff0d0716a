import numpy as np
import pytest

from electorate.data.features import AXES, CONTROLS, measure, measure_controls, standardise


def of(text: str, axis: str) -> float:
    return float(measure([text])[0, AXES.index(axis)])


@pytest.mark.parametrize(
    ("axis", "more", "less"),
    [
        ("length", "one two three four", "one two"),
        ("headers", "# Title\ntext", "Title\ntext"),
        ("lists", "- a\n- b\n1. c", "a\nb\nc"),
        ("bold", "a **b** c", "a * b * c"),
        ("code", "use `x` and ```y```", "use x and y"),
        ("long_words", "extraordinary nomenclature", "big word"),
        ("long_sentences", "one two three four five six.", "One. Two. Three."),
        ("rich_vocabulary", "every word differs here", "word word word word"),
        ("addresses_reader", "you can do this, let's go", "one can do this"),
        ("hedging", "it may perhaps rain", "it will surely rain"),
        ("numbers", "in 1984 and 2001", "in the past"),
        ("enthusiasm", "great! yes!", "great. yes."),
    ],
)
def test_each_axis_measures_what_its_name_says(axis: str, more: str, less: str) -> None:
    assert of(more, axis) > of(less, axis)


@pytest.mark.parametrize("text", ["", " \n", "🙂", "1234", "a" * 200_000, "\x00\ud83d"])
def test_any_text_has_finite_measures(text: str) -> None:
    assert np.isfinite(measure([text])).all()


def test_standardised_measures_are_centred_within_prompt_scaled_and_clipped() -> None:
    raw = np.random.default_rng(0).normal(size=(50, 6, len(AXES))) + np.arange(50)[:, None, None]
    raw[:, :, 3] = 7.0
    raw[0, 0, 4] = 1e4
    z = standardise(raw)
    assert np.abs(z[..., :3].mean(axis=1)).max() < 1e-9
    assert (z[..., :3] ** 2).mean() == pytest.approx(1.0, abs=0.02)
    assert not z[..., 3].any()
    assert np.abs(z).max() == 4.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("unit", ["\n", ".", "*", "`", "_", "1", " ", "- \n", "**a", "1. "])
def test_no_text_takes_more_than_one_pass(unit: str) -> None:
    """Five megabytes of what a pattern could try again and again; in more than one pass they
    would take hours.
    """
    measured = measure([unit * (5_000_000 // len(unit)) + "x"])
    assert np.isfinite(measured).all()


@pytest.mark.parametrize(
    ("text", "emoji"),
    [
        ("plain words, numbers 1 2 3 and ** bold **", 0),
        ("done \u2705 and \u2764\ufe0f", 2),
        ("\U0001f600\U0001f680 \U0001f9e0", 3),
        ("waving \U0001f44b\U0001f3fd", 1),  # whose colour is no other
        ("\u4f60\u597d \u3053\u3093\u306b\u3061\u306f \u00fc \u2192 \u20ac", 0),
    ],
)
def test_emoji_are_counted_and_nothing_else_is_one(text: str, emoji: int) -> None:
    place = list(CONTROLS).index("emoji")
    measured = measure_controls([text])
    assert measured[0, place] == pytest.approx(np.log1p(emoji))
    np.testing.assert_array_equal(measured[:, :5], measure([text])[:, :5])
