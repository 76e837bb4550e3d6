"""What checks need to know of webhooks, kept while they stay as they are."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.arrays import number_array
from app.adapters.cipher import Cipher
from app.adapters.http_messages import Request
from app.domain.flapping import FlapPolicy, flap_policy
from app.domain.health import CheckPolicy
from app.services.messages import USER_AGENT

# The ones read longest ago are forgotten.
MAX_PLANS = 32_768


class Plan(NamedTuple):
    """How a webhook is checked, and by what it is judged."""

    name: str
    interval_seconds: int
    request: Request
    policy: CheckPolicy
    flap_policy: FlapPolicy
    min_certificate_days: int | None
    depends_on: tuple[int, ...]


_READ = text(
    """
    SELECT id, updated_at, name, url, headers_encrypted, timeout_seconds,
        health_check_interval_seconds, check_method, check_expected_status, check_max_latency_ms,
        check_failure_threshold, check_recovery_threshold, check_body_includes,
        check_body_excludes, check_headers, check_min_certificate_days, check_flap_changes,
        check_flap_window_seconds, depends_on
    FROM pggit.webhooks WHERE id = ANY(CAST(:ids AS bigint[]))
    """
)


class Plans:
    """For one thread."""

    def __init__(self, cipher: Cipher, default_timeout_seconds: int) -> None:
        self._cipher = cipher
        self._default_timeout = default_timeout_seconds
        self._known: dict[int, tuple[datetime, Plan]] = {}

    @property
    def default_timeout_seconds(self) -> int:
        return self._default_timeout

    def of(self, session: Session, versions: Mapping[int, datetime]) -> Mapping[int, Plan]:
        """The plans of these webhooks, each of this version (its `updated_at`) or a later one."""
        known = self._known
        found = {
            webhook_id: kept[1]
            for webhook_id, version in versions.items()
            if (kept := known.get(webhook_id)) is not None and kept[0] == version
        }
        missing = versions.keys() - found.keys()
        if missing:
            for row in session.execute(_READ, {"ids": number_array(sorted(missing))}).all():
                found[row.id] = plan = self._plan_of(row)
                known.pop(row.id, None)
                known[row.id] = (row.updated_at, plan)
            while len(known) > MAX_PLANS:
                del known[next(iter(known))]
        return found

    def _plan_of(self, row: Any) -> Plan:
        headers = tuple((name.lower(), value) for name, value in row.check_headers.items())
        return Plan(
            row.name,
            row.health_check_interval_seconds,
            Request(
                method=row.check_method,
                url=row.url,
                headers=(("user-agent", USER_AGENT), *self._headers(row.headers_encrypted)),
                body=None,
                timeout_seconds=float(row.timeout_seconds or self._default_timeout),
                fresh_connection=True,
                want_certificate=True,
                want_headers=tuple(name for name, _ in headers),
            ),
            CheckPolicy(
                tuple(row.check_expected_status) if row.check_expected_status else None,
                row.check_max_latency_ms,
                row.check_failure_threshold,
                row.check_recovery_threshold,
                row.check_body_includes,
                row.check_body_excludes,
                headers,
            ),
            flap_policy(
                row.check_flap_changes,
                row.check_flap_window_seconds,
                row.health_check_interval_seconds,
            ),
            row.check_min_certificate_days,
            tuple(row.depends_on),
        )

    def _headers(self, encrypted: bytes | None) -> tuple[tuple[str, str], ...]:
        if encrypted is None:
            return ()
        headers: dict[str, str] = json.loads(self._cipher.decrypt(encrypted))
        return tuple(headers.items())
