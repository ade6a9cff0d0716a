"""A finished training put back together, to read texts that it has not seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load

from electorate.base.scale import Ints
from electorate.config.reward import TOLD_BY_PROMPT
from electorate.config.run import Config
from electorate.inference import model_files
from electorate.rewards import pretrained, prompt_head, store, texts
from electorate.rewards.forms import wanted
from electorate.rewards.network import Network
from electorate.rewards.prompt_head import PromptRead
from electorate.rewards.weights import PersonalRead
from electorate.storage import files
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder


def restore(network: Network, folder: Place) -> None:
    """Put what was trained into a network built the same way."""
    network.load_state_dict(load((folder / store.HEADS).read_bytes()), strict=False)
    with files.local(folder / store.ADAPTER) as adapter:
        pretrained.load_adapter(network.encoder, adapter)


class Reader:
    """Of one training of a run.

    Args:
        round_: that the training followed.
        device: that the model runs on.

    Raises:
        ElectorateError: its model or its files cannot be loaded.
    """

    def __init__(
        self, run: RunFolder, config: Config, round_: int, cache_dir: Path, device: str = "cpu"
    ) -> None:
        if config.reward is None:
            raise ValueError("the run trained nothing")
        # The first request would wait for the compiler.
        settings = config.reward.model_copy(update={"compile_layers": False})
        folder = store.of_round(run, round_)
        source = model_files.resolve("reward.model", settings.model, cache_dir)
        model, self._tokenizer = pretrained.of_settings(settings, source, config.seed)
        systems = config.evaluation.systems
        self._network = Network(
            model,
            wanted(systems),
            len(config.archetypes),
            len(config.contestants),
            settings.rank,
            config.ratings.ties,
        )
        restore(self._network, folder)
        self._network.to(device)
        self._max_tokens = settings.max_tokens
        self._gives = store.best_epoch(folder)["gives"]
        self._prompt_head = store.read_prompt_head(folder)
        teacher = next((form for form in TOLD_BY_PROMPT if form in systems), None)
        self._teacher = (
            None if teacher is None else prompt_head.personal(store.read(folder, teacher))
        )

    def answers(
        self, form: str, prompt: str, responses: Sequence[str], models: Ints
    ) -> PersonalRead:
        """What a form says of responses to a prompt, (A,) by these models; an empty one is no
        answer, and rated so.
        """
        asked = texts.tokenise(
            self._tokenizer, [prompt] * len(responses), responses, self._max_tokens
        )
        read = self._network.heads[self._gives.get(form, form)].read(
            self._network.encoder.encode(asked), models
        )
        return prompt_head.personal(read)

    def prompt(self, prompt: str) -> PromptRead | None:
        """What a prompt alone tells of all models' answers to it, None if that was not learned."""
        if self._prompt_head is None or self._teacher is None:
            return None
        asked = texts.tokenise(self._tokenizer, [""], [prompt], self._max_tokens)
        g = self._network.encoder.encode(asked).numpy().astype(np.float64)
        return self._prompt_head.read(g, self._teacher)
