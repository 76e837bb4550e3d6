"""Roles: every operation of the OpenAPI document, tried by everybody who may not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.acceptance.checks import refused, signed_in
from tests.harness.client import CALLED, Client

ROLES = ["viewer", "operator", "admin"]
METHODS = ("get", "post", "put", "patch", "delete")
PUBLIC = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/deep",
    "POST /api/v1/auth/login",
}
# The contract: a viewer reads, an operator acknowledges and sends, an admin changes. Users and
# keys are for admins, even to look at; whoever is signed in minds his own tokens.
ADMINS_ONLY = re.compile(r"/api/v1/(users|api-keys|audit)\b")
OWN_TOKENS = re.compile(r"/api/v1/auth/")
SENDING = re.compile(
    r"POST /api/v1/(alerts\b.*|deliveries/.*|jobs/.*/run|webhooks/{webhook_id}/(check|test))"
    r"|POST /api/v1/(metrics|integrations/alertmanager|cache/(warm|invalidate))"
    r"|(PUT|DELETE) /api/v1/traffic/pause|POST /api/v1/webhooks/{webhook_id}/traffic/open"
    # As running a job; going back loses nothing.
    r"|POST /api/v1/baselines/(recalculate|rollback)"
    # Muting for a time is like acknowledging: who is on call must be able to.
    r"|(POST|PUT|PATCH|DELETE) /api/v1/silences\b.*"
)
# They ask, in a body, and change nothing.
ASKING = {"POST /api/v1/routing/test", "POST /api/v1/webhooks/{webhook_id}/preview"}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    role: str | None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def nowhere(self) -> str:
        """Its path, with ids of things that don't exist."""
        return re.sub(r"{\w+}", str(10**18 - 1), self.path)


@pytest.fixture(autouse=True)
def calls_that_cover_nothing() -> Iterator[None]:
    """Who is turned away at the door has not tried the operation behind it."""
    before = set(CALLED)
    yield
    CALLED.intersection_update(before)


@pytest.fixture
def operations(admin: Client) -> list[Operation]:
    document = admin.get("/api/openapi.json").json()
    found = [
        Operation(method.upper(), path, item[method].get("x-role"))
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    assert len(found) > 40
    return found


def expected_role(operation: Operation) -> str | None:
    if operation.name in PUBLIC:
        return None
    if OWN_TOKENS.match(operation.path):
        return "viewer"
    if ADMINS_ONLY.match(operation.path):
        return "admin"
    if operation.method == "GET" or operation.name in ASKING:
        return "viewer"
    return "operator" if SENDING.fullmatch(operation.name) else "admin"


def test_each_operation_asks_for_the_role_of_the_contract(operations: list[Operation]) -> None:
    asked = {one.name: one.role for one in operations}
    assert asked == {one.name: expected_role(one) for one in operations}


def test_nobody_gets_in_without_a_token(admin: Client, operations: list[Operation]) -> None:
    nobody = admin.as_nobody()
    for one in operations:
        if one.role is None:
            assert nobody.request(one.method, one.nowhere).status_code != 401, one.name
        else:
            answer = nobody.request(one.method, one.nowhere)
            assert answer.status_code == 401, one.name
            refused(answer, 401)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_role_that_is_too_low_is_refused_before_anything_else(
    admin: Client, operations: list[Operation], role: str
) -> None:
    """403 comes before 404, 415 and 422: who may not, learns nothing of what is there."""
    person = signed_in(admin, role)
    tried = 0
    for one in operations:
        if one.role is None or ROLES.index(one.role) <= ROLES.index(role):
            continue
        answer = person.request(one.method, one.nowhere, data=b"no JSON")
        assert answer.status_code == 403, one.name
        error = refused(answer, 403)
        assert one.role in error["detail"], one.name
        tried += 1
    assert tried > {"viewer": 15, "operator": 8}[role]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_enough_gets_to_the_operation(
    admin: Client, operations: list[Operation], role: str
) -> None:
    """With nothing to find and nothing to read there it ends, but not at the door."""
    person = admin if role == "admin" else signed_in(admin, role)
    for one in operations:
        if one.role is None or ROLES.index(one.role) > ROLES.index(role):
            continue
        if OWN_TOKENS.match(one.path):  # signing out would be the end of this test
            continue
        answer = person.request(one.method, one.nowhere, json=[])
        assert answer.status_code not in {401, 403}, one.name
        assert answer.status_code < 500, one.name
