"""How an embedded server runs: which binary, as whom, on which port, and what ends it."""

import functools
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the range that Linux (32768 and up) and macOS (49152 and up) hand out to outgoing
# connections: a client that reconnects while its server is down can't be given that port.
PORTS = range(20_000, 32_000)

# PostgreSQL refuses to run as root. This account exists everywhere and owns nothing.
UNPRIVILEGED = "nobody"


class EmbeddedError(Exception):
    """The embedded servers can't run here. The text tells the operator what to do."""


@dataclass(frozen=True)
class Account:
    """The account that the servers run under when we are root."""

    uid: int
    gid: int

    def may_enter(self, folder: Path) -> bool:
        """Whether the mode of this folder lets the account pass through it."""
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


@dataclass(frozen=True)
class Server:
    """An embedded server, ready to be started by whoever supervises it."""

    name: str
    argv: tuple[str, ...]
    stop_signal: signal.Signals
    url: str


def package_file(package: str, *parts: str) -> Path:
    """A file that a package carries, found without running any of the package's code."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    raise EmbeddedError(
        f"The package {package} has no {'/'.join(parts)} on this machine. Install the packages of "
        "requirements.lock anew, or give DATABASE_URL and REDIS_URL to use servers of your own."
    )


def server_account() -> Account | None:
    """Whom the servers run as; None means as who we are. Raises EmbeddedError as root without
    another account at hand."""
    if os.geteuid() != 0:
        return None
    advice = "Run as an ordinary user, or give DATABASE_URL and REDIS_URL."
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL can't run as root, and there is no account {UNPRIVILEGED!r}. {advice}"
        ) from None
    if not follows_parent():
        raise EmbeddedError(
            f"PostgreSQL can't run as root, and there is no setpriv (of util-linux) to change "
            f"to {UNPRIVILEGED!r}. {advice}"
        )
    return Account(entry.pw_uid, entry.pw_gid)


def require_reachable(path: Path, account: Account | None) -> None:
    """Raises EmbeddedError when a folder above `path` is closed to the account."""
    if account is None:
        return
    for folder in reversed(path.resolve().parents):
        if not account.may_enter(folder):
            raise EmbeddedError(
                f"As root, the embedded servers run under the account {UNPRIVILEGED!r}, and that "
                f"one can't enter {folder} to reach {path}. Run as an ordinary user; or move it "
                "to where every user may pass (such as /srv; DATA_DIR says where data is kept); "
                "or give DATABASE_URL and REDIS_URL."
            )


def require_runnable(binary: Path, account: Account | None) -> str:
    """Runs the binary once, as the account: a closed folder, another processor or a missing
    library show here. Answers what it says of its version. Raises EmbeddedError."""
    require_reachable(binary, account)
    command = dependent([str(binary), "--version"], account)
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        fault = str(error)
    else:
        fault = result.stderr.strip()
        if result.returncode == 0:
            return result.stdout.strip()
    raise EmbeddedError(
        f"{binary} does not run on this machine: {fault}. Give DATABASE_URL and REDIS_URL to use "
        "servers of your own."
    )


@functools.cache
def follows_parent() -> bool:
    """Whether this machine's setpriv can end a process together with its parent.

    Tried, not looked up: the setpriv of busybox knows no --pdeathsig.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return False
    trial = [setpriv, "--pdeathsig", "TERM", "--", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def dependent(
    argv: Sequence[str],
    account: Account | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> list[str]:
    """The command that runs `argv` under `account` and gets a signal when its parent is gone.

    A parent killed by -9 so leaves no child. Both go in one call of setpriv: a change of the
    uid clears the parent-death signal, and setpriv sets it last.
    """
    options: list[str] = []
    if account is not None:
        options += ["--reuid", str(account.uid), "--regid", str(account.gid), "--clear-groups"]
    if follows_parent():
        name = on_parent_death.name.removeprefix("SIG")
        return ["setpriv", *options, "--pdeathsig", name, "--", *argv]
    return list(argv)


def make_private(folder: Path, account: Account | None = None) -> None:
    """A folder that only its owner can read: the account, else we."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Writes a file of mode 0600, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


def free_port() -> int:
    """A loopback port on which nobody listens now."""
    for port in random.sample(PORTS, k=200):
        with socket.socket() as probe:
            # As the servers do it: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise EmbeddedError(f"No free port on {LOOPBACK} between {PORTS.start} and {PORTS.stop}.")
