"""The filter of jobs that lists and bulk operations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Result, Row, text
from sqlalchemy.orm import Session

from models.batches import SINGLES_NAME
from models.checks import CheckName
from models.connection import StatementTimeoutError, within
from models.fragments import ACCOUNT, OPERATION, is_flag, last_attempt, seconds_ago
from recast.errors import InvalidJobError

#: What every query with a filter selects from.
JOBS = "jobs j JOIN batches b ON b.id = j.batch_id"
#: The job's latest attempt, for queries that need it.
LAST = f"LEFT JOIN LATERAL {last_attempt('j.id', '*')} last ON true"

_CONDITIONS = {
    "ids": "j.id = ANY(:ids)",
    "batch": "b.name = :batch",
    "label": "b.label = :label",
    "states": "j.state = ANY(:states)",
    "account": f"{ACCOUNT} = :account",
    "operation": f"{OPERATION} = :operation",
    "reason": "j.reason = :reason",
    "verdict": "coalesce((SELECT w.verdict FROM reviews w WHERE w.job_id = j.id), 'unreviewed') = :verdict",
    "fault": "EXISTS (SELECT FROM reviews w JOIN verdicts said ON said.id = w.verdict_id"
    " WHERE w.job_id = j.id AND w.verdict = 'needs_work' AND said.reasons @> to_jsonb(cast(:fault AS text)))",
    "check": f"EXISTS (SELECT FROM checks c WHERE c.job_id = j.id AND c.name = ANY(:check) AND {is_flag('c')})",
    "noted": "EXISTS (SELECT FROM reviews w JOIN verdicts said ON said.id = w.verdict_id"
    " WHERE w.job_id = j.id AND said.note IS NOT NULL) = :noted",
    "key": "strpos(lower(j.key), lower(:key)) > 0",
    "metadata": "EXISTS (SELECT FROM jsonb_each_text(j.extra) AS each(name, value)"
    " WHERE strpos(lower(each.name || '=' || each.value), lower(:metadata)) > 0)",
    "older": f"j.created_at < {seconds_ago(':older')}",
    "newer": f"j.created_at > {seconds_ago(':newer')}",
}

LOOK_SECONDS = 10.0  # of a look for few jobs; a condition is tried on a million in 2 s
SHOWN_CHARS = 40  # of a value, in the sentence that refuses it

#: Conditions that whole batches can be chosen by.
OF_BATCHES = ("batch", "label")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; None means no condition. Ages are seconds since a job was created."""

    ids: Sequence[str] | None = None
    #: By name; `SINGLES_NAME` means jobs that came one by one.
    batch: str | None = None
    #: Of the job's batch.
    label: str | None = None
    states: Sequence[str] | None = None
    #: Of the latest attempt, or what the request pinned.
    account: str | None = None
    operation: str | None = None
    #: Why it ended, or was queued again.
    reason: str | None = None
    #: What counts of people's verdicts, and a reason that the counting one gives.
    verdict: str | None = None
    fault: str | None = None
    #: Flagged by any of these quality checks.
    check: Sequence[str] | None = None
    #: Whether the verdict that counts has a note.
    noted: bool | None = None
    #: A part of the key, and of a further column of the catalog, as ``name=value``; in upper or lower case.
    key: str | None = None
    metadata: str | None = None
    older: float | None = None
    newer: float | None = None

    @property
    def named(self) -> dict[str, Any]:
        """The conditions there are, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for name, value in values.items()
            if value is not None
        }

    @property
    def whole_batches(self) -> bool:
        """Whether whole batches are meant, including jobs that are added later; single jobs form none."""
        return bool(self.named) and self.named.keys() <= set(OF_BATCHES) and not self.singles

    @property
    def singles(self) -> bool:
        """Whether jobs that came one by one are meant."""
        return self.batch == SINGLES_NAME

    @property
    def batch_option(self) -> dict[str, object]:
        """Its batch, or single jobs, as an option of the commands."""
        return {"singles": True} if self.singles else {"batch": self.batch}

    def only(self, states: Sequence[str]) -> Filter:
        """The filter, of jobs in these states alone."""
        return replace(self, states=[state for state in states if self.states is None or state in self.states])

    @property
    def last(self) -> str:
        """`LAST` where a condition needs it."""
        return LAST if self.account is not None or self.operation is not None else ""

    @property
    def jobs(self) -> str:
        """What to select from: `JOBS`, with `LAST` where a condition needs it."""
        return f"{JOBS} {self.last}"

    @property
    def where(self) -> str:
        """The conditions as SQL over `jobs`, with `named` as parameters."""
        return " AND ".join(_CONDITIONS[name] for name in self.named) or "true"


#: No condition at all.
EVERY = Filter()
_EACH = Filter(
    ids=(), batch="", label="", states=(), account="", operation="", reason="", verdict="", fault="", check=(),
    noted=True, key="", metadata="", older=0.0, newer=0.0,
)  # fmt: skip


class Filtered:
    """A statement that looks for jobs by any filter: its text depends on which conditions the filter names.

    Args:
        make: gives the SQL for a filter, of the filter's `jobs` and `where` and our own words.
        names: the conditions that it may be asked for.
    """

    def __init__(self, make: Callable[[Filter], str], names: Sequence[str] = tuple(_CONDITIONS)) -> None:
        self._make = make
        self._names = names

    def execute(self, session: Session, which: Filter, **parameters: object) -> Result[Any]:
        """Run it for `which`, with further parameters of its own."""
        return session.execute(text(self._make(which)), {**which.named, **parameters})

    def variants(self) -> Iterator[str]:
        """Its SQL without a condition, with each one alone, and with all of them."""
        for names in ((), *((name,) for name in self._names), self._names):
            yield self._make(replace(EVERY, **{name: getattr(_EACH, name) for name in names}))


def ids_statement(condition: str = "true") -> Filtered:
    """Looks for the ids of jobs that meet a condition of ours besides, in the order in which jobs are locked."""
    return Filtered(lambda which: f"SELECT j.id FROM {which.jobs} WHERE {which.where} AND {condition} ORDER BY j.id")


_IDS = ids_statement()


def ids_of(session: Session, which: Filter, statement: Filtered = _IDS) -> list[str]:
    """The ids of the jobs that fit; `statement` is an `ids_statement`, for a further condition of ours."""
    return list(statement.execute(session, which).scalars())


def look(
    session: Session, /, which: Filter, statement: Filtered, seconds: float = LOOK_SECONDS, **parameters: object
) -> Sequence[Row[Any]]:
    """Rows of a statement for few jobs, which may try a condition on each job of a batch to find them.

    Raises:
        InvalidJobError: it takes longer than `seconds`.
    """
    try:
        with within(session, seconds):
            return statement.execute(session, which, **parameters).all()
    except StatementTimeoutError:
        raise InvalidJobError(
            "filter",
            f"a look for {_said(which) or 'all jobs'} takes more than {seconds:g} s; allowed: what is found sooner, "
            f"such as by {_narrower(which)}",
        ) from None


def _said(which: Filter) -> str:
    """What a filter names, in words for people; jobs that are named one by one are found at once."""
    return ", ".join(_WORDS.get(name, _text)(name, value) for name, value in which.named.items() if name != "ids")


def _text(name: str, value: str) -> str:
    return f"{name} {value[:SHOWN_CHARS]!r}"


#: By condition; each other one is a text.
_WORDS: Mapping[str, Callable[[str, Any], str]] = {
    "batch": lambda name, value: "single jobs" if value == SINGLES_NAME else _text(name, value),
    "states": lambda _, value: f"state {', '.join(value)}",
    "fault": lambda _, value: _text("reason", value),
    "check": lambda _, value: "any check" if set(value) == set(CheckName) else f"check {', '.join(value)}",
    "noted": lambda _, value: "a note" if value else "no note",
    "older": lambda name, value: f"{name} than {value:g}s",
    "newer": lambda name, value: f"{name} than {value:g}s",
}


def _narrower(which: Filter) -> str:
    """What else could be named, that the database finds quickly."""
    could = {"batch": "a batch", "states": "a state", "verdict": "a verdict", "check": "a check"}
    return " or ".join(words for name, words in could.items() if name not in which.named) or "ids of jobs"


# Without an order, the index of a batch's jobs ends the look as soon as there are enough.
_SOME = Filtered(lambda which: f"SELECT j.id FROM {which.jobs} WHERE {which.where} LIMIT :limit")


def some_ids(session: Session, which: Filter, limit: int) -> list[str]:
    """The ids of up to `limit` jobs that fit, sorted.

    Raises:
        InvalidJobError: as `look`.
    """
    return sorted(row.id for row in look(session, which, _SOME, limit=limit))


def all_ids(session: Session, which: Filter) -> list[str]:
    """The ids of all jobs that fit, sorted, for what a person waits for.

    Raises:
        InvalidJobError: as `look`.
    """
    return [row.id for row in look(session, which, _IDS)]
