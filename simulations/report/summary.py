"""A comparison as files, and as the table a run ends with."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from electorate.commands import beliefs, next_step
from electorate.config.contest import Contest
from electorate.config.judging import MOST_RANKED, Judging
from electorate.config.metrics import METRICS, OVERALL, UNSEEN
from electorate.config.run import Config
from electorate.config.systems import SYSTEMS
from electorate.data import answer_counts, run_files
from electorate.evaluation.agreement import PEOPLE
from electorate.evaluation.results import EVERYONE, NOT_CONVERGED, Comparison
from electorate.evaluation.user_report import SAME_ORDER
from electorate.rewards import store
from electorate.storage import files
from electorate.storage.run_folder import Manifest, RunFolder
from simulations.report import verdict
from simulations.report.official import beside
from simulations.report.results import Values, at_last, last_rows, of_users

REGRET = "regret: Elo points lost on an unseen prompt by taking the system's first model"
OF_SIX = "; of 6: from six models at random"


def write(folder: RunFolder, comparison: Comparison, manifest: Manifest) -> None:
    """metrics.parquet, gains.parquet, the leaderboard, summary.json, and what the manifest says
    of the judge.
    """
    files.write_table(folder.metrics, comparison.metrics)
    files.write_table(folder.gains, comparison.gains)
    files.write_table(folder.leaderboard, comparison.leaderboard)
    files.write_table(folder.calibration, comparison.calibration)
    files.write_table(folder.orders, comparison.orders)
    files.write_text(folder.summary, json.dumps(_summary(folder), indent=2) + "\n")
    manifest["judge"] = {"simulated": asdict(comparison.agreement), "people": asdict(PEOPLE)}
    files.write_text(folder.findings, json.dumps(comparison.findings, indent=2) + "\n")
    manifest["spread"] = comparison.spread
    manifest["not_converged"] = comparison.not_converged


def show(folder: RunFolder, console: Console) -> None:
    """Print what a finished run found, the answer first, and what to try next."""
    gains = of_users(folder.gains)
    config = run_files.read_config(folder)
    values = at_last(folder)
    manifest = folder.read_manifest()
    any_row = next(iter(values.values()))
    of = "" if config.evaluation.persona is None else f" of archetype {config.evaluation.persona}"
    who = f"{any_row['n_users']:,} personas{of} compared"
    title = f"{any_row['votes_per_user']} votes a persona, {who}"
    for line in verdict.lines(folder):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(_two_systems(folder, values, f"Systems A and B, {title}"))
    console.print(_all_systems(values, config.evaluation.systems, f"All systems, {title}"))
    console.print(legend(values), highlight=False, soft_wrap=True)
    lines = [
        *_gain_lines(gains),
        *not_converged_lines(manifest),
        *answer_lines(folder, config),
        *newcomer_lines(folder),
        *reward_lines(folder),
        *findings_lines(read_findings(folder)),
        *_arena_lines(folder, config, values),
        judge_line(manifest),
        *likeness_lines(config),
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    if config.judging is not None:
        beliefs.show(folder.path, console)
        for line in judging_lines(manifest, config.judging, config):
            console.print(line, highlight=False, soft_wrap=True)
        if folder.votes_file.exists():
            console.print(f"votes: {folder.votes_file}", highlight=False, soft_wrap=True)
    console.print(f"report: {folder.report}", highlight=False, soft_wrap=True)
    _tell_next(folder, config, console)


def _tell_next(folder: RunFolder, config: Config, console: Console) -> None:
    path = folder.path
    more = "voters.personas.size" if config.judging is not None else "population.size"
    planted = (
        f"electorate run configs/quickstart.yaml --set population=@{folder.population} --out "
        f"{path}-planted    (a population of any size with these tastes)"
    )
    next_step.tell(
        console,
        f"electorate serve {path}    (these rankings over HTTP, and a page)",
        f"electorate run {path}/config.yaml --set {more}={10 * config.users} --out {path}-larger",
        f"electorate run {path}/config.yaml --seed {config.seed + 1} --out {path}-again"
        "    (does it hold for other draws?)",
        *([planted] if isinstance(path, Path) and folder.population.exists() else []),
    )


def judging_lines(manifest: Manifest, judging: Judging, contest: Contest) -> list[str]:
    """What a reader has to know of model voters: who judges itself, what could not be read, and
    whether personas have tastes of their own.
    """
    lines = _self_judged_lines(judging, contest)
    stages = manifest["stages"]
    undecided = stages.get("truth", {}).get("undecided", 0)
    if undecided:
        lines.append(
            f"{undecided:,} of {stages['truth']['battles']:,} battles of the judges' own rankings "
            "could not be read, and count as undecided"
        )
    for name, what in (
        ("sent_again", "requests that failed and were sent again"),
        ("unread", "answers that could not be used, some put right by asking again"),
        ("lost", "questions left without an answer"),
    ):
        total = Counter[str]()
        for stage in ("votes", "truth", "checks"):
            total.update(stages.get(stage, {}).get(name, {}))
        if total:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in total.most_common())
            lines.append(f"{what}: {kinds}")
    if len(contest.contestant_names) > MOST_RANKED:
        lines.append(
            f"nobody ranked all responses at once: endpoints tell no more than {MOST_RANKED} apart"
        )
    # Older runs had no tastes fitted.
    return [*lines, manifest["tastes"]] if "tastes" in manifest else lines


def _self_judged_lines(judging: Judging, contest: Contest) -> list[str]:
    """Which judges judge their own model's responses."""
    of_judge: dict[str, list[str]] = {}
    for judge, contestant in judging.self_judged(contest):
        of_judge.setdefault(judge, []).append(contestant)
    return [
        f"{judge} judges contestants that run on its own model, and may favour itself: "
        f"{', '.join(own)}"
        for judge, own in of_judge.items()
    ]


