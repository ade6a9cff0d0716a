"""The gateway over real HTTP: who is asked, what passes unchanged, and what happens to contestants
that fail.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from fastapi.testclient import TestClient

from electorate.base.errors import ElectorateError, RequestError
from electorate.online import base as bases
from electorate.online import export, routing
from electorate.online.ledger import Answered, Spent
from electorate.online.rankings import Entry
from electorate.online.routing import Choice, Shares
from serve import answer_ids, api, upstreams
from serve.gateway import Gateway
from serve.security import Gate, Key, Refused, add_key, read_keys
from serve.settings import Settings
from serve.spending import Meter, Spending
from tests.electorate.online.finished import finished_run
from tests.serve.local import LocalService
from tests.serve.upstreams import NAMES, Upstreams

ASK = [{"role": "user", "content": "Which river is longest?"}]


@pytest.fixture
def server() -> Iterator[Upstreams]:
    found = Upstreams()
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run")).path


class Serving:
    """The application in this process, and the parts a test looks into."""

    def __init__(self, run: Path, folder: Path, server: Upstreams, holdout: float = 0.0) -> None:
        self.service = LocalService(replace(bases.of_folder(run), folder=folder))
        reached = upstreams.of_contest(server.contest(), None)
        self.gateway = Gateway(reached, answer_ids.secret(folder), Shares(holdout=holdout))
        settings = Settings(hosts=None)
        self.app = api.build(self.service, settings, Gate(None, 10_000), self.gateway)


@pytest.fixture
def serving(run: Path, tmp_path: Path, server: Upstreams) -> Serving:
    return Serving(run, tmp_path / "online", server)


@pytest.fixture
def client(serving: Serving) -> Iterator[TestClient]:
    with TestClient(serving.app, raise_server_exceptions=False) as client:
        yield client


def asked(client: TestClient, **changes: Any) -> Any:
    return client.post(
        "/v1/chat/completions", json={"model": "electorate", "messages": ASK, **changes}
    )


def best_of(client: TestClient, user: str) -> list[str]:
    ranking = client.get(f"/v1/users/{user}/ranking").json()["ranking"]
    return [entry["model"] for entry in ranking]


def test_a_users_request_goes_to_its_best_and_says_so(
    client: TestClient, server: Upstreams
) -> None:
    firsts = set()
    for user in map(str, range(40)):
        said = asked(client, user=user)
        assert said.status_code == 200
        best = best_of(client, user)[0]
        assert said.headers["x-electorate-model"] == best
        assert said.headers["x-electorate-system"] == "elo_offset"
        assert said.headers["x-electorate-why"] == "best"
        assert said.headers["x-electorate-probability"] == "1"
        assert said.json()["choices"][0]["message"]["content"] == best
        firsts.add(best)
    assert len(firsts) > 1  # users differ
    assert all("user" not in body for _, body in server.asked)
    nobody = asked(client)
    assert nobody.headers["x-electorate-system"] == "global_bt"


def test_a_user_may_be_named_in_open_webuis_header(client: TestClient) -> None:
    body = {"model": "electorate", "messages": ASK}
    firsts = set()
    for user in map(str, range(40)):
        said = client.post("/v1/chat/completions", json=body, headers={"x-openwebui-user-id": user})
        assert said.headers["x-electorate-model"] == best_of(client, user)[0]
        firsts.add(said.headers["x-electorate-model"])
        # What the body says counts.
        headers = {"x-openwebui-user-id": "another"}
        said = client.post("/v1/chat/completions", json=body | {"user": user}, headers=headers)
        assert said.headers["x-electorate-model"] == best_of(client, user)[0]
    assert len(firsts) > 1


def test_the_prompt_counts_where_something_here_reads_prompts(
    tmp_path: Path, server: Upstreams
) -> None:
    run = finished_run(tmp_path / "run", reward=True).path
    serving = Serving(run, tmp_path / "online", server)
    known = next(iter(serving.service.rankings._prompts))
    with TestClient(serving.app) as client:
        for content, system in ((known, "hybrid"), ("told", "prompt_head"), ("x", "elo_offset")):
            said = asked(client, user="3", messages=[{"role": "user", "content": content}])
            assert said.headers["x-electorate-system"] == system
        given = {"user_id": "3", "prompt": known}
        best = client.post("/v1/rankings", json=given).json()["ranking"][0]["model"]
        said = asked(client, user="3", messages=[{"role": "user", "content": known}])
        assert said.headers["x-electorate-model"] == best


def test_what_a_client_asks_and_gets_passes_unchanged(
    client: TestClient, server: Upstreams
) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Look"}]}]
    said = asked(client, model="c1", tools=tools, messages=parts, temperature=0.1, seed=5)
    name, body = server.asked[-1]
    assert name == "c1"
    assert (body["tools"], body["messages"], body["seed"]) == (tools, parts, 5)
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.1, 1.0, 512)
    assert said.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "f"
    asked(client, model="c2", max_completion_tokens=9)
    body = server.asked[-1][1]
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, *ASK]
    assert "max_tokens" not in body
    server.behaviour["c1"] = "400"
    refused = asked(client, model="c1")
    assert refused.status_code == 400
    assert refused.json() == {"error": {"message": "no", "code": 400}}


def test_it_works_with_openais_client_streamed_or_not(client: TestClient) -> None:
    there = openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", http_client=client)
    assert [model.id for model in there.models.list()] == ["electorate", *NAMES]
    messages: Any = ASK
    whole = there.chat.completions.create(model="electorate", messages=messages, user="3")
    assert whole.choices[0].message.content == best_of(client, "3")[0]
    parts = there.chat.completions.create(
        model="electorate", messages=messages, user="3", stream=True
    )
    words = [part.choices[0].delta.content for part in parts]
    assert words == [best_of(client, "3")[0], "flows", "far"]
    with pytest.raises(openai.BadRequestError, match="there are electorate, electorate/cost:RATE"):
        there.chat.completions.create(model="nobody", messages=messages)


@pytest.mark.parametrize("behaviour", ["500", "503", "429", "slow"])
def test_a_contestant_that_fails_is_passed_over_and_left_alone_after_several(
    serving: Serving, client: TestClient, server: Upstreams, behaviour: str
) -> None:
    first, second, *_ = best_of(client, "7")
    server.behaviour[first] = behaviour
    for _ in range(upstreams.FAILURES):
        said = asked(client, user="7")
        assert said.status_code == 200
        assert said.headers["x-electorate-model"] == second
        assert said.headers["x-electorate-why"].startswith(f"passed over {first}: ")
        assert said.headers["x-electorate-probability"] == "0"
    tried = Counter(name for name, _ in server.asked)[first]
    assert tried == upstreams.FAILURES
    assert asked(client, user="7").headers["x-electorate-why"] == "best"
    assert Counter(name for name, _ in server.asked)[first] == tried
    # And is tried again, once, when its time is over.
    upstream = serving.gateway.upstreams[first]
    upstream.alone_until = 0.0
    server.behaviour[first] = ""
    assert asked(client, user="7").headers["x-electorate-model"] == first
    assert upstream.failures == 0


def test_one_that_was_left_alone_is_tried_by_one_request_of_many(
    serving: Serving, client: TestClient, server: Upstreams
) -> None:
    first, second, *_ = best_of(client, "7")
    upstream = serving.gateway.upstreams[first]
    upstream.failures = upstreams.FAILURES
    server.behaviour[first] = "slow"
    with ThreadPoolExecutor(6) as threads:
        found = [*threads.map(lambda _: asked(client, user="7"), range(6))]
    assert Counter(name for name, _ in server.asked) == {first: 1, second: 6}
    assert {said.headers["x-electorate-model"] for said in found} == {second}
    assert not upstream.is_open
    server.behaviour[first] = ""
    upstream.alone_until = 0.0
    assert asked(client, user="7").headers["x-electorate-model"] == first
    assert upstream.is_open


@pytest.mark.parametrize("behaviour", ["401", "403", "404", "breaks off at once"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_contestants_own_trouble_is_no_clients(
    serving: Serving, client: TestClient, server: Upstreams, behaviour: str, stream: bool
) -> None:
    """Its key, its model's name, or a response that breaks off before any of it was passed on."""
    first, second = best_of(client, "7")[:2]
    server.behaviour[first] = behaviour
    found = asked(client, user="7", stream=stream)
    assert found.status_code == 200
    assert found.headers["x-electorate-model"] == second
    assert found.headers["x-electorate-why"].startswith(f"passed over {first}: ")
    assert serving.gateway.upstreams[first].failures == 1
    assert ("[DONE]" in found.text) is stream


