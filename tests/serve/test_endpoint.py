"""The endpoint as it runs: on Ray Serve, in a browser, under load, and through kills of each of
its parts.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest
import yaml
from playwright.sync_api import Page, expect, sync_playwright

from electorate.online import base as bases
from electorate.storage.run_folder import RunFolder
from serve import proxy
from tests.conftest import BIN, ROOT, electorate_command, free_port, in_process
from tests.electorate.online.finished import finished_run
from tests.serve.served import Served
from tests.serve.upstreams import NAMES, Upstreams

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def contestants() -> Iterator[Upstreams]:
    found = Upstreams()
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, contestants: Upstreams) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("run")
    file = folder / "contestants.yaml"
    content = contestants.contest().model_dump(mode="json", include={"models", "contestants"})
    file.write_text(yaml.safe_dump(content))
    run = finished_run(folder / "finished").path
    served = Served(run, arguments=("--contestants", file)).start()
    yield served
    served.stop()


@pytest.fixture
def page(served: Served) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(20_000)
        asked = list[str]()
        broken = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(served.url)
        page.wait_for_selector("#personal tbody tr")
        expect(page.locator("#a")).not_to_be_empty()
        yield page
        assert broken == []
        # Nothing from elsewhere.
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
            f"127.0.0.1:{served.port}"
        }
        browser.close()


def board(page: Page, table: str) -> list[tuple[str, str]]:
    rows = page.locator(f"#{table} tbody tr").all()
    return [
        (str(row.get_attribute("data-model")), row.locator("td").nth(1).inner_text())
        for row in rows
    ]


def test_a_persona_is_picked_and_its_vote_moves_both_boards(page: Page) -> None:
    everyones = board(page, "global")
    assert page.locator("#personal-note").inner_text().startswith("The user is not known")
    page.select_option("#persona", "3")
    expect(page.locator("#personal-note")).to_contain_text("on 30 votes")
    before = board(page, "personal")
    assert {model for model, _ in before} == {model for model, _ in everyones}
    shown_a = page.locator("#a").inner_text()
    shown_b = page.locator("#b").inner_text()
    # A contestant's response is hostile text: it stays text.
    assert "<script>document.title = 'broken'</script>" in shown_a + shown_b
    assert page.title() == "Electorate: rankings"
    page.click("[data-winner=model_b]")
    expect(page.locator("#personal-note")).to_contain_text("on 31 votes")
    after = board(page, "personal")
    assert after != before
    expect(page.locator("#status")).to_contain_text("Taken: ")
    expect(page.locator("#a")).not_to_have_text(shown_a)


def test_chat_completions_go_to_the_users_best_and_feedback_is_kept(
    served: Served, contestants: Upstreams
) -> None:
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none")
    ranking = httpx.get(f"{served.url}/v1/users/5/ranking").json()["ranking"]
    best = ranking[0]["model"]
    ask: Any = [{"role": "user", "content": "Which river is longest?"}]
    stream = client.chat.completions.create(model="electorate", user="5", messages=ask, stream=True)
    assert [part.choices[0].delta.content for part in stream] == [best, "flows", "far"]
    contestants.behaviour[best] = "500"
    raw = client.chat.completions.with_raw_response.create
    other = raw(model="electorate", user="5", messages=ask)
    assert other.headers["x-electorate-model"] == ranking[1]["model"]
    assert other.headers["x-electorate-why"].startswith(f"passed over {best}: HTTP 500")
    contestants.behaviour.clear()
    first = raw(model=best, user="5", messages=ask)
    said = httpx.post(
        f"{served.url}/v1/feedback",
        json={
            "better": other.headers["x-electorate-id"],
            "worse": first.headers["x-electorate-id"],
        },
    )
    assert said.status_code == 200
    version = said.json()["version"]
    own = httpx.get(f"{served.url}/v1/users/5/ranking?min_version={version}").json()
    assert own["votes"] == 31


@pytest.mark.parametrize("part", ["Rankings", "Writer"])
def test_a_kill_amid_streams_leaves_clear_errors_and_every_acknowledged_feedback(
    served: Served, contestants: Upstreams, part: str
) -> None:
    """Each client has the whole answer or an error, none waits for ever; what was acknowledged
    before is there after.
    """
    user = f"streaming {part}"
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)
    ask: Any = [{"role": "user", "content": "Which river is longest?"}]
    raw = client.chat.completions.with_raw_response.create
    ids = [
        raw(model=name, user=user, messages=ask).headers["x-electorate-id"] for name in ("c0", "c1")
    ]
    given = {"better": ids[0], "worse": ids[1]}
    assert httpx.post(f"{served.url}/v1/feedback", json=given, timeout=30).status_code == 200
    contestants.behaviour.update(dict.fromkeys(NAMES, "dribbles"))

    def streamed(_: int) -> str:
        try:
            stream = client.chat.completions.create(
                model="electorate", user=user, messages=ask, stream=True
            )
            return " ".join(str(chunk.choices[0].delta.content) for chunk in stream)
        except (openai.APIError, httpx.HTTPError) as error:
            return f"error: {type(error).__name__}"

    with ThreadPoolExecutor(12) as pool:
        under_way = [pool.submit(streamed, i) for i in range(12)]
        time.sleep(0.7)
        killed = served.parts(f"ServeReplica:rankings:{part}")
        assert killed
        for process in killed:
            process.kill()
        said = [one.result(timeout=90) for one in under_way]
    contestants.behaviour.clear()
    assert all(one.startswith("error: ") or one.endswith("flows far") for one in said)
    if part == "Writer":  # which no stream goes through
        assert all(one.endswith("flows far") for one in said)
    # Sent again, as a client does that hears 503 or nothing, it is known.
    give_up = time.monotonic() + 90
    status = 0
    while status != 200 and time.monotonic() < give_up:
        with suppress(httpx.HTTPError):
            again = httpx.post(f"{served.url}/v1/feedback", json=given, timeout=30)
            status = again.status_code
            assert status in (200, 502, 503, 504), again.text
        time.sleep(0.5)
    own = httpx.get(f"{served.url}/v1/users/{user}/ranking", timeout=30).json()
    assert (status, own["votes"]) == (200, 1)


def test_by_keyboard_alone_and_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("a")
    expect(page.locator("#status")).to_contain_text("a vote is somebody's")
    # The field for a name has the focus now.
    page.keyboard.type("keyboard-user")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("This is keyboard-user")
    page.locator("h1").click()
    page.keyboard.press("t")
    expect(page.locator("#personal-note")).to_contain_text("on 1 vote of")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_api_can_be_read_and_tried(page: Page, served: Served) -> None:
    page.goto(f"{served.url}/docs")
    board = page.locator("#operations-default-leaderboard_v1_leaderboard_get")
    board.locator("button.opblock-summary-control").click()
    board.locator("button.execute").click()
    expect(board.locator(".live-responses-table .response .microlight").first).to_contain_text(
        "rank_high"
    )


def test_light_and_dark(page: Page) -> None:
    papers = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(255, 255, 255)", "rgb(21, 23, 28)"]


class Voters:
    """Threads that send votes one after another, each with an id of its own, and know which were
    acknowledged.
    """

    def __init__(self, served: Served, name: str, threads: int = 3) -> None:
        self._served = served
        self._name = name
        self._over = threading.Event()
        self.sent = set[str]()
        self.acknowledged = set[str]()
        self.statuses = set[int]()
        self._threads = [threading.Thread(target=self._vote, args=(i,)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _vote(self, thread: int) -> None:
        with httpx.Client(base_url=self._served.url, timeout=15) as client:
            turn = 0
            while not self._over.is_set():
                ids = [f"{self._name}-{thread}-{turn}-{i}" for i in range(5)]
                self.sent |= set(ids)
                votes = [
                    {
                        "id": i,
                        "user_id": f"{self._name}-{thread}",
                        "model_a": "c0",
                        "model_b": "c1",
                        "winner": "tie",
                    }
                    for i in ids
                ]
                # Sent again until it is acknowledged, as a client would: repeats must be harmless.
                while not self._over.is_set():
                    try:
                        answer = client.post("/v1/votes", json={"votes": votes})
                    except httpx.HTTPError:
                        time.sleep(0.1)
                        continue
                    self.statuses.add(answer.status_code)
                    if answer.is_success:
                        self.acknowledged |= set(ids)
                        break
                    time.sleep(0.1)
                turn += 1

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_every_acknowledged_vote_is_there_once_through_kills(tmp_path: Path) -> None:
    """SIGKILL of the replica, of the writer and of the whole cluster in turn, during writes."""
    served = Served(finished_run(tmp_path / "run", reward=False).path).start()
    try:
        voters = Voters(served, "v")
        for part in ("ServeReplica:rankings:Rankings", "ServeReplica:rankings:Writer"):
            time.sleep(2)
            before = len(voters.acknowledged)
            victims = served.parts(part)
            assert victims, part
            for victim in victims:
                victim.kill()
            give_up = time.monotonic() + 90
            while len(voters.acknowledged) < before + 50 and time.monotonic() < give_up:
                time.sleep(0.5)
            assert len(voters.acknowledged) >= before + 50, (
                f"no votes were taken after {part} was killed"
            )
        served.kill_everything()
        voters.stop()
        served.start()
        again = Voters(served, "w")
        time.sleep(2)
        again.stop()
        assert again.statuses <= {200, 429}
        board = httpx.get(f"{served.url}/v1/leaderboard").json()
    finally:
        served.stop()
    store = bases.of_folder(served.folder).open_store()
    ids = [row[0] for row in store._db.execute("SELECT id FROM taken")]
    counted = len(store.unfolded()[1]) + sum(len(store.round(n)) for n in store.rounds)
    store.close()
    assert len(ids) == len(set(ids)) == counted
    there = set(ids)
    assert not voters.acknowledged - there, "acknowledged before the kills, and lost"
    assert not again.acknowledged - there, "acknowledged after the kills, and lost"
    assert not there - voters.sent - again.sent, "invented"
    assert board["votes"] <= counted
    assert len(again.acknowledged) > 10


def test_reads_go_on_while_the_writer_is_away(served: Served) -> None:
    version = httpx.get(f"{served.url}/v1/leaderboard").json()["version"]
    for victim in served.parts("ServeReplica:rankings:Writer"):
        victim.kill()
    for _ in range(20):
        answer = httpx.get(f"{served.url}/v1/users/3/ranking", timeout=5)
        assert (answer.status_code, answer.json()["version"]) == (200, version)
    vote = {"id": "back", "user_id": "u", "model_a": "c0", "model_b": "c1", "winner": "tie"}
    give_up = time.monotonic() + 90
    while time.monotonic() < give_up:
        answer = httpx.post(f"{served.url}/v1/votes", json={"votes": [vote]}, timeout=20)
        assert answer.status_code in (200, 503)
        if answer.is_success:
            break
        assert "send the votes again" in answer.json()["detail"]
    assert answer.json()["version"] > version
    later = httpx.get(
        f"{served.url}/v1/users/u/ranking",
        params={"min_version": answer.json()["version"]},
        timeout=5,
    )
    assert later.json()["votes"] == 1


def test_who_comes_when_too_many_wait_is_told_when_to_come_again(tmp_path: Path) -> None:
    """Serve's own command and config file, with queues as short as can be."""
    content = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    port = content["http_options"]["port"] = free_port()
    content["applications"][0]["args"] = {
        "folder": str(tmp_path / "new"),
        "max_ongoing": 1,
        "max_queued": 1,
        "max_replicas": 1,
    }
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(content))
    command = [BIN / "serve", "run", "--address", "local", tmp_path / "serve.yaml"]
    of_proxy = proxy.environment()
    environment = {**os.environ, **of_proxy.__enter__(), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        proxy.wait(f"http://127.0.0.1:{port}")
        answers = list[httpx.Response]()

        def ask() -> None:
            answers.extend(
                httpx.get(f"http://127.0.0.1:{port}/v1/leaderboard", timeout=20) for _ in range(20)
            )

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {200, 429}
        assert {
            answer.headers["retry-after"] for answer in answers if answer.status_code == 429
        } == {"1"}
        # Neither the endpoint nor the proxy's own pages can be reached from elsewhere.
        open_ = [
            connection for part in parts_of(process) for connection in part.net_connections("inet")
        ]
        listening = {
            one.laddr.port: one.laddr.ip for one in open_ if one.status == psutil.CONN_LISTEN
        }
        assert listening[port] == "127.0.0.1"
        assert not {8404, 9101} & set(listening)
    finally:
        for one in [*parts_of(process), psutil.Process(process.pid)]:
            with suppress(psutil.Error):
                one.kill()
        process.wait(20)
        of_proxy.__exit__(None, None, None)


def parts_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_reward_model_that_is_not_here_is_one_line(served: Served) -> None:
    answer = httpx.post(f"{served.url}/v1/rankings", json={"prompt": "asked by nobody"}, timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"detail": "temporarily unavailable; see the server log"}


def test_metrics_are_of_the_requests_answered(served: Served) -> None:
    give_up = time.monotonic() + 40
    while time.monotonic() < give_up:
        text = httpx.get(f"{served.url}/metrics", timeout=10).text
        if 'route="/v1/leaderboard"' in text:
            break
        httpx.get(f"{served.url}/v1/leaderboard")
        time.sleep(1)
    assert re.search(
        r'^ray_electorate_requests_total\{.*route="/v1/leaderboard".*status="200"', text, re.M
    ) or re.search(r'^ray_electorate_requests\{.*route="/v1/leaderboard"', text, re.M)


def test_what_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    people = tmp_path / "people"
    RunFolder(people).write_manifest({"status": "complete", "kind": "human"})
    poll = tmp_path / "poll"
    RunFolder(poll).write_manifest({"status": "complete", "kind": "poll"})
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    for arguments, says in (
        (["serve", tmp_path], "holds files but no finished run"),
        (["serve", tmp_path / "x"], "; serve takes a folder, or a file of votes"),
        (["serve", people], "was written by an earlier version of `human`"),
        (["serve", poll], "was written by `poll` of an earlier version, which kept no rankings"),
        (
            ["serve", tmp_path / "new", "--port", port],
            f"--port {port}: cannot listen at 127.0.0.1: Address already in use; give another",
        ),
        (
            ["serve", tmp_path / "new", "--host", "0.0.0.0"],
            "whoever reaches it could read and vote; make keys with `keys`",
        ),
        (["serve", tmp_path / "new", "--keys", tmp_path / "x"], "not a file of keys"),
        (
            ["keys", tmp_path / "keys.json", "app", "--may", "read,write"],
            "'write' is not a permission; allowed are read, vote, chat, erase",
        ),
    ):
        refused = in_process(*arguments)
        assert refused.returncode == 2
        assert says in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    taken.close()


def test_interrupted_as_it_starts_it_says_so_at_once_and_ends(tmp_path: Path) -> None:
    process = electorate_command("serve", tmp_path / "new", "--port", free_port())
    assert process.stdout is not None
    # Its own handler is in place once it holds the folder's store, before Ray starts.
    while not (tmp_path / "new" / "online" / "votes.sqlite").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping; every acknowledged vote is on disk\n"
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
