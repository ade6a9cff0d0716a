"""The run's contestants, asked while somebody waits for a ranking of what they say."""

from collections.abc import Mapping, Sequence

from electorate.base.errors import ElectorateError, RequestError
from electorate.config.run import Config
from electorate.inference import contestants, endpoints
from electorate.inference.completions import Answer
from electorate.inference.endpoints import HttpAsker


class Live:
    """served_at: base URL of the run's vLLM models; those behind URLs of their own are asked
    where the config says.
    """

    def __init__(self, config: Config, served_at: str | None) -> None:
        self._config = config
        self._contestants = {contestant.name: contestant for contestant in config.contestants}
        self._reached = endpoints.connections(config.models, served_at, 1)
        for contestant in config.contestants:
            if config.models[contestant.model].recorded:
                raise ElectorateError(
                    f"live: contestant {contestant.name!r} is a recording, which answers no other "
                    "prompts; leave it out"
                )
            if contestant.model not in self._reached:
                raise ElectorateError(
                    f"live: nothing says where model {contestant.model!r} is served; give "
                    "contestants_url"
                )

    async def ask(self, prompt: str, names: Sequence[str]) -> Mapping[str, Answer]:
        """Each contestant's answer, or what went wrong, after its endpoint's retries.

        Raises RequestError for a name that is none.
        """
        for name in names:
            if name not in self._contestants:
                raise RequestError(
                    f"candidates: {name!r} is not a contestant of the run, so it cannot be asked"
                )
        calls = [
            contestants.request(self._config, self._contestants[name], prompt, i)
            for i, name in enumerate(names)
        ]
        # Contestants that differ in name alone are one call, as in a run.
        unique = list({call.key: call for call in calls}.values())
        answers = {call.key: answer async for call, answer in HttpAsker(self._reached).ask(unique)}
        return {name: answers[call.key] for name, call in zip(names, calls, strict=True)}
