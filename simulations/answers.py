"""Stage 1: every contestant's answer to every prompt, from the cache or from the contestants
themselves.
"""

import pyarrow as pa

from electorate.base.errors import ElectorateError, EndpointError
from electorate.config.contest import Contest
from electorate.config.engines import Model, recordings
from electorate.data import answer_counts, recorded
from electorate.data.prompts import PromptSet
from electorate.inference import contestants
from electorate.inference.asking import Asking
from electorate.inference.completions import Answer, may_pass
from electorate.inference.contestants import Request
from electorate.storage.response_cache import ResponseCache

MAX_FAILED = 0.1


class Answers:
    """The answers of a run to these prompts, by request; those the cache holds are never asked
    for.
    """

    def __init__(self, config: Contest, prompts: PromptSet, cache: ResponseCache) -> None:
        self.prompts = prompts
        self._config = config
        self._requests = contestants.requests(config, prompts)
        cached = cache.get(request.key for request in self._requests)
        self._answers = {key: Answer.stored(row) for key, row in cached.items()} | _recorded(
            config, prompts, self._requests
        )

    @property
    def missing(self) -> list[Request]:
        """The requests that nobody has answered yet."""
        return [request for request in self._requests if request.key not in self._answers]

    @property
    def stored(self) -> int:
        """How many requests are answered already."""
        return len(self._requests) - len(self.missing)

    @property
    def models_asked(self) -> dict[str, Model]:
        """Those that some missing answer needs."""
        wanted = {request.model for request in self.missing}
        return {name: model for name, model in self._config.models.items() if name in wanted}

    def gather(self, asking: Asking) -> int:
        """Have what is missing asked, each answer kept as it comes. Returns how many were asked."""
        asked = self.missing
        if asked:
            self._answers |= asking.answers(asked, "Asking contestants")
            self._refuse_many_failures()
        answer_counts.refuse_unusable(self._config, answer_counts.count(self._config, self.table()))
        return len(asked)

    def table(self) -> pa.Table:
        """The columns of responses.parquet, prompt by prompt."""
        rows = [
            {
                "prompt_id": request.prompt_id,
                "contestant": request.contestant,
                "response": (answer := self._answers[request.key]).text,
                "finish_reason": answer.finish_reason,
                "tokens": answer.tokens,
                "seconds": answer.seconds,
                "error": answer.error or None,
                "reasoned": answer.reasoned,
            }
            for request in self._requests
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _refuse_many_failures(self) -> None:
        failed = [(r, self._answers[r.key]) for r in self._requests if self._answers[r.key].error]
        prompts = {request.prompt_id for request, _ in failed}
        if len(prompts) > MAX_FAILED * len({request.prompt_id for request in self._requests}):
            request, answer = failed[0]
            kind = EndpointError if may_pass(answer) else ElectorateError
            raise kind(
                f"{len(failed)} answers failed, on {len(prompts)} prompts; the first: contestant "
                f"{request.contestant!r} "
                f"({answer.error})"
            )


def _recorded(config: Contest, prompts: PromptSet, requests: list[Request]) -> dict[str, Answer]:
    """The answers of recorded contestants, by key."""
    files = recordings(config.models)
    by_name = {contestant.name: contestant for contestant in config.contestants}
    answers = dict[str, Answer]()
    for request in requests:
        if request.model in files:
            text = recorded.read(files[request.model].responses).responses[
                by_name[request.contestant].recorded, prompts.text[request.prompt_id]
            ]
            answers[request.key] = Answer(text, "recorded", 0, 0.0)
    return answers


SCHEMA = pa.schema(
    [
        ("prompt_id", pa.int32()),
        ("contestant", pa.string()),
        ("response", pa.string()),
        ("finish_reason", pa.string()),
        ("tokens", pa.int32()),
        ("seconds", pa.float32()),
        ("error", pa.string()),
        ("reasoned", pa.bool_()),
    ]
)
