"""What an hour's attack on the endpoint found, each kind tried again: on loopback, bounded in
time and number.
"""

import re
import resource
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest

from serve import proxy
from tests.conftest import electorate_command
from tests.serve.served import Served

BODY = 1000
SLOW_S = 3  # instead of proxy.SLOW_S, as several tests wait for it


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "new"
    served = Served(folder, constants={"serve.proxy.SLOW_S": SLOW_S}).start()
    vote(served, "u", "1")
    yield served
    served.stop()


def vote(served: Served, user: str, id_: str, a: str = "gpt", b: str = "llama") -> httpx.Response:
    vote = {"id": id_, "user_id": user, "model_a": a, "model_b": b, "winner": "model_a"}
    return httpx.post(f"{served.url}/v1/votes", json={"votes": [vote]}, timeout=20)


def half_a_request(served: Served, source: str, body: int) -> socket.socket:
    """A connection from this address of loopback that sends a body's first bytes and no more."""
    connection = socket.create_connection(
        ("127.0.0.1", served.port), timeout=10, source_address=(source, 0)
    )
    head = f"POST /v1/votes HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * body}\r\n\r\n"
    connection.sendall(head.encode() + b"x" * body)
    return connection


@pytest.mark.parametrize(
    ("sockets", "addresses", "body"), [(300, 1, BODY), (300, 3, 40_000), (2000, 20, BODY)]
)
def test_slow_clients_hold_up_nobody(
    served: Served, sockets: int, addresses: int, body: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * sockets:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * sockets), hard))
    with ExitStack() as stack:
        held = []
        for i in range(sockets):
            try:
                held.append(half_a_request(served, f"127.0.1.{1 + i % addresses}", body))
            except OSError:
                # More than an address may hold.
                assert sockets / addresses > proxy.CONNECTIONS
                continue
            stack.enter_context(held[-1])
        took = []
        for path in ("/v1/leaderboard", "/healthz", "/v1/users/u/ranking") * 5:
            begun = time.monotonic()
            assert httpx.get(f"{served.url}{path}", timeout=5).status_code == 200
            took.append(time.monotonic() - begun)
        assert vote(served, "u", f"{sockets}-{body}").status_code == 200
        print(f"{sockets} slow sockets: reads took {max(took):.3f} s at most")
        # They are told that it took too long, and let go.
        held[0].settimeout(SLOW_S + 20)
        assert b"408" in held[0].recv(100)


def test_slow_headers_are_given_up(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=SLOW_S + 20) as connection:
        connection.sendall(b"GET /v1/leaderboard HTTP/1.1\r\nHost: local")
        assert b"408" in connection.recv(100)


def test_everything_listens_on_loopback_and_the_admin_socket_is_its_owners(served: Served) -> None:
    assert served.process is not None
    listening = [
        one
        for part in served.parts("")
        for one in part.net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}
    (haproxy, *_) = served.parts(r"haproxy.*\.cfg")
    config = Path(re.search(r"\S+\.cfg", " ".join(haproxy.cmdline()))[0])  # type: ignore[index]
    sockets = [
        path for path in config.parent.iterdir() if path.is_socket() and path.name == "admin.sock"
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in sockets] == [0o600]
    assert stat.S_IMODE(config.parent.parent.stat().st_mode) == 0o700


def test_requests_by_another_name_are_refused(served: Served) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        assert httpx.get(f"{served.url}/v1/leaderboard", headers=headers).status_code == 403


@pytest.mark.parametrize("user", ["a/b", "%2e%2e", "%00", "100%", "a b?c#d", "/", "ranking", "zoë"])
def test_ids_are_read_and_erased_over_the_wire(served: Served, user: str) -> None:
    version = vote(served, user, "1").json()["version"]
    path = f"{served.url}/v1/users/{quote(user, safe='')}"
    read = httpx.get(f"{path}/ranking", params={"min_version": version})
    assert (read.json()["user_id"], read.json()["votes"]) == (user, 1)
    assert httpx.delete(path, timeout=20).status_code == 200
    assert httpx.delete(path, timeout=20).status_code == 404


def test_five_hundred_models_freeze_nothing(tmp_path: Path) -> None:
    """A snapshot of 6 MB, which no message of Serve's could hold; and the endpoint starts again
    on it.
    """
    file = tmp_path / "models.txt"
    file.write_text("".join(f"model-{i}\n" for i in range(500)))
    served = Served(tmp_path / "new", arguments=("--models", file)).start()
    try:
        assert vote(served, "u", "0", "gpt", "llama").status_code == 400
        for turn in range(2):
            version = vote(served, "u", str(turn), "model-1", "model-2").json()["version"]
            board = wait_for(served, version)
            assert (len(board["leaderboard"]), board["votes"]) == (500, turn + 1)
            if not turn:
                served.kill_everything()
                served.start()
                assert wait_for(served, version)["votes"] == 1
        assert httpx.get(f"{served.url}/readyz").status_code == 200
    finally:
        served.stop()


def wait_for(served: Served, version: int) -> dict[str, object]:  # type: ignore[return]
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        answer = httpx.get(
            f"{served.url}/v1/leaderboard", params={"min_version": version}, timeout=20
        )
        if answer.is_success:
            board: dict[str, object] = answer.json()
            return board
    pytest.fail(answer.text)


def test_a_second_one_says_whose_lock_it_waits_for_and_both_end_well(served: Served) -> None:
    assert served.process is not None
    second = electorate_command("serve", served.folder, "--port", served.port + 1)
    assert second.stdout
    line = second.stdout.readline()
    assert re.search(r"online: waiting for process \d+ on \S+ since .*, which serves it", line)
    second.send_signal(signal.SIGTERM)
    _, err = second.communicate(timeout=30)
    assert (second.returncode, err) == (0, "")
    errors = served.stop()
    assert served.process.returncode == 0
    assert "***" not in errors
    assert "Traceback" not in errors
    served.start()


def test_a_damaged_database_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "online").mkdir()
    (tmp_path / "online" / "votes.sqlite").write_bytes(b"not a database, " * 100)
    process = electorate_command("serve", tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(err.strip().splitlines()) == 1
    assert "votes.sqlite: cannot be opened" in err
