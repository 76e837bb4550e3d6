"""Half-open, hanging and slow connections between our processes and PostgreSQL."""

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import make_url

from app.deps import Deps
from app.settings import Settings
from tests.faults.lanes import running_web, running_worker
from tests.faults.proxy import Mode, Proxy
from tests.harness.receiver import Receiver
from tests.harness.waiting import eventually
from tests.services.world import World

# The longest is for one who takes everything and answers nothing.
BACK_WITHIN_SECONDS = 40.0
WORKERS = {1: Mode.RESET, 2: Mode.FROZEN, 3: Mode.BLACKHOLE, 4: Mode.SLOW}


def proxy_of(url: str) -> Proxy:
    parsed = make_url(url)
    host = str(parsed.query.get("host", parsed.host))
    port = parsed.port or 5432
    return Proxy(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))


def through(proxy: Proxy, url: str) -> str:
    parsed = make_url(url).set(host="127.0.0.1", port=proxy.port, query={})
    return parsed.render_as_string(hide_password=False)


def test_nobody_waits_for_ever_for_a_server_that_went_silent(
    world: World, deps: Deps, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    """What is open goes bad, and new connections are good: as after a fail-over."""
    url = settings.database_url
    webhook = world.webhook(url=receiver.url("/hook"))
    with ExitStack() as stack:
        proxies = {number: stack.enter_context(proxy_of(url)) for number in WORKERS}
        workers = []
        for number, proxy in proxies.items():
            bent = {"DATABASE_URL": through(proxy, url)}
            workers.append(stack.enter_context(running_worker(settings, tmp_path, number, bent)))
        webs_link = stack.enter_context(proxy_of(url))
        web = running_web(settings, deps, tmp_path, {"DATABASE_URL": through(webs_link, url)})
        client = stack.enter_context(web)
        eventually(lambda: len(seen(world)) == len(WORKERS), BACK_WITHIN_SECONDS, "the workers")

        for number, mode in WORKERS.items():
            proxies[number].turn_open(mode)
        webs_link.turn_open(Mode.FROZEN)
        since = world.one("SELECT extract(epoch FROM now())::float8")
        # It gives the connection up that it had, and dials anew, within one request.
        alert = client.raise_alert(webhook_ids=[webhook])

        eventually(
            lambda: all(at > since for at in seen(world).values()),
            BACK_WITHIN_SECONDS,
            "a sign of life of every worker",
        )
        eventually(lambda: world.told(alert["id"])[0][2] == "delivered", what="the delivery")
        # How they end over such links is not what this is about.
        for worker in workers:
            worker.kill()
    # Whose links fall silent may lose a lease in the middle: then it comes twice, recognisably.
    assert len({message.id for message in receiver.messages("/hook")}) == 1


def seen(world: World) -> dict[str, float]:
    """When each worker was last seen, by PostgreSQL's clock."""
    return dict(world.sql("SELECT name, extract(epoch FROM seen_at)::float8 FROM pggit.workers"))
