"""Verdicts about many pictures at once: chosen one by one or by a filter, and taken back together.

What a person did not see is not overwritten: of each picture the verdict is known that the person saw. What was left
out is counted by its reason. A selection has a name, by which it is taken back; sent twice, it is made once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.reviewed import IS_HEARD, announce
from desk.rules import Judged, chosen_after, deciding
from desk.selecting import Done, LeftOut, Selected, portions
from desk.verdicts import Decision, before, checked
from models.batches import SINGLES
from models.fragments import finished_attempt, newest_verdict, stands
from models.people import Role
from models.states import JobState
from models.verdicts import Verdict
from reports.cards import batch_name
from workers.engine.runtime import Runtime

_PICTURES = text("""
    SELECT r.id, r.job_id, j.seq, j.state FROM results r JOIN jobs j ON j.id = r.job_id
    WHERE r.id = ANY(:ids) AND j.batch_id = :batch_id ORDER BY j.id, r.id FOR KEY SHARE OF j
""")
# In the order in which jobs are locked, so that two selections wait for each other instead of both failing.
_LOCK = text(f"""
    INSERT INTO reviews (job_id, batch_id, seq)
    SELECT job_id, :batch_id, seq FROM unnest(cast(:jobs AS text[]), cast(:seqs AS bigint[])) AS j(job_id, seq)
    ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq RETURNING job_id, chosen, verdict, {IS_HEARD} AS heard
""")
_JUDGED = text(f"""
    SELECT r.job_id, r.id, r.attempt_id IS NOT DISTINCT FROM {finished_attempt("r.job_id")} AS present,
        coalesce(v.verdict, 'unreviewed') AS verdict, coalesce(v.id, 0) AS verdict_id, v.person, v.at,
        coalesce(v.reasons, '[]'::jsonb) AS reasons
    FROM results r LEFT JOIN LATERAL {newest_verdict("r.id", "id, verdict, person, at, reasons")} v ON true
    WHERE r.job_id = ANY(:jobs) ORDER BY r.id
""")
_MADE = text("""
    SELECT result_id FROM verdicts WHERE batch_id = :batch_id AND person = :person AND selection = :selection
        AND undoes IS NULL
""")
_INSERT = text("""
    INSERT INTO verdicts (
        result_id, job_id, batch_id, person, role, verdict, reasons, note, area, undoes, selection, at
    ) SELECT result_id, job_id, :batch_id, :person, :role, verdict, cast(reasons AS jsonb), note, cast(area AS jsonb),
        undoes, :selection, clock_timestamp()
    FROM unnest(cast(:results AS bigint[]), cast(:jobs AS text[]), cast(:verdicts AS text[]), cast(:reasons AS text[]),
        cast(:notes AS text[]), cast(:areas AS text[]), cast(:undoes AS bigint[]))
        AS given(result_id, job_id, verdict, reasons, note, area, undoes)
    RETURNING id, result_id, at
""")
_COUNT = text("""
    UPDATE reviews SET verdict = said.verdict, verdict_id = said.verdict_id, chosen = said.chosen
    FROM unnest(cast(:jobs AS text[]), cast(:verdicts AS text[]), cast(:ids AS bigint[]), cast(:chosen AS bigint[]))
        AS said(job_id, verdict, verdict_id, chosen)
    WHERE reviews.job_id = said.job_id
""")
_RELEASE = text("DELETE FROM picture_claims WHERE job_id = ANY(:jobs) AND person = :person")
# A person's last verdict about each picture, what was before it, and whether another person has decided since.
_LAST = text(f"""
    SELECT DISTINCT ON (v.result_id) v.result_id, v.id, v.selection, was.verdict, was.reasons, was.note, was.area,
        EXISTS (
            SELECT FROM verdicts s WHERE s.result_id = v.result_id AND s.id > v.id AND s.person <> v.person
                AND {stands("s")}
        ) AS since
    FROM verdicts v LEFT JOIN LATERAL (
        SELECT verdict, reasons, note, area FROM verdicts WHERE result_id = v.result_id AND id < v.id
        ORDER BY id DESC LIMIT 1
    ) was ON true
    WHERE v.batch_id = :batch_id AND v.person = :person AND v.result_id = ANY(:ids) AND {stands("v")}
    ORDER BY v.result_id, v.id DESC
