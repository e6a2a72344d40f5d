"""Review by programs: verdicts about many pictures, those taken back, and pictures chosen, as the commands do it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy.orm import Session

from desk import guests, selecting, verdicts
from desk.actors import Actor
from desk.selections import decidable, decide_all
from desk.verdicts import Decided, Decision, UnknownPictureError
from models.batches import SINGLES, SINGLES_NAME
from models.people import Role
from models.verdicts import Verdict
from reports.batch import find
from web.api.endpoints import NO_PICTURE, Call, Service, result_of
from web.api.problems import unprocessable


def undo(service: Service, call: Call) -> dict[str, Any]:
    """Take the last verdict of this program about a picture back."""

    def work(session: Session, actor: Actor, result_id: int) -> Decided:
        batch_id = guests.batch_of_result(session, result_id)
        if batch_id is None:
            raise UnknownPictureError(NO_PICTURE)
        return verdicts.undo(session, actor, batch_id, result_id)

    return _about(service, call, work)


def choose(service: Service, call: Call) -> dict[str, Any]:
    """Use this one of a job's pictures."""
    return _about(service, call, verdicts.choose)


def many(service: Service, call: Call) -> dict[str, Any]:
    """Decide about all pictures of a batch that a filter chooses; what others say meanwhile stays."""
    return _many(service, call, service.runtime.db(find, call.path["name"]).id, call.path["name"])


def many_singles(service: Service, call: Call) -> dict[str, Any]:
    """The same about pictures of single jobs."""
    return _many(service, call, SINGLES, SINGLES_NAME)


def _many(service: Service, call: Call, batch_id: int, name: str) -> dict[str, Any]:
    asked, runtime = call.body, service.runtime
    call.actor.need(Role.REVIEWER, "give verdicts")
    if (asked.verdict is None) is not asked.undo:
        raise unprocessable("verdict: say a verdict, or undo", "verdict", asked.verdict, "verdict or undo")
    decision = None
    if asked.verdict is not None:
        given = Decision(asked.verdict, asked.reasons, asked.note)
        decision = verdicts.checked(given, runtime.settings.review_reasons)
    which = asked.filter.filter(name)
    if decision is not None and which.verdict is None and which.ids is None:
        # What was decided about is named, or left alone.
        which = replace(which, verdict=Verdict.UNREVIEWED.value)
    found = runtime.db(selecting.select, which)
    selecting.require_few(found)
    selecting.require_reason("fault", which.fault, runtime.settings.review_reasons, found=bool(found))
    found, done = decidable(runtime, call.actor, batch_id, found, decision)
    if not asked.dry_run:
        done.add(decide_all(runtime, call.actor, batch_id, found, decision, str(uuid.uuid4())))
    left = {why.value: count for why, count in done.left_out.items() if count}
    return {"dry_run": asked.dry_run, "pictures": len(found), "done": done.number, "left_out": left}


def _about(service: Service, call: Call, work: Callable[[Session, Actor, int], Decided]) -> dict[str, Any]:
    return asdict(service.runtime.db(work, call.actor, result_of(call)))
