"""What the addresses of pages ask for: filters, orders and places that there are not."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from models.states import JobState
from models.verdicts import Verdict
from reports.attempts import Which
from reports.batches import BatchesSort, Only
from reports.grid_filter import ALLOWED, Sort
from reports.queries import MAX_CHARS
from tests.hostile.cases import Area, Case, refused, survived
from web.grid import Density
from workers.jobs.request import MAX_CONSENT

BATCH, JOB = "BATCH", "JOB"  # stand for those that are there
GRID, REVIEW = f"/batches/{BATCH}", f"/batches/{BATCH}/review"
_LONG, _SQL = "x" * (MAX_CHARS + 1), "' OR '1'='1"


def _asked(path: str, name: str, value: str, *allowed: str, shown: str | None = None) -> Case:
    """A value that is refused; the message names the parameter, the value and what is allowed."""
    called = f"{value[:20]!r}" if len(value) <= MAX_CHARS else f"{len(value):,} characters"
    says = ", ".join([name, *([value] if shown is None else [shown] if shown else []), *allowed])
    sign = "&" if "?" in path else "?"
    return refused(f"`{path}{sign}{name}=` {called}", f"{path}{sign}{name}={quote(value)}", says)


def _filters() -> Iterator[Case]:
    """Of grids, and of lists that have the same filter."""
    for path in (GRID, REVIEW, "/singles"):
        for name, allowed in ALLOWED.items():
            if (path, name) != ("/singles", "sort"):
                yield _asked(path, name, "nonsense", *map(str, allowed))
        for name in ("account", "reason", "metadata"):
            yield _asked(path, name, "\0", str(MAX_CHARS), shown="")
    yield _asked("/singles", "sort", "worst", Sort.CATALOG)
    yield _asked("/batches/0", "state", "nonsense", *JobState)
    yield _asked(GRID, "density", "tiny", *Density)
    yield _asked(f"/inputs/target/{JOB}", "size", "huge", "small", "large")
    yield _asked("/attempts", "which", "nonsense", *Which)
    yield _asked("/batches", "sort", "nonsense", *BatchesSort)
    yield _asked("/batches", "only", "nonsense", *Only)


def _places() -> Iterator[Case]:
    """Pages, rows and times."""
    for path, name in (
        (GRID, "after"), (GRID, "before"), (REVIEW, "after"), ("/singles", "before"), ("/audit", "before"),
        ("/decide", "after"), ("/attempts", "after"), ("/batches", "after"), (f"/jobs/{JOB}", "picture"),
        (REVIEW, "picture"), (f"/inputs/target/{JOB}", "version"), ("/attempts", "batch"),
    ):  # fmt: skip
        for value in ("x", "-1", "9" * 5_000, "\u0661", "1~nan~2"):
            yield _asked(path, name, value, shown=value[:40])
    for value in ("x", "-1", "9" * 5_000, "\u0661", "nan~job", "1~\0"):
        yield _asked("/releases?reference=r", "before", value, shown=value[:40].partition("\0")[0])
    yield _asked("/releases", "reference", "\0", str(MAX_CONSENT), shown="")
    for value in ("nonsense", "2026-02-30", "9999-12-31"):
        yield _asked("/singles", "day", value, "2026-11-30")
        yield _asked("/attempts", "day", value, "2026-11-30")
    yield _asked("/attempts", "hour", "2026-11-30", "2026-11-30T14")
    for value in ("0", "9001", "x"):
        yield _asked("/attempts", "last", value, "1", "9000")
        yield _asked("/attempts", "hours", value, "1", "9000")
    for value in ("x", "NaN", "1E+999999"):
        yield _asked("/batches?sort=spend&after=3", "past", value)


def _texts() -> Iterator[Case]:
    for path, name in (("/batches", "q"), ("/batches", "label"), ("/decide", "batch"), ("/decide", "job")):
        yield _asked(path, name, "\0", str(MAX_CHARS), shown="")
        yield _asked(path, name, _LONG, str(MAX_CHARS), shown=_LONG[:40])
        yield survived(f"`{path}?{name}=` a text of SQL", f"{path}?{name}={quote(_SQL)}", "nothing is found")
    yield survived("a parameter that no page knows", "/singles?nonsense=1", "passed over")
    yield survived("an empty parameter", f"/singles?state=&verdict={Verdict.APPROVED}&day=", "says nothing")


AREAS = (
    Area(
        "Addresses of pages",
        "asked by an operator of `recast web` on a real database; what is refused is answered with HTTP 400",
        (*_filters(), *_places(), *_texts()),
    ),
)
