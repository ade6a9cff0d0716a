"""The ranking endpoint and a deployment that does nothing, on one Serve; `up` is printed once both answer, end of input ends it."""

import os
import sys
from pathlib import Path

from serve import proxy


def main() -> None:
    """Arguments: the run's folder, the port, and `ha` or `default` for the proxy."""
    folder, port, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if kind == "ha":
        os.environ |= proxy.environment()
    else:
        # What Serve does by itself; a Ray of the project's own would have the throughput settings.
        os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "0"
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
        app.start(Settings(folder=folder, rate=1e9, max_replicas=1), "127.0.0.1", port)
        bare = ray_serve.deployment(
            ray_serve.ingress(nothing)(), name="nothing", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=256
        )
        ray_serve.run(bare.bind(), name="noop", route_prefix="/noop")
        proxy.wait(f"http://127.0.0.1:{port}")
        proxy.wait(f"http://127.0.0.1:{port}", "/noop/?size=1")
        print("up", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
