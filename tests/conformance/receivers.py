"""Receivers that check what they get with the stock libraries, and nothing of ours.

Each is a server of its own: `POST /hooks/NAME` is what Tocsin tells, checked with the secret of
that name, and answered 401 where the library refuses it. A test says by `PUT /control/NAME` which
secret it has and how it answers, and asks by `GET /control/NAME` what came.
"""

import json
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from standardwebhooks import Webhook, WebhookVerificationError

NPM_WITHIN_SECONDS = 90


class Unavailable(Exception):
    """This receiver can't be had here; the message says why."""


@dataclass(frozen=True)
class Seen:
    """What came, and what the library said of it: the payload, or why it refused."""

    headers: Mapping[str, str]
    body: str
    payload: Any
    error: str | None

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def timestamp(self) -> int:
        return int(self.headers["webhook-timestamp"])

    @property
    def signatures(self) -> list[str]:
        return self.headers["webhook-signature"].split()


class StockReceiver:
    """One of them, to speak with."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def url(self, name: str) -> str:
        return f"{self._base}/hooks/{name}"

    def knows(self, name: str, secret: str, answers: Sequence[int] = ()) -> None:
        """From now on it checks with this secret, and gives these answers in turn, then 204."""
        plan = {"secret": secret, "answers": list(answers)}
        assert requests.put(f"{self._base}/control/{name}", json=plan, timeout=10).ok

    def seen(self, name: str) -> list[Seen]:
        found = requests.get(f"{self._base}/control/{name}", timeout=10).json()
        return [Seen(**one) for one in found]

    def post(self, name: str, body: str, headers: Mapping[str, str]) -> int:
        """Send something that Tocsin did not send; its answer."""
        sent = {key: value for key, value in headers.items() if key.startswith("webhook-")}
        return requests.post(
            self.url(name), data=body.encode(), headers=sent, timeout=10
        ).status_code


@contextmanager
def python_receiver() -> Iterator[StockReceiver]:
    """With the package `standardwebhooks` of PyPI."""
    plans: dict[str, dict[str, Any]] = {}
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name, raw = self._name(), self._body()
            headers = {key.lower(): value for key, value in self.headers.items()}
            payload, error = None, None
            try:
                payload = Webhook(plans[name]["secret"]).verify(raw, headers)
            except WebhookVerificationError as refusal:
                error = str(refusal)
            seen[name].append(
                {"headers": headers, "body": raw.decode(), "payload": payload, "error": error}
            )
            answers = plans[name]["answers"]
            self._answer(401 if error else answers.pop(0) if answers else 204)

        def do_PUT(self) -> None:
            plans[self._name()] = json.loads(self._body())
            self._answer(204)

        def do_GET(self) -> None:
            if self.path.startswith("/control/"):
                self._answer(200, json.dumps(seen[self._name()]).encode())
            else:
                self._answer(204)

        def _name(self) -> str:
            return self.path.rpartition("/")[2]

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield StockReceiver(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def node_receiver(folder: Path) -> Iterator[StockReceiver]:
    """With the package `standardwebhooks` of npm, which is installed into `folder`.

    Raises Unavailable where there is no Node, or npm can't get it.
    """
    node = _node_with_library(folder)
    script = Path(__file__).with_name("receiver.mjs")
    process = subprocess.Popen([node, str(script)], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield StockReceiver(int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def _node_with_library(folder: Path) -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("there is no Node.js with npm")
    install = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            [*install, "--prefix", str(folder), "standardwebhooks"],
            capture_output=True,
            text=True,
            timeout=NPM_WITHIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("npm took too long to get standardwebhooks") from None
    if done.returncode != 0:
        raise Unavailable(f"npm can't get standardwebhooks: {done.stderr.partition(chr(10))[0]}")
    return node
