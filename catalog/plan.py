"""The plan of a run (a dry run): rows by what would happen to them, accounts, cost, time, and bad pictures.

Nothing is changed: the rows are compared with the batch in temporary tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.enqueue import QUEUED, decide, downloadable, is_other_work, same_pictures
from catalog.errors import Mistake
from catalog.forecast import AccountPace, Forecast, forecast
from catalog.intake import Intake, Share, Spooled
from catalog.origin import Places, elsewhere
from catalog.pilot import Sent, sent_of_new, to_be_sent
from models.spend import spent_by
from providers.spec import Fit, Operation
from workers.accounts import admission
from workers.accounts.latency import Latencies
from workers.accounts.overrides import in_force
from workers.config.accounts import Account, ahead_of
from workers.engine.listed import UnlistedError, check_listed
from workers.engine.runtime import Runtime
from workers.images.inputs import BadInputError, ImageSpec, Inputs, InputTroubleError
from workers.images.uris import is_remote
from workers.jobs.lanes import lane_operation
from workers.jobs.run_options import DEFAULTS, Only, RunOptions

TURNAROUND_SECONDS = 0.2  # from the row that frees a place in flight to the row that takes it
LOOKED_AT = 1_000  # rows whose pictures are decoded, in half a minute at most; workers check all rows


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account's limits in force, its measured times, and why it is stopped, if it is."""

    account: Account
    latencies: Latencies = field(default_factory=Latencies)
    closed: str | None = None
    #: Mean seconds in flight of its latest jobs, by operation; only if there were enough jobs.
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limit:
    """A spending limit, what the batch has spent of it, and how many of the rows to queue the rest pays for."""

    amount: Decimal
    spent: Decimal
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do and cost."""

    #: Rows by what would happen to them, in the words of `catalog.enqueue`.
    verdicts: Mapping[str, int]
    #: The rows that would be queued, by lane.
    lanes: Mapping[str, Share]
    forecast: Forecast
    statuses: Mapping[str, AccountStatus]
    unpriced: frozenset[str]
    #: How often one job may be paid for, failures included.
    paid_attempts: int = 1
    limit: Limit | None = None
    #: Where the batch was made from and where this run is made from, if these differ.
    places: Places | None = None
    #: The keys of rows to queue whose source and target are the same picture.
    same: Sequence[str] = ()
    #: Rows to queue again whose results were paid for and can be downloaded at no cost.
    free: int = 0
    #: Of the rows to queue, what is sent before a person decides, where there is a pilot.
    pilot: Sent | None = None
    #: What redos of flagged pictures may cost in the batch.
    redo_cap: Decimal = Decimal(0)
    #: Which rows would be queued, and how, as `which_rows` tells it.
    which: int = 0

    @property
    def queued(self) -> int:
        """Rows that would be queued."""
        return Share.whole(self.lanes.values()).rows

    @property
    def cheapest(self) -> Decimal:
        """Their cost at the cheapest accounts that may take them."""
        return Share.whole(self.lanes.values()).cheapest

    @property
    def dearest(self) -> Decimal:
        """Their cost at the most expensive accounts; equal to `cheapest` if each row has only one price."""
        return Share.whole(self.lanes.values()).dearest

    @property
    def at_most(self) -> Decimal:
        """Their cost at the most expensive accounts, if each is paid for and redone as often as it may be."""
        return self.dearest * self.paid_attempts + self._redos

    @property
    def sent_at_most(self) -> Decimal:
        """The same for what is sent without a further decision: all rows, or the sample of a pilot."""
        return self.at_most if self.pilot is None else self.pilot.cost * self.paid_attempts + self._redos

    @property
    def _redos(self) -> Decimal:
        return self.redo_cap if self.queued else Decimal(0)

    @property
    def parts(self) -> list[tuple[str, str, float]]:
        """Operation, account and the number of jobs expected there."""
        found = [
            (lane_operation(lane, self.statuses[name].account) or "", name, jobs)
            for (name, lane), jobs in self.forecast.shares.items()
        ]
        return sorted(found)


def plan(runtime: Runtime, intake: Intake, options: RunOptions = DEFAULTS) -> Plan:
    """What `enqueue` would do now with the same options."""
    intake.price_at(runtime.db(in_force, runtime.accounts))
    found = runtime.db(_compared, intake, options)
    statuses = runtime.db(_statuses, runtime.accounts)
    limit = options.max_in_flight if options.max_in_flight is not None else found.max_in_flight
    return Plan(
        found.verdicts, found.lanes, _forecast(found.lanes, statuses, limit), statuses,
        frozenset(intake.costs.unpriced), runtime.settings.tries.paid, found.limit, found.places, found.same,
        found.free, found.pilot, options.redo_cap if options.redo_cap is not None else found.redo_cap,
        found.which,
    )  # fmt: skip


def plan_of_new(
    intake: Intake, accounts: Mapping[str, Account], options: RunOptions = DEFAULTS, *, paid_attempts: int
) -> Plan:
    """`plan` for a deployment that has not run yet: it has no database, and all rows are new."""
    statuses = {name: AccountStatus(account) for name, account in accounts.items()}
    left_out = bool(options.only) and Only.NEW not in options.only
    lanes = {} if left_out else intake.costs.lanes
    verdicts = {"left_out" if left_out else "new": intake.rows}
    forecast = _forecast(lanes, statuses, options.max_in_flight)
    limit = None
    if options.max_cost is not None:
        limit = Limit(options.max_cost, Decimal(0), _paid_for(() if left_out else intake.prices(), options.max_cost))
    return Plan(
        verdicts, lanes, forecast, statuses, frozenset(intake.costs.unpriced), paid_attempts, limit,
        same=() if left_out else tuple(intake.same),
        pilot=sent_of_new(() if left_out else intake.samples(), options.pilot) if options.pilot else None,
        redo_cap=options.redo_cap or Decimal(0),
    )  # fmt: skip


def _paid_for(prices: Iterable[Decimal], left: Decimal) -> int:
    """How many of the rows, in their order, `left` pays for at their most expensive accounts."""
    number = 0
    for price in prices:
        left -= price
        if left < 0:
            break
        number += 1
    return number


def preflight(inputs: Inputs, intake: Intake, accounts: Mapping[str, Account]) -> Iterator[Mistake]:
    """The local pictures of the first `LOOKED_AT` rows that workers would reject, each picture reported once.

    They are decoded and converted to the form that each operation needs, as before a submission.
    """
    seen: set[tuple[str, str, str, Fit]] = set()
    for number, row in enumerate(intake.spooled(), start=1):
        if number > LOOKED_AT:
            return
        for role, uri, account, operation in _needed(row, accounts):
            need = account.operations[operation].needs[role]
            fit = Fit(row.options.get("fit", Fit.REJECT))
            known = (role, uri, operation, fit)
            if known in seen:
                continue
            seen.add(known)
            try:
                inputs.ready(role, uri, inputs.read(role, uri), ImageSpec(need, fit, account.check_face))
            except (BadInputError, InputTroubleError) as error:
                yield Mistake(row.line, role, str(error).removeprefix(f"{role}: "), row.key)


def unlisted(runtime: Runtime, intake: Intake) -> Iterator[Mistake]:
    """The options of the first `LOOKED_AT` rows whose values a provider does not list, each value reported once."""
    seen: set[tuple[str, object]] = set()
    for row in islice(intake.spooled(), LOOKED_AT):
        for account in runtime.accounts.values():
            name = lane_operation(row.lane, account)
            operation = account.operations[name] if name is not None else None
            if operation is None or operation.listed is None:
                continue
            known = (account.name, row.options.get(operation.listed))
            if known not in seen:
                seen.add(known)
                try:
                    runtime.on_loop(_listed(runtime, account, operation, row.options))
                except UnlistedError as error:
                    yield Mistake(row.line, "options", str(error).removeprefix("options."), row.key)


async def _listed(runtime: Runtime, account: Account, operation: Operation, options: Mapping[str, Any]) -> None:
    await check_listed(runtime, account, runtime.provider(account), operation, options)


def _needed(row: Spooled, accounts: Mapping[str, Account]) -> Iterator[tuple[str, str, Account, str]]:
    """Role and path of a row's local and stored pictures, for each operation that may get them."""
    for account in accounts.values():
        operation = lane_operation(row.lane, account)
        if operation is not None:
            pictures = {**row.pictures, **account.operations[operation].option_pictures(row.options)}
            for role, uri in pictures.items():
                if not is_remote(uri) and role in account.operations[operation].needs:
                    yield role, uri, account, operation


