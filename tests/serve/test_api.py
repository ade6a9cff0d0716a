"""The endpoint's routes: what they answer, whom they refuse, and that nothing breaks them."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from electorate.base.errors import ElectorateError
from electorate.online import base as bases
from electorate.online.rankings import Ranking, Rankings
from electorate.online.snapshot import Snapshot
from serve import api, security
from serve.security import Gate, add_key, read_keys
from serve.settings import Settings
from tests.electorate.online.finished import finished_run
from tests.serve.local import LocalService

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run")).path


def made_service(run: Path, folder: Path) -> LocalService:
    return LocalService(replace(bases.of_folder(run), folder=folder))


@pytest.fixture
def client(run: Path, tmp_path: Path) -> Iterator[TestClient]:
    costs = {"c0": 5.0, "c1": 1.0, "c2": 1.0}
    app = api.build(
        made_service(run, tmp_path / "online"),
        Settings(hosts=None, costs=costs, max_body=200_000),
        Gate(None, 10_000),
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def vote(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "user_id": "al",
        "model_a": "c5",
        "model_b": "c0",
        "winner": "model_a",
        **changes,
    }


def cast(client: TestClient, *votes: dict[str, Any]) -> Any:
    return client.post("/v1/votes", json={"votes": list(votes)})


def test_a_vote_is_acknowledged_with_the_version_that_counts_it(client: TestClient) -> None:
    assert cast(client, vote(), vote(id="2")).json() == {"version": 1, "new": 2}
    assert cast(client, vote()).json() == {"version": 1, "new": 0}
    own = client.get("/v1/users/al/ranking", params={"min_version": 1}).json()
    assert (own["personal"], own["votes"], own["version"], own["system"]) == (
        True,
        2,
        1,
        "elo_offset",
    )
    assert client.get("/v1/users/al/ranking", params={"min_version": 2}).status_code == 409


def test_leaderboards_and_rankings_are_cut_as_asked(client: TestClient) -> None:
    board = client.get(
        "/v1/leaderboard", params={"limit": 2, "segment": "coder", "ties": "half"}
    ).json()
    assert (len(board["leaderboard"]), board["segment"], board["ties"]) == (2, "coder", "half")
    assert client.get("/v1/leaderboard").json()["ties"] == "davidson"
    prompt = client.get("/v1/battle").json()["prompt"]
    asked = {"user_id": "3", "prompt": prompt, "candidates": ["c1", "c4"]}
    on_prompt = client.post("/v1/rankings", json=asked).json()
    assert (on_prompt["system"], {row["model"] for row in on_prompt["ranking"]}) == (
        "hybrid",
        {"c1", "c4"},
    )
    stranger = client.post("/v1/rankings", json={"segment": "coder"}).json()
    assert (stranger["system"], stranger["personal"], stranger["user_id"]) == (
        "segment_bt",
        False,
        None,
    )


def test_on_a_prompt_the_responses_given_come_first_then_the_runs_then_the_prompt_alone(
    client: TestClient,
) -> None:
    asked = client.get("/v1/battle").json()["prompt"]
    given = [{"model": "c4", "response": "short"}, {"model": "c1", "response": "a longer response"}]
    by_responses = client.post(
        "/v1/rankings", json={"user_id": "3", "prompt": asked, "responses": given}
    ).json()
    assert [row["model"] for row in by_responses["ranking"]] == ["c1", "c4"]
    assert (by_responses["system"], by_responses["votes"]) == ("hybrid", 30)
    ahead = client.post(
        "/v1/rankings", json={"user_id": "3", "prompt": "told by nobody yet"}
    ).json()
    assert (ahead["system"], ahead["system_version"], ahead["ranking"][0]["model"]) == (
        "prompt_head",
        "round=1/epoch=0",
        "c0",
    )
    assert client.post("/v1/route", json={"prompt": "told by nobody yet", "max_cost": 2}).json()[
        "model"
    ] in {"c1", "c3"}
    for body, says in (
        (
            {"prompt": "unheard of"},
            "prompt: not a prompt of the run, and the run has no prompt_head",
        ),
        ({"responses": given}, "responses: to which prompt?"),
        (
            {"prompt": "x", "responses": [given[0], given[0]]},
            "responses: two of 'c4'; one a contestant",
        ),
        (
            {"prompt": "x", "responses": [{"model": "gpt", "response": ""}]},
            "responses: 'gpt' is not a contestant",
        ),
        ({"prompt": "x", "responses": given, "candidates": ["c0"]}, "candidates: 'c0' is not"),
    ):
        answer = client.post("/v1/rankings", json=body)
        assert (answer.status_code, answer.json()["detail"][: len(says)]) == (400, says)


def test_live_ranks_what_the_contestants_answer_now(client: TestClient) -> None:
    asked = client.get("/v1/battle").json()["prompt"]
    found = client.post("/v1/rankings", json={"user_id": "3", "prompt": asked, "live": True}).json()
    assert [answer["model"] for answer in found["responses"]] == [f"c{i}" for i in range(6)]
    assert (found["system"], found["personal"], found["note"]) == ("hybrid", True, "")
    given = client.post(
        "/v1/rankings", json={"user_id": "3", "prompt": asked, "responses": found["responses"]}
    ).json()
    assert given["ranking"] == found["ranking"]
    assert given["responses"] is None
    some = client.post(
        "/v1/rankings", json={"prompt": "Is c1 there?", "candidates": ["c4", "c1"], "live": True}
    ).json()
    assert [row["model"] for row in some["ranking"]] == ["c4"]
    assert some["note"].endswith("left out: c1 (HTTP 500)")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"live": True}, 400, "live: contestants are asked a `prompt`"),
        (
            {"live": True, "prompt": "p", "responses": [{"model": "c1", "response": "r"}]},
            400,
            "only where no `responses` are given",
        ),
        ({"live": True, "prompt": "p", "candidates": ["gpt"]}, 400, "'gpt' is not a contestant"),
        (
            {"live": True, "prompt": "c1 is away", "candidates": ["c1"]},
            503,
            "no contestant answered; c1: HTTP 500",
        ),
    ],
)
def test_live_that_cannot_be_is_one_line(
    client: TestClient, body: Any, status: int, says: str
) -> None:
    answer = client.post("/v1/rankings", json=body)
    assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text


def test_the_page_is_told_what_the_run_found(client: TestClient) -> None:
    about = client.get("/v1/about").json()
    assert (about["personas"], about["prompts"], len(about["models"])) == (300, True, 6)
    assert {segment["name"]: len(segment["personas"]) for segment in about["segments"]}[
        "coder"
    ] == 8
    curve = next(
        curve
        for curve in about["curves"]
        if (curve["system"], curve["metric"]) == ("elo_offset", "kendall_tau")
    )
    assert (curve["votes"], curve["value"]) == ([10, 30], [0.6, 0.8])


def test_a_route_is_the_best_within_the_cost(client: TestClient) -> None:
    everyone = [
        row["model"] for row in client.post("/v1/rankings", json={"user_id": "3"}).json()["ranking"]
    ]
    free = client.post("/v1/route", json={"user_id": "3"}).json()
    assert free["model"] == everyone[0]
    cheap = client.post("/v1/route", json={"user_id": "3", "max_cost": 0.5}).json()
    assert cheap["model"] == next(model for model in everyone if model not in ("c0", "c1", "c2"))
    assert client.post("/v1/route", json={"max_cost": -1}).status_code == 422


def test_a_ranking_is_kept_until_something_it_rests_on_changes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others' votes change its version alone; its own, an erasure or a retired model make it
    anew.
    """
    service = made_service(run, tmp_path / "online")
    made = []
    plain = Rankings.of_user

    def counted(self: Rankings, snapshot: Snapshot, user: str | None, *rest: Any) -> Ranking:
        made.append(user)
        return plain(self, snapshot, user, *rest)

    monkeypatch.setattr(Rankings, "of_user", counted)
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 1000))) as client:

        def read(user: str = "3") -> dict[str, Any]:
            found: dict[str, Any] = client.get(f"/v1/users/{user}/ranking").json()
            return found

        first = read()
        cast(client, vote(user_id="4"))
        second = read()
        assert (second, made) == (first | {"version": 1}, ["3"])
        cast(client, vote(user_id="3", id="9"))
        third = read()
        assert (third["votes"], third["version"], len(made)) == (first["votes"] + 1, 2, 2)
        assert third["ranking"] != first["ranking"]
        # A stranger's is everyone's, which every vote changes.
        stranger = read("stranger")
        cast(client, vote(user_id="5", id="10"))
        assert read("stranger")["ranking"] != stranger["ranking"]
        client.patch("/v1/models/c2", json={"retired": True})
        assert [row["model"] for row in third["ranking"] if row["model"] != "c2"] == [
            row["model"] for row in read()["ranking"]
        ]
        client.delete("/v1/users/stranger")
        cast(client, vote(user_id="stranger"))
        assert read("stranger")["votes"] == 1
        client.delete("/v1/users/stranger")
        assert read("stranger")["votes"] == 0


