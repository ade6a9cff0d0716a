"""`init`: what one has to begin with, and the config and command that suit it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.commands import next_step
from electorate.config import config_file
from electorate.config.run import Config
from electorate.storage import files

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "configs" / "endpoints.yaml"
INSTEAD = "# Or a language model votes"
HAVE = {
    "votes": "a file of people's votes",
    "endpoints": "models behind an OpenAI-compatible URL",
    "nothing": "nothing yet",
}


@dataclass(frozen=True)
class Given:
    """What the command line says already; None is asked for."""

    have: str | None
    votes: Path | None
    url: str | None
    model: str | None
    key_env: str | None
    voters: str | None
    out: Path


def init(given: Given, ask: Callable[[str], str], console: Console) -> None:
    """Ask what is not given, write a config where one is needed, and name the command to run.

    Raises:
        ElectorateError: an answer is none of those allowed, or the file is there already.
    """
    have = given.have or _choice(ask, "What do you have?", HAVE)
    if have == "votes":
        path = given.votes or Path(ask("The file of votes (CSV, JSON Lines or Parquet): ").strip())
        if not path.exists():
            raise ElectorateError(f"{path}: no such file")
        next_step.tell(
            console, f"electorate rate {path}", f"electorate human {path} --out runs/people"
        )
        return
    if have == "nothing":
        next_step.tell(console, "electorate run configs/quickstart.yaml")
        return
    if given.voters == "people":
        raise ElectorateError(
            "--voters people: their votes are in a file; use `init --have votes --votes FILE`"
        )
    if given.out.exists():
        raise ElectorateError(f"{given.out}: is there already; give another --out")
    url = given.url or ask("Its URL, such as http://127.0.0.1:11434/v1: ").strip()
    model = given.model or ask("The model's name there: ").strip()
    key_env = given.key_env
    if key_env is None and given.url is None:
        key_env = ask("The environment variable that holds its key (empty: none): ").strip()
    kinds = {
        "planted": "simulated personas with known tastes: thousands, in seconds",
        "model": "this model, as a judge that reads personas' cards: a request a vote and order",
    }
    voters = given.voters or _choice(ask, "Who votes?", kinds)
    text = config_text(url, model, key_env, voters)
    config_file.validated(Config, yaml.safe_load(text), str(given.out))
    files.write_text(given.out, text)
    console.print(f"written: {given.out}", highlight=False, soft_wrap=True)
    next_step.tell(console, f"electorate run {given.out} --out runs/{given.out.stem}")


def config_text(url: str, model: str, key_env: str | None, voters: str) -> str:
    """configs/endpoints.yaml with this endpoint and these voters."""
    place = {"base_url": url, "model": model} | ({"api_key_env": key_env} if key_env else {})
    lines = list[str]()
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        key = line.strip().removeprefix("# ").split(":")[0]
        named = line.startswith("    ") and key in place
        lines.append(f"    {key}: {_scalar(place.pop(key))}" if named else line)
    text = "\n".join(lines) + "\n"
    if voters == "planted":
        return text
    begin, instead, end = (text.index(part) for part in ("# Who votes:", INSTEAD, "\nvotes:\n"))
    lines = text[text.index("# voters:", instead) : end].splitlines(keepends=True)
    judged = "".join(line.removeprefix("# ") for line in lines)
    after = text[end:].replace("[5, 10, 20, 50]", "[5, 10, 20]    ")
    return (
        f"{text[:begin]}# Who votes: a language model that reads personas' cards.\n{judged}{after}"
    )


def _scalar(text: str) -> str:
    """A string as YAML has it on one line."""
    return str(yaml.safe_dump(text, width=10**6)).splitlines()[0]


def _choice(ask: Callable[[str], str], question: str, allowed: dict[str, str]) -> str:
    """One of these names, or its number."""
    names = list(allowed)
    listed = "\n".join(f"  {i}  {name}: {allowed[name]}" for i, name in enumerate(names, start=1))
    typed = ask(f"{question}\n{listed}\n> ").strip()
    if typed.isdecimal() and 0 < int(typed) <= len(names):
        return names[int(typed) - 1]
    if typed not in allowed:
        raise ElectorateError(f"{typed!r}: answer one of {', '.join(names)}, or its number")
    return typed