@dataclass(frozen=True, slots=True)
class _Compared:
    """A catalog compared with its batch."""

    verdicts: Mapping[str, int]
    lanes: Mapping[str, Share]
    max_in_flight: int | None
    limit: Limit | None
    places: Places | None
    same: Sequence[str]
    free: int
    pilot: Sent | None
    redo_cap: Decimal
    which: int


def _compared(session: Session, intake: Intake, options: RunOptions) -> _Compared:
    batch = session.execute(_FIND, {"name": intake.name}).first()
    decide(session, intake, batch.id if batch else None, options)
    verdicts = {row.verdict: row.number for row in session.execute(_VERDICTS)}
    rows = session.execute(_LANES, {"queued": sorted(QUEUED)})
    lanes = {row.lane: Share(row.number, row.least, row.cost) for row in rows}
    amount = options.max_cost if options.max_cost is not None or batch is None else batch.max_cost
    limit = None
    if amount is not None:
        spent = batch.spent if batch is not None else Decimal(0)
        prices = session.execute(_PRICES, {"queued": sorted(QUEUED)}).scalars()
        limit = Limit(amount, spent, _paid_for(prices, amount - spent))
    places = elsewhere(session, intake.name, intake.place)
    return _Compared(
        verdicts, lanes, batch.max_in_flight if batch else None, limit,
        places if places is not None and is_other_work(session) else None, same_pictures(session, intake),
        downloadable(session), to_be_sent(session, batch.id if batch else None, options.pilot),
        batch.redo_cap if batch else Decimal(0), which_rows(session),
    )  # fmt: skip


