"""What contestants are asked: every prompt, each in the contestant's own manner, as calls known
by their content.
"""

from dataclasses import dataclass

from electorate.config.contest import Contest, Contestant, content_key
from electorate.data.prompts import PromptSet
from electorate.inference.completions import Call


@dataclass(frozen=True)
class Request(Call):
    """One prompt for one contestant."""

    prompt_id: int
    contestant: str


def requests(contest: Contest, prompts: PromptSet) -> list[Request]:
    """Every prompt for every contestant, prompt by prompt."""
    return [
        request(contest, contestant, text, i)
        for i, text in enumerate(prompts.text)
        for contestant in contest.contestants
    ]


def request(contest: Contest, contestant: Contestant, prompt: str, prompt_id: int) -> Request:
    """A contestant's request for a response to a prompt."""
    model = contest.models[contestant.model]
    served = model.identity()
    if model.recorded:
        served["model"] = contestant.recorded
    settings = contestant.model_dump(
        include={"system", "temperature", "top_p", "max_tokens", "seed"}
    )
    key = content_key({"served": served, "settings": settings, "prompt": prompt})
    return Request(key, contestant.model, body(contestant, prompt), prompt_id, contestant.name)


def body(contestant: Contestant, prompt: str) -> dict[str, object]:
    """A chat completion in the contestant's manner."""
    system = [{"role": "system", "content": contestant.system}] if contestant.system else []
    content = {
        "messages": [*system, {"role": "user", "content": prompt}],
        "temperature": contestant.temperature,
        "top_p": contestant.top_p,
        "max_tokens": contestant.max_tokens,
    }
    return content if contestant.seed is None else content | {"seed": contestant.seed}