def test_what_stands_behind_the_board_follows_the_votes(client: TestClient) -> None:
    """Put together once for each snapshot, and anew when there are other votes."""
    for path in ("/v1/matrix", "/v1/first-place"):
        first = client.get(path)
        assert first.status_code == 200
        assert client.get(path).content == first.content
        of_segment = client.get(path, params={"segment": "coder"})
        assert of_segment.content != first.content
        assert client.get(path, params={"segment": "nobody"}).status_code == 400
    before = client.get("/v1/matrix").json()
    cast(client, *(vote(id=f"m{i}") for i in range(50)))
    after = client.get("/v1/matrix").json()
    assert sum(map(sum, after["battles"])) == pytest.approx(
        sum(map(sum, before["battles"])) + 100, abs=0.5
    )
    told = client.get("/v1/first-place").json()
    assert told["votes"] > 0
    assert told["first"] == client.get("/v1/leaderboard").json()["leaderboard"][0]["model"]


def test_a_retired_model_is_first_nowhere(client: TestClient) -> None:
    first = client.get("/v1/first-place").json()["first"]
    assert client.patch(f"/v1/models/{first}", json={"retired": True}).status_code == 200
    told = client.get("/v1/first-place").json()
    board = [row["model"] for row in client.get("/v1/leaderboard").json()["leaderboard"]]
    assert [told["first"], told["second"]] == board[:2]
    assert told["rival"] != first
    assert client.get("/v1/matrix").json()["models"] == board


