"""A REST client that remembers which operations were called."""

import time
from collections.abc import Mapping
from typing import Any

import requests

TIMEOUT_SECONDS = 30
# Well before a token expires: who signs in once for the whole suite outlives one.
RENEW_AFTER_SECONDS = 600

# (method, path) of every call of this session, for the test of the OpenAPI document's coverage.
CALLED: set[tuple[str, str]] = set()


class Client:
    """Speaks to one server, as somebody: with a token, or with none."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        self.base_url = base_url
        self.token = token
        self._session = requests.Session()
        self._session.trust_env = False
        self._credentials: tuple[str, str] | None = None
        self._signed_in_at = 0.0

    def as_nobody(self) -> "Client":
        return Client(self.base_url)

    def with_token(self, token: str) -> "Client":
        return Client(self.base_url, token)

    def login(self, username: str, password: str) -> "Client":
        """Somebody who stays signed in, for as long as the tests last."""
        answer = self._sign_in(username, password)
        assert answer.status_code == 200, answer.text
        somebody = Client(self.base_url, answer.json()["access_token"])
        somebody._credentials = (username, password)
        somebody._signed_in_at = time.monotonic()
        return somebody

    def _sign_in(self, username: str, password: str) -> requests.Response:
        body = {"username": username, "password": password}
        return self.as_nobody().post("/api/v1/auth/login", json=body)

    def _renew(self) -> None:
        """Where that fails, as with the database away, the old token is good for a while."""
        if self._credentials and time.monotonic() > self._signed_in_at + RENEW_AFTER_SECONDS:
            answer = self._sign_in(*self._credentials)
            if answer.status_code == 200:
                self.token = answer.json()["access_token"]
                self._signed_in_at = time.monotonic()

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        CALLED.add((method.upper(), path.partition("?")[0]))
        self._renew()
        # Read now: tests change rows behind the system's back, and ask whichever process.
        sent = {"Cache-Control": "no-cache"} | dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        return self._session.request(
            method,
            self.base_url + path,
            headers=sent,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            **options,
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> requests.Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    # What nearly every test needs.

    def make_webhook(self, url: str, **fields: Any) -> dict[str, Any]:
        """A webhook that is checked once a day, unless `fields` says otherwise."""
        body = {"name": "test", "url": url, "health_check_interval_seconds": 86_400} | fields
        answer = self.post("/api/v1/webhooks", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def raise_alert(self, **fields: Any) -> dict[str, Any]:
        body = {"title": "Disk almost full", "severity": "critical"} | fields
        answer = self.post("/api/v1/alerts", json=body)
        assert answer.status_code == 201, answer.text
        raised: dict[str, Any] = answer.json()
        return raised

    def deliveries(self, alert_id: int) -> list[dict[str, Any]]:
        answer = self.get(f"/api/v1/alerts/{alert_id}/deliveries?limit=100")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items
