"""The parts of the launcher that need no process."""

from configparser import RawConfigParser
from pathlib import Path
from signal import SIGINT

import pytest

from app.adapters.embedded import Server
from app.launcher.errors import LaunchError
from app.launcher.procfile import Procfile, Program, read
from app.launcher.resolve import wanted_servers
from app.launcher.supervisor import Endpoint, configuration
from app.settings import load_launch_settings

REPOSITORY = Path(__file__).parents[2]
POSTGRES = Server("postgres", ("/bin/postgres", "-D", "/srv/100% data"), SIGINT, "postgresql://")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("postgres", "broker", "cache")),
        ({"database_url": "postgresql://h/d"}, ("broker", "cache")),
        ({"redis_url": "redis://h"}, ("postgres",)),
        ({"cache_redis_url": ""}, ("postgres", "broker")),
        ({"cache_redis_url": "redis://h"}, ("postgres", "broker")),
        ({"redis_url": "redis://h", "cache_redis_url": "redis://h"}, ("postgres",)),
        ({"database_url": "postgresql://h/d", "redis_url": "redis://h"}, ()),
    ],
)
def test_only_what_is_needed_is_started(
    given: dict[str, str], wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env
    for name in ("DATABASE_URL", "REDIS_URL", "CACHE_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    assert wanted_servers(load_launch_settings(**given)) == wanted


def test_procfile(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text('# note\nrelease: true\n\nweb: serve "a:b()"\nbeat:tick\n')
    assert read(path) == Procfile(
        folder=tmp_path,
        release=Program("release", ("true",)),
        programs=(Program("web", ("serve", "a:b()")), Program("beat", ("tick",))),
    )


def test_a_guest_adds_programs_and_takes_none(tmp_path: Path) -> None:
    ours, guests = tmp_path / "Procfile", tmp_path / "guest" / "Procfile"
    guests.parent.mkdir()
    ours.write_text("release: true\nweb: serve\n")
    guests.write_text("feeder: feed\n")
    assert read(ours, guests) == Procfile(
        folder=tmp_path,
        release=Program("release", ("true",)),
        programs=(Program("web", ("serve",)), Program("feeder", ("feed",))),
    )
    guests.write_text("web: mine\n")
    with pytest.raises(LaunchError, match="guest/Procfile, line 1"):
        read(ours, guests)


@pytest.mark.parametrize("text", ["web serve\n", "web: a\nweb: b\n", "web:\n"])
def test_wrong_procfile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Procfile"
    path.write_text(text)
    with pytest.raises(LaunchError, match="line"):
        read(path)


def test_configuration_of_the_projects_own_procfile() -> None:
    procfile = read(REPOSITORY / "Procfile")
    text = configuration([POSTGRES], procfile, Path("/srv/100% data"), Endpoint(1, "secret"))
    parsed = RawConfigParser()
    parsed.read_string(text)

    # % is doubled, since the supervisor expands what it reads.
    assert parsed["program:postgres"]["stdout_logfile"] == "/srv/100%% data/logs/postgres.log"
    assert "'/srv/100%% data'" in parsed["program:postgres"]["command"]
    waits = {
        title.partition(":")[2]: int(section["stopwaitsecs"])
        for title, section in parsed.items()
        if title.startswith("program:")
    }
    assert waits["deliver_1"] == waits["deliver_2"] == 10
    assert waits["web"] == 8
    assert waits["postgres"] == 6
    # A stop takes at most the longest program's time and then the longest server's.
    assert max(waits.values()) + waits["postgres"] < 20
    assert int(parsed["group:servers"]["priority"]) < int(parsed["group:tocsin"]["priority"])


@pytest.mark.parametrize("folder", ["/srv/a ;b", "/srv/a #b", "/srv/a\nb"])
def test_a_path_that_the_supervisor_would_cut_is_refused(folder: str) -> None:
    procfile = Procfile(Path("/srv"), None, (Program("web", ("serve",)),))
    with pytest.raises(LaunchError, match="can't take this"):
        configuration([], procfile, Path(folder), Endpoint(1, "secret"))


def test_a_program_may_not_be_called_like_a_server() -> None:
    procfile = Procfile(Path("/srv"), None, (Program("postgres", ("serve",)),))
    with pytest.raises(LaunchError, match="embedded server"):
        configuration([POSTGRES], procfile, Path("/srv"), Endpoint(1, "secret"))
