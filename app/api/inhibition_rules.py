"""Inhibition rules."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.inhibition_rules import (
    DEFAULTS,
    InhibitionRuleChangeSchema,
    InhibitionRuleCreateSchema,
    InhibitionRulePage,
    InhibitionRuleSchema,
)
from app.services import inhibition_rules
from app.services.queries import routing as queries
from models import InhibitionRule

blueprint = Blueprint(
    "inhibition-rules",
    __name__,
    url_prefix="/api/v1/inhibition-rules",
    description="Which open alerts mute others",
)


@blueprint.post("")
@blueprint.arguments(InhibitionRuleCreateSchema)
@blueprint.response(201, InhibitionRuleSchema)
def create_rule(data: dict[str, Any]) -> InhibitionRule:
    """Make a rule: while one of these alerts is open, those are muted."""
    with deps().unit_of_work() as work:
        return inhibition_rules.create_rule(work.session, DEFAULTS | data)


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, InhibitionRulePage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_rules(query: dict[str, Any]) -> Response:
    """All rules, the newest first."""
    return cached.answer(queries.INHIBITION_RULE_LIST, query)


@blueprint.get("/<id:rule_id>")
@blueprint.response(200, InhibitionRuleSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_rule(rule_id: int) -> Response:
    """One rule."""
    return cached.answer(queries.INHIBITION_RULE, {"id": rule_id})


@blueprint.put("/<id:rule_id>")
@blueprint.arguments(InhibitionRuleCreateSchema)
@blueprint.response(200, InhibitionRuleSchema)
def replace_rule(data: dict[str, Any], rule_id: int) -> InhibitionRule:
    """Replace a rule: what is left out gets its default."""
    with deps().unit_of_work() as work:
        return inhibition_rules.change_rule(work.session, work.now, rule_id, DEFAULTS | data)


@blueprint.patch("/<id:rule_id>")
@blueprint.arguments(InhibitionRuleChangeSchema)
@blueprint.response(200, InhibitionRuleSchema)
def change_rule(changes: dict[str, Any], rule_id: int) -> InhibitionRule:
    """Change some fields of a rule. What it muted is looked at again at once."""
    with deps().unit_of_work() as work:
        return inhibition_rules.change_rule(work.session, work.now, rule_id, changes)


@blueprint.delete("/<id:rule_id>")
@blueprint.response(204)
def delete_rule(rule_id: int) -> None:
    """Delete a rule. What it muted is looked at again at once."""
    with deps().unit_of_work() as work:
        inhibition_rules.delete_rule(work.session, rule_id)
