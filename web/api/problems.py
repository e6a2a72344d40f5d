"""Problems: every error as ``application/problem+json`` (RFC 9457), with the field, the value and what is allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from catalog.errors import BadRowsError, CatalogError, UnknownBatchError, UnknownJobError
from desk.actors import ForbiddenError
from desk.quotes import StaleQuoteError, UnknownQuoteError
from desk.replays import InWorkError, OtherRequestError
from desk.schedule_runs import NotRunError
from desk.tokens import SpendLimitError
from desk.verdicts import ConflictError, DeskError, NotReadyError, UnknownPictureError
from models.availability import is_unavailable
from recast.errors import InvalidJobError
from reports.written import written
from workers.config.account_values import AccountsError
from workers.counted import counted
from workers.images.roots import OutsideRootsError
from workers.images.storage import StorageError
from workers.schedules.service import UnknownScheduleError

MEDIA_TYPE = "application/problem+json"
SHOWN = 200  # characters of a value
SHOWN_DETAIL = 1_000  # characters of a message, which may repeat what was asked for
SHOWN_MISTAKES = 1_000  # of a catalog's rows; more belong into a file, which `recast run --errors` writes
AWAY = "the database does not answer; try again in a moment"


@dataclass(slots=True)
class ProblemError(Exception):
    """A request is not answered as it was asked."""

    status: HTTPStatus
    detail: str
    #: Where the mistake is, what stands there, and what may stand there.
    field: str | None = None
    value: object = None
    allowed: object = None
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The problem in JSON."""
        named = {"field": self.field, "value": _shown(self.value), "allowed": self.allowed}
        return {
            "type": "about:blank", "title": self.status.phrase, "status": int(self.status),
            "detail": _cut(self.detail, SHOWN_DETAIL),
            **{name: value for name, value in named.items() if value is not None}, **self.more,
        }  # fmt: skip

    def response(self) -> Response:
        """The answer to the request."""
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(written(self.document), self.status, headers, MEDIA_TYPE)


def unprocessable(detail: str, name: str | None = None, value: object = None, allowed: object = None) -> ProblemError:
    """What was asked for is understood, and not possible."""
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, name, value, allowed)


def invalid(error: InvalidJobError, value: object = None) -> ProblemError:
    """A value is not allowed."""
    _, _, allowed = error.message.partition("allowed: ")
    return unprocessable(str(error), error.field, value, allowed or None)


@contextmanager
def of_path(parameters: Mapping[str, str]) -> Iterator[None]:
    """Say of what is not there which part of the path names it.

    Raises:
        ProblemError: it is not there.
    """
    try:
        yield
    except Exception as error:
        found = problem_of(error)
        if found is None or found.status is not HTTPStatus.NOT_FOUND or found.field is not None or not parameters:
            raise
        name, value = next(iter(parameters.items()))
        raise dataclasses.replace(found, field=name, value=value) from error


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an expected error is; None for a defect of ours."""
    if isinstance(error, ProblemError):
        return error
    for kind, make in _EXPECTED:
        if isinstance(error, kind):
            return make(error)
    if is_unavailable(error):
        return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, AWAY, headers={"Retry-After": "5"})
    return None


def _plain(status: HTTPStatus) -> Callable[[Any], ProblemError]:
    return lambda error: ProblemError(status, str(error))


def _named(error: Any) -> ProblemError:
    """A message that begins with its field, or its option: ``field: what is the matter; allowed: this and that``."""
    said, colon, _ = str(error).partition(": ")
    name = said.removeprefix("--").replace("-", "_")
    _, _, allowed = str(error).partition("allowed: ")
    is_field = bool(colon) and name.replace("_", "").replace(".", "").isalnum()
    return unprocessable(str(error), name if is_field else None, allowed=allowed or None)


def _rows(error: Any) -> ProblemError:
    count = counted(error.total, "mistake")
    problem = unprocessable(f"{count} in {error.file}; nothing was enqueued", "catalog")
    problem.more = {
        "total": error.total,
        "mistakes": [
            {"line": each.line, "key": each.key, "column": each.column, "message": each.message}
            for each in error.mistakes[:SHOWN_MISTAKES]
        ],
    }
    return problem


def _conflict(error: Any) -> ProblemError:
    current = {
        "verdict": error.current.verdict, "verdict_id": error.current.verdict_id, "reviewer": error.current.person,
        "at": error.current.at,
    }  # fmt: skip
    return ProblemError(HTTPStatus.CONFLICT, str(error), "based_on", more={"current": current})


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _cut(value if isinstance(value, str) else str(value), SHOWN)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


#: The nearest class of an error comes first.
_EXPECTED: tuple[tuple[type[Exception], Callable[[Any], ProblemError]], ...] = (
    (ForbiddenError, _plain(HTTPStatus.FORBIDDEN)),
    (SpendLimitError, _plain(HTTPStatus.FORBIDDEN)),
    (UnknownBatchError, _plain(HTTPStatus.NOT_FOUND)),
    (UnknownJobError, _plain(HTTPStatus.NOT_FOUND)),
    (UnknownPictureError, _plain(HTTPStatus.NOT_FOUND)),
    (UnknownScheduleError, _plain(HTTPStatus.NOT_FOUND)),
    (UnknownQuoteError, lambda error: unprocessable(str(error), "quote")),
    (StaleQuoteError, _plain(HTTPStatus.CONFLICT)),
    (NotRunError, _plain(HTTPStatus.CONFLICT)),
    (ConflictError, _conflict),
    (NotReadyError, _plain(HTTPStatus.CONFLICT)),
    (InWorkError, lambda error: ProblemError(HTTPStatus.CONFLICT, str(error), headers={"Retry-After": "5"})),
    (OtherRequestError, lambda error: unprocessable(str(error), "Idempotency-Key")),
    (BadRowsError, _rows),
    (DeskError, _named),
    (CatalogError, _named),
    (InvalidJobError, invalid),
    (OutsideRootsError, _named),
    (RecursionError, lambda _: ProblemError(HTTPStatus.BAD_REQUEST, "body: it is nested too deeply", "body")),
    (AccountsError, _plain(HTTPStatus.SERVICE_UNAVAILABLE)),
    (StorageError, _plain(HTTPStatus.SERVICE_UNAVAILABLE)),
)
