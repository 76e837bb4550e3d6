"""Routing rules."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.routing_rules import (
    DEFAULTS,
    RoutingRuleChangeSchema,
    RoutingRuleCreateSchema,
    RoutingRulePage,
    RoutingRuleSchema,
)
from app.services import routing_rules
from app.services.queries import routing as queries
from models import RoutingRule

blueprint = Blueprint(
    "routing-rules", __name__, url_prefix="/api/v1/routing-rules", description="Who is told of what"
)


@blueprint.post("")
@blueprint.arguments(RoutingRuleCreateSchema)
@blueprint.response(201, RoutingRuleSchema)
def create_rule(data: dict[str, Any]) -> RoutingRule:
    """Make a rule: whom to tell of alerts like these, when, and whom after that."""
    with deps().unit_of_work() as work:
        return routing_rules.create_rule(work.session, DEFAULTS | data)


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, RoutingRulePage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_rules(query: dict[str, Any]) -> Response:
    """All rules, the newest first; they are tried by `position`, then by id."""
    return cached.answer(queries.ROUTING_RULE_LIST, query)


@blueprint.get("/<id:rule_id>")
@blueprint.response(200, RoutingRuleSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_rule(rule_id: int) -> Response:
    """One rule."""
    return cached.answer(queries.ROUTING_RULE, {"id": rule_id})


@blueprint.put("/<id:rule_id>")
@blueprint.arguments(RoutingRuleCreateSchema)
@blueprint.response(200, RoutingRuleSchema)
def replace_rule(data: dict[str, Any], rule_id: int) -> RoutingRule:
    """Replace a rule: what is left out gets its default."""
    with deps().unit_of_work() as work:
        return routing_rules.change_rule(work.session, work.now, rule_id, DEFAULTS | data)


@blueprint.patch("/<id:rule_id>")
@blueprint.arguments(RoutingRuleChangeSchema)
@blueprint.response(200, RoutingRuleSchema)
def change_rule(changes: dict[str, Any], rule_id: int) -> RoutingRule:
    """Change some fields of a rule. Alerts that were routed stay as they were routed."""
    with deps().unit_of_work() as work:
        return routing_rules.change_rule(work.session, work.now, rule_id, changes)


@blueprint.delete("/<id:rule_id>")
@blueprint.response(204)
def delete_rule(rule_id: int) -> None:
    """Delete a rule. What its groups have gathered is still told, and so is how it ends."""
    with deps().unit_of_work() as work:
        routing_rules.delete_rule(work.session, work.now, rule_id)