def test_where_nobody_answers_that_is_said(client: TestClient, server: Upstreams) -> None:
    server.behaviour |= dict.fromkeys(NAMES, "500")
    said = asked(client, user="7")
    assert said.status_code == 500  # the last one's own words
    assert said.json()["error"]["message"] == "no"
    server.shutdown()
    server.server_close()
    server.behaviour |= dict.fromkeys(NAMES, "gone")  # on connections that are open still
    gone = asked(client, user="7")
    assert gone.status_code == 503
    assert "no contestant answered" in gone.json()["error"]["message"]


def test_a_stream_that_breaks_off_ends_with_an_error(client: TestClient, server: Upstreams) -> None:
    server.behaviour |= dict.fromkeys(NAMES, "breaks off")
    said = asked(client, user="7", stream=True)
    events = [line.removeprefix("data: ") for line in said.text.splitlines() if line]
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == best_of(client, "7")[0]
    assert "broke off" in json.loads(events[-1])["error"]["message"]


def test_a_rate_of_money_buys_cheaper_answers(client: TestClient) -> None:
    dear = [asked(client, user=str(u)).headers["x-electorate-model"] for u in range(40)]
    cheap = [
        asked(client, user=str(u), model="electorate/cost:1000000").headers["x-electorate-model"]
        for u in range(40)
    ]
    assert set(cheap) == {"c0"}  # the cheapest, whatever it is worth
    assert set(dear) != {"c0"}
    for wrong in ("electorate/cost:", "electorate/cost:-1", "electorate/cost:nan", "electorate/x"):
        assert asked(client, model=wrong).status_code == 400


