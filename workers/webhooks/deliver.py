"""The delivery pump: sends webhooks' messages at least once, in order as far as the receivers allow.

A delivery that is claimed gets the time at which it may be claimed again, so a worker that dies between sending and
noting it has the message sent again, under the same id. Every webhook has places of its own: one that is slow, or away,
keeps no other waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import seconds_from_now, until
from workers.backoff import jittered
from workers.config.settings import SettingsError
from workers.engine.batch_writer import BatchWriter
from workers.engine.in_flight import InFlight
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice
from workers.engine.wake import DELIVER_PUMP
from workers.jobs.transitions import clip
from workers.webhooks.messages import TEST_EVENT, TIMEOUT_SECONDS, Answer, Message, request, send, unseal

#: Seconds between the tries, as Standard Webhooks proposes them; after the last a person must decide.
PAUSES = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
AT_ONCE = 16  # messages in flight to one webhook
CLAIM_SECONDS = TIMEOUT_SECONDS + 15.0  # a try ends within its time-out, and is noted soon after
LOOK_SECONDS = 1.0  # between checks for due messages while others are in flight
KEPT_DAYS = 30  # in which the outcome of a delivery can be looked up
PRUNED_AT_ONCE = 1_000

log = structlog.get_logger()

_PLACES = Bulk[tuple[int, int]]("b", webhook_id=("int", lambda place: place[0]), number=("int", lambda place: place[1]))
_CLAIM = text(f"""
    WITH chosen AS (
        SELECT d.id, w.url, w.secrets FROM webhooks w
        LEFT JOIN {_PLACES.table} ON b.webhook_id = w.id
        CROSS JOIN LATERAL (
            SELECT id FROM deliveries WHERE webhook_id = w.id AND next_at <= statement_timestamp()
            ORDER BY next_at LIMIT greatest(0, :at_once - coalesce(b.number, 0)) FOR UPDATE SKIP LOCKED
        ) d
        WHERE w.disabled_at IS NULL
    )
    UPDATE deliveries d SET tries = tries + 1, next_at = {seconds_from_now(":seconds")}
    FROM chosen c WHERE d.id = c.id
    RETURNING d.id, d.webhook_id, d.event, d.data, d.created_at, d.tries, c.url, c.secrets
""")
_DUE_IN = text(f"""
    SELECT {until("min(d.next_at)")} FROM webhooks w
    CROSS JOIN LATERAL (
        SELECT next_at FROM deliveries WHERE webhook_id = w.id AND next_at IS NOT NULL ORDER BY next_at LIMIT 1
    ) d
    WHERE w.disabled_at IS NULL
""")
_PRUNE = text("""
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries WHERE next_at IS NULL AND created_at < clock_timestamp() - :days * interval '1 day'
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""")


@dataclass(frozen=True, slots=True)
class _Claimed:
    message: Message
    webhook_id: int
    tries: int
    #: Why it cannot be sent at all.
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Tried:
    claimed: _Claimed
    answer: Answer

    @property
    def pause(self) -> float | None:
        """Seconds until the next try; None when there is none."""
        one = self.claimed.message.event == TEST_EVENT
        if self.answer.error is None or one or self.claimed.tries > len(PAUSES):
            return None
        return max(jittered(PAUSES[self.claimed.tries - 1]), self.answer.wait or 0.0)


_TRIES = Bulk[_Tried](
    "n",
    id=("uuid", lambda tried: tried.claimed.message.id),
    tried=("int", lambda tried: tried.claimed.tries),
    error=("text", lambda tried: clip(tried.answer.error)),
    pause=("float8", lambda tried: tried.pause),
)
_NOTE = text(f"""
    UPDATE deliveries d SET
        delivered_at = CASE WHEN n.error IS NULL THEN clock_timestamp() END, error = n.error,
        next_at = {seconds_from_now("n.pause")}
    FROM {_TRIES.table} WHERE d.id = n.id AND d.tries = n.tried AND d.delivered_at IS NULL
""")
_DISABLE = text("""
    UPDATE webhooks SET disabled_at = clock_timestamp(), disabled_note = :note WHERE id = :id AND disabled_at IS NULL
