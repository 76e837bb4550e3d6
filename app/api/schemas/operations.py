"""Shapes of jobs, health and the system's own state."""

from marshmallow import Schema, fields

from app.api.schemas.fields import moment, page_of


class ExecutionSchema(Schema):
    id = fields.Integer()
    job_name = fields.String()
    slot = fields.Integer(
        allow_none=True,
        metadata={"description": "floor(due ÷ interval); null for a run by hand."},
    )
    trigger = fields.String(metadata={"enum": ["schedule", "manual"]})
    status = fields.String(metadata={"enum": ["queued", "running", "succeeded", "failed"]})
    scheduled_for = moment()
    started_at = moment(allow_none=True)
    finished_at = moment(allow_none=True)
    duration_ms = fields.Float(allow_none=True)
    missed_ticks = fields.Integer(
        metadata={"description": "Slots between the run before and this one that nobody ran."}
    )
    worker = fields.String(allow_none=True)
    arguments = fields.Dict(
        allow_none=True, metadata={"description": "What a run by hand was asked to do."}
    )
    result = fields.Dict(allow_none=True)
    error = fields.String(allow_none=True)


class JobSchema(Schema):
    name = fields.String(metadata={"example": "health-check"})
    description = fields.String()
    interval_seconds = fields.Integer()
    lane = fields.String()
    next_due_at = moment()
    missed_ticks_24h = fields.Integer()
    last_execution = fields.Nested(ExecutionSchema, allow_none=True)


ExecutionPage = page_of(ExecutionSchema)
JobPage = page_of(JobSchema)


class HealthSchema(Schema):
    status = fields.String(metadata={"enum": ["healthy", "degraded", "unavailable"]})
    timestamp = moment()


class PartSchema(Schema):
    status = fields.String(metadata={"enum": ["healthy", "degraded", "unavailable"]})
    latency_ms = fields.Float(allow_none=True)
    detail = fields.String(allow_none=True)
    data = fields.Dict(keys=fields.String())


class DeepHealthSchema(HealthSchema):
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(PartSchema))


class WorkerSchema(Schema):
    name = fields.String(metadata={"example": "deliver-1@host"})
    lane = fields.String()
    pid = fields.Integer()
    is_alive = fields.Boolean()
    started_at = moment()
    seen_at = moment()
    last_claim_at = moment(allow_none=True)


class QueueSchema(Schema):
    undelivered = fields.Integer()
    in_flight = fields.Integer()
    oldest_due_seconds = fields.Float()


class PoolSchema(Schema):
    open = fields.Integer()
    in_use = fields.Integer()
    limit = fields.Integer()


class SystemInfoSchema(Schema):
    version = fields.String()
    uptime_seconds = fields.Float(metadata={"description": "Of this web process."})
    queue = fields.Nested(QueueSchema)
    broker_queues = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        allow_none=True,
        metadata={"description": "Messages that wait, by lane; null while Redis is away."},
    )
    database_pool = fields.Nested(PoolSchema)
    workers = fields.List(fields.Nested(WorkerSchema))


class ErrorSchema(Schema):
    """The one shape of every error."""

    detail = fields.String(required=True)
    status_code = fields.Integer(required=True)
    timestamp = moment(required=True)
    request_id = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "For bad input: field → messages."},
    )
