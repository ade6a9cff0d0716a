"""The ranking endpoint as an application: its routes, how it says what goes wrong, and its page."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from electorate.base.errors import (
    ConflictError,
    ElectorateError,
    LimitError,
    RequestError,
    UnknownNameError,
)
from serve import boards, manage, privacy, reads, schemas, writes
from serve import gateway as gateway_module
from serve.gateway import Gateway
from serve.schemas import Problem
from serve.security import Gate, Guard, Refused
from serve.service import Service
from serve.settings import Settings

LOG = logging.getLogger("ray.serve")
PAGE = Path(__file__).parent / "page"
# The package that has Swagger UI's files, so that no browser has to fetch them from elsewhere.
SWAGGER = "fastapi_swagger"
DESCRIPTION = """Personal rankings of language models, and the votes they are made of.

Reads may be up to a second old. A vote is acknowledged with a `version` once it is on disk; a read
with this `min_version` counts it. Ratings are Elo points with mean 1000; intervals are 95%
intervals."""
STATUS = {UnknownNameError: 404, ConflictError: 409, LimitError: 403, RequestError: 400}
REFUSALS = (400, 401, 403, 404, 408, 409, 413, 422, 429, 503)


def build(
    service: Service, settings: Settings, gate: Gate, gateway: Gateway | None = None
) -> FastAPI:
    """The application over a replica's snapshot. gateway: None where no contestants are asked."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        if gateway is not None:
            await gateway.stop(service)
        await service.stop()

    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in REFUSALS}
    app = FastAPI(
        title="Electorate",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses=refusals,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, gate=gate, settings=settings, count=service.count)
    _problems(app)
    app.include_router(reads.routes(service, gate, settings.costs))
    app.include_router(boards.routes(service, gate))
    app.include_router(writes.routes(service, gate))
    app.include_router(privacy.routes(service, gate))
    app.include_router(manage.routes(service, gate, [] if gateway is None else gateway.models))
    app.include_router(gateway_module.routes(service, gate, gateway))
    _operations(app, service, gate)
    _documents(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _operations(app: FastAPI, service: Service, gate: Gate) -> None:
    """What whoever runs it asks."""

    @app.get("/healthz")
    async def healthz() -> schemas.Health:
        """Whether the replica lives."""
        return schemas.Health(status="ok")

    @app.get("/readyz")
    async def readyz() -> schemas.Health:
        """Whether it has a snapshot to answer from that is not too far behind the votes."""
        await service.check_ready()
        return schemas.Health(status="ok")

    @app.get("/metrics", response_class=Response, dependencies=[gate.may("read")])
    async def metrics() -> Response:
        """For Prometheus, of all replicas."""
        return Response(await service.metrics(), media_type="text/plain; version=0.0.4")


def _documents(app: FastAPI) -> None:
    """The API for people to read and try."""
    spec = find_spec(SWAGGER)
    if spec is None or not spec.submodule_search_locations:
        raise ElectorateError(
            f"the package {SWAGGER} is not installed; it comes with the extra `serve`"
        )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    app.mount(
        "/swagger", StaticFiles(directory=Path(spec.submodule_search_locations[0]) / "resources")
    )


def _problems(app: FastAPI) -> None:
    """Everything that goes wrong leaves as one line, and nothing of how it came about."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        return (
            error.response()
            if isinstance(error, Refused)
            else JSONResponse({"detail": "refused"}, 503)
        )

    async def wrong(_: Request, error: Exception) -> JSONResponse:
        status = next(s for kind, s in STATUS.items() if isinstance(error, kind))
        return JSONResponse({"detail": str(error)}, status)

    async def unable(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request could not be answered: %s", error)
        return Refused(503, "temporarily unavailable; see the server log", 5).response()

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        first: dict[str, Any] = (
            error.errors()[0]
            if isinstance(error, RequestValidationError)
            else {"loc": (), "msg": "invalid"}
        )
        where = ".".join(str(part) for part in first["loc"])
        # What was sent may hold what cannot be encoded again.
        return JSONResponse(
            json.loads(
                json.dumps({"detail": f"{where}: {first['msg']}"}).encode("ascii", "replace")
            ),
            422,
        )

    async def broken(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"detail": "internal error; see the log"}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestError, wrong)
    app.add_exception_handler(ElectorateError, unable)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)
