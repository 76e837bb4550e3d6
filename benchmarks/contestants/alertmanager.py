"""Prometheus Alertmanager from Debian: takes alerts in, and notifies while it does.

Its alerts live in memory; what it has notified of it writes down now and then. So it is given
as little to do as can be configured: each alert is a group of its own that does not wait
(`group_by: ['...']`, `group_wait: 0s`), nothing is repeated or told of its end, no cluster. It
signs nothing. One receiver for each webhook, chosen by a label, as Tocsin is told by id.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from app.adapters.embedded import free_port
from benchmarks.alerts import draft
from benchmarks.contestants import Ready, hand_in
from benchmarks.processes import running, wait_for
from benchmarks.receiver import LOOPBACK, Receiver
from benchmarks.tocsin import BATCH, WARM_UP

START_WITHIN_SECONDS = 60.0
ANSWER_WITHIN_SECONDS = 30


class Alertmanager:
    name = "alertmanager"
    title = "Alertmanager (Debian), in memory, unsigned"

    def __init__(
        self, program: Sequence[str], receiver: Receiver, count: int, webhooks: int, folder: Path
    ) -> None:
        self.count = count
        self._program = program
        self._receiver = receiver
        self._webhooks = webhooks
        self._folder = folder

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        port = free_port()
        warm_up = f"{run}-warm-up"
        folder = Path(tempfile.mkdtemp(prefix="alertmanager-", dir=self._folder))
        hooks = [f"hook-{number}" for number in range(self._webhooks)]
        config = folder / "alertmanager.json"
        config.write_text(json.dumps(self._config(run, warm_up, hooks)))
        command = [
            *self._program,
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            "--cluster.listen-address=",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--log.level=warn",
        ]
        # Made before the gun, as Tocsin's drafts are.
        batches = [
            _alerts(run, range(begin, min(begin + BATCH, self.count)), hooks)
            for begin in range(0, self.count, BATCH)
        ]
        accepted = dict.fromkeys(_alert_id(run, number) for number in range(self.count))
        with requests.Session() as api, running([command], {}, folder / "log") as pids:
            api.trust_env = False
            address = f"http://{LOOPBACK}:{port}"
            wait_for(lambda: _is_ready(api, address), START_WITHIN_SECONDS, "Alertmanager")
            _post(api, address, [_alerts(warm_up, range(WARM_UP), ["warm-up"])])
            wait_for(
                lambda: self._receiver.count(warm_up) == WARM_UP,
                START_WITHIN_SECONDS,
                "Alertmanager's warm-up",
            )
            yield Ready(
                pids,
                release=lambda: _post(api, address, batches),
                accepted=lambda: accepted,
                is_settled=lambda: True,
            )
        shutil.rmtree(folder)

    def _config(self, run: str, warm_up: str, hooks: Sequence[str]) -> dict[str, object]:
        """JSON, which is YAML too."""
        urls = {name: self._receiver.url(run, number) for number, name in enumerate(hooks)}
        urls["warm-up"] = self._receiver.url(warm_up, 0)
        return {
            "route": {
                "receiver": "warm-up",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1h",
                "repeat_interval": "24h",
                "routes": [{"receiver": name, "matchers": [f'hook="{name}"']} for name in hooks],
            },
            "receivers": [
                {"name": name, "webhook_configs": [{"url": url, "send_resolved": False}]}
                for name, url in urls.items()
            ],
        }


def _alerts(run: str, numbers: range, hooks: Sequence[str]) -> bytes:
    """The body of a POST: what Tocsin's drafts say, as labels and annotations."""
    return json.dumps(
        [
            {
                "labels": {
                    **said.labels,
                    "alertname": "DiskAlmostFull",
                    "alert_id": _alert_id(run, number),
                    "hook": hooks[number % len(hooks)],
                    "severity": said.severity,
                    "source": said.source,
                },
                "annotations": {"title": said.title, "message": said.message},
            }
            for number in numbers
            for said in [draft(number, 1)]
        ]
    ).encode()


def _alert_id(run: str, number: int) -> str:
    return f"{run}-{number:06}"


def _is_ready(api: requests.Session, address: str) -> bool:
    try:
        return api.get(f"{address}/-/ready", timeout=ANSWER_WITHIN_SECONDS).ok
    except requests.ConnectionError:
        return False


def _post(api: requests.Session, address: str, batches: list[bytes]) -> float:
    def post(batch: bytes) -> None:
        api.post(
            f"{address}/api/v2/alerts",
            data=batch,
            headers={"content-type": "application/json"},
            timeout=ANSWER_WITHIN_SECONDS,
        ).raise_for_status()

    began_at = time.monotonic()
    hand_in(post, batches)
    return began_at
