"""Learning from few votes: what suits them is found on prompts held out among them, form by
form; then all of them are learned.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from electorate.base.scale import Floats
from electorate.config.reward import Reward
from electorate.ratings.ties import MODELS
from electorate.rewards.corpus import Corpus
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import Form, best_scaled, fallbacks, scaled
from electorate.rewards.network import Network, seeded
from electorate.rewards.training import Plan, Training, standardise
from electorate.rewards.weights import Read

SCALES = (1, 10, 100)  # times the config's lambda_reg
STEPS = 400  # at least, however few prompts there are
PROMPTS_PER_STEP = 8  # at most, so that few prompts make several steps
STEPS_A_PASS = 4  # at least: a step on all votes is no better than one on a quarter of them
STEPS_AN_EPOCH = 8  # at least: between epochs every user's posterior is worked out


@dataclass(frozen=True)
class Learned:
    """reads: what each form says of the corpus's answers. network: as it was at the best epoch
    of the last form; heads: form to the name of its head there. held_out: form to its log
    loss on prompts held out among those learned from.
    """

    reads: dict[str, Read]
    network: Network
    heads: dict[str, str]
    held_out: dict[str, float]


def epochs(corpus: Corpus, settings: Reward) -> int:
    """How often `learn` ticks: once an epoch of either training."""
    return 2 * _plan(corpus, settings).epochs


def learn(
    reader: Encoder,
    corpus: Corpus,
    models: int,
    forms: Mapping[str, Form],
    settings: Reward,
    ties: str,
    tick: Callable[[], None],
) -> Learned:
    """Train all forms on one encoder, each under several scales of its penalty, to see which scale
    and how many epochs suit it; then again, on the held-out prompts too, each form as it suits it.
    A form that did no better than a simpler one falls back to that one.

    Raises ElectorateError as electorate/rewards/training.py does.
    """
    plan = _plan(corpus, settings)
    all_forms = scaled(forms, SCALES)

    def training(of: Encoder, learned: Corpus, names: Iterable[str]) -> Training:
        chosen = {name: all_forms[name] for name in names}
        network = seeded(0, of, chosen, 1, models, settings.rank, ties)
        if settings.counter_rate == 0:
            of.hold_counters()
        network.to("cuda" if settings.accelerator == "gpu" else "cpu")
        standardise(network, learned, 0)
        return Training(network, network, learned, MODELS[ties], 0, plan)

    trial = training(copy.deepcopy(reader), corpus, all_forms)
    by_epoch = dict[str, list[Floats]]()
    for _ in range(plan.epochs):
        trial.epoch()
        for name, own in trial.log_likelihood.items():
            by_epoch.setdefault(name, []).append(own)
        tick()
    tried = {name: np.array(own) for name, own in by_epoch.items()}
    after = {name: _best(own) for name, own in tried.items()}
    best = {name: own[after[name]] for name, own in tried.items()}
    suited = best_scaled(best)
    shown = fallbacks({form: best[name] for form, name in suited.items()}, trial.held_out.prompt)

    everything = replace(corpus, learned=np.union1d(corpus.learned, corpus.held_out))
    final = training(reader, everything, suited.values())
    kept = dict[str, Read]()
    state = dict[str, Any]()
    for epoch in range(plan.epochs):
        if any(after[name] >= epoch for name in suited.values()):
            final.epoch()
            kept |= {name: read for name, read in final.reads().items() if after[name] == epoch}
            state = (
                copy.deepcopy(final.state()["network"])
                if after[suited[tuple(forms)[-1]]] == epoch
                else state
            )
        tick()
    final.network.load_state_dict(state, strict=False)
    held_out = {form: float(-best[name].mean()) for form, name in suited.items()}
    return Learned(
        {form: kept[suited[giver]] for form, giver in shown.items()},
        final.network,
        suited,
        held_out,
    )


def _best(tried: Floats) -> int:
    """Which row has the largest sum."""
    return int(tried.sum(axis=1).argmax())


def _plan(corpus: Corpus, settings: Reward) -> Plan:
    size = _size(corpus, settings)
    a_pass = max(1, len(corpus.learned) // size)
    passes = -(-STEPS_AN_EPOCH // a_pass)
    least = -(-STEPS // (passes * a_pass))
    return replace(
        Plan.of(settings),
        epochs=max(settings.epochs, least),
        prompts_per_step=size,
        passes=passes,
    )


def _size(corpus: Corpus, settings: Reward) -> int:
    """Prompts a step."""
    many = len(corpus.learned) * settings.epochs >= STEPS * settings.prompts_per_step
    if many:
        return settings.prompts_per_step
    at_most = -(-len(corpus.learned) // STEPS_A_PASS)
    return min(settings.prompts_per_step, PROMPTS_PER_STEP, max(1, at_most))
