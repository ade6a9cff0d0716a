"""`submit` and `fetch`: a run as a job on a cluster, its progress here as it goes, and its
report when it is done.

Everything goes through Ray's Jobs API, so that a laptop needs neither the cluster's network nor its
storage.
"""

import asyncio
import base64
import io
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import join

import httpx
from ray.job_submission import JobStatus, JobSubmissionClient
from rich.console import Console

from cluster.package import require_sendable
from electorate.base.errors import ElectorateError
from electorate.commands import next_step
from electorate.config import config_file
from electorate.storage import files
from electorate.storage.places import ObjectPath, Place
from electorate.storage.run_folder import RunFolder

BEGIN = "-----BEGIN ELECTORATE REPORT-----"
END = "-----END ELECTORATE REPORT-----"
FETCHED = (
    "report.html",
    "summary.json",
    "manifest.json",
    "config.yaml",
    "metrics.parquet",
    "gains.parquet",
)
AGAIN_S = 1.0
GIVE_UP_S = 300.0  # of a cluster that does not answer; its job goes on
HINT = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"


def connect(address: str) -> JobSubmissionClient:
    """A client of the cluster's Jobs API. address: http://HOST:8265.

    Raises ElectorateError if nothing answers, or the token is refused.
    """
    if not address.startswith(("http://", "https://")):
        raise ElectorateError(
            f"--address {address}: the Jobs API is at the dashboard, such as http://127.0.0.1:8265"
        )
    try:
        httpx.get(address, timeout=10.0)
        client = JobSubmissionClient(address)
        client.list_jobs()
    except Exception as error:  # of many kinds, none of them Ray's own
        reason = " ".join(str(error).split())[:300]
        raise ElectorateError(
            f"--address {address}: {reason or type(error).__name__}; {HINT}"
        ) from None
    return client


def submit(
    config: Path,
    settings: Sequence[str],
    address: str,
    out: Place,
    resume: bool,
    to: Path | None,
    detach: bool,
    console: Console,
) -> None:
    """Run a config as a job and follow it to its end; its report comes to the folder `to`.

    Raises ElectorateError for a config that is wrong before anything is sent, and for a job that
    fails.
    """
    if not out.is_absolute():
        raise ElectorateError(
            f"--out {out}: a Ray job's working directory is temporary; give an absolute folder "
            "that every node sees, or a URI"
        )
    if config.is_absolute() or ".." in config.parts:
        raise ElectorateError(
            f"{config}: the working directory is what is sent; give the path of a config inside it"
        )
    config_file.load(config, settings)
    to = to or Path("runs") / out.name
    require_sendable(Path.cwd())
    client = connect(address)
    where = out.uri if isinstance(out, ObjectPath) else str(out)
    arguments = [
        str(config),
        "--out",
        where,
        *(part for setting in settings for part in ("--set", setting)),
        *["--resume"] * resume,
    ]
    job = _start(client, arguments=["run", *arguments])
    console.print(f"job {job} on {address}; it goes on without this command", highlight=False)
    if detach:
        next_step.tell(
            console,
            f"ray job logs --address {address} --follow {job}",
            f"electorate status {address}",
        )
        return
    _follow(client, job)
    _unpack(_logs_of(client, ["fetch", where]), to)
    console.print(f"report: {to.absolute() / 'report.html'}", highlight=False)
    next_step.tell(
        console,
        f"electorate fetch {where} --to {to}-whole    (where the job could write and you can read)",
    )


def fetch(folder: Place, to: Path | None) -> None:
    """Copy a finished run to the folder `to`; or print its report for `submit` to take from the
    job's log.
    """
    if (status := RunFolder(folder).read_manifest()["status"]) != "complete":
        raise ElectorateError(f"{folder}: the run is {status}; there is nothing to fetch yet")
    if to is not None:
        RunFolder(to).require_empty()
        files.copy(folder, to)
        return
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in FETCHED:
            if (folder / name).exists():
                content = (folder / name).read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    print(BEGIN, base64.encodebytes(packed.getvalue()).decode(), END, sep="\n")


def _start(client: JobSubmissionClient, arguments: Sequence[str]) -> str:
    job: str = client.submit_job(
        entrypoint=join(["python", "-m", "simulations", *arguments]),
        runtime_env={"working_dir": "."},
        metadata={"electorate": arguments[0]},
    )
    return job


def _follow(client: JobSubmissionClient, job: str) -> None:
    """Its log as it comes, through lost connections; ElectorateError if it fails or the cluster is
    gone.
    """
    shown = 0
    last_heard = time.monotonic()
    while True:
        try:
            shown = asyncio.run(_stream(client, job, shown))
            info = client.get_job_info(job)
        except Exception as error:
            if time.monotonic() - last_heard > GIVE_UP_S:
                raise ElectorateError(
                    f"job {job}: the cluster does not answer any more ({type(error).__name__}); "
                    "`status` tells"
                ) from None
            time.sleep(AGAIN_S)
            continue
        last_heard = time.monotonic()
        if info.status.is_terminal():
            break
        time.sleep(AGAIN_S)
    # What came between the last part of the stream and the end.
    sys.stdout.write(client.get_job_logs(job)[shown:])
    sys.stdout.flush()
    if info.status != JobStatus.SUCCEEDED:
        message = " ".join((info.message or "").split())[-300:]
        raise ElectorateError(
            f"job {job} {info.status.value.lower()}: {message}; run it again with --resume, what "
            "is done is kept"
        )


async def _stream(client: JobSubmissionClient, job: str, shown: int) -> int:
    """Print what is new; returns how much has been shown.

    A stream begins at the log's beginning each time.
    """
    seen = 0
    async for part in client.tail_job_logs(job):
        sys.stdout.write(part[max(0, shown - seen) :])
        sys.stdout.flush()
        seen += len(part)
        shown = max(shown, seen)
    return shown


def _logs_of(client: JobSubmissionClient, arguments: Sequence[str]) -> str:
    """All that a short job prints."""
    job = _start(client, arguments)
    while not (info := client.get_job_info(job)).status.is_terminal():
        time.sleep(AGAIN_S)
    logs: str = client.get_job_logs(job)
    if info.status != JobStatus.SUCCEEDED:
        raise ElectorateError(f"the report could not be fetched: {' '.join(logs.split())[-300:]}")
    return logs


def _unpack(logs: str, to: Path) -> None:
    _, begin, rest = logs.partition(BEGIN)
    packed, end, _ = rest.partition(END)
    if not (begin and end):
        raise ElectorateError("the report could not be fetched: the job's log holds none")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed)), mode="r:gz") as archive:
            archive.extractall(to, filter="data")
    except OSError as error:
        raise ElectorateError(f"--to {to}: cannot be written: {error.strerror or error}") from None
