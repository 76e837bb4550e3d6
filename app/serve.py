"""gunicorn's configuration (`gunicorn --config python:app.serve`): numbers, and its own errors."""

import ctypes
import importlib
import json
import os
import signal
import socket
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]

from app.adapters.garbage import collect_later, collect_rarely

collect_later()

from app.api.context import EXTENSION, LIVE  # noqa: E402
from app.deps import Deps  # noqa: E402
from app.services.live.hub import Hub  # noqa: E402
from app.settings import load_settings  # noqa: E402

_settings = load_settings()

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host

bind = f"{_host}:{_settings.port}"
worker_class = "app.gunicorn_worker.Worker"
workers = _settings.web_concurrency
threads = _settings.web_threads

# A request may take as long as its statements; the heartbeat of a worker is independent of that.
timeout = 30
# The supervisor kills after 8 s, so requests get less.
graceful_timeout = 5
keepalive = 5

# Room for a token in the query string, and not for more.
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# The application logs requests itself, with their query strings redacted.
accesslog = None
errorlog = "-"
loglevel = _settings.log_level.lower()

# It would be written into the home folder.
control_socket_disable = True


# What of a body is left unread when a request is refused; beyond it gunicorn drops the connection.
LARGE_BODY_BYTES = 64 * 1024


def when_ready(_server: object) -> None:
    """Import what all workers need, once, before they are forked; it opens nothing."""
    importlib.import_module("app.factory")
    collect_rarely()


def pre_request(_worker: object, request: Any) -> None:
    """Say `Connection: close` where a refusal closes it, so that no client sends on it again."""
    headers = dict(request.headers)
    length = headers.get("CONTENT-LENGTH", "0")
    if "TRANSFER-ENCODING" in headers or (length.isdigit() and int(length) > LARGE_BODY_BYTES):
        request.force_close()


PR_SET_PDEATHSIG = 1


def post_fork(server: Any, _worker: object) -> None:
    """Die with the master, where the kernel can see to it.

    One that was killed would leave its workers to finish with their clients, and its successor
    to find the port taken until then.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server.pid:
            os.kill(os.getpid(), signal.SIGKILL)


def post_worker_init(worker: Any) -> None:
    """Warm the cache, and tell of it. And tell whoever holds a WebSocket of the end: gunicorn does
    not know of those, since they were taken over."""
    deps: Deps = worker.wsgi.extensions[EXTENSION]
    deps.reporter.start()
    deps.warm_start.begin()
    hub: Hub = worker.wsgi.extensions[LIVE]

    def stop(number: int, frame: object) -> None:
        hub.restart()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, stop)
    collect_rarely()


def worker_exit(_server: object, worker: Any) -> None:
    """Before the process ends, all sockets have been told why."""
    if worker.wsgi is not None:
        worker.wsgi.extensions[LIVE].close()


def _write_error(client: socket.socket, status_code: int, reason: str, message: str) -> None:
    """The one error shape for what never reaches the application, like a URL over the limit."""
    request_id = uuid.uuid4().hex
    body = json.dumps(
        {
            "detail": message or reason,
            "status_code": status_code,
            "timestamp": datetime.now(UTC).isoformat(),
            "request_id": request_id,
        }
    ).encode()
    head = (
        f"HTTP/1.1 {status_code} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"X-Request-ID: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode() + body)


# gunicorn writes HTML there, and has no setting for it.
util.write_error = _write_error
