"""What a person does while and after things break, by the same functions that the commands use."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing

from models.transactions import Database
from tests.bill import read_bill
from tests.stack import Stack
from workers.accounts import admission
from workers.operations.resolve import Held, Verdict, held, resolve


def resolve_by_the_bill(stack: Stack) -> Counter[Verdict]:
    """Say of each held job what a person sees at the provider, who shows what it took; returns what was said.

    As `recast resolve` does.
    """
    database = Database(stack.env["RECAST_DATABASE_URL"])
    with closing(database):
        return _resolved(database, stack)


def _resolved(database: Database, stack: Stack) -> Counter[Verdict]:
    jobs = database.db(held)
    explained, _ = read_bill(stack).explain() if jobs else ({}, [])
    said: Counter[Verdict] = Counter()
    untaken: defaultdict[str, list[Held]] = defaultdict(list)
    for job in jobs:
        line = explained.get(str(job.id))
        if line is None:
            untaken[job.account].append(job)
            continue
        database.db(resolve, job.account, [job], Verdict.ACCEPTED, line.handle)
        said[Verdict.ACCEPTED] += 1
    for account, theirs in untaken.items():
        database.db(resolve, account, theirs, Verdict.NOT_ACCEPTED, None)
        said[Verdict.NOT_ACCEPTED] += len(theirs)
    return said


def open_accounts(stack: Stack) -> Counter[str]:
    """Start every account that waits for a person, as `recast accounts resume` does; returns the reasons."""
    closed = stack.sql("SELECT name, closed_reason FROM accounts WHERE closed_until = 'infinity'")
    with closing(Database(stack.env["RECAST_DATABASE_URL"])) as database:
        for row in closed:
            database.db(admission.resume, row.name)
    return Counter(row.closed_reason for row in closed)