def test_a_user_is_given_all_that_is_kept_of_it(client: TestClient) -> None:
    cast(client, vote(user_id="a/b c"), vote(id="2", user_id="a/b c", winner="both_bad"))
    found = client.get("/v1/users/a%2Fb%20c/export")
    assert found.status_code == 200
    told = found.json()
    assert told["user_id"] == "a/b c"
    assert [one["winner"] for one in told["votes"]] == ["model_a", "tie (bothbad)"]
    assert {one["key"] for one in told["votes"]} == {"anybody"}
    persona = client.get("/v1/users/3/export").json()
    assert len(persona["votes"]) == 30
    assert client.get("/v1/users/stranger/export").status_code == 404
    client.delete("/v1/users/a%2Fb%20c")
    assert client.get("/v1/users/a%2Fb%20c/export").status_code == 404


def test_who_is_erased_is_unknown_again(client: TestClient) -> None:
    cast(client, vote())
    assert client.delete("/v1/users/al").json() == {"version": 2}
    assert (
        client.get("/v1/users/al/ranking").json()["note"]
        == "the user is not known; this is everyone's ranking"
    )
    assert client.delete("/v1/users/al").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"votes": []}, 422, "body.votes: List should have at least 1 item"),
        ({"votes": [vote(winner="c5")]}, 422, "body.votes.0.winner: Input should be 'model_a'"),
        ({"votes": [vote(extra=1)]}, 422, "body.votes.0.extra: Extra inputs are not permitted"),
        ({"votes": [vote(user_id="a\nb")]}, 422, "body.votes.0.user_id: String should match"),
        ({"votes": [vote(user_id="x" * 129)]}, 422, "body.votes.0.user_id"),
        ({"votes": [vote(model_b="c5")]}, 400, "votes.0: a model against itself"),
        (
            {"votes": [vote(), vote(id="2", model_b="gpt")]},
            400,
            "'gpt' is not a contestant; there are c0",
        ),
        (
            {"votes": [vote(prompt_id=10_000)]},
            400,
            "votes.0.prompt_id: 10000 is not one of the run's prompts (0 to",
        ),
        ({"votes": [vote(segment="cooks")]}, 400, "segment: 'cooks' is not one"),
        ([1], 422, "body"),
    ],
)
def test_bad_votes_are_one_line_and_none_is_counted(
    client: TestClient, body: Any, status: int, says: str
) -> None:
    answer = client.post("/v1/votes", json=body)
    assert (answer.status_code, set(answer.json())) == (status, {"detail"})
    assert answer.json()["detail"].startswith(says)
    assert client.get("/v1/leaderboard").json()["votes"] == 0


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b'{"votes": [{"id": "\\ud800"}]}', b"[" * 5000, b"null", b"1e999"]
)
def test_what_is_no_json_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/votes", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "Traceback" not in answer.text


