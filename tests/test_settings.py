"""The settings: their defaults, all faults at once, and one reader of the environment."""

import ast
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.settings import (
    Settings,
    SettingsError,
    as_environment,
    load_launch_settings,
    load_settings,
)

ROOT = Path(__file__).parents[1]
KEYS = tuple(Fernet.generate_key().decode() for _ in range(2))
REQUIRED = {
    "DATABASE_URL": "postgresql://me:secret@db:5432/tocsin",
    "REDIS_URL": "redis://:secret@broker:6379/0",
    "JWT_SECRET_KEY": "j" * 32,
    "ENCRYPTION_KEYS": KEYS[0],
}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the caller's, and no `.env` in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)


@pytest.fixture
def given_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_all(settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    return set_all


def faults(load: Any) -> list[str]:
    """The names of the settings that are wrong."""
    with pytest.raises(SettingsError) as refusal:
        load()
    first, *lines = str(refusal.value).splitlines()
    assert first == "These settings are wrong:"
    return [line.strip().partition(":")[0] for line in lines]


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_launch_settings()
    contract = {
        "host": "127.0.0.1",
        "port": 8000,
        "flower_port": 5555,
        "data_dir": Path(".data"),
        "database_url": None,
        "redis_url": None,
        "cache_redis_url": None,
        "admin_username": "admin",
        "admin_password": None,
        "jwt_secret_key": None,
        "encryption_keys": None,
        "cors_origins": ("http://localhost:3000",),
        "rate_limit_requests": 100,
        "rate_limit_window_seconds": 60,
        "ingest_rate_limit_requests": 6000,
        "cache_l1_max_items": 10_000,
        "cache_ttl_seconds": 60,
        "db_pool_min": 10,
        "db_pool_max": 50,
        "queue_limit": 100_000,
        "egress_allow": None,
        "retry_schedule_seconds": (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000),
        "request_timeout_seconds": 15,
    }
    assert settings.model_dump() | contract == settings.model_dump()


def test_the_environment_is_read(given_settings: Any) -> None:
    given_settings(
        REQUIRED
        | {
            "PORT": "9000",
            "CORS_ORIGINS": "https://a.example, https://b.example",
            "EGRESS_ALLOW": "10.0.0.0/8,fd00::/8",
            "RETRY_SCHEDULE_SECONDS": "0, 1, 2",
            "ENCRYPTION_KEYS": ",".join(KEYS),
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "CONSOLE",
        }
    )
    settings = load_settings()
    assert settings.port == 9000
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.egress_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.retry_schedule_seconds == (0, 1, 2)
    assert settings.encryption_keys == KEYS
    assert (settings.log_level, settings.log_format) == ("DEBUG", "console")


def test_dotenv_is_read_and_the_environment_wins(given_settings: Any) -> None:
    Path(".env").write_text("PORT=9000\nFLOWER_PORT=9001\nUNKNOWN=1\n", encoding="utf-8")
    given_settings({"PORT": "9002"})
    settings = load_launch_settings()
    assert (settings.port, settings.flower_port) == (9002, 9001)


def test_settings_are_frozen(given_settings: Any) -> None:
    given_settings(REQUIRED)
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


WRONG = {
    "PORT": "70000",
    "FLOWER_PORT": "abc",
    "DATABASE_URL": "mysql://db/tocsin",
    "REDIS_URL": "http://broker",
    "CACHE_REDIS_URL": "localhost",
    "ADMIN_USERNAME": "x" * 65,
    "ADMIN_PASSWORD": "short",
    "JWT_SECRET_KEY": "short",
    "ENCRYPTION_KEYS": "not-a-fernet-key",
    "RATE_LIMIT_REQUESTS": "0",
    "RATE_LIMIT_WINDOW_SECONDS": "-1",
    "INGEST_RATE_LIMIT_REQUESTS": "1.5",
    "CACHE_L1_MAX_ITEMS": "-1",
    "CACHE_TTL_SECONDS": "0",
    "DB_POOL_MAX": "9",  # below DB_POOL_MIN, which nobody set
    "QUEUE_LIMIT": "many",
    "EGRESS_ALLOW": "10.0.0.0/8,example.com",
    "RETRY_SCHEDULE_SECONDS": "0,-5",
    "REQUEST_TIMEOUT_SECONDS": "0",
    "METRICS_TOKEN": "a short one",
    "HEARTBEAT_URL": "ftp://example.com/ping",
    "FLOWER_URL_PREFIX": "../flower",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
}


@pytest.mark.parametrize("load", [load_launch_settings, load_settings])
def test_all_faults_are_listed_at_once(given_settings: Any, load: Any) -> None:
    given_settings(WRONG)
    assert set(faults(load)) == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_alone_is_one(given_settings: Any, name: str) -> None:
    given_settings(REQUIRED | {name: WRONG[name]})
    assert set(faults(load_settings)) == {name}


def test_a_fault_shows_no_secret(given_settings: Any) -> None:
    secrets = {
        "ADMIN_PASSWORD": "hunter2",
        "JWT_SECRET_KEY": "too-short-a-secret",
        "ENCRYPTION_KEYS": "something-private",
        "DATABASE_URL": "mysql://me:password1@db/tocsin",
        "REDIS_URL": "http://:password2@broker",
        "METRICS_TOKEN": "hunter3",
    }
    given_settings(secrets)
    with pytest.raises(SettingsError) as refusal:
        load_settings()
    for word in (*secrets.values(), "password1", "password2"):
        assert word not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_what_is_missing_is_named_with_what_to_do() -> None:
    assert load_launch_settings().database_url is None
    with pytest.raises(SettingsError, match="DATABASE_URL: is required"):
        load_settings()
    assert faults(load_settings) == list(REQUIRED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET_KEY", "j" * 31),
        ("ADMIN_PASSWORD", "p" * 7),
        ("ENCRYPTION_KEYS", KEYS[0][:-4]),
        ("ENCRYPTION_KEYS", f"{KEYS[0]},short"),
    ],
    ids=["jwt", "password", "cut", "second"],
)
def test_short_secrets_are_refused(given_settings: Any, name: str, value: str) -> None:
    given_settings(REQUIRED | {name: value})
    assert faults(load_settings) == [name]


