"""Custom templates: Jinja's, in its immutable sandbox, of which only what is listed here is let in.

There is no way to call, assign, import or define anything; loops and texts are charged to a budget
(`budget`). `{{ … }}` puts a value out so that it can stand inside a JSON string, `|tojson` as JSON
of its own; what comes out must be JSON.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jinja2 import ChainableUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2 import Template as Compiled
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

from app.domain.templates.budget import Budget, TemplateFailed
from app.domain.templates.filters import (
    BUDGET,
    EACH,
    FILTERS,
    IS_IN,
    OWN_FILTERS,
    SIZED,
    Json,
    as_text,
)
from app.domain.templates.words import summary_of

__all__ = ["TemplateFailed", "check", "render"]

MAX_SOURCE_CHARS = 16 * 1024
MAX_NODES = 600
MAX_DEPTH = 40
MAX_BODY_BYTES = 64 * 1024
MAX_REASON_CHARS = 200
COMPILED_KEPT = 256
VARIABLES = ("type", "timestamp", "data", "summary")
_IN = ("in", "notin")
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_TESTS = ("defined", "undefined", "none", "string", "number", "mapping", "sequence")
# By their exact types: what inherits from them is not meant.
_ALLOWED: frozenset[type[nodes.Node]] = frozenset(
    {
        nodes.Template,
        nodes.Output,
        nodes.TemplateData,
        nodes.If,
        nodes.For,
        nodes.Name,
        nodes.Const,
        nodes.List,
        nodes.Tuple,
        nodes.Dict,
        nodes.Pair,
        nodes.Keyword,
        nodes.Getattr,
        nodes.Getitem,
        nodes.Filter,
        nodes.Test,
        nodes.CondExpr,
        nodes.Compare,
        nodes.Operand,
        nodes.And,
        nodes.Or,
        nodes.Not,
        nodes.Concat,
        nodes.Add,
        nodes.Sub,
        nodes.Neg,
    }
)
_INSTEAD: Mapping[type[nodes.Node], str] = {
    nodes.Call: "Nothing can be called; there are filters, as in `data.labels|items`.",
    nodes.Assign: "Nothing can be set.",
    nodes.AssignBlock: "Nothing can be set.",
    nodes.Slice: "Use `|truncate` in place of a slice.",
    nodes.Mul: "Nothing can be multiplied.",
    nodes.Mod: "There is no `%`.",
}


class _Environment(ImmutableSandboxedEnvironment):
    """Names and dots lead to what is in the message, never to a Python object's attributes."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, (Mapping, list, tuple, str)):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=None, name=str(argument)[:MAX_REASON_CHARS])


def _put_out(value: Any) -> str:
    if isinstance(value, Json):
        return value
    if isinstance(value, str) or value is None or isinstance(value, Undefined):
        return orjson.dumps(as_text(value)).decode()[1:-1]
    return as_text(value)


def _environment() -> _Environment:
    made = _Environment(
        undefined=ChainableUndefined, finalize=_put_out, optimized=False, cache_size=0
    )
    made.globals.clear()
    made.filters = {**FILTERS, **OWN_FILTERS}
    made.tests = {name: TESTS[name] for name in _TESTS}
    return made


_ENVIRONMENT = _environment()


class _Charging(NodeTransformer):
    """Puts our own filters around what could cost much: made and compared texts, and loops."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja's naming
        return _filtered(self.generic_visit(node), SIZED)

    def visit_Add(self, node: nodes.Add) -> nodes.Node:  # noqa: N802
        return _filtered(self.generic_visit(node), SIZED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        (first,) = node.ops
        if first.op in _IN:
            found = _filtered(node.expr, IS_IN, first.expr)
            return found if first.op == "in" else nodes.Not(found, lineno=node.lineno)
        node.expr = _filtered(node.expr, SIZED)
        first.expr = _filtered(first.expr, SIZED)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        cost = sum(1 for _ in _walk(node))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, EACH, nodes.Const(cost))
        return node


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    made = nodes.Filter(node, name, list(arguments), [], None, None)
    made.set_lineno(node.lineno)
    made.set_environment(_ENVIRONMENT)
    return made


def _walk(root: nodes.Node) -> Iterator[tuple[nodes.Node, int]]:
    """Every node with its depth. Without recursion: who nests thousands deep must be told."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


