"""The GPUs of this machine, as the driver's own tool tells of them: PyTorch takes seconds to
import.
"""

import shutil
import subprocess
from contextlib import suppress
from typing import NamedTuple

MIB = 2**20


class Gpu(NamedTuple):
    """One of them. memory: bytes in all; driver: its version."""

    name: str
    memory: int
    driver: str


def on_this_machine() -> list[Gpu]:
    """All that the driver knows; none where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = "--query-gpu=name,memory.total,driver_version"
    lines = list[str]()
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(  # noqa: S603 the driver's
            [tool, asked, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        lines = listed.stdout.splitlines()
    return [gpu for line in lines if (gpu := _read(line)) is not None]


def _read(line: str) -> Gpu | None:
    name, _, rest = line.partition(",")
    memory, _, driver = (part.strip() for part in rest.partition(","))
    return Gpu(name.strip(), int(memory) * MIB, driver) if memory.isdigit() else None
