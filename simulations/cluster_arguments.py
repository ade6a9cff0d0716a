"""The arguments of `submit`, `fetch` and `status`: what is done on a cluster, or far away."""

import argparse

from electorate.commands.arguments import here, takes_settings
from electorate.storage.places import place

SUBMIT = """Submit a run as a job to a Ray cluster.

The working directory is uploaded, except what .rayignore names, and the job's log is streamed.
report.html, summary.json and metrics.parquet are downloaded when the job is done. Ctrl-C stops
streaming, not the job."""
SUBMIT_EXAMPLES = """examples:
  electorate submit configs/population.yaml --address http://127.0.0.1:8265 \\
    --out /shared/runs/million
  electorate submit configs/quickstart.yaml --address http://127.0.0.1:8265 \\
    --out /shared/runs/q --set population.size=50000
  electorate submit configs/population.yaml --address http://127.0.0.1:8265 \\
    --out s3://BUCKET/runs/million
  electorate status http://127.0.0.1:8265
  electorate fetch s3://BUCKET/runs/million --to runs/million
"""


def add_submit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `submit`."""
    submit = commands.add_parser(
        "submit",
        help="a run as a job on a cluster: sent, followed, and its report fetched",
        description=SUBMIT,
        epilog=SUBMIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument(
        "config", type=here, metavar="CONFIG", help="a YAML file inside the working directory"
    )
    submit.add_argument(
        "--address",
        required=True,
        metavar="URL",
        help="the cluster's dashboard, such as http://127.0.0.1:8265",
    )
    submit.add_argument(
        "--out",
        type=place,
        required=True,
        metavar="DIR",
        help="the run's folder there: absolute, seen by every node, or a URI",
    )
    takes_settings(submit, "set a field of the config")
    submit.add_argument(
        "--resume", action="store_true", help="go on with an unfinished run in that folder"
    )
    submit.add_argument(
        "--to",
        type=here,
        metavar="DIR",
        help="where the report comes to here (default: runs/ and the name of --out)",
    )
    submit.add_argument(
        "--detach", action="store_true", help="return once the job is there, and fetch nothing"
    )


def add_fetch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `fetch`."""
    fetch = commands.add_parser(
        "fetch", help="copy a finished run to this machine, as `serve` wants it"
    )
    fetch.add_argument(
        "folder", type=place, metavar="DIR|URI", help="the run's folder, such as s3://BUCKET/KEY"
    )
    fetch.add_argument(
        "--to",
        type=here,
        metavar="DIR",
        help="a new folder; without it the report alone is printed, packed, for `submit`",
    )


def add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `status`."""
    status = commands.add_parser("status", help="how far a run has come, or a cluster's jobs")
    status.add_argument(
        "what",
        metavar="DIR|URI|URL",
        help="a run's folder or URI, or a cluster's dashboard, such as http://127.0.0.1:8265",
    )
