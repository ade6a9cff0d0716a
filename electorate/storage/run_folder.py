"""A run's folder: where each result lies, and what state the run is in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from electorate.base.errors import ElectorateError
from electorate.storage import files
from electorate.storage.lock import LOCK
from electorate.storage.places import Place, listing

Manifest = dict[str, Any]
# Of a run's folder, from 1 on; whoever changes it lets read_manifest bring older ones forward.
FORMAT = 2
# From this format on the manifest's config_hash and digests of tables are checked.
CHECKED = 2


class RunFolder:
    """The paths of one run, and its manifest."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.log = path / "log.jsonl"
        self.personas = path / "personas.parquet"
        self.prompts = path / "prompts.parquet"
        self.responses = path / "responses.parquet"
        self.features = path / "features.parquet"
        self.votes = path / "votes"
        # Of model voters: their votes with texts, and what each judge said of some battles.
        self.votes_file = path / "votes.parquet"
        self.judgements = path / "judgements.parquet"
        self.rankings = path / "rankings.parquet"
        self.tastes = path / "tastes.parquet"
        self.population = path / "population.yaml"
        self.truth = path / "truth.parquet"
        self.leaderboard = path / "ratings" / "leaderboard.parquet"
        self.prior = path / "ratings" / "prior.npz"
        self.users = path / "ratings" / "users"
        self.people = path / "ratings" / "people.parquet"
        self.rewards = path / "rewards"
        self.findings = path / "findings.json"
        self.metrics = path / "metrics.parquet"
        self.gains = path / "gains.parquet"
        self.by_group = path / "gains_by_group.parquet"
        self.who_gains = path / "who_gains.parquet"
        self.calibration = path / "calibration.parquet"
        self.orders = path / "ratings" / "orders.parquet"
        self.routing = path / "routing.parquet"
        self.routers = path / "routing.json"
        self.summary = path / "summary.json"
        self.plots = path / "plots"
        self.report = path / "report.html"

    def read_manifest(self) -> Manifest:
        """The manifest; ElectorateError if this is no run's folder."""
        try:
            manifest: Manifest = json.loads(self.manifest.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ElectorateError(
                f"{self.path}: not a run's folder (no manifest.json); give the --out of a run"
            ) from None
        except (OSError, ValueError) as error:
            raise ElectorateError(f"{self.manifest}: cannot be read: {error}") from None
        if manifest.get("format", 1) > FORMAT:
            raise ElectorateError(
                f"{self.path}: was written by a later version of Electorate (format "
                f"{manifest['format']}, this one reads up to {FORMAT}); install that version"
            )
        return manifest

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest whole."""
        files.write_text(self.manifest, json.dumps({"format": FORMAT, **manifest}, indent=2) + "\n")

    def claim(
        self, config: str, digest: str, digest_of: Callable[[Place], str], resume: bool
    ) -> Manifest | None:
        """Take the folder for a config.

        Returns None if it is new, else the manifest of the run to go on with.

        Args:
            config: its text.
            digest: its hash.
            digest_of: reads a config file and returns its hash.
            resume: whether to go on with an unfinished run.

        Raises:
            ElectorateError: the folder holds another config's run, an unfinished run and `resume`
                is false, or files that are no run's.
        """
        if not self.manifest.exists():
            self.require_empty("files that are no run's")
            files.write_text(self.config, config)
            return None
        manifest = self.read_manifest()
        if "config_hash" not in manifest:
            raise ElectorateError(
                f"--out {self.path}: holds a comparison that is no run; give an empty or new folder"
            )
        # Not by the manifest's hash, which another version may have taken otherwise.
        held = digest_of(self.config)
        if held != digest:
            raise ElectorateError(
                f"--out {self.path}: holds a run of another config (hash {held[:12]}, "
                f"this one {digest[:12]}); choose another folder"
            )
        if manifest["status"] != "complete" and not resume:
            raise ElectorateError(
                f"--out {self.path}: holds an unfinished run of this config; add --resume to go on "
                "with it"
            )
        if isinstance(self.votes, Path):
            for unfinished in self.votes.rglob(".*.tmp"):
                # Of writers that were killed; on a full disk their room is needed.
                unfinished.unlink(missing_ok=True)
        # The format stays that of the tables which are there.
        return {"format": 1} | manifest | {"config_hash": digest}

    def require_empty(self, what: str = "files already") -> None:
        """ElectorateError if there is anything in the folder."""
        if any(name != LOCK for name in listing(self.path)):
            raise ElectorateError(f"--out {self.path}: holds {what}; give an empty or new folder")
