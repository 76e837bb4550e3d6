"""Who may do what in the demo: its users, and a key for each machine that speaks to Tocsin."""

import secrets as chance
from collections.abc import Callable
from typing import Any

from app.cli.client import Api, Refused
from app.settings import Settings
from demo.secrets import Secrets

USERS = {"omar": "operator", "vera": "viewer"}
# Before it has expired, after 900 s.
SIGN_IN_AGAIN_AFTER_SECONDS = 600.0


class People:
    """Made once, by name, and found again."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
        self._url = settings.local_url
        self.setup_key = self._key("demo set-up", "admin", self._as_first_admin)
        self.admin = Api(self._url, lambda: self.setup_key)
        for username, role in USERS.items():
            self._user(username, role)

    def machine(self, name: str, role: str = "operator", *, fresh: bool = True) -> Api:
        """Somebody with an API key. Not `fresh`: what the cache has will do."""
        key = self._key(name, role, lambda: self.admin)
        return Api(self._url, lambda: key, fresh=fresh)

    def person(self, username: str, clock: Callable[[], float]) -> Api:
        """One of the users, who signs in again before the token has expired."""
        password = self._secrets.get("users", username)
        kept: tuple[str, float] | None = None

        def token() -> str:
            nonlocal kept
            if kept is None or clock() > kept[1]:
                body = {"username": username, "password": password}
                answer = Api(self._url, lambda: None).post("/auth/login", body)
                kept = answer["access_token"], clock() + SIGN_IN_AGAIN_AFTER_SECONDS
            return kept[0]

        return Api(self._url, token)

    def _as_first_admin(self) -> Api:
        body = {
            "username": self._settings.admin_username,
            "password": self._settings.admin_password,
        }
        token = Api(self._url, lambda: None).post("/auth/login", body)["access_token"]
        return Api(self._url, lambda: token)

    def _key(self, name: str, role: str, admin: Callable[[], Api]) -> str:
        kept = self._secrets.get("keys", name)
        if kept is not None and _counts(Api(self._url, lambda: kept)):
            return kept
        asking = admin()
        for one in list(asking.items("/api-keys")):
            if one["name"] == name:
                asking.delete(f"/api-keys/{one['id']}")
        made: str = asking.post("/api-keys", {"name": name, "role": role})["key"]
        self._secrets.keep("keys", name, made)
        return made

    def _user(self, username: str, role: str) -> None:
        if self._secrets.get("users", username) is not None:
            return
        password = chance.token_urlsafe(16)
        found: dict[str, Any] | None = next(
            (one for one in self.admin.items("/users") if one["username"] == username), None
        )
        if found is None:
            body = {"username": username, "password": password, "role": role}
            self.admin.post("/users", body)
        else:
            self.admin.patch(f"/users/{found['id']}", {"password": password})
        self._secrets.keep("users", username, password)


def _counts(api: Api) -> bool:
    try:
        api.get("/auth/me")
    except Refused as refused:
        if refused.status == 401:
            return False
        raise
    return True
