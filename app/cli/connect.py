"""Which server a command speaks to, and as whom.

With `--url` it is that one, and a token is needed. Without, it is the Tocsin of this machine: the
launcher leaves its resolved settings in `DATA_DIR/run/settings.env` (mode 0600) while it runs, and
whoever may read them may do everything anyway. So a command signs itself a token for the first
admin with them, that lasts for two minutes.
"""

import shlex
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from app.cli.client import Api
from app.cli.exits import Exit, Failure
from app.settings import (
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    LaunchSettings,
    Settings,
    load_launch_settings,
    load_settings,
)

LOCAL_TOKEN_SECONDS = 120
RENEW_BEFORE_SECONDS = 30
CHECKOUT = Path(__file__).parents[2]

_FIRST_ADMIN = (
    "SELECT id FROM pggit.users WHERE role = 'admin' AND is_active"
    " ORDER BY (username = %s) DESC, id LIMIT 1"
)


def connect(
    url: str | None, token: str | None, *, timeout_seconds: float, patient: bool = True
) -> Api:
    """Raises Failure where nothing says which server, or who asks."""
    if url is None:
        settings = resolved_settings()
        ask = _constant(token) if token else local_token(settings)
        return Api(settings.local_url, ask, timeout_seconds=timeout_seconds, patient=patient)
    if not token:
        raise Failure(
            Exit.USAGE,
            "A server given by --url or TOCSIN_URL needs a token: --token, TOCSIN_TOKEN or"
            " TOCSIN_API_KEY. `tocsin token` makes one on its machine.",
        )
    return Api(url, _constant(token), timeout_seconds=timeout_seconds, patient=patient)


def _constant(token: str) -> Callable[[], str]:
    return lambda: token


def resolved_settings() -> Settings:
    """Of what runs on DATA_DIR; else of the environment, for servers of one's own. A DATABASE_URL
    in the environment that is not that of what runs wins: nobody migrates another by mistake.

    Raises Failure where neither is there, SettingsError where a given one is wrong.
    """
    launch = load_launch_settings()
    running = _running(launch)
    if running is not None and launch.database_url in {None, running.database_url}:
        return running
    if launch.database_url is None:
        raise Failure(
            Exit.NO_ANSWER,
            f"Nothing runs on {launch.data_dir}. Start it with `make run`, set DATA_DIR to where it"
            " runs, or say which server to ask: --url and --token.",
        )
    return load_settings()


def _running(launch: LaunchSettings) -> Settings | None:
    """What the launcher that runs on DATA_DIR has left. Where DATA_DIR is not set, the checkout is
    looked at as well as the working folder, so that commands work from anywhere.
    """
    folders = [launch.data_dir]
    if "data_dir" not in launch.model_fields_set:
        folders.append(CHECKOUT / launch.data_dir)
    for folder in folders:
        path = folder / "run" / "settings.env"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except PermissionError:
            if launch.database_url is not None:
                continue  # somebody else's, and the environment says which is ours
            raise Failure(
                Exit.NOT_ALLOWED,
                f"{path} is not yours to read. Be the user who runs Tocsin, or give --url and"
                " --token.",
            ) from None
        values = dict(part.partition("=")[::2] for part in shlex.split(text))
        return load_settings(**{name.lower(): value for name, value in values.items()})
    return None


def local_token(settings: Settings) -> Callable[[], str]:
    """Asked for a token it gives the last one, or signs a new one when that is nearly over."""
    kept: tuple[str, float] | None = None

    def ask() -> str:
        nonlocal kept
        if kept is None or kept[1] < time.monotonic():
            token = sign_token(settings, LOCAL_TOKEN_SECONDS)
            kept = token, time.monotonic() + LOCAL_TOKEN_SECONDS - RENEW_BEFORE_SECONDS
        return kept[0]

    return ask


def sign_token(settings: Settings, seconds: int) -> str:
    """An access token for the first admin, as a login gives it. Raises Failure.

    Straight to the database: what the services bring along takes two seconds to import.
    """
    import jwt
    import psycopg

    url = settings.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            row = connection.execute(_FIRST_ADMIN, [settings.admin_username.lower()]).fetchone()
    except psycopg.OperationalError as error:
        raise Failure(Exit.NO_ANSWER, f"The database does not answer: {error}") from None
    except psycopg.errors.UndefinedTable:
        raise Failure(Exit.FAILED, "The database is empty: `tocsin migrate` first.") from None
    if row is None:
        raise Failure(Exit.NOT_ALLOWED, "There is no active admin: `tocsin migrate` makes one.")
    now = int(time.time())
    claims = {
        "sub": str(row[0]),
        "type": "access",
        "fresh": False,
        "role": "admin",
        "jti": str(uuid.uuid4()),
        "sid": uuid.uuid4().hex,
        "iss": TOKEN_ISSUER,
        "aud": TOKEN_AUDIENCE,
        "iat": now,
        "nbf": now,
        "exp": now + seconds,
    }
    return jwt.encode(claims, settings.jwt_secret_key, algorithm="HS256")
