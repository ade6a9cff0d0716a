"""What routing by users' own rankings is worth, told by thumbs on a gateway's answers."""

import base64
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from electorate.base.errors import ElectorateError
from electorate.evaluation import off_policy
from electorate.evaluation.off_policy import RoutedThumbs
from electorate.online import routing
from electorate.online.rankings import Entry
from electorate.online.routing import Shares
from serve import answer_ids
from simulations import live_routing
from simulations.route_eval import route_eval
from tests.serve.test_gateway import Serving, asked, best_of, entries, run, server
from tests.serve.upstreams import NAMES, Upstreams

__all__ = ["run", "server"]  # fixtures


def test_a_share_goes_by_everyones_ranking_and_its_probability_is_said() -> None:
    random = np.random.default_rng(0)
    own = entries(0.7, 0.2, 0.1)
    everyone = [Entry(1, "c2", 1100.0, 1000, 1200, 0.9), Entry(2, "c0", 1000.0, 900, 1100, 0.1)]
    shares = Shares(explore=0.2, holdout=0.3)
    found = [routing.choose(own, everyone, NAMES[:3], {}, 0.0, shares, random) for _ in range(4000)]
    assert {(choice.by_user, choice.by_all) for choice in found} == {("c0", "c2")}
    expected = {"c0": 0.5 + 0.2 * 0.7, "c1": 0.2 * 0.2, "c2": 0.3 + 0.2 * 0.1}
    assert {choice.order[0]: choice.probability for choice in found} == pytest.approx(expected)
    first = Counter(choice.order[0] for choice in found)
    assert {name: n / 4000 for name, n in first.items()} == pytest.approx(expected, abs=0.025)
    why = Counter(choice.why for choice in found)
    assert why["holdout"] / 4000 == pytest.approx(0.3, abs=0.025)
    # A price counts in both rankings.
    costs = {"c2": 0.001}
    dear = routing.choose(own, everyone, NAMES[:3], costs, 1000.0, shares, random)
    assert dear.by_all == "c0"


def test_thumbs_tell_what_users_own_rankings_are_worth(
    run: Path, tmp_path: Path, server: Upstreams
) -> None:
    """Users who like their own best, and nothing else."""
    served = tmp_path / "served"
    serving = Serving(run, served / "online", server, holdout=0.5)
    with TestClient(serving.app) as client:
        votes = [
            {"id": f"{user} {other}", "user_id": f"u{user}", "model_a": NAMES[user % 6],
             "model_b": other, "winner": "model_a"}
            for user in range(36) for other in NAMES if other != NAMES[user % 6]
        ]  # fmt: skip
        votes = [{**vote, "id": f"{vote['id']} {i}"} for i in range(3) for vote in votes]
        assert client.post("/v1/votes", json={"votes": votes}).status_code == 200
        best = {f"u{user}": best_of(client, f"u{user}")[0] for user in range(36)}
        assert len(set(best.values())) > 3
        one = "u0"
        for user, own in best.items():
            for _ in range(4):
                said = asked(client, user=user)
                thumb = "up" if said.headers["x-electorate-model"] == own else "down"
                given = {"answer": said.headers["x-electorate-id"], "thumb": thumb}
                assert client.post("/v1/feedback", json=given).status_code == 200
        named = asked(client, user="u1", model="c3")
        given = {"answer": named.headers["x-electorate-id"], "thumb": "up"}
        assert client.post("/v1/feedback", json=given).status_code == 200
        server.behaviour[best[one]] = "500"
        passed_over = asked(client, user=one)
        given = {"answer": passed_over.headers["x-electorate-id"], "thumb": "up"}
        assert client.post("/v1/feedback", json=given).status_code == 200
        exported = client.get(f"/v1/users/{one}/export").json()["thumbs"]
        assert len(exported) == 5
        assert {row["by_user"] for row in exported[:4]} == {best[one]}
        assert exported[-1]["probability"] == 0
    kept = live_routing.read(served)
    assert kept is not None
    # Who asks for a contestant by name is not routed.
    assert (len(kept.thumbs), kept.left_out) == (144, 1)
    printed = io.StringIO()
    route_eval(served, None, Console(file=printed, width=120))
    assert "\nusers' own rankings are worth it" in printed.getvalue()
    written = json.loads((served / "online" / "routing.json").read_text())
    assert written["values"]["by_user"]["value"] > 0.8
    assert written["gain"]["low"] > 0
    serving.service.counter.store.erase(one, "test")
    again = live_routing.read(served)
    assert again is not None
    assert len(again.thumbs) == 140


def test_ids_of_earlier_versions_are_still_read(tmp_path: Path) -> None:
    key = answer_ids.secret(tmp_path)
    encoded = base64.urlsafe_b64encode(json.dumps(["al", "c0", 0.5, "nonce"]).encode())
    text = encoded.decode().rstrip("=")
    signed = f"{text}.{answer_ids._signature(key, text)}"
    assert answer_ids.read(key, signed, "answer") == ("al", "c0", 0.5, "", "", "nonce")


def test_a_folder_without_thumbs_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(ElectorateError, match=r"--contestants FILE --holdout 0\.1"):
        route_eval(tmp_path, None, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("users", "up", "expected"),
    [(2, (0, 1), "2 users gave thumbs; at least 5"), (60, (1, 1), "all thumbs are alike")],
)
def test_what_is_not_known_is_said_with_the_reason(
    users: int, up: tuple[int, int], expected: str
) -> None:
    place = np.arange(users * 100)
    of_all = place // 2 % 2
    thumbs = RoutedThumbs(
        user=place % users,
        model=of_all,
        probability=np.full(len(place), 0.5),
        by_user=np.ones_like(place),
        by_all=np.zeros_like(place),
        up=np.array(up)[place // 4 % 2],
        models=("a", "b"),
    )
    assert expected in live_routing.verdict(off_policy.gain(thumbs), thumbs.users)
