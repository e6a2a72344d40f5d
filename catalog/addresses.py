"""Looks at the public addresses that a catalog's rows name, before anything is enqueued.

Only a start of the catalog is looked at, side by side and within a bounded time: this tells a person early what workers
find out before each payment in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import Mistake
from catalog.intake import Intake
from workers.config.accounts import Account
from workers.engine.looks import insisted
from workers.http.client import HttpClient, build_client
from workers.http.ssrf import ForbiddenAddressError, Guard
from workers.images.download import DeadUrlError, TransientDownloadError, look
from workers.images.uris import is_remote

ROWS = 1_000  # at the start of a catalog, whose addresses are looked at; workers look at all
SIDE_BY_SIDE = 32  # looks at a time: a small server is not to notice them
WITHIN_SECONDS = 15.0  # for all of them; what has not answered by then is left to the workers

_SETTLED = text("""
    SELECT j.key FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE b.name = :name AND j.key = ANY(:keys) AND j.state NOT IN ('queued', 'failed')
""")


def settled(session: Session, intake: Intake) -> set[str]:
    """The keys at the catalog's start whose jobs are done or under way."""
    keys = [row.key for row in islice(intake.spooled(), ROWS)]
    return set(session.execute(_SETTLED, {"name": intake.name, "keys": keys}).scalars())


def dead_addresses(intake: Intake, accounts: Mapping[str, Account], left_out: Collection[str] = ()) -> list[Mistake]:
    """The rows at the catalog's start that name an address without a picture; not those whose keys are `left_out`."""
    named = [
        (row, role, uri)
        for row in islice(intake.spooled(), ROWS)
        if row.key not in left_out
        for role, uri in row.pictures.items()
        if is_remote(uri)
    ]
    found = asyncio.run(_dead({uri for _, _, uri in named}, accounts)) if named else {}
    return [Mistake(row.line, role, f"{uri!r}: {found[uri]}", row.key) for row, role, uri in named if uri in found]


async def _dead(urls: Iterable[str], accounts: Mapping[str, Account]) -> dict[str, str]:
    """The addresses at which there is nothing, with what was found there."""
    allowed = {host for account in accounts.values() for host in account.allow_hosts}
    places = asyncio.Semaphore(SIDE_BY_SIDE)
    found: dict[str, str] = {}
    async with build_client(Guard(allowed), max_connections=SIDE_BY_SIDE) as client:
        looks = [asyncio.ensure_future(_look(client, url, places, found)) for url in sorted(urls)]
        _, late = await asyncio.wait(looks, timeout=WITHIN_SECONDS)
        for each in late:
            each.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return found


async def _look(client: HttpClient, url: str, places: asyncio.Semaphore, found: dict[str, str]) -> None:
    async with places:
        try:
            await insisted(lambda: look(client, url))
        except (DeadUrlError, ForbiddenAddressError) as error:
            found[url] = str(error)
        except TransientDownloadError:
            pass  # it may answer by the time that a worker asks
