"""Models, reached when the first of them is needed: what the cache answers starts no engine."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from actors import metrics
from electorate.commands.progress import bar
from electorate.config.contest import Budget
from electorate.config.engines import Model, VllmModel, served_here
from electorate.inference import endpoints
from electorate.inference.asking import Asker, Asking
from electorate.inference.endpoints import Connection
from electorate.inference.spending import Spending, prices_of
from electorate.storage.response_cache import ResponseCache

if TYPE_CHECKING:
    from serve.contestants import ContestantsApp

# So that log-probabilities are over what a judge may say, which its answer is held to.
JUDGING = {"logprobs_mode": "processed_logprobs"}


class Engines:
    """judging: the models that judges run on; they and all other vLLM models (`served`) share
    one Serve application.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        judging: Iterable[str],
        cache_dir: Path,
        port: int,
        budget: Budget,
        console: Console,
    ) -> None:
        served = served_here(models)
        for name in set(judging) & set(served):
            served[name] = served[name].model_copy(
                update={"engine_kwargs": {**JUDGING, **served[name].engine_kwargs}}
            )
        self.served = served
        self._models = models
        self._budget = budget
        self._console = console
        self._app = _application(served, cache_dir, port) if served else None
        self._started = False

    def check(self) -> None:
        """Have what is wrong with URLs and keys said before Ray is started.

        Raises:
            ElectorateError: an endpoint answers, and shows that.
        """
        for name, connection in endpoints.connections(self._models, None, 1).items():
            endpoints.check_settings(name, self._models[name], connection)

    def app(self) -> "ContestantsApp | None":
        """The vLLM models' application, starting if it was not; None if there is none."""
        if self._app is not None and not self._started:
            self._app.start()
            self._started = True
        return self._app

    def reach(self, names: Iterable[str], askers: int) -> dict[str, Connection]:
        """Where these models are, once they answer, for each of so many askers.

        Also after an engine was lost: Serve starts it again.

        Raises ElectorateError if one cannot be reached.
        """
        wanted = set(names)
        served_at = None
        if wanted & set(self.served) and (app := self.app()):
            served_at = self._wait(app)
        reached = endpoints.connections(
            {name: self._models[name] for name in wanted}, served_at, askers
        )
        for name in wanted:
            endpoints.check(name, self._models[name], reached[name])
        return reached

    def asking(self, askers: Sequence[Asker], cache: ResponseCache) -> Asking:
        """What asks these models."""
        spending = Spending(self._budget, prices_of(self._models))
        shown = partial(bar, self._console)
        return Asking(askers, self.reach, cache, spending, shown, metrics.count)

    def _wait(self, app: "ContestantsApp") -> str:
        """Its URL; a stage is shown only where there is something to wait for."""
        if app.is_up():
            return app.wait(lambda: None)
        with bar(self._console, "Starting vLLM", None) as tick:
            return app.wait(tick)

    def close(self) -> None:
        """Have what was started stopped."""
        if self._app is not None and self._started:
            self._app.stop()


def _application(served: Mapping[str, VllmModel], cache_dir: Path, port: int) -> "ContestantsApp":
    # Ray Serve takes seconds to import; where no model runs here, it is not needed.
    from serve.contestants import ContestantsApp

    return ContestantsApp(served, cache_dir, port)
