"""Electorate: do personal rankings of language models beat the global one?

As a library, three functions take a table of votes (pandas or Arrow) and return one: `rate`,
`personal` and `compare`. Nothing in this package imports Ray.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from electorate.library import compare, personal, rate

__all__ = ["compare", "personal", "rate"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: NumPy, SciPy and numba take a second.
    if name in __all__:
        from electorate import library

        return getattr(library, name)
    raise AttributeError(f"module 'electorate' has no attribute {name!r}")
