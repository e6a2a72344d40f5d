"""Which jobs a form or a link of the grid, or of the list of single jobs, means: ticked ones, or all of a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from sqlalchemy.orm import Session
from starlette.requests import Request

from desk.audit import jobs_of
from desk.verdicts import DeskError
from models.batches import SINGLES, SINGLES_NAME
from models.checks import ANY_CHECK
from models.states import JobState
from reports.cards import batch_name
from reports.grid_filter import GridFilter
from reports.queries import QueryError
from reports.selection import jobs_with
from web.desk_forms import refused
from web.pages import is_text, member, number
from web.visitors import MAX_FIELDS, Form, first
from workers.jobs.filters import Filter


@dataclass(frozen=True, slots=True)
class Meant:
    """The jobs that are meant, of one batch, or of those that came one by one."""

    batch_id: int
    batch: str
    #: What the grid shows, to go back to it.
    grid: GridFilter
    which: Filter
    #: What was ticked, as fields of a form; empty where all of the filter is meant.
    ticked: Sequence[tuple[str, str]] = ()

    @property
    def of(self) -> str:
        """Whose they are, as the audit log says it."""
        return jobs_of(self.batch)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What says the same again, as fields of a form."""
        return [*(self.ticked or [("all", "1")]), ("grid", urlencode(self.grid.query))]

    @property
    def narrow(self) -> bool:
        """Whether less than a whole batch is meant."""
        return not self.which.whole_batches

    @property
    def state(self) -> JobState | None:
        """The one state of the jobs of the filter, where it names one."""
        return member(JobState, self.grid.state)

    @property
    def said(self) -> dict[str, object] | None:
        """The filter as options of the commands; None where these cannot say it."""
        which, grid = self.which, self.grid
        if which.ids is not None or grid.noted or grid.key or grid.metadata:
            return None
        return {
            **which.batch_option,
            "state": which.states, "verdict": which.verdict, "reason": which.fault, "account": which.account,
            "operation": which.operation, "check": ANY_CHECK if grid.check == ANY_CHECK else which.check,
        }  # fmt: skip

    @property
    def in_words(self) -> str:
        """The filter for people; empty where it is the whole batch."""
        return ", ".join(f"{name} {value.replace('_', ' ')}" for name, value in self.grid.conditions.items())

    @property
    def job(self) -> str | None:
        """The one job that is meant by its id, where it is one."""
        named = self.which.ids
        return named[0] if named is not None and len(named) == 1 else None


def named(session: Session, batch_id: int) -> str | None:
    """The name of a batch, or that of single jobs; None where there is no such batch."""
    return SINGLES_NAME if batch_id == SINGLES else batch_name(session, batch_id)


def given(request: Request) -> Form:
    """What a request says: the fields of its form; or of a link, which means all of its filter unless it names jobs."""
    if request.method == "POST":
        form: Form = request.state.form
        return form
    said = {name: request.query_params.getlist(name) for name in request.query_params}
    return said if "job" in said else {**said, "all": ["1"]}


def grid_of(form: Form) -> Mapping[str, str]:
    """What the grid or the list showed, as its address says it, in one field: others of these names ask for more.

    Raises:
        DeskError: it cannot be read.
    """
    try:
        return dict(parse_qsl(first(form, "grid"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise refused("grid", first(form, "grid"), f"up to {MAX_FIELDS} fields; load the page again") from None


def meant(session: Session, batch_id: int, form: Form) -> Meant | None:
    """The jobs that a form means; None where there is no such batch.

    Raises:
        DeskError: nothing is ticked, or something is not named as the page does.
    """
    name = named(session, batch_id)
    if name is None:
        return None
    query = grid_of(form) if "grid" in form else {field: form[field][0] for field in form}
    try:
        grid = GridFilter.of(query)
    except QueryError as error:
        raise DeskError(str(error)) from None
    if form.get("all"):
        return Meant(batch_id, name, grid, grid.which(name))
    ticked = [(field, value) for field in ("job", "picture") for value in form.get(field, ())]
    return Meant(batch_id, name, grid, Filter(batch=name, ids=_ids(session, form)), ticked)


def _ids(session: Session, form: Mapping[str, list[str]]) -> list[str]:
    """The jobs that were ticked: by their ids, or by a picture and the verdict that was seen of it."""
    jobs = [job for job in form.get("job", ()) if is_text(job)]
    pictures = {given: number(given.partition(":")[0]) for given in form.get("picture", ())}
    if wrong := [given for given, picture in pictures.items() if picture is None]:
        raise refused("picture", wrong[0], "PICTURE:VERDICT, two numbers; load the page again")
    ids = {*jobs, *jobs_with(session, [picture for picture in pictures.values() if picture is not None])}
    if not ids:
        raise DeskError("nothing is selected; tick pictures, or all of the filter")
    return sorted(ids)
