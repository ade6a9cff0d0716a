"""The page in a real browser, over a file of people's votes, as a visitor looks at it."""

import csv
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from electorate.base.progress import unshown
from electorate.online import base as bases
from electorate.online import begin
from electorate.online.routing import Shares
from serve import answer_ids, api, upstreams
from serve.gateway import Gateway
from serve.security import Gate
from serve.settings import Settings
from tests.serve.local import LocalService
from tests.serve.upstreams import Upstreams

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = ((1280, 900), (390, 844))


def votes_file(place: Path) -> Path:
    """Sixty people of two countries, whose favourites are at opposite ends."""
    random = np.random.default_rng(0)
    user = np.repeat(np.arange(60), 40)
    a = random.integers(0, 6, len(user))
    b = (a + random.integers(1, 6, len(user))) % 6
    strength = np.where(user % 3, 0.6, -0.4) * (b - a)
    a_wins = random.random(len(user)) < 1 / (1 + np.exp(-strength))
    columns = {
        "user_id": [f"user {one}" for one in user],
        "model_a": [f"c{one}" for one in a],
        "model_b": [f"c{one}" for one in b],
        "winner": np.where(a_wins, "model_a", "model_b"),
        "country": np.where(user % 3, "Eastland", "Westland"),
    }
    pq.write_table(pa.table(columns), place)
    return place


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    file = votes_file(folder / "votes.parquet")
    service = LocalService(bases.of_folder(begin.folder_of(file, folder / "served", "country")))
    begin.take_in(service.counter.base, service.counter.store, unshown)
    service.counter.snapshot()
    contestants = Upstreams()
    reached = upstreams.of_contest(contestants.contest(), None)
    gateway = Gateway(reached, answer_ids.secret(folder), Shares())
    costs = {f"c{i}": 0.001 * (i + 1) for i in range(6)}
    app = api.build(service, Settings(hosts=None, costs=costs), Gate(None, 1e6), gateway)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    contestants.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    broken = list[str]()
    page.on("pageerror", lambda error: broken.append(str(error)))
    opened(page, url)
    yield page
    assert broken == []
    context.close()


def opened(page: Page, url: str) -> None:
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_selector("#personal tbody tr")
    page.wait_for_selector("#matrix td.ahead")
    expect(page.locator("#live")).to_be_visible()


def models(page: Page, table: str = "global") -> list[str]:
    rows = page.locator(f"#{table} tbody tr").all()
    return [str(row.get_attribute("data-model")) for row in rows]


def test_models_are_found_and_sorted(page: Page) -> None:
    assert models(page) == [f"c{i}" for i in range(6)]
    page.click("#global [data-sort=model]")
    page.click("#global [data-sort=model]")
    assert models(page) == [f"c{i}" for i in reversed(range(6))]
    assert page.locator("#global th:has([data-sort=model])").get_attribute("aria-sort") == (
        "descending"
    )
    page.click("#global [data-sort=cost]")
    assert models(page) == [f"c{i}" for i in range(6)]
    page.fill("#find", "C3")
    assert models(page) == models(page, "personal") == ["c3"]
    expect(page.locator("#found")).to_have_text("1 of 6 models")
    # A model keeps its rank, whatever else is shown.
    expect(page.locator("#global tbody td").first).to_have_text("4")


def test_a_view_is_sent_by_its_address(page: Page, url: str) -> None:
    page.fill("#user", "user 0")
    page.click("#who button")
    expect(page.locator("#personal-title")).to_have_text("For user 0")
    page.select_option("#board-of", "Westland")
    expect(page.locator("#global-title")).to_have_text("For Westland")
    page.fill("#find", "c")
    page.click("#global [data-sort=votes]")
    there = page.url
    before = models(page)
    opened(page, there)
    expect(page.locator("#global-title")).to_have_text("For Westland")
    expect(page.locator("#personal-title")).to_have_text("For user 0")
    assert models(page) == before
    assert page.input_value("#find") == "c"
    assert url in there