def test_too_large_a_request_is_refused_unread(client: TestClient) -> None:
    answer = client.post("/v1/votes", content=b"x" * 200_001)
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "a request may have 200,000 bytes",
    )


def test_browsers_are_told_to_be_careful(client: TestClient) -> None:
    for path in ("/", "/v1/leaderboard", "/nowhere", "/v1/users/u/ranking?min_version=x"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert "page.js" in client.get("/").text
    assert client.get("/../settings.py").status_code == 404


def test_what_breaks_inside_stays_inside(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = made_service(run, tmp_path / "online")

    async def broken(_: int) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(service, "snapshot", broken)
    with TestClient(
        api.build(service, Settings(hosts=None), Gate(None, 100)), raise_server_exceptions=False
    ) as client:
        answer = client.get("/v1/leaderboard")
    assert (answer.status_code, answer.json()) == (
        500,
        {"detail": "internal error; see the log"},
    )


def test_keys_say_who_may_do_what(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    reader = add_key(file, "reader", ("read",))
    voter = add_key(file, "voter", ("read", "vote"))
    assert reader not in file.read_text()
    with pytest.raises(ElectorateError, match="has a key named 'voter' already"):
        add_key(file, "voter", ("read",))
    service = made_service(run, tmp_path / "online")
    app = api.build(service, Settings(hosts=None), Gate(file, 1000))

    def bearer(key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    with TestClient(app) as client:
        assert client.get("/v1/leaderboard").status_code == 401
        assert client.get("/v1/leaderboard", headers=bearer("el-guess")).json() == {
            "detail": "the key is not known"
        }
        assert client.get("/v1/leaderboard", headers=bearer(reader)).status_code == 200
        refused = client.post("/v1/votes", json={"votes": [vote()]}, headers=bearer(reader))
        assert (refused.status_code, refused.json()["detail"]) == (
            403,
            "the key may not vote; it may read",
        )
        assert (
            client.post("/v1/votes", json={"votes": [vote()]}, headers=bearer(voter)).status_code
            == 200
        )
        assert client.delete("/v1/users/al", headers=bearer(voter)).status_code == 403
        assert client.get("/v1/users/al/export", headers=bearer(voter)).status_code == 403
        # The page itself holds nothing, and asks for the key.
        assert client.get("/").status_code == 200
        assert client.get("/healthz").status_code == 200
        # So does the API's.
        described = client.get("/openapi.json").json()
        (scheme,) = described["components"]["securitySchemes"].values()
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
        assert all(
            "security" in operation
            for path in ("/v1/votes", "/v1/leaderboard")
            for operation in described["paths"][path].values()
        )
    assert [(row["key"], row["what"], row["votes"]) for row in service.counter.store.audit()] == [
        ("voter", "votes", 1)
    ]
    (tmp_path / "bad.json").write_text('[{"name": "x"}]')
    with pytest.raises(ElectorateError, match=r"bad\.json: not a file of keys"):
        read_keys(tmp_path / "bad.json")


def test_a_key_that_is_taken_out_stops_and_bearer_is_read_in_any_case(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "REVOKED_S", 0.05)
    file = tmp_path / "keys.json"
    kept = add_key(file, "kept", ("read",))
    revoked = add_key(file, "revoked", ("read",))
    app = api.build(made_service(run, tmp_path / "online"), Settings(hosts=None), Gate(file, 1000))

    def status(key: str, scheme: str = "Bearer") -> int:
        return client.get(
            "/v1/leaderboard", headers={"authorization": f"{scheme} {key}"}
        ).status_code

    with TestClient(app) as client:
        assert [status(revoked, scheme) for scheme in ("Bearer", "bearer", "BEARER", "Basic")] == [
            200,
            200,
            200,
            401,
        ]
        content = file.read_text()
        file.write_text(json.dumps([key for key in json.loads(content) if key["name"] == "kept"]))
        time.sleep(0.1)
        assert (status(revoked), status(kept)) == (401, 200)
        added = add_key(file, "added", ("read",))
        time.sleep(0.1)
        assert status(added) == 200
        # A file that cannot be read lets nobody in, and says nothing of where it lies.
        file.write_text("{")
        time.sleep(0.1)
        answer = client.get("/v1/leaderboard", headers={"authorization": f"Bearer {kept}"})
        assert (answer.status_code, answer.json()) == (
            503,
            {"detail": "the keys cannot be read; see the server log"},
        )
        file.write_text(content)
        time.sleep(0.1)
        assert status(kept) == 200


def test_a_body_is_not_read_before_the_key(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    add_key(file, "voter", ("vote",))
    app = api.build(made_service(run, tmp_path / "online"), Settings(hosts=None), Gate(file, 1000))
    sent: list[dict[str, Any]] = []

    async def never() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"100"), (b"host", b"x")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/votes",
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    asyncio.run(app(scope, never, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 401


def test_a_body_that_does_not_come_is_given_up(run: Path, tmp_path: Path) -> None:
    app = api.build(
        made_service(run, tmp_path / "online"), Settings(hosts=None, body_s=0.1), Gate(None, 1000)
    )
    sent: list[dict[str, Any]] = []

    async def half() -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b"[", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", b"100"), (b"host", b"x")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/votes",
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    asyncio.run(app(scope, half, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8000"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.example:8000"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost", "origin": "http://localhost:8000"}, 200),
        ({"host": "localhost", "origin": "https://evil.example"}, 403),
        ({"host": "localhost", "origin": "null"}, 403),
    ],
)
def test_on_loopback_requests_come_by_its_names(
    run: Path, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    """A page elsewhere whose name is made to lead here (DNS rebinding) reads and votes nothing."""
    with TestClient(
        api.build(made_service(run, tmp_path / "online"), Settings(), Gate(None, 1000))
    ) as client:
        for method, path in (("GET", "/v1/leaderboard"), ("GET", "/v1/about"), ("GET", "/")):
            assert client.request(method, path, headers=headers).status_code == status


# Starlette's test client decodes a path twice; test_attacks.py has ids with a % in them.
IDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="%"), min_size=1, max_size=40
)


ODD_IDS = (
    ".",
    "..",
    "a/..",
    "./b",
    "a/b",
    "/",
    "//",
    "a//b",
    "/a/",
    "ranking",
    "x/ranking",
    "?",
    "#",
    "é",
)


def test_every_id_that_may_vote_is_read_and_erased(tmp_path: Path) -> None:
    service = LocalService(bases.of_folder(tmp_path / "new"))
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 1e6))) as client:
        cast(client, vote(id="other", user_id="somebody else"))

        @settings(
            max_examples=150,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of(IDS, st.sampled_from(ODD_IDS)))
        def check(user: str) -> None:
            answer = client.post("/v1/votes", json={"votes": [vote(id="one", user_id=user)]})
            if answer.status_code == 422:
                assert {".", ".."} & set(user.split("/"))
                return
            assert answer.status_code == 200, answer.text
            path = f"/v1/users/{quote(user, safe='')}"
            read = client.get(f"{path}/ranking")
            assert read.json().get("votes") == 1, (ascii(user), read.text)
            assert client.delete(path).status_code == 200
            assert client.delete(path).status_code == 404

        check()
        assert client.get("/v1/leaderboard").json()["votes"] == 1


def test_what_the_server_cannot_do_is_503_without_its_paths(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = made_service(run, tmp_path / "online")
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 100))) as client:
        cast(client, vote())
        store = service.counter.store
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        many = [vote(id=f"{i}", user_id=f"{'x' * 100}{i}") for i in range(900)]
        full = client.post("/v1/votes", json={"votes": many})
        # A log that is damaged, too.
        (run / "votes" / "round=1" / "block=0.parquet").rename(tmp_path / "away")
        (run / "votes" / "round=1" / "block=0.parquet").write_bytes(b"PAR1")
        try:
            damaged = client.get("/v1/users/3/ranking")
        finally:
            (tmp_path / "away").rename(run / "votes" / "round=1" / "block=0.parquet")
    for answer in (full, damaged):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json() == {"detail": "temporarily unavailable; see the server log"}
    assert "database or disk is full" in caplog.text
    assert "block=0.parquet" in caplog.text


