"""`electorate serve` as a process of its own."""

import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import electorate_command, free_port


@dataclass
class Served:
    folder: Path
    port: int = field(default_factory=free_port)
    arguments: tuple[object, ...] = ()
    constants: dict[str, object] | None = None
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Served":
        self.process = electorate_command(
            "serve",
            self.folder,
            "--port",
            self.port,
            *self.arguments,
            constants=self.constants,
        )
        assert self.process.stdout
        # Not by /readyz, which waits for standings alone and not for the reward model.
        for line in self.process.stdout:
            if line.startswith("serving "):
                return self
        raise RuntimeError(self.process.communicate()[1][-2000:])

    def parts(self, pattern: str) -> list[psutil.Process]:
        """Its processes whose title matches."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if re.search(pattern, " ".join(child.cmdline())):
                    found.append(child)
        return found

    def kill_everything(self) -> None:
        assert self.process is not None
        everything = [
            *psutil.Process(self.process.pid).children(recursive=True),
            psutil.Process(self.process.pid),
        ]
        for one in everything:
            with suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(everything, timeout=20)
        self.process.communicate()

    def stop(self) -> str:
        """Told to stop; what it wrote to stderr."""
        assert self.process is not None
        err = ""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                err = self.process.communicate(timeout=60)[1]
            except subprocess.TimeoutExpired:
                self.kill_everything()
        return err
