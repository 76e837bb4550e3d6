"""The OpenAPI document, made from the routes, their schemas and the access table."""

import json
import re
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson
from cachebox import LRUCache
from flask import Flask, Request, request
from flask_smorest import Api
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.routing import IntegerConverter

from app.api.access import ACCESS
from app.api.schemas.operations import ErrorSchema
from app.errors import Malformed
from app.version import VERSION

MAX_ID = 10**18 - 1
MAX_NESTING = 100
# Query strings that are known already, and how long one may be.
QUERIES_KEPT = 2048
MAX_QUERY_KEPT = 512


class IdConverter(IntegerConverter):
    """An id in a path: a whole number that a bigint can hold. Anything else is a 404."""

    # All by the pattern: of a number that a converter refuses only afterwards, Werkzeug says 405
    # when the path has another method too.
    regex = r"[1-9][0-9]{0,17}"


class VersionConverter(IntegerConverter):
    """A version in a path: as an id, but they begin at 0."""

    regex = r"0|[1-9][0-9]{0,17}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class StrictParser(FlaskParser):
    """JSON by the letter: the right content type, valid UTF-8, no NaN, no endless nesting.

    What nobody knows is refused in a query too: a filter with a typing mistake would list all. So
    is what is given twice and can be one thing only: which of the two was meant?
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._queries: LRUCache[Any, dict[str, Any]] = LRUCache(QUERIES_KEPT)

    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": RAISE}

    def parse(
        self,
        argmap: Any,
        req: Request | None = None,
        *,
        location: str | None = None,
        **options: Any,
    ) -> Any:
        """What a query string says stays the same, so it is read once."""
        if location != "query":
            return super().parse(argmap, req, location=location, **options)
        asked = request.query_string
        key = (argmap, options.get("unknown"), asked)
        known: dict[str, Any] | None = self._queries.get(key)
        if known is None:
            known = super().parse(argmap, req, location=location, **options)
            # Not one with a token in it: that is nobody's to keep.
            if len(asked) <= MAX_QUERY_KEPT and "token" not in request.args:
                self._queries.insert(key, known)
        return dict(known)

    def load_querystring(self, req: Request, schema: Any) -> Any:
        known = MultiDict(req.args)
        known.pop("token", None)  # that one says who asks, and app.api.access has read it
        proxy = self._makeproxy(known, schema)
        twice = {
            name: ["Given more than once."]
            for name, values in known.lists()
            if len(values) > 1 and name not in proxy.multiple_keys
        }
        if twice:
            raise ValidationError(twice)
        return proxy

    def load_json(self, req: Request, schema: Any) -> Any:
        raw = _read(req)
        return _parse(raw) if raw else {}

    def handle_error(self, error: Any, *arguments: Any, **named: Any) -> NoReturn:
        super().handle_error(error, *arguments, **named)
        raise BadRequest  # the parent always raises


def read_query(asked: str, schema: Schema) -> dict[str, Any] | None:
    """What a query string says, as its view would be told by the parser above; None where that one
    has to decide. Of a schema whose fields are one value each."""
    try:
        pairs = parse_qsl(asked, keep_blank_values=True, errors="strict")
        given = dict(pairs)
        if len(given) < len(pairs):
            return None
        found: dict[str, Any] = schema.load(given, unknown=RAISE)
    except (ValidationError, ValueError):
        return None
    return found


def read_bulk_json(req: Request) -> Any:
    """A large body, by the fast parser. What that one refuses, the strict one decides."""
    raw = _read(req)
    try:
        return orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        return _parse(raw)


def _read(req: Request) -> bytes:
    raw = req.get_data()
    # Of a chunked body, Werkzeug silently reads no more than the limit.
    if req.content_length is None and len(raw) == req.max_content_length:
        raise RequestEntityTooLarge
    if raw and not req.is_json:
        raise UnsupportedMediaType("The body must be application/json.")
    return raw


def _parse(raw: bytes) -> Any:
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {_in_words(error)}") from None
    _check_nesting(body)
    return body


def _in_words(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def _check_nesting(body: Any) -> None:
    """A limit far from the interpreter's, which is reached sooner deeper in the stack."""
    level = [body] if isinstance(body, (dict, list)) else []
    for _depth in range(MAX_NESTING):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise Malformed(f"The body is nested too deeply: {MAX_NESTING} levels are enough.")


class Blueprint(SmorestBlueprint):
    """A resource's routes."""

    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Any, **options: Any) -> Any:
        """As flask-smorest's. A class would be made an instance of at each request, which takes
        as long as to read one."""
        made = schema() if isinstance(schema, type) else schema
        return super().arguments(made, **options)


class DocumentedApi(Api):
    """The document, with the one error shape; errors themselves are app.api.errors' business."""

    ERROR_SCHEMA = ErrorSchema

    def _register_error_handlers(self) -> None:
        pass


def make_api(app: Flask) -> DocumentedApi:
    app.url_map.converters["id"] = IdConverter
    app.url_map.converters["version"] = VersionConverter
    app.config.update(
        API_TITLE="Tocsin",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {
                "description": "Watches webhooks and gets every alert through. What changes is"
                " told live by a WebSocket, `/api/v1/ws/dashboard?ticket=…`."
            },
            "components": {
                "securitySchemes": {
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "An access token, or an API key.",
                    },
                    "query": {"type": "apiKey", "in": "query", "name": "token"},
                }
            },
            "servers": [{"url": "/"}],
        },
    )
    api = DocumentedApi(app)
    api.register_converter(
        IdConverter,
        lambda _converter: {"type": "integer", "minimum": 1, "maximum": MAX_ID},
    )
    api.register_converter(
        VersionConverter,
        lambda _converter: {"type": "integer", "minimum": 0, "maximum": MAX_ID},
    )
    return api


def complete_document(app: Flask, api: DocumentedApi) -> None:
    """Add to every operation what follows from the routes: security, role, and errors."""
    if "Error" not in api.spec.components.schemas:
        api.spec.components.schema("Error", schema=ErrorSchema)
    endpoints = {
        (openapi_path(rule.rule), method.lower()): rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    error = {"$ref": "#/components/schemas/Error"}
    for path, item in api.spec._paths.items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            role = ACCESS[endpoints[path, method]]
            responses = operation.setdefault("responses", {})
            responses.pop("default", None)
            codes = {"503": "The database is away; Retry-After says when to come back"}
            if not path.startswith("/health"):
                codes["429"] = "Over the rate limit; Retry-After says when to come back"
            if "{" in path:
                codes["404"] = "There is no such thing"
            if operation.get("requestBody"):
                codes |= {
                    "400": "The body can't be read",
                    "413": "The body is too large",
                    "415": "The body is not application/json",
                    "422": "Some fields are not valid; `errors` says which",
                }
            elif operation.get("parameters"):
                codes["422"] = "Some fields are not valid; `errors` says which"
            if role is not None:
                codes |= {"401": "No good token", "403": f"This needs the role {role}"}
                operation["security"] = [{"bearer": []}, {"query": []}]
                operation["x-role"] = role
            for code, description in codes.items():
                known = responses.get(code)
                if not isinstance(known, dict) or "$ref" in known:
                    responses[code] = {
                        "description": description,
                        "content": {"application/json": {"schema": error}},
                    }


def openapi_path(rule: str) -> str:
    """Flask's `/webhooks/<id:webhook_id>` as `/webhooks/{webhook_id}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