def check(text: str) -> None:
    """Raises TemplateFailed for a text that is no template, or does what none may."""
    _compiled(text)


@lru_cache(maxsize=COMPILED_KEPT)
def _compiled(text: str) -> Compiled:
    if len(text) > MAX_SOURCE_CHARS:
        raise TemplateFailed(f"A template has {MAX_SOURCE_CHARS} characters at most.")
    try:
        tree = _ENVIRONMENT.parse(text)
        _check_tree(tree)
        unknown = sorted(meta.find_undeclared_variables(tree) - set(VARIABLES))
        if unknown:
            known = ", ".join(VARIABLES)
            raise TemplateFailed(f"There is no `{unknown[0]}`; there are {known}.")
        return _ENVIRONMENT.from_string(_Charging().visit(tree))
    except TemplateFailed:
        raise
    except TemplateSyntaxError as error:
        raise TemplateFailed(f"Line {error.lineno}: {error.message}"[:MAX_REASON_CHARS]) from None
    except RecursionError:
        raise TemplateFailed("It is nested too deeply.") from None
    except Exception as error:
        raise TemplateFailed(f"It can't be read: {error}"[:MAX_REASON_CHARS]) from None


def _check_tree(tree: nodes.Template) -> None:
    for number, (node, depth) in enumerate(_walk(tree)):
        if number >= MAX_NODES:
            raise TemplateFailed(f"It has more than {MAX_NODES} parts.")
        if depth > MAX_DEPTH:
            raise TemplateFailed("It is nested too deeply.")
        if type(node) not in _ALLOWED:
            name = type(node).__name__.lower()
            said = _INSTEAD.get(type(node), f"A template can't use `{name}`.")
            raise TemplateFailed(f"Line {node.lineno}: {said}")
        if isinstance(node, nodes.For) and node.recursive:
            raise TemplateFailed(f"Line {node.lineno}: A loop can't be recursive.")
        if isinstance(node, nodes.Compare) and len(node.ops) > 1:
            raise TemplateFailed(f"Line {node.lineno}: Compare two at a time.")
        if isinstance(node, (nodes.Filter, nodes.Test)):
            _check_call(node)


def _check_call(node: nodes.Filter | nodes.Test) -> None:
    known = FILTERS if isinstance(node, nodes.Filter) else _ENVIRONMENT.tests
    if node.name not in known:
        kind = type(node).__name__.lower()
        names = ", ".join(sorted(known))
        raise TemplateFailed(
            f"Line {node.lineno}: There is no {kind} `{node.name[:50]}`; there are {names}."
        )
    if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateFailed(f"Line {node.lineno}: `{node.name}` can't be used like this.")


def render(text: str, message: Mapping[str, Any]) -> bytes:
    """The body that a template makes of a message. Raises TemplateFailed."""
    compiled = _compiled(text)
    known = {name: message[name] for name in ("type", "timestamp", "data")}
    context = compiled.new_context({**known, "summary": summary_of(message), BUDGET: Budget()})
    parts: list[bytes] = []
    room = MAX_BODY_BYTES
    try:
        for part in compiled.root_render_func(context):
            parts.append(part.encode())
            room -= len(parts[-1])
            if room < 0:
                raise TemplateFailed(f"It makes more than {MAX_BODY_BYTES} bytes.")
    except TemplateFailed:
        raise
    except Exception as error:
        # Whatever a template trips over, as 1 + "a".
        raise TemplateFailed(f"It failed: {error}"[:MAX_REASON_CHARS]) from None
    body = b"".join(parts).strip()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TemplateFailed(f"What it makes is not JSON: {error}"[:MAX_REASON_CHARS]) from None
    return body