def test_an_id_sent_again_with_another_vote_is_409(client: TestClient) -> None:
    cast(client, vote(id="7"))
    assert client.post("/v1/votes", json={"votes": [vote(id="7")]}).json() == {
        "version": 1,
        "new": 0,
    }
    refused = client.post("/v1/votes", json={"votes": [vote(id="7", winner="model_b")]})
    assert (refused.status_code, "'7'" in refused.json()["detail"]) == (409, True)


def test_models_are_managed_while_it_runs(tmp_path: Path) -> None:
    service = LocalService(bases.of_folder(tmp_path / "new"))
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 100))) as client:
        cast(client, vote(model_a="gpt", model_b="llama"))
        version = client.post("/v1/models", json={"name": "qwen/2"}).json()["version"]
        listed = client.get("/v1/models", params={"min_version": version}).json()["models"]
        assert [(row["name"], row["votes"]) for row in listed] == [
            ("gpt", 1),
            ("llama", 1),
            ("qwen/2", 0),
        ]
        assert client.patch("/v1/models/qwen%2F2", json={"name": "qwen"}).status_code == 200
        assert client.patch("/v1/models/llama", json={"retired": True}).status_code == 200
        assert [row["model"] for row in client.get("/v1/leaderboard").json()["leaderboard"]] == [
            "gpt",
            "qwen",
        ]
        assert [row["model"] for row in client.get("/v1/users/al/ranking").json()["ranking"]] == [
            "gpt",
            "qwen",
        ]
        assert (
            "retired"
            in client.post(
                "/v1/votes", json={"votes": [vote(id="2", model_a="gpt", model_b="llama")]}
            ).json()["detail"]
        )
        assert client.patch("/v1/models/nobody", json={"retired": True}).status_code == 404
        assert client.post("/v1/models", json={"name": "gpt"}).status_code == 409
        voters = client.get("/v1/voters").json()
        assert [(row["name"], row["votes"]) for row in voters["users"]] == [("al", 1)]
        assert voters["keys"][0]["name"] == "anybody"
        assert client.get("/v1/leaderboard").json()["weights"] == voters["weights"]


