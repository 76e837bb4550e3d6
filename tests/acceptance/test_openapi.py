"""The OpenAPI document: valid, complete, and every operation of it called by this suite."""

import re

import pytest
from openapi_spec_validator import validate

from tests.harness.client import CALLED, Client

METHODS = {"get", "post", "put", "patch", "delete"}


def test_it_is_valid_openapi_3_1_without_signing_in(client: Client) -> None:
    answer = client.as_nobody().get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")
    validate(answer.json())


def test_every_operation_says_what_it_does_and_who_may(client: Client) -> None:
    document = client.get("/api/openapi.json").json()
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            operation = item[method]
            assert operation.get("summary"), (method, path)
            public = path.startswith("/health") or path == "/api/v1/auth/login"
            assert ("security" in operation) is not public, (method, path)
            if "requestBody" in operation:
                assert "422" in operation["responses"], (method, path)


@pytest.mark.last
def test_every_operation_was_called_by_this_suite(
    client: Client, request: pytest.FixtureRequest
) -> None:
    if len({item.path for item in request.session.items if "acceptance" in item.path.parts}) < 8:
        pytest.skip("only a part of the acceptance tests was asked for")
    document = client.get("/api/openapi.json").json()
    never = [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in sorted(METHODS & set(item))
        if not _was_called(method.upper(), path)
    ]
    assert not never, f"no test called {never}"


def _was_called(method: str, template: str) -> bool:
    pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", template))
    return any(called == method and pattern.fullmatch(path) for called, path in CALLED)
