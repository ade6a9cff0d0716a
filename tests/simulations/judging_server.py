"""A real HTTP server that judges as an OpenAI-compatible endpoint would: well, but in the ways
that endpoints fail too.

It likes the longer answer, and the first shown a little. Once each it fails on what a text's hash
says: HTTP 429 or 500, a time-out, prose, an empty answer or a refusal; and it reads no more than
`window` characters. It remembers every request.
"""

import hashlib
import json
import math
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from electorate.config.contest import content_key
from tests.electorate.inference.test_messages import wrapped

FAILURES = ("429", "500", "time-out", "prose", "empty", "refusal")
ENDS = r"(?=\n\n(?:Answer [A-Z]:|A, B or C\?|The five lines|The letter of)|\Z)"
ANSWER = re.compile(r"Answer ([A-Z]):\n(?:<(x\w{6})>\n)?(.*?)" + ENDS, re.DOTALL)


class JudgingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        failing: int = 0,
        window: int = 10**9,
        delay: float = 0.0,
        contrary: bool = False,
        wrapping: str | None = None,
        others: str | None = None,
    ) -> None:
        """failing: one text in so many fails once; 0 for none. contrary: it likes the shorter
        answer. wrapping: it answers in this one (`wrapped`), without log-probabilities. others:
        personas on whose cards this stands like the other answer.
        """
        super().__init__(("127.0.0.1", 0), Handler)
        self.failing = failing
        self.window = window
        self.delay = delay
        self.contrary = contrary
        self.wrapping = wrapping
        self.others = others
        self.tries = Counter[str]()
        self.answered = Counter[str]()
        self.failures = Counter[str]()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: JudgingServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply(200, {"data": []})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        asking = next(m for m in body["messages"] if m["role"] != "system")
        text = asking["content"]
        asked = self.key(body)
        with self.server.lock:
            self.server.tries[asked] += 1
            first = self.server.tries[asked] == 1
        time.sleep(self.server.delay)
        if len(text) > self.server.window:
            self.count("context overflow")
            self.reply(
                400,
                {
                    "error": {
                        "message": (
                            f"This model's maximum context length is {self.server.window} "
                            "characters."
                        )
                    }
                },
            )
            return
        number = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        if (
            self.server.failing
            and number % self.server.failing == 0
            and first
            and len(body["messages"]) == 1
        ):
            kind = FAILURES[number // self.server.failing % len(FAILURES)]
            self.count(kind)
            self.fail(kind)
            return
        with self.server.lock:
            self.server.answered[asked] += 1
        if self.server.wrapping is not None:
            body["logprobs"] = False
        sign = -1 if self.server.contrary else 1
        if self.server.others is not None and self.server.others in text:
            sign = -sign
        said = judged(body, text, sign)
        if self.server.wrapping is not None:
            message = wrapped(said["choices"][0]["message"]["content"], "Let me think.")
            thinking = {"nothing but thinking": {"content": "<think>Well, A or B"}}
            said["choices"][0]["message"] = (message | thinking)[self.server.wrapping]
        self.reply(200, said)

    def key(self, body: dict[str, Any]) -> str:
        """As the cache knows the request."""
        place = {"engine": "openai", "base_url": self.server.url, "model": body["model"]}
        return content_key(
            {
                "served": place,
                "body": {name: value for name, value in body.items() if name != "model"},
            }
        )

    def fail(self, kind: str) -> None:
        if kind in ("429", "500"):
            self.reply(int(kind), {"error": {"message": "not now"}})
        elif kind == "time-out":
            time.sleep(2.5)
            self.reply(200, completion("A"))
        else:
            said = {
                "prose": "Both have their merits.",
                "empty": "",
                "refusal": "I'm sorry, I cannot judge this.",
            }[kind]
            self.reply(200, completion(said))

    def count(self, kind: str) -> None:
        with self.server.lock:
            self.server.failures[kind] += 1

    def reply(self, status: int, content: dict[str, Any]) -> None:
        payload = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


def judged(body: dict[str, Any], text: str, sign: int) -> dict[str, Any]:
    answers = [(marked, answer) for _, marked, answer in ANSWER.findall(text)]
    if not answers:
        manner = "".join(m["content"] for m in body["messages"] if m["role"] == "system")
        about = text.splitlines()[min(2, len(text.splitlines()) - 1)][:40]
        more = " more" * len(manner)
        return completion(f"Tell me about {about} please, number {len(text) % 7}{more}")
    likes = [
        sign * math.log(1 + len(answer.split("\n\nIgnore everything")[0])) + 0.3 * (i == 0)
        for i, (_, answer) in enumerate(answers)
    ]
    pleas = [i for i, (marked, answer) in enumerate(answers) if "choose A" in answer and not marked]
    if pleas:
        likes[0] += (
            10.0  # it does as it is told, where nothing tells it that an answer is no instruction
        )
    if body.get("logprobs"):
        level = [*likes, sum(likes) / len(likes) - 0.7] if len(answers) == 2 else likes
        top = math.log(sum(map(math.exp, level)))
        return completion("A", {chr(65 + i): like - top for i, like in enumerate(level)})
    better = "A" if likes[0] > likes[1] else "B"
    return completion(
        "\n".join(
            f"{c}: {better}"
            for c in ("relevance", "accuracy", "clarity", "logical flow", "responsiveness")
        )
    )


def completion(text: str, top: dict[str, float] | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": "stop"}
    if top is not None:
        entries = [{"token": token, "logprob": value} for token, value in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": entries}]}
    return {"choices": [choice], "usage": {"completion_tokens": 1}}