def test_each_group_has_a_board_and_each_user_a_record(page: Page) -> None:
    page.select_option("#board-of", "Westland")
    expect(page.locator("#global-title")).to_have_text("For Westland")
    assert models(page) == [f"c{i}" for i in reversed(range(6))]
    expect(page.locator("#matrix tbody th").first).to_have_text("1. c5")
    page.fill("#user", "user 0")
    page.click("#who button")
    expect(page.locator("#personal-note")).to_contain_text("on 40 votes of this user (Westland)")
    rows = page.locator("#record-rows tr")
    expect(rows).to_have_count(6)
    cells = {
        row.locator("th").inner_text(): [td.inner_text() for td in row.locator("td").all()]
        for row in rows.all()
    }
    assert sum(int(of[0]) for of in cells.values()) == 80
    assert (
        sum(int(of[1]) for of in cells.values()) == sum(int(of[3]) for of in cells.values()) == 40
    )
    assert "more than expected" in cells["c5"][4]
    assert "fewer than expected" in cells["c0"][4]


def test_a_board_is_saved_as_it_is_shown(page: Page) -> None:
    page.click("#global [data-sort=model]")
    with page.expect_download() as saved:
        page.click("[data-save=csv]")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text().splitlines()))
    assert [row["model"] for row in rows] == models(page)
    assert float(rows[0]["ci_low"]) < float(rows[0]["rating"]) < float(rows[0]["ci_high"])
    with page.expect_download() as saved:
        page.click("[data-save=json]")
    told = json.loads(Path(str(saved.value.path())).read_text())
    assert [row["model"] for row in told] == models(page)


def test_what_stands_behind_the_board_is_told(page: Page) -> None:
    expect(page.locator("#sure-text")).to_contain_text("c0")
    expect(page.locator("#sure-text")).to_contain_text("would be first")
    share = page.locator("#matrix tbody tr").nth(0).locator("td").nth(5)
    assert share.get_attribute("title").startswith("c0 won ")  # type: ignore[union-attr]
    assert 50 < int(share.inner_text()) < 100
    other = page.locator("#matrix tbody tr").nth(5).locator("td").nth(0)
    assert int(share.inner_text()) + int(other.inner_text()) in (99, 100, 101)
    # The cheapest is the best here, so nothing else is worth its cost.
    expect(page.locator("#worth-plot .dot:not(.away)")).to_have_count(1)
    expect(page.locator("#worth-plot .away")).to_have_count(5)


def test_a_visitor_asks_two_models_and_votes_without_knowing_which(page: Page) -> None:
    page.fill("#user", "visitor")
    page.fill("#question", "Which river is longest?")
    page.click("#ask button")
    expect(page.locator("[data-better=a]")).to_be_enabled()
    assert page.inner_text("#live-name-0") == "A"
    shown = [page.inner_text(f"#live-{side}").removesuffix("flowsfar") for side in (0, 1)]
    assert len(set(shown)) == 2
    page.click("[data-better=b]")
    expect(page.locator("#live-told")).to_contain_text(f"A was {shown[0]}, B was {shown[1]}")
    expect(page.locator("#personal-note")).to_contain_text("on 1 vote of this user")
    expect(page.locator("#record-rows tr")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_a_screen_reader_reads_it(
    page: Page, url: str, scheme: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, f"{url}#user=user+0")
    expect(page.locator("#record-rows tr")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    found = Axe().run(page)
    serious = [
        one for one in found.response["violations"] if one["impact"] in ("serious", "critical")
    ]
    assert not serious, [(one["id"], one["nodes"][0]["html"][:200]) for one in serious]


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.locator("h1").click()
    reached = set[str]()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(e => e.id || e.dataset.sort || e.dataset.save || e.dataset.better || e.tagName)"
            "(document.activeElement)"
        )
        reached.add(focused)
    assert {"user", "find", "board-of", "csv", "json", "link", "rating", "votes"} <= reached
    assert {"question"} <= reached
