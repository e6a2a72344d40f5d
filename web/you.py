"""The page of one's own access: where a person is signed in, and their password."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk import own_access
from desk.passwords import MIN_CHARS, PasswordError
from desk.people import PersonError
from desk.verdicts import DeskError
from models.transactions import Database
from web.access import Access
from web.desk_forms import chosen
from web.pages import Pages, is_text, link
from web.prefix import prefix
from web.sign_ins import SignIns
from web.visitors import Form, actor_of, first, visitor_of

CHANGED = "The password is changed. You stay signed in here, and nowhere else."
WRONG = "The current password is wrong."
DIFFERENT = "new password: both fields have to say the same."


class YouPage:
    """The page, for everybody but guests, and where its forms go.

    Args:
        pages: makes the page.
        database: has the people.
        sign_ins: compares passwords.
    """

    def __init__(self, pages: Pages, database: Database, sign_ins: SignIns) -> None:
        self._pages, self._database, self._sign_ins = pages, database, sign_ins

    def routes(self, access: Access) -> list[Route]:
        """Both of them."""
        return [
            Route("/you", access.guarded(self._pages.surely(self.show))),
            Route("/you", access.guarded(self._pages.surely(self.take)), methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Where the person is signed in, and a form for another password."""
        return await self._shown(request)

    async def take(self, request: Request) -> Response:
        """Change the password, or end other sign-ins."""
        form: Form = request.state.form
        try:
            if chosen(form, ("password", "end", "end_all")) == "password":
                return await self._change_password(request, form)
        except (DeskError, PasswordError, PersonError) as error:
            return await self._shown(request, refused=str(error))
        which = None if first(form, "do") == "end_all" else first(form, "name")
        if which is None or is_text(which):
            await self._pages.change(own_access.end_others, actor_of(request), _token(request), which)
        return RedirectResponse(link(prefix(request), "you"), HTTPStatus.SEE_OTHER)

    async def _change_password(self, request: Request, form: Form) -> Response:
        new = first(form, "new")
        if new != first(form, "again"):
            return await self._shown(request, refused=DIFFERENT)
        change = partial(own_access.change_password, self._database, actor_of(request), _token(request))
        if not await self._sign_ins.compared(request, change, first(form, "current"), new):
            return await self._shown(request, refused=WRONG)
        return await self._shown(request, said=CHANGED)

    async def _shown(self, request: Request, *, said: str = "", refused: str = "") -> Response:
        found = await self._pages.read(own_access.sign_ins, _token(request))
        status = HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK
        return self._pages.render(
            request, "you.html", status, sign_ins=found, listed=own_access.LISTED, at_least=MIN_CHARS, said=said,
            refused=refused,
        )  # fmt: skip


def _token(request: Request) -> str:
    """The cookie of a person who is signed in; empty where they have none."""
    visitor = visitor_of(request)
    return (visitor and visitor.token) or ""
