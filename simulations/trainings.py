"""System B's trainings: each begins once its votes are in, while later ones are still being cast."""

import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from electorate.config import Reward
from electorate.personas import Electorate
from electorate.rewards import promotion, store
from electorate.storage.run_folder import RunFolder
from simulations import rewards
from simulations.progress import bar

POLL_S = 0.5


class Trainings:
    """Those that the run's folder lacks, one after the other in a thread, so that Ctrl-C and the votes go on in the main one."""

    def __init__(self, electorate: Electorate, settings: Reward, folder: RunFolder) -> None:
        self._electorate, self._settings, self._folder = electorate, settings, folder
        self._todo = [round_ for round_ in rewards.rounds(electorate.config) if not store.is_there(store.of_round(folder, round_))]
        self._ready: SimpleQueue[int] = SimpleQueue()
        self._error: Exception | None = None
        if self._todo:
            threading.Thread(target=self._train, daemon=True).start()

    def votes_are_in(self, round_: int) -> None:
        """The votes of rounds 0..round_ are in the log."""
        if round_ in self._todo:
            self._ready.put(round_)

    def finish(self, console: Console, counts: dict[str, Any]) -> None:
        """Wait for all of them, telling of their epochs; then promote those that are better than what was there.

        counts: what the run's manifest keeps. Raises what a training raised.
        """
        for round_ in self._todo:
            where = store.of_round(self._folder, round_)
            # What was trained before now, or before a stop, is counted already.
            done = len(store.read_history(where))
            with bar(console, "Training System B (epochs)", self._settings.epochs, done) as advance:
                while not store.is_there(where):
                    if self._error is not None:
                        raise self._error
                    time.sleep(POLL_S)
                    now = len(store.read_history(where))
                    advance(now - done)
                    done = now
        versions = store.read_versions(self._folder)
        for round_ in rewards.rounds(self._electorate.config):
            if round_ not in versions:
                versions = promotion.promoted(self._folder, self._electorate, self._settings, round_, versions)
                store.write_versions(self._folder, versions)
        counts |= rewards.told(self._electorate, self._folder)

    def _train(self) -> None:
        from cluster import reward_job

        try:
            for _ in self._todo:
                cache_dir = Path(self._electorate.config.cluster.cache_dir).expanduser()
                reward_job.train(self._folder, self._settings, self._ready.get(), cache_dir)
        except Exception as error:
            self._error = error