""")


@dataclass(frozen=True, slots=True)
class _Word:
    """What is to be written about a picture."""

    decision: Decision
    undoes: int | None = None


def judge_many(
    session: Session,
    actor: Actor,
    batch_id: int,
    selected: Sequence[Selected],
    decision: Decision,
    *,
    known_reasons: Sequence[str],
    selection: str,
) -> Done:
    """Record what `actor` decides about all of these pictures of a batch, at most `PORTION`.

    Args:
        session: a transaction.
        actor: who decides.
        batch_id: the batch.
        selected: the pictures, each with the verdict that the person saw.
        decision: the verdict, and what is said of all of them.
        known_reasons: the reasons that the deployment knows.
        selection: the name by which all of it is taken back.

    Raises:
        ForbiddenError: the person may not judge.
        DeskError: a reason is not in the list, or the note is too long.
    """
    actor.need(Role.REVIEWER, "give verdicts", guests=True)
    said, done = checked(decision, known_reasons), Done()
    work = _Work(session, actor, batch_id, [picture.result_id for picture in selected], done)
    made = set(session.execute(_MADE, work.asked | {"selection": selection}).scalars())
    new = [each for each in selected if each.result_id in work.current and each.result_id not in made]
    why_not = {each.result_id: _why_not(work.current[each.result_id], each, said) for each in new}
    done.number = sum(each.result_id in made for each in selected)
    done.left_out.update(why for why in why_not.values() if why is not None)
    words = {result_id: _Word(said) for result_id, why in why_not.items() if why is None}
    work.write(words, selection)
    _note(session, actor, "judge", batch_id, len(words), selection, said)
    return done


def undo_many(
    session: Session, actor: Actor, batch_id: int, result_ids: Sequence[int], selection: str | None = None
) -> Done:
    """Take back the last verdict of `actor` about each of these pictures, or those of one selection only.

    Raises:
        ForbiddenError: the person may not judge.
    """
    actor.need(Role.REVIEWER, "take verdicts back", guests=True)
    done = Done()
    work = _Work(session, actor, batch_id, result_ids, done)
    last = _last_of(session, actor, batch_id, result_ids)
    words: dict[int, _Word] = {}
    for result_id in work.current:
        row = last.get(result_id)
        if row is None:
            done.left_out[LeftOut.NOT_YOURS] += 1
        elif row.since or (selection is not None and row.selection != selection):
            done.left_out[LeftOut.CHANGED] += 1
        else:
            words[result_id] = _Word(before(row if row.verdict is not None else None), row.id)
    work.write(words, selection)
    _note(session, actor, "undo", batch_id, len(words), selection)
    return done


def decidable(
    runtime: Runtime, actor: Actor, batch_id: int, selected: Sequence[Selected], decision: Decision | None
) -> tuple[Sequence[Selected], Done]:
    """Of the pictures of a selection those that `decide_all` would decide about, and why not about others.

    With None those are meant whose last verdict `actor` can take back.
    """
    left = Done()
    if decision is not None:
        return selected, left
    kept: list[Selected] = []
    for portion in portions(selected):
        last = runtime.db(_last_of, actor, batch_id, [picture.result_id for picture in portion])
        for picture in portion:
            row = last.get(picture.result_id)
            if row is None or row.since:
                left.left_out[LeftOut.NOT_YOURS if row is None else LeftOut.CHANGED] += 1
            else:
                kept.append(picture)
    return kept, left


def _last_of(session: Session, actor: Actor, batch_id: int, result_ids: Sequence[int]) -> Mapping[int, Row[Any]]:
    asked = {"batch_id": batch_id, "person": actor.name, "ids": list(result_ids)}
    return {row.result_id: row for row in session.execute(_LAST, asked)}


def decide_all(
    runtime: Runtime,
    actor: Actor,
    batch_id: int,
    selected: Sequence[Selected],
    decision: Decision | None,
    selection: str,
) -> Done:
    """Decide about any number of pictures of a batch, in portions; with None, take the last verdicts of `actor` back.

    Raises:
        ForbiddenError: the person may not judge.
        DeskError: a reason is not in the list, or the note is too long.
    """
    done, known = Done(), runtime.settings.review_reasons
    for portion in portions(selected):
        if decision is None:
            done.add(runtime.db(undo_many, actor, batch_id, [picture.result_id for picture in portion]))
        else:
            said = runtime.db(
                judge_many, actor, batch_id, portion, decision, known_reasons=known, selection=selection
            )  # fmt: skip
            done.add(said)
    return done


class _Work:
    """Pictures whose reviews no other transaction changes now, and what is written about them."""

    def __init__(self, session: Session, actor: Actor, batch_id: int, ids: Sequence[int], done: Done) -> None:
        self._session, self._done = session, done
        self.asked: dict[str, Any] = {"batch_id": batch_id, "person": actor.name, "role": actor.judges_as}
        found = session.execute(_PICTURES, {"ids": list(ids), "batch_id": batch_id}).all()
        done.left_out[LeftOut.GONE] += len(set(ids)) - len(found)
        ready = [row for row in found if row.state == JobState.SUCCEEDED]
        done.left_out[LeftOut.NOT_READY] += len(found) - len(ready)
        self._jobs: dict[int, str] = {row.id: row.job_id for row in ready}
        self._seqs: dict[str, int] = {row.job_id: row.seq for row in ready}
        places = {"jobs": list(self._seqs), "seqs": list(self._seqs.values())}
        self._before: dict[str, Row[Any]] = {}
        self._pictures: dict[str, dict[int, Judged]] = {job: {} for job in self._seqs}
        #: The newest verdict of each picture that can be decided.
        self.current: dict[int, Row[Any]] = {}
        if not ready:
            return
        self._before = {row.job_id: row for row in session.execute(_LOCK, self.asked | places)}
        for row in session.execute(_JUDGED, places):
            judged = Judged(row.id, row.present, Verdict(row.verdict), row.verdict_id, row.person, row.at)
            self._pictures[row.job_id][row.id] = judged
            if row.id in self._jobs:
                self.current[row.id] = row

    def write(self, words: Mapping[int, _Word], selection: str | None) -> None:
        """Write the verdicts, and what counts for their jobs now."""
        if not words:
            return
        jobs = [self._jobs[result_id] for result_id in words]
        given = [_columns(word) for word in words.values()]
        columns = {name: [row[name] for row in given] for name in given[0]}
        values = {**self.asked, **columns, "results": list(words), "jobs": jobs, "selection": selection}
        chosen = {job: row.chosen for job, row in self._before.items()}
        for row in sorted(self._session.execute(_INSERT, values), key=lambda row: row.id):
            job, verdict = self._jobs[row.result_id], words[row.result_id].decision.verdict
            present = self._pictures[job][row.result_id].present
            self._pictures[job][row.result_id] = Judged(
                row.result_id, present, verdict, row.id, self.asked["person"], row.at
            )
            chosen[job] = chosen_after(list(self._pictures[job].values()), chosen[job], row.result_id)
        counting = self._count({job: chosen[job] for job in jobs})
        self._session.execute(_RELEASE, {"jobs": jobs, "person": self.asked["person"]})
        self._announce(counting, list(words))
        self._done.number += len(words)

    def _count(self, chosen: Mapping[str, int | None]) -> Mapping[str, Verdict]:
        counting = [deciding(list(self._pictures[job].values()), used) for job, used in chosen.items()]
        verdicts, ids = [verdict for verdict, _ in counting], [number for _, number in counting]
        values = {"jobs": list(chosen), "verdicts": [each.value for each in verdicts], "ids": ids}
        self._session.execute(_COUNT, {**values, "chosen": list(chosen.values())})
        return dict(zip(chosen, verdicts, strict=True))

    def _announce(self, counting: Mapping[str, Verdict], result_ids: Sequence[int]) -> None:
        before = {job: self._before[job] for job in counting}
        newly = [
            self._seqs[job]
            for job, verdict in counting.items()
            if before[job].verdict == Verdict.UNREVIEWED and verdict is not Verdict.UNREVIEWED
        ]
        if any(row.heard for row in before.values()):
            announce(self._session, self.asked["batch_id"], result_ids, max(newly, default=None))


def _why_not(current: Row[Any], picture: Selected, said: Decision) -> LeftOut | None:
    if current.verdict_id != picture.based_on:
        return LeftOut.CHANGED
    same = current.verdict == said.verdict and current.reasons == list(said.reasons) and said.note is None
    return LeftOut.SAME if same else None


def _columns(word: _Word) -> dict[str, object]:
    decision = word.decision
    return {
        "verdicts": decision.verdict.value, "reasons": json.dumps(list(decision.reasons), ensure_ascii=False),
        "notes": decision.note, "areas": None if decision.area is None else json.dumps(asdict(decision.area)),
        "undoes": word.undoes,
    }  # fmt: skip


def _note(
    session: Session,
    actor: Actor,
    action: str,
    batch_id: int,
    number: int,
    selection: str | None,
    said: Decision | None = None,
) -> None:
    if number:
        subject = "single jobs" if batch_id == SINGLES else f"batch {batch_name(session, batch_id)}"
        note(
            session, actor, action, subject, pictures=number, selection=selection,
            verdict=said and said.verdict.value, reasons=said and list(said.reasons),
        )  # fmt: skip