def test_a_key_that_asks_too_often_is_told_to_wait(run: Path, tmp_path: Path) -> None:
    with TestClient(
        api.build(made_service(run, tmp_path / "online"), Settings(hosts=None), Gate(None, 5))
    ) as client:
        answers = [client.get("/v1/leaderboard") for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 10
    assert refused[0].headers["retry-after"] == "1"


def test_requests_are_counted_by_route_and_not_by_user(run: Path, tmp_path: Path) -> None:
    service = made_service(run, tmp_path / "online")
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 100))) as client:
        client.get("/v1/users/somebody/ranking")
        client.get("/nowhere")
    assert service.counted == [("/v1/users/{user_id:path}/ranking", 200), ("page", 404)]


def test_nothing_yet_serves_what_there_is(tmp_path: Path) -> None:
    service = LocalService(bases.of_folder(tmp_path / "new"))
    with TestClient(api.build(service, Settings(hosts=None), Gate(None, 100))) as client:
        assert client.get("/v1/leaderboard").json()["leaderboard"] == []
        assert client.get("/v1/users/u/ranking").json()["ranking"] == []
        assert client.get("/v1/battle").status_code == 404
        assert (
            client.post("/v1/route", json={}).json()["detail"]
            == "there are no contestants yet; the first votes name them"
        )
        assert client.post("/v1/rankings", json={"prompt": "x"}).status_code == 400
        assert cast(client, vote(model_a="new", model_b="newer")).json() == {"version": 1, "new": 1}
        assert [row["model"] for row in client.get("/v1/leaderboard").json()["leaderboard"]] == [
            "new",
            "newer",
        ]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_as_described(
    run: Path, tmp_path: Path, mode: GenerationMode
) -> None:
    """Requests made from the OpenAPI document, right and wrong ones: no 5xx, no answer outside
    its schema.
    """
    app = api.build(
        made_service(run, tmp_path / "online"),
        Settings(hosts=None, max_body=10_000_000),
        Gate(None, 1e6),
    )
    operations = [
        result.ok()
        for result in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    ]
    assert len(operations) == 21

    def is_described(operation: schemathesis.APIOperation) -> None:
        @settings(
            max_examples=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        check()

    for operation in operations:
        # Nothing wrong can be sent to what takes nothing.
        if (
            mode == GenerationMode.POSITIVE
            or operation.body
            or operation.query
            or operation.path_parameters
        ):
            is_described(operation)
