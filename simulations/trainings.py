"""System B's trainings: each begins once its votes are in, while later ones are still being
cast.
"""

import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from electorate.commands.progress import bar
from electorate.config.contest import Cluster
from electorate.config.reward import Reward
from electorate.population.voters import Voters
from electorate.rewards import promotion, store
from electorate.storage.places import Place
from electorate.storage.run_folder import RunFolder
from electorate.study import reward_systems
from simulations import backends, rewards

POLL_S = 0.5


class Trainings:
    """Those that the run's folder lacks, one after the other in a thread, so that Ctrl-C and the
    votes go on in the main one.

    Args:
        voters: whose votes they learn from.
        settings: of System B.
        folder: of the run.
        cluster: what this process has; a run that is resumed may have begun on another.
    """

    def __init__(
        self, voters: Voters, settings: Reward, folder: RunFolder, cluster: Cluster
    ) -> None:
        self._voters = voters
        self._settings = settings
        self._folder = folder
        self._cluster = cluster
        self._todo = [
            round_
            for round_ in reward_systems.rounds(voters.config)
            if not store.is_there(store.of_round(folder, round_))
        ]
        self._ready: SimpleQueue[int] = SimpleQueue()
        self._error: Exception | None = None
        if self._todo:
            threading.Thread(target=self._train, daemon=True).start()

    def votes_are_in(self, round_: int) -> None:
        """The votes of rounds 0..round_ are in the log."""
        if round_ in self._todo:
            self._ready.put(round_)

    def finish(self, console: Console, counts: dict[str, Any]) -> None:
        """Wait for all of them, telling of their epochs; then promote those that are better than
        what was there.

        counts: what the run's manifest keeps. Raises what a training raised.
        """
        for round_ in self._todo:
            where = store.of_round(self._folder, round_)
            self._wait(where, console)
            shares = store.time_shares(store.read_history(where))
            spent = ", ".join(f"{what} {share:.0%}" for what, share in shares.items())
            if spent:  # a history of before times were kept has none
                console.print(f"  System B's time: {spent}", highlight=False)
        versions = store.read_versions(self._folder)
        fallbacks = store.read_fallbacks(self._folder)
        for round_ in reward_systems.rounds(self._voters.config):
            if round_ not in versions:
                versions = promotion.promoted(
                    self._folder, self._voters, self._settings, round_, versions
                )
                store.write_versions(self._folder, versions)
            if round_ not in fallbacks:
                fallbacks[round_] = promotion.falling_back(
                    self._folder, self._voters, self._settings, round_, versions[round_]
                )
                store.write_fallbacks(self._folder, fallbacks)
        counts |= rewards.training_counts(self._voters, self._folder)

    def _wait(self, where: Place, console: Console) -> None:
        """Until this training is done, telling of its epochs."""
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

    def _train(self) -> None:
        trainer = backends.trainer(self._cluster)
        cache_dir = Path(self._cluster.cache_dir).expanduser()
        try:
            for _ in self._todo:
                trainer.train(self._folder, self._settings, self._ready.get(), cache_dir)
        except Exception as error:
            self._error = error
