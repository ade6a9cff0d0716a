"""Configs on disk: YAML read with settings on top, and what is wrong with one said in a line."""

import difflib
import re
import reprlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from electorate.base.errors import ElectorateError
from electorate.config.contest import Cluster, Contest
from electorate.config.engines import ENGINES, Engine
from electorate.config.poll import Poll
from electorate.config.reward import Reward
from electorate.config.run import Config
from electorate.config.voters import VoterSettings, section_of
from electorate.storage.places import Place

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHORT = reprlib.Repr()
SHORT.maxlevel = 2  # YAML's aliases can make a value that is endless when written out


ContestT = TypeVar("ContestT", bound=Contest)


def load(path: Place, settings: Iterable[str] = ()) -> Config:
    """A run's config, from YAML and `a.b=c` settings applied in order. Raises as `load_as` does."""
    return load_as(Config, path, settings)


def load_as(kind: type[ContestT], path: Place, settings: Iterable[str] = ()) -> ContestT:
    """Read a config of this kind from YAML and apply `a.b=c` settings in order.

    A value @FILE is what that YAML file holds.

    Raises ElectorateError with one line that names the field, the value and what is allowed.
    """
    content = _read_yaml(path)
    for setting in settings:
        _apply(content, setting)
    return validated(kind, content, str(path))


def load_contestants(path: Place) -> Contest:
    """The models and contestants of a config; what else it has is not read.

    Raises:
        ElectorateError: it cannot be read, or names no contestants.
    """
    content = _read_yaml(path)
    _check_keys(content, path)
    parts: dict[str, Any] = {
        name: content[name] for name in ("models", "contestants") if name in content
    }
    found = validated(Contest, parts, str(path))
    if not found.contestants:
        raise ElectorateError(f"{path}: contestants: at least 2 are needed")
    return found


def load_reward(path: Path) -> tuple[Reward, Path]:
    """The reward section of a YAML config, which may be all there is in it, and the folder of
    converted models. Raises as `load` does.
    """
    content = _read_yaml(path)
    if not isinstance(content.get("reward"), dict):
        raise ElectorateError(
            f"{path}: has no reward section; it names the model that reads the answers "
            "(configs/people.yaml has one)"
        )
    _check_keys(content, path)
    sections = {
        name: content[name] for name in ("reward", "cluster") if content.get(name) is not None
    }
    try:
        alone = _RewardAlone.model_validate(sections)
    except ValidationError as error:
        raise ElectorateError(f"{path}: {_explain(error, _RewardAlone, sections)}") from None
    return alone.reward, Path(alone.cluster.cache_dir).expanduser()


def _check_keys(content: Mapping[str, Any], path: Place) -> None:
    """That a config of which only some sections are read names no section that is none.

    Raises:
        ElectorateError: it does.
    """
    allowed = list(dict.fromkeys([*Config.model_fields, *Poll.model_fields]))
    for key in content:
        if key not in allowed:
            raise ElectorateError(f"{path}: {key}: {_unknown(key, allowed)}")


class _RewardAlone(BaseModel):
    reward: Reward
    cluster: Cluster = Cluster()


