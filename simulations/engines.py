"""Models, reached when the first of them is needed: what the cache answers starts no engine."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console

from electorate import endpoints
from electorate.contest import Model, OpenAIModel, VllmModel
from electorate.endpoints import Connection
from serve.contestants import ContestantsApp
from simulations.progress import bar

# So that log-probabilities are over what a judge may say, which its answer is held to.
JUDGING = {"logprobs_mode": "processed_logprobs"}


class Engines:
    """judging: the models that judges run on; they and all other vLLM models (`served`) share one Serve application."""

    def __init__(self, models: Mapping[str, Model], judging: Iterable[str], cache_dir: Path, port: int, console: Console) -> None:
        served = {name: model for name, model in models.items() if isinstance(model, VllmModel)}
        for name in set(judging) & set(served):
            served[name] = served[name].model_copy(update={"engine_kwargs": {**JUDGING, **served[name].engine_kwargs}})
        self.served, self._models, self._console = served, models, console
        self._app = ContestantsApp(served, cache_dir, port) if served else None
        self._started = False

    def app(self) -> ContestantsApp | None:
        """The vLLM models' application, starting if it was not; None if there is none."""
        if self._app is not None and not self._started:
            self._app.start()
            self._started = True
        return self._app

    def reach(self, names: Iterable[str], askers: int) -> dict[str, Connection]:
        """Where these models are, once they answer, for each of so many askers. Also after an engine was lost: Serve starts it again.

        Raises ElectorateError if one cannot be reached.
        """
        wanted, served_at = set(names), None
        if any(isinstance(self._models[name], VllmModel) for name in wanted) and (app := self.app()):
            served_at = self._wait(app)
        reached = endpoints.connections({name: self._models[name] for name in wanted}, served_at, askers)
        for name in wanted:
            if isinstance(self._models[name], OpenAIModel):
                endpoints.check_reachable(name, reached[name])
        return reached

    def _wait(self, app: ContestantsApp) -> str:
        """Its URL; a stage is shown only where there is something to wait for."""
        if app.is_up():
            return app.wait(lambda: None)
        with bar(self._console, "Starting vLLM", None) as tick:
            return app.wait(tick)

    def stop(self) -> None:
        """Have what was started stopped."""
        if self._app is not None and self._started:
            self._app.stop()
