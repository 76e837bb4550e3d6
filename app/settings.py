"""The settings: one frozen object, and the only reader of the environment.

`LaunchSettings` is what the operator gave: servers and secrets may be missing, and the
launcher fills them in. `Settings` is the same, resolved: nothing is missing, and every
process but the launcher works with it. Variables are the field names in upper case;
`.env` in the working folder is read, the real environment wins. Set but empty means empty.
"""

import ipaddress
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.fernet import Fernet
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NonNegative = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]

ACCESS_TOKEN_LIFE = timedelta(seconds=900)
REFRESH_TOKEN_LIFE = timedelta(days=7)
MIN_SECRET_CHARS = 32
MIN_PASSWORD_CHARS = 8


class SettingsError(Exception):
    """Wrong settings: every fault, one a line, in words for the operator."""


def _split(value: object) -> object:
    """`a, b` → `("a", "b")`; empty → `()`. Values that are no text pass as they are."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class LaunchSettings(BaseSettings):
    """What the operator gave. See DESIGN: Settings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_file=".env", env_file_encoding="utf-8"
    )

    host: str = "127.0.0.1"
    port: Port = 8000
    flower_port: Port = 5555
    data_dir: Path = Path(".data")
    database_url: str | None = None
    redis_url: str | None = None
    cache_redis_url: str | None = None
    admin_username: Annotated[str, Field(min_length=1, max_length=64)] = "admin"
    admin_password: Annotated[str, Field(min_length=MIN_PASSWORD_CHARS)] | None = None
    jwt_secret_key: Annotated[str, Field(min_length=MIN_SECRET_CHARS)] | None = None
    encryption_keys: Annotated[tuple[str, ...] | None, NoDecode] = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    rate_limit_requests: Positive = 100
    rate_limit_window_seconds: Positive = 60
    ingest_rate_limit_requests: Positive = 6000
    cache_l1_max_items: NonNegative = 10_000
    cache_ttl_seconds: Annotated[int, Field(ge=1, le=300)] = 60
    db_pool_min: Positive = 10
    db_pool_max: Annotated[Positive, Field(validate_default=True)] = 50
    queue_limit: Positive = 100_000
    metric_series_limit: Positive = 10_000
    metric_inbox_limit: Positive = 5_000_000
    egress_allow: Annotated[tuple[Network, ...] | None, NoDecode] = None
    retry_schedule_seconds: Annotated[tuple[NonNegative, ...], NoDecode] = (
        0,
        5,
        300,
        1800,
        7200,
        18000,
        36000,
        36000,
    )
    request_timeout_seconds: Annotated[int, Field(ge=1, le=120)] = 15
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    web_threads: Annotated[int, Field(ge=1, le=1024)] = 32
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @field_validator(
        "cors_origins", "egress_allow", "retry_schedule_seconds", "encryption_keys", mode="before"
    )
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return _split(value)

    @field_validator("database_url", "redis_url", mode="before")
    @classmethod
    def _empty_means_embedded(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: Any) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()

    @field_validator("database_url")
    @classmethod
    def _psycopg_driver(cls, value: str | None) -> str | None:
        """`postgres://` and `postgresql://`, as the hosting companies hand them out."""
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError("must look like postgresql://user:password@host:5432/name")
        return f"postgresql+psycopg://{rest}"

    @field_validator("redis_url", "cache_redis_url")
    @classmethod
    def _redis_scheme(cls, value: str | None) -> str | None:
        if value and not value.startswith(("redis://", "rediss://")):
            raise ValueError("must look like redis://:password@host:6379/0")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _fernet_keys(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise ValueError("needs at least one key")
        for key in value or ():
            try:
                Fernet(key)
            except ValueError:
                raise ValueError(
                    "each must be 32 bytes as URL-safe base64, as "
                    "cryptography.fernet.Fernet.generate_key() makes them"
                ) from None
        return value

    @field_validator("retry_schedule_seconds")
    @classmethod
    def _some_attempts(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(value) <= 20:
            raise ValueError("needs 1 to 20 numbers, one for each attempt")
        return value

    @field_validator("db_pool_max")
    @classmethod
    def _pool_bounds(cls, value: int, info: ValidationInfo) -> int:
        """Of the field, not of the whole: that is looked at only when no field is wrong."""
        least = info.data.get("db_pool_min")
        if least is not None and value < least:
            raise ValueError(f"is {value}, below DB_POOL_MIN, which is {least}")
        return value


class Settings(LaunchSettings):
    """Resolved settings: servers and secrets are there."""

    database_url: str
    redis_url: str
    jwt_secret_key: Annotated[str, Field(min_length=MIN_SECRET_CHARS)]
    encryption_keys: Annotated[tuple[str, ...], NoDecode]

    @property
    def egress_networks(self) -> tuple[Network, ...]:
        """What the egress guard lets through although it is not public."""
        return self.egress_allow or ()


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing" or fault["input"] is None:
            message = "is required (only `make run` with its embedded servers makes one itself)"
        line = f"  {name}: {message}"
        if line not in lines:
            lines.append(line)
    return "These settings are wrong:\n" + "\n".join(lines)


def load_launch_settings(**overrides: Any) -> LaunchSettings:
    """What the operator gave, from the environment and `.env`. Raises SettingsError."""
    try:
        return LaunchSettings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def load_settings(**overrides: Any) -> Settings:
    """The resolved settings. Raises SettingsError with every fault at once."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def as_environment(settings: Settings) -> Mapping[str, str]:
    """The environment that makes `load_settings` give these settings again."""
    environment = {}
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, (list, tuple)):
            environment[name.upper()] = ",".join(str(part) for part in value)
        else:
            environment[name.upper()] = value if isinstance(value, str) else json.dumps(value)
    return environment
