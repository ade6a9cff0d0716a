"""Named things of one kind that users choose by name: systems, metrics, importers and so on.

To add one, write it in a file of its own and register it; config, tables, report, API and `--help`
follow from the registry. docs/extending.md has a recipe for each kind.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar


class Named(Protocol):
    """Anything with a name, which a registry can hold."""

    @property
    def name(self) -> str:
        """The name that users write in a config."""
        ...


NamedT = TypeVar("NamedT", bound=Named)


class Registry(Mapping[str, NamedT], Generic[NamedT]):
    """Name to thing, in the order in which they were registered.

    Args:
        kind: what they are, in the singular, for messages.
        things: the first of them.
    """

    def __init__(self, kind: str, *things: NamedT) -> None:
        self.kind = kind
        self._things: dict[str, NamedT] = {}
        for thing in things:
            self.register(thing)

    def register(self, thing: NamedT) -> NamedT:
        """Add one.

        Raises:
            ValueError: there is one of this name already.
        """
        if thing.name in self._things:
            raise ValueError(f"there is a {self.kind} {thing.name!r} already")
        self._things[thing.name] = thing
        return thing

    def unregister(self, name: str) -> None:
        """Take one out again, for tests."""
        del self._things[name]

    def check(self, name: str) -> str:
        """The name itself.

        Raises:
            ValueError: nothing of this name is registered; the message lists what is.
        """
        if name not in self._things:
            near = difflib.get_close_matches(name, self._things, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            known = ", ".join(self._things)
            raise ValueError(f"{name!r} is not a known {self.kind}{hint} (known: {known})")
        return name

    def __getitem__(self, name: str) -> NamedT:
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)


def load(function: str | Callable[..., Any]) -> Callable[..., Any]:
    """A function from "module:name", imported now; a function as it is.

    Declarations name functions by text so that a config can be checked without importing what
    builds them.
    """
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