def validated(kind: type[ContestT], content: Mapping[str, Any], origin: str) -> ContestT:
    """A config from its plain content.

    Raises ElectorateError with one line that begins with its origin.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ElectorateError(f"{origin}: {_explain(error, kind, content)}") from None


def dump(config: Contest) -> str:
    """The resolved config as YAML that `load` reads back to an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # `<<` takes over another mapping's keys, which may be given anew beside it.
        given = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in given]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                line = given[i].start_mark.line + 1
                raise ElectorateError(f"line {line}: key {key!r} is there twice; each key once")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Place) -> dict[str, Any]:
    try:
        content = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ElectorateError(
            f"{path}: no such file; give the path of a YAML config, such as configs/quickstart.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ElectorateError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    except ElectorateError as error:
        raise ElectorateError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise ElectorateError(f"{path}: not YAML: {message[:300]}") from None
    if not isinstance(content, dict):
        raise ElectorateError(
            f"{path}: holds {type(content).__name__}; a config is a mapping of "
            f"{', '.join(Config.model_fields)}"
        )
    return content


def _parsed(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: it is none. PyYAML lets other errors through where it makes dates and
            numbers, and where lists are nested deeper than Python calls functions.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 a SafeLoader
    except (ValueError, OverflowError) as error:
        raise yaml.YAMLError(str(error)) from None
    except (AttributeError, TypeError):
        raise yaml.YAMLError("a value does not fit its tag") from None
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


def _apply(content: dict[str, Any], setting: str) -> None:
    keys, equals, value = setting.partition("=")
    path = keys.strip().split(".")
    if not equals or not all(path):
        raise ElectorateError(
            f"--set {setting}: not of the form a.b=c, such as population.size=10000"
        )
    try:
        parsed = _read_yaml(Path(value[1:])) if value.startswith("@") else _parsed(value)
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise ElectorateError(
            f"--set {setting[:80]}: {SHORT.repr(value)} is not a YAML value: {message[:200]}"
        ) from None
    place: Any = content
    try:
        for key in path[:-1]:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        place[int(path[-1]) if isinstance(place, list) else path[-1]] = parsed
    except (TypeError, ValueError, IndexError, AttributeError):
        raise ElectorateError(
            f"--set {setting}: the config has no place {keys.strip()!r}"
        ) from None


def _explain(error: ValidationError, kind: type[BaseModel], content: object) -> str:
    """The first thing wrong with the content, as `field: value: what is allowed`. A misspelt key
    comes first, as the one that is missing may be what was meant.
    """
    problems = _own_problems(error)
    misspelt = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first = (misspelt or problems)[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    parent = first["loc"][:-1]
    key = first["loc"][-1] if first["loc"] else ""
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}: {_unknown(str(key), _fields_at(kind, parent, content))}{more}"
    if first["type"] == "missing":
        return f"{where}: is missing{more}"
    message = re.sub(r"^Value error, ", "", first["msg"])
    if not where:
        return f"{message}{more}"
    return f"{where}: {SHORT.repr(first['input'])} is not allowed: {message}{more}"


def _unknown(key: str, allowed: Sequence[str]) -> str:
    """What is said of a key that is none of those allowed."""
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown key; {hint}allowed are {', '.join(allowed)}"


def _own_problems(error: ValidationError) -> list["ErrorDetails"]:
    """All problems, but that a list is too short as what it holds has problems of its own."""
    problems = error.errors(include_url=False)
    places = [problem["loc"] for problem in problems]

    def follows(problem: "ErrorDetails") -> bool:
        place = problem["loc"]
        within = any(len(one) > len(place) and one[: len(place)] == place for one in places)
        return problem["type"] == "too_short" and within

    return [problem for problem in problems if not follows(problem)]


def _fields_at(kind: type[BaseModel], location: tuple[int | str, ...], content: Any) -> list[str]:
    """The keys that the section at a place of the config may have."""
    sections: list[type[BaseModel]] = [kind]
    is_key = False  # of a list or a map: whatever it is, what it holds comes next
    for part in location:
        content = content[part]
        if is_key:
            is_key = False
        else:
            fields = [s.model_fields[str(part)] for s in sections if str(part) in s.model_fields]
            annotation = fields[0].annotation if fields else None
            sections = _sections_in(annotation)
            of_many = (dict, tuple, list)
            is_key = any(get_origin(one) in of_many for one in _alternatives(annotation))
        if sections == [Engine] and not is_key:
            sections = [ENGINES[content["engine"]].section]
        if sections == [VoterSettings]:
            sections = [section_of(content)]
    return list(dict.fromkeys(name for section in sections for name in section.model_fields))


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Every kind of section that a field's annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the annotation itself where it is none."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
