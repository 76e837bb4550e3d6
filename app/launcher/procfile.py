"""The Procfile: one `name: command` a line; `release` is what runs once before the others."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from app.launcher.errors import LaunchError

LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+)\s*:\s*(?P<command>\S.*)")
RELEASE = "release"


@dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Procfile:
    """`folder` is where the commands run."""

    folder: Path
    release: Program | None
    programs: tuple[Program, ...]


def read(path: Path, *others: Path) -> Procfile:
    """`others` add their programs, which run in the folder of `path` as well.

    Raises LaunchError for a line that is none, or a name that is there twice.
    """
    found: dict[str, Program] = {}
    for file in (path, *others):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = LINE.fullmatch(line.strip())
            if match is None or match["name"] in found:
                raise LaunchError(
                    f"{file}, line {number}: no `name: command`, or a name used twice."
                )
            found[match["name"]] = Program(match["name"], tuple(shlex.split(match["command"])))
    release = found.pop(RELEASE, None)
    return Procfile(path.resolve().parent, release, tuple(found.values()))
