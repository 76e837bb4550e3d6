"""The pages' routes. Swagger UI's files come from the package that ships them: no CDN."""

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template, request, send_from_directory
from werkzeug.exceptions import NotFound

from app.api.context import deps

blueprint = Blueprint("web", __name__, template_folder="templates")

STATIC = Path(__file__).parent / "static"
DASHBOARD = STATIC / "dashboard"
# By suffix, whatever a machine's own list of types says.
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# A script and no module: it runs before anything is drawn.
EARLY = "early.js"
YEAR_SECONDS = 365 * 86_400
# Nothing inline, nothing from elsewhere, and no text that becomes markup: browsers that know of
# trusted types refuse `innerHTML`.
DASHBOARD_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # Kept, and asked for each time: its ETag says whether there is a newer one.
    "Cache-Control": "no-cache",
}
# Swagger UI styles elements inline; scripts are ours and the package's files, nothing inline.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)
OWN_FILES = frozenset({"docs.js"})
SWAGGER_FILES = frozenset(
    {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"}
)


@cache
def _assets() -> tuple[str, frozenset[str]]:
    """A digest of the dashboard's files, and their names."""
    files = {path.name: path.read_bytes() for path in sorted(DASHBOARD.iterdir())}
    digest = sha256(b"".join(name.encode() + content for name, content in files.items()))
    return digest.hexdigest()[:16], frozenset(files)


def _flower_url() -> str:
    """Behind a proxy it is below a prefix; else on this host, at a port of its own."""
    settings = deps().settings
    if settings.flower_url_prefix:
        return f"/{settings.flower_url_prefix}/"
    host = request.host.rsplit(":", 1)[0] if request.host[-1:] != "]" else request.host
    return f"{request.scheme}://{host}:{settings.flower_port}/"


def _swagger_folder() -> Path:
    spec = find_spec("flask_swagger_ui")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package flask-swagger-ui is missing")
    return Path(spec.origin).parent / "dist"


@blueprint.get("/")
def dashboard() -> Response:
    """The dashboard. It shows nothing before somebody signed in, so anybody may have it."""
    digest, names = _assets()
    page = render_template(
        "dashboard.html",
        assets=f"/assets/{digest}",
        digest=digest,
        # Asked for at once, rather than one after another as they import each other.
        modules=sorted(name for name in names if name.endswith(".js") and name != EARLY),
        flower_url=_flower_url(),
    )
    response = make_response(page)
    response.headers.update(DASHBOARD_HEADERS)
    response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]


@blueprint.get("/assets/<string:digest>/<string:name>")
def dashboard_asset(digest: str, name: str) -> Response:
    """A file of the dashboard. With the digest of these files in its path it never changes."""
    current, names = _assets()
    if name not in names:
        raise NotFound
    response = send_from_directory(DASHBOARD, name, mimetype=TYPES[Path(name).suffix])
    is_current = digest == current
    response.headers["Cache-Control"] = (
        f"public, max-age={YEAR_SECONDS}, immutable" if is_current else "no-cache"
    )
    return response


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
