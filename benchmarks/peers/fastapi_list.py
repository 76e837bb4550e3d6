"""The peer of `benchmarks.rest_list`: FastAPI as one would write it to be fast, in its own venv.

One route, `GET /api/v1/alerts`, async, on a pool of asyncpg, with uvloop and httptools, its JSON by
orjson and its answer as bytes. It checks a token as Tocsin does: the signature, issuer, audience
and times by PyJWT, then by the same statement whether it was revoked and what its user may; and it
asks the database by the same statements for the page, its counts and its total. No rate limit, no
log line, no metrics, no request id: what Tocsin does beside that, it does not.
"""

import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import jwt
import orjson
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

# Written by the benchmark from what Tocsin runs, with $1 … for parameters.
SQL: dict[str, str] = json.loads(Path(os.environ["PEER_SQL"]).read_text())
SECRET = os.environ["PEER_SECRET"]
EXACT_UP_TO = 10_000
COUNTS = ("pending", "retrying", "delivered", "failed", "cancelled")
REMEMBERS = float(os.environ["PEER_REMEMBERS_SECONDS"])
FIELDS: tuple[str, ...] = tuple(SQL["fields"].split(","))


async def _set_up(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog"
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = await asyncpg.create_pool(
        os.environ["PEER_DATABASE_URL"], min_size=10, max_size=25, init=_set_up
    )
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=_lifespan)
_known: dict[str, tuple[float, Any]] = {}


async def _reader(request: Request) -> str:
    """Who asks, if he may read."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        claims = jwt.decode(
            token, SECRET, algorithms=["HS256"], audience="tocsin-api", issuer="tocsin"
        )
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    if claims["type"] != "access":
        raise HTTPException(401)
    user = await _user(request, int(claims["sub"]), claims["jti"], claims["sid"])
    if user["id"] is None:
        raise HTTPException(401)
    if user["role"] not in {"viewer", "operator", "admin"}:
        raise HTTPException(403)
    return str(user["username"])


async def _user(request: Request, user_id: int, token_id: str, session_id: str) -> Any:
    """As the database says, or as it said so many seconds ago."""
    now = time.monotonic()
    until, user = _known.get(token_id, (0.0, None))
    if now >= until:
        async with request.app.state.pool.acquire() as connection:
            user = await connection.fetchrow(SQL["principal"], user_id, token_id, session_id)
        _known[token_id] = now + REMEMBERS, user
    return user


def _before(cursor: str) -> int:
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return int(raw.removeprefix(b"before:"))


def _cursor(last_id: int) -> str:
    return base64.urlsafe_b64encode(b"before:%d" % last_id).decode().rstrip("=")


@app.get("/api/v1/alerts")
async def list_alerts(
    request: Request,
    _user: Annotated[str, Depends(_reader)],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    async with request.app.state.pool.acquire() as connection:
        if cursor is None:
            rows = await connection.fetch(SQL["first"])
        else:
            rows = await connection.fetch(SQL["next"], _before(cursor))
    counted, estimated = rows[0]["count"], rows[0]["reltuples"]
    is_exact = counted is not None and counted <= EXACT_UP_TO
    total = counted if is_exact else max(EXACT_UP_TO + 1, estimated)
    found = [row for row in rows if row["id"] is not None]
    items = [_shown(row) for row in found[:limit]]
    body = {
        "items": items,
        "total": total,
        "total_is_exact": is_exact,
        "next_cursor": _cursor(items[-1]["id"]) if len(found) > limit else None,
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _shown(row: Any) -> dict[str, Any]:
    shown = {name: row[name] for name in FIELDS}
    shown["deliveries"] = {name: row[name] for name in COUNTS}
    return shown