def _gain_lines(gains: pa.Table) -> list[str]:
    """Each system's gain in Kendall tau over the global ranking."""
    where = {"segment": EVERYONE, "baseline": "global_bt", "prompts": OVERALL}
    return [
        f"{row['system']}{mark(row)}: {verdict.interval(row)} Kendall tau over global_bt"
        for row in last_rows(gains, **where, metric="kendall_tau")
        if not row["system"].startswith("oracle")
    ]


def _arena_lines(folder: RunFolder, config: Config, values: Values) -> list[str]:
    """How everyone's leaderboard agrees with the official one, or why that is not known."""
    lines = list[str]()
    official = beside(folder)
    if official.rho is not None:
        lines.append(
            "Spearman's rho of everyone's leaderboard with the official Chatbot Arena's: "
            f"{official.rho:.3f} ({official.rated} models)"
        )
    there = {system for system, _, _ in values}
    if "arena" in config.evaluation.systems and "arena" not in there:
        lines.append(
            "arena is not compared: some contestants have no official Chatbot Arena rating"
        )
    return lines


def answer_lines(folder: RunFolder, config: Contest) -> list[str]:
    """Which contestants' answers are cut, empty or thought about first."""
    counts = answer_counts.count(config, files.read_table(folder.responses))
    return answer_counts.lines(config, counts)


def newcomer_lines(folder: RunFolder) -> list[str]:
    """What rankings gain for users whose votes nothing was fitted to, beside what they gain for
    those who took part.
    """
    lines = list[str]()
    gains = {users: of_users(folder.gains, users) for users in ("unseen", "seen")}
    for system in ("elo_offset", "hybrid", "prompt_head"):
        rows = {
            (users, prompts, metric): row
            for users, table in gains.items()
            for prompts, metric in ((OVERALL, "kendall_tau"), (UNSEEN, "regret"))
            for row in last_rows(
                table,
                system=system,
                baseline="global_bt",
                segment=EVERYONE,
                prompts=prompts,
                metric=metric,
            )
        }
        if ("unseen", UNSEEN, "regret") in rows:
            tau, regret = (
                [rows[users, *of] for users in ("unseen", "seen")]
                for of in ((OVERALL, "kendall_tau"), (UNSEEN, "regret"))
            )
            who = f"{tau[0]['n_users']} newcomers, held out of every fit"
            lines.append(
                f"{system}{mark(tau[0])} over global_bt for {who}: "
                f"{verdict.interval(tau[0])} Kendall tau ({tau[1]['value']:+.3f} for those who "
                "voted), "
                f"{verdict.interval(regret[0], 1)} Elo of regret ({regret[1]['value']:+.1f})"
            )
    return lines


