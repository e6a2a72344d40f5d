"""What a run copies to the jobs of rows that stay as they are: its terms, and what makes no other picture."""

from __future__ import annotations

from sqlalchemy import DateTime, Integer, bindparam, text

from models.fragments import columns, taken_from
from models.jobs import PINS, ROLES
from workers.jobs.lanes import PARKED

# Parameters that can be None declare their type: the database cannot infer it.
TERMS = (bindparam("priority", type_=Integer), bindparam("deadline", type_=DateTime(timezone=True)))

# Metadata does not affect the picture, and a catalog's folder can move: both are copied without a new version. So is
# the fingerprint, which a former version of this program made otherwise.
_CARRIED = (*ROLES, "options", "extra", "fingerprint")
# What a redo asked for otherwise than the row is the job's own.
_REDONE = "j.id IN (SELECT job_id FROM redos)"
_REFRESHED = (*_CARRIED, "lane", "priority", "expires_at")
REFRESH = text(f"""
    UPDATE jobs SET {taken_from("w", _REFRESHED)}
    FROM (
        SELECT j.id, {columns(tuple(name for name in _CARRIED if name != "options"), "s")},
            CASE WHEN {_REDONE} THEN j.options ELSE s.options END AS options,
            -- A job that a person paused or rerouted to another account stays paused or rerouted.
            CASE WHEN ({columns(PINS, "j")}) IS DISTINCT FROM ({columns(PINS, "s")}) OR {_REDONE} THEN j.lane
                WHEN starts_with(j.lane, '{PARKED}') THEN '{PARKED}' || s.lane
                ELSE s.lane END AS lane,
            CASE WHEN j.state = 'queued' THEN coalesce(:priority, j.priority) ELSE j.priority END AS priority,
            CASE WHEN j.state = 'queued' THEN coalesce(:deadline, j.expires_at) ELSE j.expires_at END AS expires_at
        FROM decided d JOIN staged s USING (key) JOIN jobs j ON j.id = d.job_id
        WHERE d.verdict IN ('unchanged', 'left')
    ) w
    WHERE jobs.id = w.id AND ({columns(_REFRESHED, "jobs")}) IS DISTINCT FROM ({columns(_REFRESHED, "w")})
""").bindparams(*TERMS)