def test_feedback_is_a_vote_and_moves_the_users_next_answer(
    run: Path, tmp_path: Path, server: Upstreams
) -> None:
    serving = Serving(run, tmp_path / "online", server)
    with TestClient(serving.app) as client:
        before = asked(client, user="newcomer").headers["x-electorate-model"]
        other = next(name for name in NAMES if name != before)
        for _ in range(60):
            worse = asked(client, user="newcomer", model=before).headers["x-electorate-id"]
            better = asked(client, user="newcomer", model=other).headers["x-electorate-id"]
            said = client.post("/v1/feedback", json={"better": better, "worse": worse})
            assert said.status_code == 200
            again = client.post("/v1/feedback", json={"better": better, "worse": worse})
            assert again.json()["version"] >= said.json()["version"]
        assert best_of(client, "newcomer").index(other) < best_of(client, "newcomer").index(before)
        assert client.get("/v1/users/newcomer/ranking").json()["votes"] == 60
        now = asked(client, user="newcomer")
        assert now.headers["x-electorate-system"] == "elo_offset"
        assert now.headers["x-electorate-model"] != before


def test_only_ids_of_its_own_answers_to_one_user_are_feedback(client: TestClient) -> None:
    one, other = (
        asked(client, user="al", model=m).headers["x-electorate-id"] for m in ("c0", "c1")
    )
    same = asked(client, user="al", model="c0").headers["x-electorate-id"]
    bo = asked(client, user="bo", model="c1").headers["x-electorate-id"]
    nobody = [asked(client, model=m).headers["x-electorate-id"] for m in ("c0", "c1")]
    content, _, signature = one.partition(".")
    for better, worse, said in (
        (one, "x.y", "worse: is no id"),
        (f"{content}x.{signature}", other, "better: is no id"),
        (one, bo, "another user's answer"),
        (one, same, "both answers are from c0"),
        (*nobody, "not linked to a user"),
    ):
        found = client.post("/v1/feedback", json={"better": better, "worse": worse})
        assert found.status_code == 400
        assert said in found.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"model": "electorate"}', b'{"model": "electorate", "messages": []}',
     b'{"model": "electorate", "messages": [1]}', b'{"model": [], "messages": [{}]}',
     b'{"model": "electorate", "messages": [{}], "user": 5}',
     b'{"model": "electorate", "messages": [{}], "user": "a/.."}',
     b'{"model": "electorate", "messages": [{}], "user": "\\ud800"}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_request_is_one_line(client: TestClient, content: bytes) -> None:
    said = client.post("/v1/chat/completions", content=content)
    assert said.status_code == 400
    assert said.json()["error"]["type"] == "invalid_request_error"


