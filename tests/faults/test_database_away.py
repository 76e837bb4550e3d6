"""While PostgreSQL is away, readers get what the cache has, marked; nobody gets anything else."""

from collections.abc import Mapping
from pathlib import Path

from app.deps import Deps
from app.settings import Settings
from tests.faults.lanes import running_web
from tests.faults.proxy import Mode
from tests.faults.test_postgres_links import proxy_of, through
from tests.harness.waiting import eventually
from tests.services.world import World

ALERTS = "/api/v1/alerts?limit=5"
PLAIN = {"Cache-Control": ""}


def test_readers_get_what_the_cache_has(
    world: World, deps: Deps, settings: Settings, tmp_path: Path
) -> None:
    world.alert()
    with proxy_of(settings.database_url) as link:
        bent = {"DATABASE_URL": through(link, settings.database_url), "CACHE_TTL_SECONDS": "1"}
        with running_web(settings, deps, tmp_path, bent) as client:
            known = client.get(ALERTS, headers=PLAIN)
            link.turn(Mode.RESET)

            def stale() -> Mapping[str, str] | None:
                answer = client.get(ALERTS, headers=PLAIN)
                assert (answer.status_code, answer.content) == (200, known.content)
                is_old = "warning" in answer.headers and int(answer.headers["age"]) >= 1
                return answer.headers if is_old else None

            headers = eventually(stale, what="an answer that says that it is stale")
            assert headers is not None
            assert headers["warning"].startswith("110 ")
            assert headers["etag"] == known.headers["etag"]
            for path in ("/api/v1/webhooks", "/api/v1/alerts?limit=6", "/api/v1/users"):
                answer = client.get(path, headers=PLAIN)
                assert answer.status_code == 503, path
                assert int(answer.headers["retry-after"]) > 0
            assert client.token is not None
            stranger = client.with_token(client.token[:-4])
            assert stranger.get(ALERTS, headers=PLAIN).status_code == 401

            link.turn(Mode.PASS)
            world.alert()

            def is_back() -> bool:
                answer = client.get(ALERTS, headers=PLAIN)
                return answer.json()["total"] == 2 and "warning" not in answer.headers

            eventually(is_back, what="an answer of the database")
