"""Checks of accounts' credentials, which cost nothing: made by a command, or by a worker for a person at a page.

Pages have no credentials: their process asks by a row and a message. A lost message is an answer that does not come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.accounts import CredentialVerdict
from models.fragments import seconds_ago
from providers.http import InvalidURL
from providers.outcomes import Credentials
from providers.protocol import NotSentError, UnclearError
from workers.config.accounts import Account
from workers.engine.provider_calls import UNBUILT
from workers.engine.runtime import Runtime
from workers.jobs.transitions import clip
from workers.messaging.app import app

TIMEOUT_SECONDS = 30.0  # for all calls of a check: a sign-in and a question take a few; a person waits for them
ASKED_SECONDS = 60.0  # for which an answer is waited for: the check's own time, and as much until a worker is free

log = structlog.get_logger()

# One at a time for each account.
_ASK = text(f"""
    INSERT INTO credential_checks (account, asked_at) VALUES (:account, clock_timestamp())
    ON CONFLICT (account) DO UPDATE SET asked_at = excluded.asked_at, answered_at = NULL, verdict = NULL, message = NULL
    WHERE credential_checks.answered_at IS NOT NULL
        OR credential_checks.asked_at < {seconds_ago(":seconds")} RETURNING asked_at
""")
_ASKED = text(f"""
    SELECT asked_at FROM credential_checks
    WHERE account = :account AND answered_at IS NULL AND asked_at > {seconds_ago(":seconds")}
""")
_ANSWER = text("""
    UPDATE credential_checks SET answered_at = clock_timestamp(), verdict = :verdict, message = :message
    WHERE account = :account AND asked_at = :asked_at AND answered_at IS NULL
""")
_LATEST = text(f"""
    SELECT account, asked_at, answered_at, verdict, message,
        answered_at IS NULL AND asked_at < {seconds_ago(":seconds")} AS lost FROM credential_checks
""")


@dataclass(frozen=True, slots=True)
class Checked:
    """The latest check of an account that was asked for on a page."""

    account: str
    asked_at: datetime
    #: None while there is no answer.
    answered_at: datetime | None
    verdict: str | None
    message: str | None
    #: Whether no answer will come any more.
    lost: bool

    @property
    def waits(self) -> bool:
        """Whether an answer may still come."""
        return self.answered_at is None and not self.lost


def credentials(runtime: Runtime, account: Account) -> tuple[CredentialVerdict, str]:
    """The verdict on an account's credentials, and the provider's message. Costs nothing."""

    async def ask() -> Credentials:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await runtime.provider(account).check()

    try:
        answer = runtime.on_loop(ask())
    except TimeoutError:
        return CredentialVerdict.SILENT, f"no answer within {TIMEOUT_SECONDS:g} s"
    except (NotSentError, UnclearError) as error:
        return CredentialVerdict.SILENT, f"no answer: {error}"
    except (ValueError, InvalidURL) as error:
        return CredentialVerdict.SILENT, f"{UNBUILT} ({type(error).__name__})"
    if answer.ok is None:
        return CredentialVerdict.UNKNOWN, answer.message
    return CredentialVerdict.GOOD if answer.ok else CredentialVerdict.REFUSED, answer.message


def ask(session: Session, account: str) -> datetime | None:
    """Note that a check is wanted, and when; None while another one is waited for."""
    asked_at: datetime | None = session.execute(_ASK, {"account": account, "seconds": ASKED_SECONDS}).scalar()
    return asked_at


def send(runtime: Runtime, account: str, asked_at: datetime) -> None:
    """Have a worker make the check that was asked for."""
    try:
        app.send_task("check_credentials", args=[account], retry=False, ignore_result=True, expires=ASKED_SECONDS)
    except OperationalError as error:
        log.warning("credential_check_not_published", account=account, error=str(error))
        said = "no worker could be asked: the broker does not answer"
        runtime.db(_answer, account, asked_at, CredentialVerdict.SILENT, said)


def perform(runtime: Runtime, account: str) -> None:
    """Make the check that was asked for, unless it was answered, or is waited for no more."""
    asked_at = runtime.db(_asked, account)
    if asked_at is None:
        return
    try:
        verdict, message = credentials(runtime, runtime.account(account))
    except Exception as error:
        log.exception("credential_check_failed", account=account)
        verdict, message = CredentialVerdict.SILENT, f"the check failed: {type(error).__name__}"
    runtime.db(_answer, account, asked_at, verdict, message)


def latest(session: Session) -> Mapping[str, Checked]:
    """The latest check of each account for which one was asked on a page."""
    rows = session.execute(_LATEST, {"seconds": ASKED_SECONDS})
    return {row.account: Checked(**row._mapping) for row in rows}


def is_answered(session: Session, account: str) -> bool:
    """Whether no answer is waited for."""
    return _asked(session, account) is None


def _asked(session: Session, account: str) -> datetime | None:
    asked_at: datetime | None = session.execute(_ASKED, {"account": account, "seconds": ASKED_SECONDS}).scalar()
    return asked_at


def _answer(session: Session, account: str, asked_at: datetime, verdict: CredentialVerdict, message: str) -> None:
    values = {"account": account, "asked_at": asked_at, "verdict": verdict.value, "message": clip(message)}
    session.execute(_ANSWER, values)
