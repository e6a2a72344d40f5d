"""Which jobs of a batch a form or a link of the grid means: some that were ticked, or all of a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.requests import Request

from desk.verdicts import DeskError
from models.checks import CheckName
from models.states import JobState
from models.verdicts import Verdict
from reports.cards import batch_name
from reports.selection import jobs_with
from web.pages import is_text, member, number
from web.visitors import Form
from workers.jobs.filters import Filter

ANY = "any"  # value of ?check=
#: What names jobs one by one: by their ids, or by a picture and the verdict that was seen of it.
TICKED = ("job", "picture")
#: What the grid is filtered by.
FILTERED = ("state", "verdict", "check")


@dataclass(frozen=True, slots=True)
class Meant:
    """The jobs that are meant, of one batch."""

    batch_id: int
    batch: str
    which: Filter
    #: What says the same again, as fields of a form.
    fields: Sequence[tuple[str, str]]

    @property
    def narrow(self) -> bool:
        """Whether less than the whole batch is meant."""
        return not self.which.whole_batches

    @property
    def query(self) -> dict[str, str]:
        """What the grid is filtered by, to go back to it."""
        return {name: value for name, value in self.fields if name in FILTERED}

    @property
    def state(self) -> JobState | None:
        """The one state of the jobs of the filter, where it names one."""
        return member(JobState, self.query.get("state"))

    @property
    def said(self) -> dict[str, object]:
        """The filter as options of the commands."""
        which = self.which
        every = which.check is not None and len(which.check) == len(CheckName)
        return {"state": which.states, "verdict": which.verdict, "check": ANY if every else which.check}

    @property
    def in_words(self) -> str:
        """The filter for people; empty where it is the whole batch, or jobs that were ticked."""
        words = (self.query.get(name, "").replace("_", " ") for name in FILTERED)
        return ", ".join(word if word != ANY else "flagged" for word in words if word)

    @property
    def job(self) -> str | None:
        """The one job that is meant by its id, where it is one."""
        named = self.which.ids
        return named[0] if named is not None and len(named) == 1 else None


def given(request: Request) -> Form:
    """What a request says: the fields of its form; or of a link, which means all of its filter unless it names jobs."""
    if request.method == "POST":
        form: Form = request.state.form
        return form
    said = {name: request.query_params.getlist(name) for name in request.query_params}
    return said if "job" in said else {**said, "all": ["1"]}


def meant(session: Session, batch_id: int, form: Form) -> Meant | None:
    """The jobs that a form means; None where there is no such batch.

    Raises:
        DeskError: nothing is ticked, or a picture is not named as the page does.
    """
    name = batch_name(session, batch_id)
    if name is None:
        return None
    kept = ("all", *FILTERED) if form.get("all") else (*TICKED, *FILTERED)
    fields = [(field, value) for field in kept for value in form.get(field, ())]
    ids = None if form.get("all") else _ticked(session, form)
    return Meant(batch_id, name, _filtered(name, form, ids), fields)


def _filtered(batch: str, form: Form, ids: Sequence[str] | None) -> Filter:
    if ids is not None:
        return Filter(batch=batch, ids=ids)
    first = {name: (form.get(name) or [""])[0] for name in FILTERED}
    state, verdict = member(JobState, first["state"]), member(Verdict, first["verdict"])
    check = member(CheckName, first["check"])
    checks = [each.value for each in CheckName] if first["check"] == ANY else [check.value] if check else None
    return Filter(batch=batch, states=None if state is None else [state.value], verdict=verdict, check=checks)


def _ticked(session: Session, form: Mapping[str, list[str]]) -> list[str]:
    jobs = [job for job in form.get("job", ()) if is_text(job)]
    pictures = [number(picture.partition(":")[0]) for picture in form.get("picture", ())]
    if None in pictures:
        raise DeskError("picture: not PICTURE:VERDICT, two numbers; load the page again")
    ids = {*jobs, *jobs_with(session, [picture for picture in pictures if picture is not None])}
    if not ids:
        raise DeskError("nothing is selected; tick pictures, or all of the filter")
    return sorted(ids)
