"""The checkout that this package lies in, with the packages that run on Ray."""

import importlib.util
from pathlib import Path

from electorate.base.errors import ElectorateError

# Top-level names that anybody's working directory may have too.
PACKAGES = ("actors", "cluster", "serve", "simulations")


def root() -> Path | None:
    """The folder of the checkout; None where only this package is installed."""
    folder = Path(__file__).resolve().parents[2]
    there = all((folder / name / "__init__.py").exists() for name in PACKAGES)
    return folder if there else None


def require_own_packages() -> None:
    """Check that the checkout's packages are what Python imports by their names.

    Raises:
        ElectorateError: a package of the same name comes before one of them, such as a folder
            `cluster` in the working directory.
    """
    folder = root()
    for name in PACKAGES if folder else ():
        found = importlib.util.find_spec(name)
        origin = found.origin if found is not None else None
        if origin is None or Path(origin).resolve().parent.parent != folder:
            raise ElectorateError(
                f"package {name!r} is imported from {origin or 'nowhere'} instead of {folder}; "
                "start Electorate from its checkout, or rename the other package"
            )
