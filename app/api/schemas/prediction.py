"""Shapes of risk: models, their scores, and what is said of a webhook."""

from marshmallow import Schema, fields

from app.api.schemas.fields import moment, page_of
from app.domain.risk import Effect, ModelKind, NoPrediction
from app.domain.risk_features import FEATURES
from app.domain.risk_training import TrainingReason

KINDS = [kind.value for kind in ModelKind]


class ScoresSchema(Schema):
    examples = fields.Integer()
    outages = fields.Integer(
        metadata={"description": "Those after which it became unavailable within the horizon."}
    )
    roc_auc = fields.Float(
        allow_none=True, metadata={"description": "null where all had the same outcome."}
    )
    brier = fields.Float()
    calibration_error = fields.Float(
        metadata={"description": "Expected calibration error over ten bins of equal width."}
    )


class _ComparedSchema(ScoresSchema):
    version = fields.Integer(metadata={"description": "That was active then."})


class _DriftSchema(Schema):
    level = fields.String(metadata={"enum": ["none", "some", "great"]})
    worst = fields.String(metadata={"enum": list(FEATURES)})
    rows = fields.Integer()
    stability_index = fields.Dict(
        keys=fields.String(),
        values=fields.Float(),
        metadata={"description": "Feature → population stability index since training."},
    )


class ModelSchema(Schema):
    version = fields.Integer(metadata={"description": "0: the rules."})
    kind = fields.String(metadata={"enum": KINDS})
    is_active = fields.Boolean(metadata={"description": "It predicts."})
    horizon_hours = fields.Integer()
    features_version = fields.Integer()
    features = fields.List(fields.String())
    examples = fields.Integer(allow_none=True, metadata={"description": "It was trained from."})
    window_from = moment(allow_none=True, metadata={"description": "Its first example."})
    window_until = moment(allow_none=True, metadata={"description": "Its last example."})
    metrics = fields.Nested(
        ScoresSchema, allow_none=True, metadata={"description": "On what was held out."}
    )
    compared_with = fields.Nested(
        _ComparedSchema,
        allow_none=True,
        metadata={"description": "The active one's scores on the same."},
    )
    decision = fields.String(
        metadata={
            "description": "Why it took over after training, or did not.",
            "enum": ["stated", *(reason.value for reason in TrainingReason)],
        }
    )
    detail = fields.String()
    drift = fields.Nested(
        _DriftSchema,
        allow_none=True,
        metadata={"description": "How far its features had moved at reviewed_at."},
    )
    observed = fields.Nested(
        ScoresSchema,
        allow_none=True,
        metadata={"description": "Of its own predictions of 30 days, at reviewed_at."},
    )
    reviewed_at = moment(allow_none=True)
    trained_at = moment()
    activated_at = moment(allow_none=True)
    activated_by = fields.String(allow_none=True)


class ModelDetailSchema(ModelSchema):
    parameters = fields.Dict(
        allow_none=True,
        metadata={"description": "All its numbers; null for the rules."},
    )


class ReasonSchema(Schema):
    name = fields.String(metadata={"description": "A feature, or a rule."})
    effect = fields.String(metadata={"enum": [effect.value for effect in Effect]})
    text = fields.String(
        metadata={"example": "25 % of checks failed in the last hour (usual: 0 %)"}
    )
    value = fields.Float()
    contribution = fields.Float(
        allow_none=True,
        metadata={"description": "Of a model: what it adds to the logarithm of the odds."},
    )


class RiskSchema(Schema):
    webhook_id = fields.Integer()
    probability = fields.Float(
        allow_none=True,
        metadata={"description": "That it becomes unavailable within the horizon."},
    )
    horizon_hours = fields.Integer()
    model_version = fields.Integer()
    model_kind = fields.String(metadata={"enum": KINDS})
    reasons = fields.List(
        fields.Nested(ReasonSchema), metadata={"description": "The strongest first."}
    )
    made_at = moment(allow_none=True)
    unknown_because = fields.String(
        allow_none=True,
        metadata={
            "description": "Why there is no probability.",
            "enum": [*(reason.value for reason in NoPrediction), None],
        },
    )


ModelPage = page_of(ModelSchema)
