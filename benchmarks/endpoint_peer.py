"""The ranking endpoint and a deployment that does nothing, on one Serve; `up` is printed once both
answer, end of input ends it.
"""

import os
import sys
from pathlib import Path

from serve import proxy


def main() -> None:
    """Arguments: the run's folder, the port, and `ha` or `default` for the proxy."""
    folder = Path(sys.argv[1])
    port = int(sys.argv[2])
    kind = sys.argv[3]
    if kind == "ha":
        with proxy.environment() as environment:
            os.environ |= environment
            serve_until_told(folder, port)
    else:
        # What Serve does by itself; a Ray of the project's own would have the throughput settings.
        os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "0"
        serve_until_told(folder, port)


def serve_until_told(folder: Path, port: int) -> None:
    """The endpoint and what does nothing, until the input ends."""
    from fastapi import FastAPI, Response
    from ray import serve as ray_serve

    from cluster.session import connected
    from serve import app
    from serve.settings import Settings

    nothing = FastAPI()

    @nothing.get("/")
    async def answer(size: int) -> Response:
        return Response(b"x" * size, media_type="application/json")

    with connected(None, 1.0):
        settings = Settings(folder=folder, rate=1e9, max_replicas=1)
        app.start(settings, "127.0.0.1", port)
        bare = ray_serve.deployment(
            ray_serve.ingress(nothing)(),
            name="nothing",
            ray_actor_options={"num_cpus": 0},
            max_ongoing_requests=256,
        )
        ray_serve.run(bare.bind(), name="noop", route_prefix="/noop")
        proxy.wait(f"http://127.0.0.1:{port}")
        proxy.wait(f"http://127.0.0.1:{port}", path="/noop/?size=1")
        print("up", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
