"""Webhooks, rules, silences and schedules: what `sample.yaml` says, by `tocsin import`."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

from app.cli.client import Api
from demo.ports import receiver_url
from demo.secrets import Secrets

SAMPLE = Path(__file__).parents[1] / "sample.yaml"
SILENT_FOR = timedelta(hours=8)
IMPORT_WITHIN_SECONDS = 120


class ImportFailed(Exception):
    """`tocsin import` did not do it; its own words."""


def furnish(api: Api, key: str, secrets: Secrets) -> None:
    """Makes Tocsin what the sample says; twice changes nothing but the end of the silence.

    The secrets of its webhooks are kept; of one whose secret was lost, a new one is made. Raises
    ImportFailed, Failure.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "import", "-", "--yes", "--json"],
        input=sample(datetime.now(UTC)),
        env={**os.environ, "TOCSIN_URL": api.url, "TOCSIN_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=IMPORT_WITHIN_SECONDS,
        check=False,
    )
    # What was made before it failed was made, and its secrets are shown this once.
    made = json.loads(ended.stdout)["secrets"] if ended.stdout.strip() else {}
    for name, secret in made.items():
        secrets.keep("webhooks", name, secret)
    if ended.returncode != 0:
        raise ImportFailed(ended.stderr.strip())
    for one in list(api.items("/webhooks")):
        if secrets.webhook(one["name"]) is None and one["url"].startswith(receiver_url()):
            answer = api.post(f"/webhooks/{one['id']}/rotate-secret")
            secrets.keep("webhooks", one["name"], answer["secret"])


def sample(now: datetime) -> str:
    """The file, with what depends on the place and the hour filled in."""
    ends_at = (now + SILENT_FOR).isoformat(timespec="minutes")
    return Template(SAMPLE.read_text(encoding="utf-8")).substitute(
        receiver=receiver_url(), in_eight_hours=json.dumps(ends_at)
    )
