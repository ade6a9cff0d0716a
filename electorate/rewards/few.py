"""Learning from few votes: what suits them is found on prompts held out among them, form by form."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from electorate.config import Reward
from electorate.ratings.ties import MODELS
from electorate.rewards.corpus import Corpus
from electorate.rewards.encoder import Encoder
from electorate.rewards.forms import Form, own_say, pulled, pulled_best
from electorate.rewards.network import Network
from electorate.rewards.training import Plan, Training, standardise
from electorate.rewards.weights import Read
from electorate.scale import Floats

PULLS = (1, 10, 100)  # times the config's lambda_reg
STEPS = 400  # at least, however few prompts there are
PROMPTS_PER_STEP = 8  # at most, so that few prompts make several steps


@dataclass(frozen=True)
class Learned:
    """reads: what each form says of the corpus's answers. network: as it was at the best epoch of the last form; heads: form to
    the name of its head there. held_out: form to its log loss on prompts held out among those learned from.
    """

    reads: dict[str, Read]
    network: Network
    heads: dict[str, str]
    held_out: dict[str, float]


def epochs(corpus: Corpus, settings: Reward) -> int:
    """How many it takes."""
    return max(settings.epochs, -(-STEPS // max(1, len(corpus.learned) // _size(corpus, settings))))


def learn(
    reader: Encoder, corpus: Corpus, models: int, forms: Mapping[str, Form], settings: Reward, ties: str, tick: Callable[[], None]
) -> Learned:
    """Train all forms on one encoder, each under several pulls, and keep for each its best pull at its best epoch; a form that
    does no better than a simpler one says what that one does.

    tick(): an epoch is done. Raises ElectorateError as electorate/rewards/training.py does.
    """
    network = Network(reader, pulled(forms, PULLS), 1, models, settings.rank, ties)
    network.to("cuda" if settings.accelerator == "gpu" else "cpu")
    standardise(network, corpus, 0)
    plan = Plan(epochs(corpus, settings), _size(corpus, settings), settings.learning_rate, settings.counter_rate, settings.lambda_reg)
    training = Training(network, network, corpus, MODELS[ties], 0, plan)
    best, kept, state, last = dict[str, Floats](), dict[str, Read](), dict[str, Any](), tuple(forms)[-1]
    for _ in range(plan.epochs):
        training.epoch()
        better = [name for name, said in training.said.items() if name not in best or said.sum() > best[name].sum()]
        reads = training.reads() if better else {}
        kept |= {name: reads[name] for name in better}
        best |= {name: training.said[name] for name in better}
        if pulled_best(best)[last] in better:
            state = copy.deepcopy(training.state()["network"])
        tick()
    network.load_state_dict(state, strict=False)
    of = pulled_best(best)
    gives = own_say({form: best[name] for form, name in of.items()}, training.held_out.prompt)
    held_out = {form: float(-best[name].mean()) for form, name in of.items()}
    return Learned({form: kept[of[giver]] for form, giver in gives.items()}, network, of, held_out)


def _size(corpus: Corpus, settings: Reward) -> int:
    """Prompts a step."""
    many = len(corpus.learned) * settings.epochs >= STEPS * settings.prompts_per_step
    return settings.prompts_per_step if many else min(settings.prompts_per_step, PROMPTS_PER_STEP)
