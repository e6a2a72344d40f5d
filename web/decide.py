"""The page on which operators decide about held jobs, one by itself or several with their count and money first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.deciding import MAX_HANDLE_CHARS, check, decide
from desk.verdicts import DeskError
from reports import held
from reports.queries import whole, words
from web.access import Access
from web.desk_forms import chosen
from web.operators import Operators, agreement
from web.pages import is_text
from web.visitors import Form, actor_of, first
from workers.jobs.filters import Filter
from workers.operations.resolve import Held, Verdict

ALL = "all"  # of the filter, in place of the jobs that are ticked

#: Verdicts in words: what each says, and what follows.
SAID: Mapping[Verdict, tuple[str, str]] = {
    Verdict.ACCEPTED: ("The provider accepted it", "It is polled under the provider's id, and pays nothing again."),
    Verdict.NOT_ACCEPTED: (
        "The provider has none of them", "They are queued again, and each pays again. Their former cost is returned."
    ),
    Verdict.GIVE_UP: ("Give up", "They fail, and their cost stays in the books."),
}  # fmt: skip


class DecidePage:
    """Held jobs, what is known of them, and what a person found out."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages = operators, operators.pages

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its forms go."""
        return [
            self._operators.shows(access, "/decide", self.show),
            self._operators.takes(access, "/decide", self.take),
        ]

    async def show(self, request: Request) -> Response:
        """Held jobs in the order of their arrival: of ``?batch=``, or one ``?job=``; ``?after=`` selects the page."""
        query = request.query_params
        batch, job, after = words(query, "batch"), words(query, "job"), whole(query, "after")
        accounts = self._operators.accounts or {}

        def read(session: Session) -> tuple[held.HeldPage, held.Stake]:
            if job is not None:
                page = held.HeldPage(held.of(session, accounts, Filter(ids=[job])), None)
                return page, held.Stake(len(page.jobs), _cost(page.jobs), more=False)
            return held.page(session, accounts, batch=batch, after=after), held.stake(session, accounts, batch)

        page, stake = await self._pages.read(read)
        return self._pages.render(
            request, "decide.html", page=page, stake=stake, batch=batch, job=job, said=SAID,
            handle_chars=MAX_HANDLE_CHARS, asked={each.id: held.can_be_asked(accounts, each) for each in page.jobs},
        )  # fmt: skip

    async def take(self, request: Request, form: Form) -> Response | None:
        """Take a decision: ask first, with the count and the money, then record what was agreed to."""
        verdict = chosen(form, Verdict, "verdict")
        handle = first(form, "handle").strip() if verdict is Verdict.ACCEPTED else None
        found = await self._pages.read(self._chosen, form)
        check(found, verdict, handle)
        # A job that was sent again since, and is held again, is another question.
        agreed = agreement((job.id for job in found), _cost(found))
        if first(form, "agreed") != agreed:
            # What is agreed to may have changed while it was looked at: then it is asked again.
            again = {name: values for name, values in form.items() if name not in {"form", "agreed"}}
            return self._pages.render(
                request, "decide_confirm.html", found=found, cost=_cost(found), verdict=verdict, said=SAID[verdict],
                handle=handle, again=again, agreed=agreed, accounts=Counter(job.account for job in found),
            )  # fmt: skip
        await self._operators.call(decide, self._operators.runtime, actor_of(request), found, verdict, handle)
        return None

    def _chosen(self, session: Session, form: Form) -> list[Held]:
        accounts = self._operators.accounts or {}
        if first(form, "which") == ALL:
            batch = first(form, "batch") or None
            return held.first(session, accounts, batch)[0] if is_text(batch or "") else []
        ids = [job for job in form.get("job", []) if is_text(job)]
        if not ids:
            raise DeskError("job: none is selected; tick one, or choose all of them")
        return held.of(session, accounts, Filter(ids=ids))


def _cost(jobs: Sequence[Held]) -> Decimal:
    return sum((job.cost for job in jobs), Decimal(0))