""")
_GIVE_UP = text("""
    UPDATE deliveries SET next_at = NULL, error = coalesce(error, :note)
    WHERE webhook_id = :id AND next_at IS NOT NULL
""")


class DeliverPump:
    """Sends what is due to all webhooks."""

    name = DELIVER_PUMP

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(self, turn: Slice) -> None:
        """Send until the slice is over or nothing is due."""
        writer: BatchWriter[_Tried] = BatchWriter(self._runtime, _note, after=_nothing_more, fallback=_write_fallback)
        async with writer, InFlight() as calls:
            await turn.db(_prune)
            while not turn.over:
                for item in await turn.db(self._claim, calls.by_key()):
                    calls.start(self._try(item, writer), key=item.webhook_id)
                if calls:
                    await turn.wait(min(LOOK_SECONDS, turn.left), calls)
                elif not await turn.patience():
                    break
            if self._runtime.stopping.is_set():
                # A worker that shuts down does not wait for slow receivers: the claims run out, and it is sent again.
                calls.cancel()

    def next_in(self, session: Session) -> float | None:
        """When the next message is due."""
        seconds = session.execute(_DUE_IN).scalar_one()
        return None if seconds is None else max(0.0, float(seconds))

    def _claim(self, session: Session, busy: Mapping[int, int]) -> list[_Claimed]:
        rows = session.execute(_CLAIM, {**_PLACES.of(busy.items()), "at_once": AT_ONCE, "seconds": CLAIM_SECONDS})
        claimed = []
        for row in rows:
            error: str | None = None
            secrets: list[str] = []
            try:
                secrets = [secret for secret, _ in unseal(self._runtime.settings, bytes(row.secrets))]
            except SettingsError as refused:
                error = str(refused)
            message = Message(row.id, row.event, row.data, row.created_at, row.url, secrets)
            claimed.append(_Claimed(message, row.webhook_id, row.tries, error))
        return claimed

    async def _try(self, item: _Claimed, writer: BatchWriter[_Tried]) -> None:
        answer = Answer(error=item.error)
        if item.error is None:
            try:
                answer = await send(self._runtime.webhook_client, request(self._runtime, item.message))
            except Exception as error:
                log.exception("webhook_failed", webhook=item.webhook_id, delivery=str(item.message.id))
                answer = Answer(error=f"the message could not be sent: {type(error).__name__}")
        log.debug(
            "webhook_tried", webhook=item.webhook_id, delivery=str(item.message.id), tries=item.tries,
            status=answer.status, error=answer.error,
        )  # fmt: skip
        writer.put(_Tried(item, answer))


def _note(session: Session, tried: Sequence[_Tried]) -> None:
    session.execute(_NOTE, _TRIES.of(tried))
    for webhook_id in sorted({item.claimed.webhook_id for item in tried if item.answer.gone}):
        disable(session, webhook_id, "the receiver answered 410 Gone")
    for item in tried:
        if item.answer.error is not None:
            log.info(
                "webhook_not_delivered", webhook=item.claimed.webhook_id, delivery=str(item.claimed.message.id),
                tries=item.claimed.tries, error=item.answer.error,
            )  # fmt: skip


def disable(session: Session, webhook_id: int, note: str) -> None:
    """Disable a webhook, and give up its waiting deliveries."""
    session.execute(_DISABLE, {"id": webhook_id, "note": note})
    session.execute(_GIVE_UP, {"id": webhook_id, "note": note})


def is_due(session: Session) -> bool:
    """Whether a message is due."""
    seconds = session.execute(_DUE_IN).scalar_one()
    return seconds is not None and seconds <= 0


def _prune(session: Session) -> None:
    session.execute(_PRUNE, {"days": KEPT_DAYS, "limit": PRUNED_AT_ONCE})


async def _nothing_more(_: None) -> None:
    return


def _write_fallback(session: Session, item: _Tried, error: Exception) -> None:
    """Record the try without the answer's text, which is what the database refuses."""
    plain = Answer(item.answer.status, item.answer.error and f"not recorded: {type(error).__name__}", item.answer.wait)
    _note(session, [_Tried(item.claimed, plain)])
