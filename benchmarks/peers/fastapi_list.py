"""The peer of `benchmarks.rest_list`: FastAPI as one would write it to be fast, in a venv of its own.

One route, `GET /api/v1/alerts`, async, on a pool of asyncpg, with uvloop and httptools, its JSON by
orjson and its answer as bytes. It checks a token as Tocsin does: the signature, issuer, audience
and times by PyJWT, then by the same statement whether it was revoked and what its user may; and it
asks the database by the same statements for the page, its counts and its total. No rate limit, no
log line, no metrics, no request id: what Tocsin does beside that, it does not.
"""

import base64
import json
import os
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
    async with request.app.state.pool.acquire() as connection:
        user = await connection.fetchrow(
            SQL["principal"], int(claims["sub"]), [claims["jti"], claims["sid"]]
        )
    if user is None:
        raise HTTPException(401)
    if user["role"] not in {"viewer", "operator", "admin"}:
        raise HTTPException(403)
    return str(user["username"])


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
        total, is_exact = rows[0]["total"], True
        if total > EXACT_UP_TO:
            plan = orjson.loads(await connection.fetchval(SQL["estimate"]))
            total, is_exact = max(plan[0]["Plan"]["Plan Rows"], EXACT_UP_TO + 1), False
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
