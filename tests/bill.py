"""The sandbox's bill held against the books: which line belongs to which attempt, and what does not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from providers import PROVIDERS
from tests.stack import Stack
from workers.http.urls import digest


@dataclass(frozen=True, slots=True)
class Line:
    """One submission that the sandbox accepted: a line of its bill."""

    number: int
    provider: str
    handle: str
    reference: str | None
    token: str | None
    prompt: str | None
    amount: Decimal
    #: Taken and billed, and unknown to the provider ever since.
    lost: bool

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Line:
        wish = job["notes"].get("callback")
        return cls(
            number=job["id"],
            provider=job["provider"],
            handle=job["handle"],
            reference=job["reference"],
            token=digest(wish["url"].rpartition("/")[2]) if wish else None,
            prompt=job["recipe"].get("prompt"),
            amount=Decimal(job["amount"]),
            lost=job["lost"],
        )

    @property
    def traces(self) -> set[tuple[str, str]]:
        """By what an attempt recognises it, without a doubt."""
        found = {("handle", self.handle), ("reference", self.reference), ("token", self.token)}
        return {(kind, value) for kind, value in found if value}


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, as our books have it."""

    id: str
    job_id: str
    account: str
    provider: str
    state: str
    job_state: str
    accepted: bool
    handle: str | None
    locator: str | None
    token: str | None
    prompt: str | None
    cost: Decimal

    @property
    def traces(self) -> set[tuple[str, str]]:
        """By what its line on the bill is recognised, without a doubt."""
        found = {("handle", self.handle), ("handle", self.locator), ("reference", self.id), ("token", self.token)}
        return {(kind, value) for kind, value in found if value}

    @property
    def unclear(self) -> bool:
        """Whether nobody knows if the provider took it."""
        return not self.accepted and self.state in ("unknown", "expired")


class Bill:
    """The lines, and to which entries they belong."""

    def __init__(self, lines: Sequence[Line], entries: Sequence[Entry]) -> None:
        self.lines, self.entries = lines, entries
        self._traced: defaultdict[tuple[str, str, str], list[Line]] = defaultdict(list)
        for line in lines:
            for trace in line.traces:
                self._traced[line.provider, *trace].append(line)
        #: Lines of each accepted attempt; more than one, or none, is wrong.
        self.of: dict[str, list[Line]] = {}
        #: Billed by a provider that was asked afterwards and said that it had never got them.
        self.denied: list[Line] = []
        claimed: set[int] = set()
        for entry in entries:
            if entry.accepted:
                own = self.traced(entry)
                kept = [line for line in own if not line.lost] or own[:1]
                self.of[entry.id] = kept
                claimed.update(line.number for line in own)
                self.denied += [line for line in own if line not in kept]
        #: Lines that no accepted attempt stands for.
        self.unclaimed: list[Line] = []
        for line in lines:
            if line.number not in claimed:
                denied = line.lost and PROVIDERS[line.provider].CAN_LOCATE
                (self.denied if denied else self.unclaimed).append(line)

    def traced(self, entry: Entry) -> list[Line]:
        """The lines that are without a doubt `entry`'s."""
        found = {line.number: line for trace in entry.traces for line in self._traced[entry.provider, *trace]}
        return [found[number] for number in sorted(found)]

    def explain(self) -> tuple[dict[str, Line], list[Line]]:
        """The unclaimed lines of unclear attempts, by attempt, and those that are nobody's.

        A provider that is given neither a reference nor a callback still shows a person the prompt.
        """
        unclear = {entry.id: entry for entry in self.entries if entry.unclear}
        found: dict[str, Line] = {}
        traced = {line.number: entry.id for entry in unclear.values() for line in self.traced(entry)}
        by_prompt: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
        for entry in unclear.values():
            by_prompt[entry.provider, entry.prompt].append(entry.id)
        nobodys = []
        for line in self.unclaimed:
            whose = traced.get(line.number)
            if whose is None and line.prompt:
                whose = next((id_ for id_ in by_prompt[line.provider, line.prompt] if id_ not in found), None)
            if whose is None or whose in found:
                nobodys.append(line)
            else:
                found[whose] = line
        return found, nobodys


def read_bill(stack: Stack) -> Bill:
    """The bill and the books as they stand now."""
    rows = stack.sql(
        "SELECT cast(a.id AS text) AS id, a.job_id, a.account, split_part(a.operation, '.', 1) AS provider, a.state,"
        " j.state AS job_state, a.accepted_at IS NOT NULL AS accepted, a.handle, a.locator, a.callback_token AS token,"
        " j.prompt, a.cost FROM attempts a JOIN jobs j ON j.id = a.job_id ORDER BY a.sent_at"
    )
    return Bill([Line.of(job) for job in stack.sandbox.jobs()], [Entry(**row._mapping) for row in rows])


def wrong_in(bill: Bill) -> Iterator[str]:
    """What does not fit between bill and books, each in words."""
    owners: defaultdict[int, list[str]] = defaultdict(list)
    for entry in bill.entries:
        if entry.accepted:
            yield from _wrong_with(entry, bill.of[entry.id])
            for line in bill.of[entry.id]:
                owners[line.number].append(entry.id)
        elif entry.state in ("running", "done"):
            yield f"attempt {entry.id} is {entry.state} and not counted as accepted"
    for number, ids in owners.items():
        if len(ids) > 1:
            yield f"line {number} of the bill is claimed by {len(ids)} attempts: {', '.join(ids)}"
    yield from _wrong_with_unclaimed(bill)


def _wrong_with_unclaimed(bill: Bill) -> Iterator[str]:
    held = {entry.id: entry for entry in bill.entries if entry.unclear and entry.job_state == "held"}
    explained, nobodys = bill.explain()
    for whose, line in explained.items():
        if whose not in held:
            yield f"{line} was paid, and its attempt {whose} is neither accepted nor held"
        elif held[whose].cost != line.amount:
            yield f"{line} was paid, and the held attempt {whose} is booked with {held[whose].cost}"
    for line in nobodys:
        yield f"{line} was paid, and is nobody's"


def _wrong_with(entry: Entry, lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        yield f"attempt {entry.id} of {entry.account} counts as accepted and has no line on the bill"
    elif len(lines) > 1:
        yield f"attempt {entry.id} of {entry.account} was paid {len(lines)} times: {[line.number for line in lines]}"
    elif lines[0].amount != entry.cost:
        yield f"attempt {entry.id} of {entry.account} is booked with {entry.cost} and was billed {lines[0].amount}"
