"""A real HTTP receiver whose paths behave as a test tells them to."""

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A status and headers; with `gate` the answer waits until it is set."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    gate: threading.Event | None = None


@dataclass(frozen=True)
class Message:
    """A POST that came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # The standard five are soon full, and who then knocks is heard a second or more later.
    request_queue_size = 512


class Receiver:
    """Answers 204 to everything, until `plan` says otherwise for a path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: dict[str, list[Answer]] = {}
        self._messages: dict[str, list[Message]] = defaultdict(list)
        self._probes: dict[str, int] = defaultdict(int)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def plan(self, path: str, *answers: Answer) -> None:
        """Give these answers in turn, to checks and messages alike; the last one stays."""
        with self._lock:
            self._plans[path] = list(answers)

    def messages(self, path: str) -> Sequence[Message]:
        with self._lock:
            return tuple(self._messages[path])

    def probes(self, path: str) -> int:
        """How many checks (GET or HEAD) a path had."""
        with self._lock:
            return self._probes[path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, path: str) -> Answer:
        with self._lock:
            answers = self._plans.get(path)
            if not answers:
                return Answer()
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._lock:
                    receiver._messages[self.path].append(Message(self.path, headers, body))
                self._answer()

            def do_GET(self) -> None:
                with receiver._lock:
                    receiver._probes[self.path] += 1
                self._answer()

            do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

            def _answer(self) -> None:
                answer = receiver._next(self.path)
                if answer.gate is not None:
                    answer.gate.wait(60)
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                except OSError:
                    pass  # the sender gave up waiting, which is what some tests are about

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler
