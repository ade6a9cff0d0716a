"""System B behind the endpoint: texts in, what it says of them out."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from electorate.base.errors import ElectorateError
from electorate.base.scale import Ints
from electorate.online import base as bases
from electorate.online.rankings import PromptSystem
from electorate.rewards.weights import PersonalRead

if TYPE_CHECKING:
    from electorate.rewards.reader import Reader


class TextReader:
    """The training in force of a finished run.

    Args:
        folder: of the run.
        on_gpu: whether it reads on a GPU.
    """

    def __init__(self, folder: Path, on_gpu: bool = False) -> None:
        # torch takes seconds to import, and only this process needs it.
        from electorate.rewards.reader import Reader

        run = bases.of_folder(folder).run
        in_force = None if run is None else PromptSystem.of(run)
        if run is None or in_force is None:
            raise ValueError("nothing there reads texts")
        config = run.voters.config
        self._form = in_force.form
        self._missing = ""
        self._reader: Reader | None = None
        try:
            self._reader = Reader(
                run.folder,
                config,
                in_force.round_,
                Path(config.cluster.cache_dir).expanduser(),
                "cuda" if on_gpu else "cpu",
            )
        except (ElectorateError, OSError) as error:
            # Everything else can be served without it.
            self._missing = f"prompt: the reward model cannot be loaded here: {error}"
            logging.getLogger("ray.serve").warning(self._missing)

    def answers(self, prompt: str, responses: Sequence[str], models: Ints) -> PersonalRead:
        """What System B says of responses to a prompt by these models.

        Raises:
            ElectorateError: the reward model could not be loaded.
        """
        return self._loaded().answers(self._form, prompt, responses, models)

    def prompt(self, prompt: str) -> PersonalRead | None:
        """What a prompt alone tells of all models; None where that was not learned.

        Raises:
            ElectorateError: the reward model could not be loaded.
        """
        return self._loaded().prompt(prompt)

    def _loaded(self) -> "Reader":
        if self._reader is None:
            raise ElectorateError(self._missing)
        return self._reader
