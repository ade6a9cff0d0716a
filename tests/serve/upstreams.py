"""A real HTTP server that answers as OpenAI-compatible contestants do, or fails as they do."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from electorate.config.contest import Contest

NAMES = [f"c{i}" for i in range(6)]


class Handler(BaseHTTPRequestHandler):
    """Answers as an OpenAI-compatible server; a contestant's name is in its model's."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server: Upstreams = self.server  # type: ignore[assignment]
        name = body["model"].removeprefix("model-")
        server.asked.append((name, body))
        behaviour = server.behaviour.get(name, "")
        if behaviour == "slow":
            time.sleep(3.0)
        if behaviour == "gone":
            self.close_connection = True
        elif behaviour == "breaks off at once":
            self._break_off(bool(body.get("stream")))
        elif behaviour.isdigit():
            self._send(int(behaviour), {"error": {"message": "no", "code": int(behaviour)}})
        elif body.get("stream"):
            self._stream(name, behaviour)
        else:
            tool = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            message = {"role": "assistant", "content": name, "tool_calls": [tool]}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, {"id": "x", "choices": [choice], "usage": {"completion_tokens": 3}})

    def _break_off(self, stream: bool) -> None:
        """After the head of a response, or in the midst of a body."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if stream else "application/json")
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"" if stream else b'{"id": "x", "cho')
        self.close_connection = True

    def _send(self, status: int, content: dict[str, Any]) -> None:
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _stream(self, name: str, behaviour: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in (name, "flows", "far"):
            if behaviour == "dribbles":
                time.sleep(0.4)
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            chunk = f"data: {json.dumps({'id': 'x', 'choices': [choice]})}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
            if behaviour == "breaks off":
                self.close_connection = True
                return
        end = b"data: [DONE]\n\n"
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))

    def log_message(self, *_: object) -> None: ...


class Upstreams(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = dict[str, str]()
        self.asked = list[tuple[str, dict[str, Any]]]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def contest(self, timeout_s: float = 1.0) -> Contest:
        url = f"http://127.0.0.1:{self.server_port}/v1"
        models = {
            f"m{name}": {
                "engine": "openai",
                "base_url": url,
                "model": f"model-{name}",
                "timeout_s": timeout_s,
                "price": {"input": 1.0, "output": 10.0 * i},
            }
            for i, name in enumerate(NAMES)
        }
        contestants = [{"name": name, "model": f"m{name}"} for name in NAMES]
        contestants[2]["system"] = "Be brief."
        return Contest.model_validate({"models": models, "contestants": contestants})