def reward_lines(folder: RunFolder) -> list[str]:
    """What System B gains over the systems it has to beat, on unseen prompts; nothing where it
    was not trained.
    """
    values = at_last(folder)
    gains = of_users(folder.gains)

    def over(system: str, baseline: str, metric: str) -> str | None:
        rows = last_rows(
            gains, system=system, baseline=baseline, segment=EVERYONE, prompts=UNSEEN, metric=metric
        )
        return f"{verdict.interval(rows[0])} {METRICS[metric].label}" if rows else None

    lines = []
    for system, spec in SYSTEMS.items():
        for baseline in spec.compared_with:
            found = [
                text
                for metric, of in METRICS.items()
                if of.compared and (text := over(system, baseline, metric))
            ]
            if found:
                lines.append(
                    f"{system} over {baseline}{marks(values).get(baseline, '')}, unseen prompts: "
                    f"{', '.join(found)}"
                )
    for form, simpler in (
        folder.read_manifest()["stages"].get("reward", {}).get("gives", {}).items()
    ):
        lines.append(
            f"{form} falls back to {simpler}, which predicts votes on held-out prompts as well"
        )
    lines += _version_lines(folder)
    reached = [
        values.get((system, UNSEEN, "kendall_tau"))
        for system in ("elo_offset", "hybrid", "oracle_features")
    ]
    if all(reached) and any(system == "hybrid" for system, _, _ in values):
        low, own, high = (row["value"] for row in reached if row)
        lines.append(
            f"hybrid closes {(own - low) / (high - low):.0%} of the distance in Kendall tau from "
            "elo_offset to oracle_features"
        )
    return lines


def _version_lines(folder: RunFolder) -> list[str]:
    """Where a later training was not promoted."""
    checkpoints = run_files.read_config(folder).votes.checkpoints
    versions = store.read_versions(folder)
    return [
        f"System B's rankings at {checkpoints[round_]} votes are those trained at "
        f"{checkpoints[version]}: what was trained later "
        "predicts held-out votes no better"
        for round_, version in versions.items()
        if round_ != version
    ]


def columns(values: Values) -> list[tuple[str, str, str, int]]:
    """The columns of the table: heading, prompts, metric, digits.

    Those that this run has values for; with six models or fewer there are no subsets of six.
    """
    there = {key[1:] for key in values}
    return [
        (heading, prompts, spec.name, spec.digits)
        for spec in METRICS.values()
        for prompts, heading in spec.columns
        if (prompts, spec.name) in there
    ]


def legend(values: Values) -> str:
    """What the table's first columns are."""
    return REGRET + (OF_SIX if any(metric == "regret_of_6" for _, _, metric in values) else "")