def test_chat_takes_a_key_that_may(run: Path, tmp_path: Path, server: Upstreams) -> None:
    keys = tmp_path / "keys.json"
    may = {p: add_key(keys, p, (p,)) for p in ("chat", "read")}  # type: ignore[arg-type]
    serving = Serving(run, tmp_path / "online", server)
    app = api.build(serving.service, Settings(hosts=None), Gate(keys, 1000), serving.gateway)
    with TestClient(app) as client:
        for name, expected in (("chat", 200), ("read", 403)):
            client.headers["authorization"] = f"Bearer {may[name]}"
            assert asked(client).status_code == expected


def test_without_contestants_it_says_what_to_give(run: Path, tmp_path: Path) -> None:
    service = LocalService(replace(bases.of_folder(run), folder=tmp_path / "online"))
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 1000))) as client:
        assert "--contestants FILE" in asked(client).json()["error"]["message"]
        assert client.get("/v1/models").json()["data"] == []


def entries(*chances: float) -> list[Entry]:
    return [Entry(i + 1, NAMES[i], 1000.0 - 10 * i, 900, 1100, p) for i, p in enumerate(chances)]


def test_exploration_draws_by_the_chance_of_being_best_and_says_its_probability() -> None:
    random = np.random.default_rng(0)
    ranking = entries(0.7, 0.2, 0.1)
    found = [
        routing.choose(ranking, (), NAMES[:3], {}, 0.0, Shares(0.5), random) for _ in range(4000)
    ]
    share = Counter(choice.order[0] for choice in found)
    told = {choice.order[0]: choice.probability for choice in found}
    assert told == pytest.approx({"c0": 0.5 + 0.35, "c1": 0.1, "c2": 0.05})
    for name, probability in told.items():
        assert share[name] / 4000 == pytest.approx(probability, abs=0.02)
    assert all(sorted(choice.order) == NAMES[:3] for choice in found)


def test_what_is_explored_is_worth_its_price() -> None:
    """By the chance that a model is the best after its price, as draws have it."""
    random = np.random.default_rng(1)
    mean = np.array([1100.0, 1080.0, 1000.0])
    sd = np.array([20.0, 60.0, 5.0])
    ranking = [
        Entry(i + 1, NAMES[i], mean[i], mean[i] - 1.96 * sd[i], mean[i] + 1.96 * sd[i], 1 / 3)
        for i in range(3)
    ]
    costs = {"c0": 0.0004, "c1": 0.0001, "c2": 0.0}
    rate = 150.0
    worth = mean - rate * 1000 * np.array([costs[name] for name in NAMES[:3]])
    first = (worth + sd * random.normal(size=(200_000, 3))).argmax(axis=1)
    expected = np.bincount(first, minlength=3) / 200_000
    found = [
        routing.choose(ranking, (), NAMES[:3], costs, rate, Shares(1.0), random).order[0]
        for _ in range(4000)
    ]
    shares = [found.count(name) / 4000 for name in NAMES[:3]]
    assert shares == pytest.approx(expected, abs=0.03)
    # However much money is worth, what it buys is not tried.
    dear = [
        routing.choose(ranking, (), NAMES[:3], costs, 1e6, Shares(0.5), random) for _ in range(200)
    ]
    assert {choice.order[0] for choice in dear} == {"c2"}


