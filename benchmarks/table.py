"""The one table of the two contestants that have no schema of their own: a row for each job."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text

metadata = MetaData()

#: A job that was submitted; `url` and `finished_at` once its result was fetched.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("url", Text),
    Column("finished_at", DateTime(timezone=True)),
)
