"""What a soak did and what came of it, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from tests.bill import Bill
from tests.chaos.plan import Kill
from tests.stack import Stack


@dataclass(slots=True)
class Report:
    """One soak. Times in seconds; money in the sandbox's currency."""

    seed: int
    jobs: int
    seconds: float
    kills: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)
    #: Jobs when the storm ended, when all had ended or were held, and at last.
    states_at_quiet: dict[str, int] = field(default_factory=dict)
    states_settled: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    #: From quiet until every job had ended or was held, and until nothing at all was left to do.
    settled_after: float = 0.0
    finished_after: float = 0.0
    resolved: dict[str, int] = field(default_factory=dict)
    tasks_sent: int = 0
    #: Tasks that the broker took and forgot before a worker had accepted them.
    tasks_lost: int = 0
    attempts: int = 0
    sends: int = 0
    polls: int = 0
    #: Submissions whose fate was once unclear, and those that were held for a person.
    unclear: int = 0
    held: int = 0
    callbacks: int = 0
    lines: int = 0
    billed: str = "0"
    spent: str = "0"
    #: Billed by a provider that said afterwards that it had never got them.
    denied: str = "0"
    wrong: list[str] = field(default_factory=list)

    def note_kills(self, done: Iterable[tuple[float, Kill]]) -> None:
        """Count the kills that were done."""
        for _, kill in done:
            kinds = self.kills.setdefault(kill.component, {})
            kinds[kill.manner] = kinds.get(kill.manner, 0) + 1

    def note_books(self, stack: Stack, bill: Bill) -> None:
        """Take down what the database and the bill say at the end."""
        self.states = dict(stack.states())
        self.reasons = _counts(stack, "SELECT reason, count(*) FROM jobs WHERE state NOT IN ('succeeded') GROUP BY 1")
        row = stack.sql(
            "SELECT count(*) AS attempts, coalesce(sum(send_count), 0) AS sends, coalesce(sum(polls), 0) AS polls,"
            " count(*) FILTER (WHERE reason = 'unclear_submit' OR absences > 0) AS unclear FROM attempts"
        )[0]
        self.attempts, self.sends, self.polls, self.unclear = row.attempts, row.sends, row.polls, row.unclear
        self.callbacks = stack.sql("SELECT count(*) AS n FROM callbacks")[0].n
        self.lines = len(bill.lines)
        self.billed = str(sum((line.amount for line in bill.lines), Decimal(0)))
        self.denied = str(sum((line.amount for line in bill.denied), Decimal(0)))
        spent = stack.sql("SELECT coalesce(sum(amount), 0) AS n FROM spend WHERE period LIKE 'day:%'")[0].n
        self.spent = str(spent)

    def as_document(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)

    def in_words(self) -> str:
        """The report for a person."""
        kills = "; ".join(f"{name} {_listed(kinds)}" for name, kinds in sorted(self.kills.items()))
        number = sum(sum(kinds.values()) for kinds in self.kills.values())
        lines = [
            f"seed {self.seed}: {self.jobs} jobs in {self.seconds:g} s",
            f"killed {number} times: {kills}",
            f"faults: {sum(self.faults.values())}: {_listed(self.faults)}",
            f"opened by a person: {_listed(self.opened)}",
            f"jobs at quiet: {_listed(self.states_at_quiet)}",
            f"all ended or held {self.settled_after:.0f} s after quiet: {_listed(self.states_settled)}",
            f"nothing left to do {self.finished_after:.0f} s after quiet: {_listed(self.states)}",
            f"those that did not succeed: {_listed(self.reasons)}",
            f"held {self.held}, resolved by the bill: {_listed(self.resolved)}",
            f"{self.tasks_sent} tasks of producers, {self.tasks_lost} forgotten by the broker before they became jobs",
            f"{self.attempts} attempts, {self.sends} sends, {self.unclear} unclear",
            f"{self.polls} polls, {self.callbacks} callbacks",
            f"bill {self.billed} in {self.lines} lines, {self.denied} of it billed and denied; spend {self.spent}",
        ]
        if self.wrong:
            lines += [f"WRONG, {len(self.wrong)} times:", *(f"  {wrong}" for wrong in self.wrong)]
        else:
            lines.append("nothing is wrong")
        return "\n".join(lines)


def _counts(stack: Stack, query: str) -> dict[str, int]:
    return dict(Counter({str(name): number for name, number in stack.sql(query)}))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"
