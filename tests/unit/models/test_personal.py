"""Every column that holds text says whether something of a person may stand in it."""

from __future__ import annotations

import pytest
from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from models import attempts, checks, jobs, pilots, redos, releases, verdicts
from models.attempts import Attempt
from models.base import Base
from models.jobs import Job, Version
from models.pilots import Pilot, PilotJob
from models.redos import Redo
from models.releases import Release
from models.tables import Check, DueCheck, HashBand
from models.verdicts import VerdictChange
from workers.operations import forget


def texts(table: type[Base]) -> set[str]:
    return {column.name for column in table.__table__.columns if isinstance(column.type, Text | JSONB | BYTEA)}


@pytest.mark.parametrize(
    ("tables", "personal", "impersonal"),
    [
        ((Job, Version), jobs.PERSONAL, jobs.IMPERSONAL),
        ((Attempt,), attempts.PERSONAL, attempts.IMPERSONAL),
        ((VerdictChange,), verdicts.PERSONAL, verdicts.IMPERSONAL),
        ((Check, DueCheck, HashBand), (), checks.IMPERSONAL),
        ((Redo,), (), redos.IMPERSONAL),
        ((Pilot, PilotJob), (), pilots.IMPERSONAL),
        ((Release,), (), releases.IMPERSONAL),
    ],
)
def test_every_text_column_is_decided(
    tables: tuple[type[Base], ...], personal: tuple[str, ...], impersonal: tuple[str, ...]
) -> None:
    assert set(personal).isdisjoint(impersonal)
    assert set().union(*map(texts, tables)) == {*personal, *impersonal}


@pytest.mark.parametrize(
    ("table", "personal"), [(Job, jobs.PERSONAL), (Version, jobs.PERSONAL), (Attempt, attempts.PERSONAL)]
)
def test_forgetting_empties_every_personal_column(table: type[Base], personal: tuple[str, ...]) -> None:
    (statement,) = [each for each in map(str, forget._REDACT) if f"UPDATE {table.__tablename__} SET" in each]
    for name in personal:
        assert f"{name} = NULL" in statement or f"{name} = '{{}}'" in statement


def test_what_a_job_asks_for_is_kept_with_its_versions() -> None:
    assert {*jobs.ASKED, *jobs.ENDING} <= names(Job) & names(Version)
    own = {"job_id", "version", "last_attempt", "replaced_at"}
    assert {column.name for column in Version.__table__.columns} == {*jobs.ASKED, *jobs.ENDING, *own}


def names(table: type[Base]) -> set[str]:
    return {column.name for column in table.__table__.columns}


@pytest.mark.parametrize("table", [VerdictChange, Check, DueCheck, HashBand])
def test_what_was_said_of_a_picture_goes_with_it(table: type[Base]) -> None:
    (key,) = table.__table__.c.result_id.foreign_keys
    assert (key.column.table.name, key.ondelete) == ("results", "CASCADE")