def test_contestants_that_nobody_rated_come_last_and_are_tried_by_chance() -> None:
    random = np.random.default_rng(0)
    best = routing.choose(entries(0.6, 0.4), (), ["new", "c1", "c0"], {}, 0.0, Shares(), random)
    assert best == (("c0", "c1", "new"), 1.0, "best", "c0", "c0")
    found = [
        routing.choose(entries(0.6, 0.4), (), ["new", "c0"], {}, 0.0, Shares(1.0), random)
        for _ in range(99)
    ]
    assert {choice.order[0] for choice in found} == {"new", "c0"}
    alone = routing.choose([], (), ["new"], {}, 0.0, Shares(0.3), random)
    assert alone.probability == pytest.approx(1.0)


def test_an_id_is_read_by_the_same_folders_key_alone(tmp_path: Path) -> None:
    key = answer_ids.secret(tmp_path / "a")
    assert answer_ids.secret(tmp_path / "a") == key
    text = answer_ids.write(key, "ál", "c1", Choice(("c1",), 0.25, "best", "c1", "c2"), 0.25)
    found = answer_ids.read(key, text, "better")
    assert found[:5] == ("ál", "c1", 0.25, "c1", "c2")
    with pytest.raises(RequestError, match="better: is no id"):
        answer_ids.read(answer_ids.secret(tmp_path / "b"), text, "better")


def test_thumbs_move_the_users_next_answer(client: TestClient) -> None:
    best, other = best_of(client, "thumbing")[:2]
    ids = list[str]()
    for _ in range(40):
        for model, thumb in ((best, "down"), (other, "up")):
            answer = asked(client, user="thumbing", model=model)
            ids.append(answer.headers["x-electorate-id"])
            said = client.post("/v1/feedback", json={"answer": ids[-1], "thumb": thumb})
            assert said.status_code == 200
        following = asked(client, user="thumbing")
        if following.headers["x-electorate-model"] != best:
            break
    assert following.headers["x-electorate-model"] == other
    # Sent again it is the same thumb; another one on the same answer is refused.
    assert client.post("/v1/feedback", json={"answer": ids[0], "thumb": "down"}).status_code == 200
    assert client.post("/v1/feedback", json={"answer": ids[0], "thumb": "up"}).status_code == 409
    assert client.get("/v1/users/thumbing/ranking").json()["votes"] == len(ids)
    assert client.get("/v1/users/thumbing/record").json()["records"] == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"answer": "x"},
        {"thumb": "up"},
        {"answer": "x", "thumb": "up"},
        {"answer": "x", "thumb": "up", "better": "y"},
        {"better": "x"},
    ],
)
def test_feedback_on_nothing_is_one_line(client: TestClient, given: dict[str, str]) -> None:
    said = client.post("/v1/feedback", json=given)
    assert said.status_code == 400
    assert "\n" not in said.json()["detail"]


@dataclass
class Limited:
    """An application whose keys may spend so much."""

    client: TestClient
    headers: dict[str, str]
    serving: Serving


@pytest.fixture
def limited(run: Path, tmp_path: Path, server: Upstreams) -> Iterator[Callable[..., Limited]]:
    with ExitStack() as stack:

        def make(**limits: Any) -> Limited:
            place = tmp_path / "keys.json"
            secret = add_key(place, "app", ("read", "vote", "chat"), **limits)
            serving = Serving(run, tmp_path / "online", server)
            gate = Gate(place, 10_000)
            app = api.build(serving.service, Settings(hosts=None), gate, serving.gateway)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
            return Limited(client, {"Authorization": f"Bearer {secret}"}, serving)

        yield make


def chat(limited: Limited, **changes: Any) -> Any:
    body = {"model": "c5", "messages": ASK, **changes}
    return limited.client.post("/v1/chat/completions", json=body, headers=limited.headers)


def test_a_key_spends_no_more_than_it_may_in_a_day(limited: Callable[..., Limited]) -> None:
    """An answer of c5 is 3 tokens at 50 USD a million, and its prompt 1 USD a million."""
    one = (3 * 50 + len(ASK[0]["content"]) / 4) / 1e6
    app = limited(usd_a_day=2.5 * one)
    said = [chat(app) for _ in range(5)]
    assert [answer.status_code for answer in said] == [200, 200, 200, 429, 429]
    assert "USD of today are spent; it goes on at 00:00 UTC" in said[3].json()["error"]["message"]
    assert 0 < int(said[3].headers["retry-after"]) <= 86_400
    # It costs nothing to read what everybody may.
    assert app.client.get("/v1/models", headers=app.headers).status_code == 200


