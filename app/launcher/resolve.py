"""What the operator left open is decided here, once: servers, secrets, the first password."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from app.adapters import embedded
from app.adapters.embedded import Server
from app.settings import LaunchSettings, Settings, load_settings

LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


@dataclass(frozen=True)
class Plan:
    """Resolved settings, the embedded servers to run, and what the operator should be told."""

    settings: Settings
    servers: tuple[Server, ...]
    password_file: Path | None  # None: the operator gave the password
    password_is_new: bool
    loopback_allowed: bool


def wanted_servers(launch: LaunchSettings) -> tuple[embedded.Name, ...]:
    """The embedded servers that take the place of what was not given."""
    wanted: list[embedded.Name] = []
    if launch.database_url is None:
        wanted.append("postgres")
    if launch.redis_url is None:
        wanted.append("broker")
        # With a Redis of one's own, a cache is one's own wish too: unset means off.
        if launch.cache_redis_url is None:
            wanted.append("cache")
    return tuple(wanted)


def resolve(launch: LaunchSettings, data_dir: Path) -> Plan:
    """Prepares the servers and fills in the settings. Raises SettingsError, EmbeddedError."""
    servers = embedded.prepare(wanted_servers(launch), data_dir)
    given: dict[str, Any] = {"data_dir": data_dir}
    for name, setting in (
        ("postgres", "database_url"),
        ("broker", "redis_url"),
        ("cache", "cache_redis_url"),
    ):
        if name in servers:
            given[setting] = servers[name].url

    embedded_database = "postgres" in servers
    if embedded_database:
        if launch.jwt_secret_key is None:
            path = data_dir / "secrets" / "jwt-secret-key"
            given["jwt_secret_key"] = _kept(path, lambda: secrets.token_urlsafe(48))
        if launch.encryption_keys is None:
            path = data_dir / "secrets" / "encryption-keys"
            given["encryption_keys"] = _kept(path, lambda: Fernet.generate_key().decode())
    loopback_allowed = embedded_database and launch.egress_allow is None
    if loopback_allowed:
        given["egress_allow"] = LOOPBACK_NETWORKS

    password_file = None if launch.admin_password else data_dir / "admin-password"
    password_is_new = password_file is not None and not password_file.exists()
    if password_file is not None:
        given["admin_password"] = _kept(password_file, lambda: secrets.token_urlsafe(16))
    return Plan(
        settings=load_settings(**given),
        servers=tuple(servers.values()),
        password_file=password_file,
        password_is_new=password_is_new,
        loopback_allowed=loopback_allowed,
    )


def _kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in this file, made and kept on the first run."""
    if not path.exists():
        embedded.write_private(path, make())
    return path.read_text(encoding="utf-8").strip()