def which_rows(session: Session) -> int:
    """Which rows `decide` queues, and how, as one number: other rows have another one."""
    return int(session.execute(_WHICH, {"queued": sorted(QUEUED)}).scalar_one())


_FIND = text(f"""
    SELECT id, max_in_flight, max_cost, coalesce(redo_cap, 0) AS redo_cap, {spent_by("b.id")} AS spent
    FROM batches b WHERE name = :name
""")
_PRICES = text("SELECT cost FROM staged JOIN decided USING (key) WHERE verdict = ANY(:queued) ORDER BY line")
_VERDICTS = text("SELECT verdict, count(*) AS number FROM decided GROUP BY verdict")
_WHICH = text("""
    SELECT coalesce(bit_xor(hashtextextended(verdict || ' ' || key, 0)), 0) FROM decided WHERE verdict = ANY(:queued)
""")
_LANES = text("""
    SELECT lane, count(*) AS number, sum(least) AS least, sum(cost) AS cost
    FROM staged JOIN decided USING (key) WHERE verdict = ANY(:queued) GROUP BY lane ORDER BY lane
""")


def _statuses(session: Session, accounts: Mapping[str, Account]) -> dict[str, AccountStatus]:
    found = {}
    for name, account in sorted(accounts.items()):
        seen = admission.read(session, name)
        lasting = seen.closed_for is not None and seen.closed_for == float("inf")
        found[name] = AccountStatus(
            account.with_overrides(seen.overrides),
            admission.latencies(session, name),
            (seen.closed_reason or "closed") if lasting else None,
            {row.operation: row.seconds for row in session.execute(_HELD, {"account": name})},
        )
    return found


# Of the latest thousand, without the slowest twentieth: jobs that an outage delayed do not predict the next run.
# Ten remaining jobs, so at least eleven, are enough.
_HELD = text("""
    WITH latest AS (
        SELECT operation, state, extract(epoch FROM finished_at - sent_at)::float8 AS seconds FROM attempts
        WHERE account = :account ORDER BY created_at DESC LIMIT 1000
    ), ranked AS (
        SELECT operation, seconds, cume_dist() OVER (PARTITION BY operation ORDER BY seconds) AS rank FROM latest
        WHERE state = 'done'
    )
    SELECT operation, avg(seconds) AS seconds FROM ranked WHERE rank <= 0.95 GROUP BY operation HAVING count(*) >= 10
""")


def _forecast(lanes: Mapping[str, Share], statuses: Mapping[str, AccountStatus], max_in_flight: int | None) -> Forecast:
    accepting = [status for status in statuses.values() if status.closed is None]
    paces = []
    for status in accepting:
        account = status.account
        ahead = ahead_of(account, [other.account for other in accepting])
        seconds = {
            lane: _hold_seconds(status, operation)
            for lane in lanes
            if (operation := lane_operation(lane, account)) is not None and not _taken_by(lane, ahead)
        }
        paces.append(AccountPace(account.name, account.max_in_flight, account.rate, seconds))
    return forecast({lane: share.rows for lane, share in lanes.items()}, paces, max_in_flight)


def _taken_by(lane: str, ahead: Sequence[Account]) -> bool:
    """Whether an account that precedes this one in the order takes the lane's jobs."""
    return any(lane_operation(lane, other) is not None for other in ahead)


def _hold_seconds(status: AccountStatus, operation: str) -> float:
    account = status.account
    typical = account.operations[operation].typical_seconds
    learned = status.latencies.expected(operation, typical, account.poll_every)
    return status.held.get(operation, learned) + TURNAROUND_SECONDS
