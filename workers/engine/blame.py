"""Whose fault it is that a provider could not get a picture: the picture's, or that of the link we gave it.

The pictures behind our own links were decoded in full before. So an answer that says that one cannot be fetched, or any
complaint about the input while our links do not work, says nothing of the picture: the job is tried again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns
from models.jobs import ROLES
from models.states import Reason
from providers.fetching import not_fetched
from providers.outcomes import Failed, PollOutcome, Refused, SubmitOutcome
from providers.spec import Operation, Via
from workers.config.accounts import Account
from workers.engine.looks import OwnWeb
from workers.images.uris import is_remote

O = TypeVar("O", SubmitOutcome, PollOutcome)  # noqa: E741

_JOBS = text(f"SELECT id, {columns(ROLES)}, options FROM jobs WHERE id = ANY(:ids)")


def blames_input(outcome: object) -> bool:
    """Whether the provider complains about an input."""
    return isinstance(outcome, Refused | Failed) and outcome.reason is Reason.BAD_INPUT


def gives_links(operation: Operation, pictures: dict[str, str]) -> bool:
    """Whether a provider gets one of these pictures by a link of ours."""
    return any(
        need.via is Via.URL and (not is_remote(pictures[role]) or need.exact)
        for role, need in operation.needs.items()
        if role in pictures
    )


def with_links(session: Session, account: Account, jobs: Collection[tuple[str, str]]) -> set[str]:
    """Those of these jobs, each with its operation, whose providers got links of ours."""
    operations = dict(jobs)
    found = set()
    for row in session.execute(_JOBS, {"ids": sorted(operations)}):
        operation = account.adapter.OPERATIONS[operations[row.id]]
        pictures = {role: uri for role in ROLES if (uri := getattr(row, role))}
        if gives_links(operation, {**pictures, **operation.option_pictures(row.options)}):
            found.add(row.id)
    return found


async def judged(outcome: O, own_web: OwnWeb) -> O:
    """The outcome of a job whose provider got links of ours, with a reason that does not blame the picture wrongly."""
    if not isinstance(outcome, Refused | Failed) or not blames_input(outcome):
        return outcome
    if not not_fetched(outcome.message) and not await own_web.is_down():
        return outcome
    message = f"{outcome.message} (the provider did not get the picture from our link)"
    if isinstance(outcome, Failed):
        return replace(outcome, reason=Reason.INPUT_UNAVAILABLE, message=message, again=True)
    return replace(outcome, reason=Reason.INPUT_UNAVAILABLE, message=message)