def _all_systems(values: Values, systems: Sequence[str], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("system", no_wrap=True)
    shown = columns(values)
    for heading, *_ in shown:
        table.add_column(heading, justify="right", min_width=5)
    there = {system for system, _, _ in values}
    for system in [system for system in systems if system in there]:
        cells = (
            _cell(values.get((system, prompts, metric)), digits)
            for _, prompts, metric, digits in shown
        )
        table.add_row(system + marks(values).get(system, ""), *cells)
    return table


def mark(row: Mapping[str, Any]) -> str:
    """What stands behind a system's name where the row is the global ranking's, as its fit did
    not converge.
    """
    return " *" if row["version"] == NOT_CONVERGED else ""


def marks(values: Values) -> dict[str, str]:
    """The mark of each system."""
    return {system: mark(row) for (system, _, _), row in values.items()}


def not_converged_lines(manifest: Manifest) -> list[str]:
    """Which rows are the global ranking's, and why.

    The manifests of older runs say nothing of it.
    """
    return [
        f"* {system} at {votes} votes a persona has the global ranking: {why}"
        for votes, systems in manifest.get("not_converged", {}).items()
        for system, why in systems.items()
    ]


def _two_systems(folder: RunFolder, values: Values, title: str) -> Table:
    """Systems A and B beside the global ranking."""
    found = verdict.two_systems(folder, columns(values))
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, heading in enumerate(found.headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    for row in found.rows:
        table.add_row(*row)
    return table


def read_findings(folder: RunFolder) -> dict[str, Any]:
    """What was found about everybody; empty where System A's low-rank form was not rated."""
    found: dict[str, Any] = (
        json.loads(folder.findings.read_text(encoding="utf-8")) if folder.findings.exists() else {}
    )
    return found


def findings_lines(found: dict[str, Any]) -> list[str]:
    """The findings as sentences."""
    if not found:
        return []
    lines = _differ_lines(found["differ"])
    conduct = found["conduct"]
    noise = found["noise"]
    line = f"{conduct['suspects']:,} of {conduct['users']:,} personas look careless or adversarial"
    planted = [kind for kind in ("careless", "adversarial") if conduct[kind]]
    lines.append(
        line
        + "".join(
            f"; {conduct[kind]:,} {kind} ones were planted, AUC {conduct[f'{kind}_auc']:.3f}"
            for kind in planted
        )
    )
    if planted:
        away = {
            name: max(abs(row[name] - row["sincere"]) for row in found["leaderboards"])
            for name in ("all", "without_suspects")
        }
        lines.append(
            f"the sincere personas' leaderboard differs by up to {away['all']:.1f} Elo from that "
            f"of all votes, and by {away['without_suspects']:.1f} from that without the suspects'"
        )
    lines.append(
        "split-half reliability: two halves of a persona's votes give rankings with Kendall tau "
        f"{noise['half_tau']:.3f}; estimated offsets correlate with the true ones by at most "
        f"{noise['correlation_ceiling']:.2f}"
    )
    return lines


def _differ_lines(differ: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How many personas differ from the global ranking, and how sure that is."""
    what = {"order": f"in order (Kendall tau below {SAME_ORDER})", "first": "in their first model"}
    lines = []
    for name, of in differ.items():
        power = "" if of["power"] is None else f", power {of['power']:.0%}"
        realised = (
            f"{of['expected_fdr']:.1%} expected"
            if of["realised_fdr"] is None
            else f"{of['realised_fdr']:.1%} by the planted truth"
        )
        lines.append(
            f"{of['said_to_differ']:,} of {of['users']:,} personas differ from the global "
            f"ranking {what[name]}: false discovery rate {realised} "
            f"({of['nominal_fdr']:.0%} allowed){power}"
        )
    return lines


def likeness_lines(config: Config) -> list[str]:
    """How like people the simulated voters are; nothing where voters are not planted."""
    if config.population is None:
        return []
    likeness = config.population.likeness
    if likeness is None:
        return [
            "these voters are fitted to nobody's votes; electorate calibrate VOTES fits them to "
            "people's"
        ]
    return [
        f"these voters are fitted to {likeness.votes}: on the people's battles, shares of their "
        f"votes are off by {likeness.distance:.3f} on average"
    ]


def judge_line(manifest: Manifest) -> str:
    """How the simulated votes compare with people's, in one line."""
    ours = manifest["judge"]["simulated"]
    people = manifest["judge"]["people"]
    if ours["truth_accuracy"] is None or ours["agreement_without_ties"] is None:
        return "every vote on test prompts is a tie, so that no two of them differ"
    return (
        f"votes agree with the voter's own taste {ours['truth_accuracy']:.3f}; ties "
        f"{ours['tie_rate']:.3f} (people {people['tie_rate']}); "
        f"two voters agree {ours['agreement_without_ties']:.3f} without ties (people "
        f"{people['agreement_without_ties']}), "
        f"{ours['agreement']:.3f} three-way (people {people['agreement']})"
    )


def _summary(folder: RunFolder) -> dict[str, dict[str, float]]:
    """System to metric to value, everyone, last checkpoint; metrics by prompt are named
    per_prompt_*.
    """
    summary: dict[str, dict[str, float]] = {}
    for row in last_rows(of_users(folder.metrics), segment=EVERYONE):
        ranked_by_prompt = row["prompts"] == UNSEEN and METRICS[row["metric"]].of == "ranking"
        name = f"per_prompt_{row['metric']}" if ranked_by_prompt else row["metric"]
        summary.setdefault(row["system"], {})[name] = row["value"]
    return summary


def _cell(row: dict[str, Any] | None, digits: int) -> str:
    return "-" if row is None else f"{row['value']:.{digits}f}"
