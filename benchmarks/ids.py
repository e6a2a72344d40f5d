"""Ids of jobs and attempts as Recast makes them, for rows that SQL fills in."""

from __future__ import annotations


def job_id(batch: str) -> str:
    """SQL: a new id of a job; those of one `batch`, an expression, begin alike, as `models.identity` makes them."""
    return f"overlay(substr(md5(({batch})::text), 1, 4) || substr(gen_random_uuid()::text, 5) placing '8' from 15)"


def attempt_id(job: str) -> str:
    """SQL: a new id of an attempt, which begins like that of its `job`, an expression."""
    return f"(substr({job}, 1, 4) || substr(gen_random_uuid()::text, 5))::uuid"
