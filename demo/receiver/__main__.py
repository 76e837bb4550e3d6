"""The receiver: `python -m demo.receiver`, on loopback."""

import contextlib
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from demo.ports import HOST, receiver_port
from demo.receiver.characters import Answer, characters
from demo.receiver.counts import Counts
from demo.receiver.signatures import is_genuine
from demo.secrets import Secrets

# More than any message of Tocsin's has.
MAX_BODY_BYTES = 2 * 1024 * 1024
IDLE_SECONDS = 60


class Receiver:
    """Who answers on which path, and what came."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._characters = characters()
        self._counts: dict[str, Counts] = defaultdict(Counts)
        self._lock = threading.Lock()
        self._began_at = time.monotonic()

    def check(self, path: str) -> Answer:
        with self._lock:
            character = self._characters.get(path)
            if character is None:
                return Answer(404)
            self._counts[path].checks += 1
            return character.check(time.monotonic() - self._began_at)

    def message(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """401 for what is not signed by who should have sent it."""
        with self._lock:
            character = self._characters.get(path)
            if character is None:
                return Answer(404)
            counts = self._counts[path]
            counts.received += 1
            secret = self._secrets.webhook(path.removeprefix("/"))
            if secret is None:
                # It is being set up, and its secret is kept in a moment.
                answer = Answer(503, {"Retry-After": "1"})
            elif not is_genuine(secret, headers, body, time.time()):
                counts.bad_signatures += 1
                answer = Answer(401)
            else:
                answer = character.message(time.monotonic() - self._began_at)
            counts.answered(answer.status)
            return answer

    def report(self) -> bytes:
        with self._lock:
            webhooks = {path[1:]: counts.as_data() for path, counts in self._counts.items()}
        return json.dumps({"webhooks": webhooks}, indent=2).encode() + b"\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def server(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    """Bound, not serving yet. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_SECONDS

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                self._answer(Answer(413), close=True)
                return
            body = self.rfile.read(int(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(receiver.message(self.path, headers, body))

        def do_GET(self) -> None:
            if self.path == "/":
                self._answer(Answer(200), receiver.report())
            else:
                self._answer(receiver.check(self.path))

        def _answer(self, answer: Answer, body: bytes = b"", *, close: bool = False) -> None:
            time.sleep(answer.after_seconds)  # the character's slowness, in a thread of its own
            if answer.status is None:
                self.close_connection = True
                return
            self.close_connection = self.close_connection or close
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(body)))
            if body:
                self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the sender may go whenever it likes
                super().handle()

        def log_message(self, *_arguments: object) -> None:
            """What came is counted, not listed."""

    return _Server((HOST, port), Handler)


def main() -> None:
    with server(Receiver(Secrets.of_environment()), receiver_port()) as listening:
        listening.serve_forever()


if __name__ == "__main__":
    main()
