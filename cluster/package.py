"""What `ray job submit` sends: a working directory, and why it may be too large."""

from pathlib import Path

from actors import ray_private
from electorate.base.errors import ElectorateError

SHOWN = 3  # of the largest files


def require_sendable(folder: Path) -> None:
    """Raises ElectorateError if the cluster would refuse this working directory as too large.

    What .rayignore and .gitignore name is not sent, and not counted.
    """
    most = ray_private.largest_package()
    sizes = {path: path.stat().st_size for path in ray_private.packaged(folder) if path.is_file()}
    size = sum(sizes.values())  # Ray does not compress them
    if size <= most:
        return
    largest = sorted(sizes, key=lambda path: -sizes[path])[:SHOWN]
    named = ", ".join(f"{path.relative_to(folder)} ({_mib(sizes[path])})" for path in largest)
    raise ElectorateError(
        f"{folder}: is what would be sent, {_mib(size)}; the cluster takes {_mib(most)}. The "
        f"largest files are {named}; name in .rayignore what the job does not read"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
