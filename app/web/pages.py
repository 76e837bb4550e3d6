"""The pages' routes. Swagger UI's files come from the package that ships them: no CDN."""

from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, redirect, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

blueprint = Blueprint("web", __name__)

STATIC = Path(__file__).parent / "static"
# Swagger UI styles elements inline; scripts are ours and the package's files, nothing inline.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
OWN_FILES = frozenset({"docs.js"})
SWAGGER_FILES = frozenset(
    {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"}
)


def _swagger_folder() -> Path:
    spec = find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package flask-swagger-ui is missing")
    return Path(spec.origin).parent / "dist"


@blueprint.get("/")
def home() -> BaseResponse:
    return redirect("/api/docs")


@blueprint.get("/api/docs")
def docs() -> Response:
    """Swagger UI."""
    response = send_from_directory(STATIC, "docs.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@blueprint.get("/api/docs/<string:name>")
def docs_asset(name: str) -> Response:
    if name in OWN_FILES:
        return send_from_directory(STATIC, name)
    if name in SWAGGER_FILES:
        return send_from_directory(_swagger_folder(), name, max_age=86_400)
    raise NotFound
