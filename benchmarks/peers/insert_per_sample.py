"""The control: what one would write at home. A Flask view that inserts each sample.

It takes the same bodies as Tocsin, believes what they say, and commits once a request. Nothing is
rolled up: who asks for a percentile has PostgreSQL read the rows.
"""

import os
import threading
from typing import Any

import psycopg
from flask import Flask, request
from psycopg.types.json import Jsonb

SCHEMA = """
DROP SCHEMA IF EXISTS control CASCADE;
CREATE SCHEMA control;
CREATE TABLE control.samples (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation text NOT NULL,
    value float8 NOT NULL,
    unit text,
    labels jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX ON control.samples (operation, at);
"""

app = Flask(__name__)
_own = threading.local()


def _database() -> psycopg.Connection[Any]:
    """This thread's connection."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(os.environ["CONTROL_DATABASE_URL"])
    connection: psycopg.Connection[Any] = _own.connection
    return connection


@app.post("/api/v1/metrics")
def take_in() -> tuple[dict[str, int], int]:
    samples = request.get_json()["samples"]
    with _database().transaction():
        for one in samples:
            _database().execute(
                "INSERT INTO control.samples (operation, value, unit, labels, at)"
                " VALUES (%s, %s, %s, %s, %s)",
                [
                    one["operation"],
                    float(one["value"]),
                    one["unit"],
                    Jsonb(one["labels"]),
                    one["timestamp"],
                ],
            )
    return {"accepted": len(samples)}, 201