def test_a_key_reads_and_writes_no_more_than_it_may_in_a_minute(
    limited: Callable[..., Limited],
) -> None:
    app = limited(tokens_a_minute=20)
    statuses = [chat(app, stream=place % 2 == 1).status_code for place in range(6)]
    each = 3 + round(len(ASK[0]["content"]) / 4)
    allowed = -(-20 // each)
    assert statuses == [200] * allowed + [429] * (6 - allowed)


def test_what_was_chosen_is_kept_and_a_restart_forgets_no_spending(
    limited: Callable[..., Limited], server: Upstreams
) -> None:
    app = limited(usd_a_day=1.0)
    chat(app, user="al")
    chat(app, user="al", model="electorate", stream=True)
    server.behaviour["c5"] = "400"
    chat(app, user="al")  # which is not answered, and costs nothing
    store = app.serving.service.counter.store
    asyncio.run(app.serving.gateway.spending.tell(app.serving.service))
    kept = store.ledger.of_user("al")
    assert kept[0]["model"] == "c5"
    assert len(kept) == 2
    assert all(row["probability"] == 1 and row["tokens"] > 0 for row in kept)
    assert store.ledger.spent()["app"].usd_today == pytest.approx(sum(row["usd"] for row in kept))
    told = export.of_user(app.serving.service.counter.base, store, "al")
    assert told is not None
    assert len(told["answers"]) == 2
    before = store.ledger.spent()["app"].usd_today
    store.erase("al", "test")
    assert store.ledger.of_user("al") == []
    assert export.of_user(app.serving.service.counter.base, store, "al") is None
    assert store.ledger.spent()["app"].usd_today == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"usage": {"prompt_tokens": 7, "completion_tokens": 11}}', (7, 11)),
        (b'data: {"choices": []}\n\ndata: {"x": 1}\n\ndata: [DONE]\n\n', (10, 2)),
        (
            b'data: {"x": 1}\n\ndata: {"usage": {"prompt_tokens": 5, "completion_tokens": 9}}',
            (5, 9),
        ),
        (b"no count, and no parts of a stream: 48 bytes....", (10, 12)),
    ],
)
def test_tokens_are_the_contestants_own_count_or_about(
    content: bytes, expected: tuple[int, int]
) -> None:
    meter = Meter(40)
    for start in range(0, len(content), 64):
        meter.see(content[start : start + 64])
    assert meter.tokens() == expected


@pytest.mark.parametrize("given", [-1, "many", float("inf"), True, []])
def test_a_limit_that_is_none_is_one_line(tmp_path: Path, given: object) -> None:
    row = {"name": "a", "sha256": "0", "permissions": ["chat"], "usd_a_day": given}
    place = tmp_path / "keys.json"
    place.write_text(json.dumps([row]))
    with pytest.raises(ElectorateError, match="not a file of keys"):
        read_keys(place)


def test_what_is_answered_while_the_writer_writes_is_told_next() -> None:
    told = list[str]()

    class Service:
        async def answered(self, answers: list[Answered]) -> dict[str, Spent]:
            sent = [one.model for one in answers]  # as a call to another process has them
            spending.end("k", 0.0, Answered("k", "", f"during {len(told)}", 1.0, 1, 0.5))
            await asyncio.sleep(0)
            told.extend(sent)
            return {"k": Spent(len(told), 0.5 * len(told))}

    spending = Spending()
    spending.end("k", 0.0, Answered("k", "", "before", 1.0, 1, 0.5))

    async def main() -> None:
        for _ in range(3):
            await spending.tell(Service())  # type: ignore[arg-type]

    asyncio.run(main())
    assert told == ["before", "during 0", "during 1"]
    # What was not told yet counts beside what was.
    with pytest.raises(Refused, match="of today are spent"):
        spending.check(Key("k", "", ("chat",), usd_a_day=2.0))
    spending.check(Key("k", "", ("chat",), usd_a_day=2.1))