def test_the_shortest_that_are_allowed_are_taken(given_settings: Any) -> None:
    given_settings(REQUIRED | {"JWT_SECRET_KEY": "j" * 32, "ADMIN_PASSWORD": "p" * 8})
    assert load_settings().admin_password == "p" * 8


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("CACHE_REDIS_URL", ("cache_redis_url", "")),  # off, and not the embedded one
        ("EGRESS_ALLOW", ("egress_allow", ())),  # none, and not loopback
        ("CORS_ORIGINS", ("cors_origins", ())),
        ("DATABASE_URL", ("database_url", None)),
        ("REDIS_URL", ("redis_url", None)),
        # Nothing can be meant by these.
        ("ADMIN_PASSWORD", None),
        ("ADMIN_USERNAME", None),
        ("JWT_SECRET_KEY", None),
        ("ENCRYPTION_KEYS", None),
        ("RETRY_SCHEDULE_SECONDS", None),
        ("PORT", None),
        ("LOG_LEVEL", None),
    ],
)
def test_set_but_empty_means_empty(
    given_settings: Any, name: str, means: tuple[str, object] | None
) -> None:
    given_settings({name: ""})
    if means is None:
        assert faults(load_launch_settings) == [name]
    else:
        assert getattr(load_launch_settings(), means[0]) == means[1]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_addresses_as_hosting_companies_write_them(
    given_settings: Any, scheme: str
) -> None:
    given_settings(REQUIRED | {"DATABASE_URL": f"{scheme}://me:secret@db:5432/tocsin?a=b"})
    assert load_settings().database_url == "postgresql+psycopg://me:secret@db:5432/tocsin?a=b"


@pytest.mark.parametrize(
    ("schedule", "is_good"), [("0", True), ("1," * 20, True), ("1," * 21, False)]
)
def test_a_schedule_has_1_to_20_attempts(given_settings: Any, schedule: str, is_good: bool) -> None:
    given_settings({"RETRY_SCHEDULE_SECONDS": schedule})
    if is_good:
        load_launch_settings()
    else:
        assert faults(load_launch_settings) == ["RETRY_SCHEDULE_SECONDS"]


@pytest.mark.parametrize("prefix", ["flower", "/flower", "flower/", "/flower/"])
def test_a_prefix_is_the_same_with_and_without_its_slashes(
    given_settings: Any, prefix: str
) -> None:
    given_settings({"FLOWER_URL_PREFIX": prefix})
    assert load_launch_settings().flower_url_prefix == "flower"


words = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1
)


@given(
    admin_password=st.none()
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8),
    cache_redis_url=st.sampled_from([None, "", "redis://cache/1"]),
    cors_origins=st.lists(words, max_size=3).map(tuple),
    egress_allow=st.none() | st.sampled_from([(), ("10.0.0.0/8", "fd00::/8")]),
    encryption_keys=st.sampled_from([KEYS, KEYS[:1]]),
    retry_schedule_seconds=st.lists(st.integers(0, 10**6), min_size=1, max_size=20).map(tuple),
    port=st.integers(1, 65_535),
    log_format=st.sampled_from(["json", "console"]),
)
def test_the_environment_for_children_gives_the_same_settings(**values: Any) -> None:
    """What the launcher decided, and nothing else, is what each child works with."""
    settings = Settings(
        database_url=REQUIRED["DATABASE_URL"],
        redis_url=REQUIRED["REDIS_URL"],
        jwt_secret_key=REQUIRED["JWT_SECRET_KEY"],
        **values,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in as_environment(settings).items():
            patch.setenv(name, value)
        assert load_settings() == settings


# Who touches the environment beside app/settings.py, and why that is no second reader of settings.
ALLOWED = {
    **dict.fromkeys(
        ("app/api/limits.py", "app/api/live.py", "app/api/short_way.py"),
        "the environ of a request is WSGI's",
    ),
    "app/launcher/__init__.py": (
        "hands its own environment on to its children, with the resolved settings on top"
    ),
}


def test_nobody_else_reads_the_environment() -> None:
    found = set()
    for folder in ("app", "tasks", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if any(_touches_environment(node) for node in ast.walk(tree)):
                found.add(path.relative_to(ROOT).as_posix())
    found |= {"beat_schedule.py"} if "environ" in (ROOT / "beat_schedule.py").read_text() else set()
    # pydantic reads it for app/settings.py, which therefore does not show here itself.
    assert found == set(ALLOWED)


def _touches_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "load_dotenv", "dotenv_values"}
    if isinstance(node, ast.Attribute):
        return node.attr in names
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return any(alias.name in names for alias in node.names)
    return isinstance(node, ast.Name) and node.id in names - {"environ"}
