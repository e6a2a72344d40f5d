"""SQL fragments that several statements share.

They are text that statements are made of when their modules are imported. An argument is SQL as well: a column, a
parameter such as ``:seconds``, or the name of a row.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.states import OPEN_ATTEMPT_STATES, UNPAID_ATTEMPT_STATES, AttemptState, JobState


def quoted(values: Iterable[str]) -> str:
    """Words as a list of literals: ``'queued', 'running'``."""
    return ", ".join(f"'{value}'" for value in values)


def columns(names: Iterable[str], row: str | None = None) -> str:
    """Columns, of `row` where one is named: ``s.source, s.target``."""
    return ", ".join(f"{row}.{name}" if row else name for name in names)


def taken_from(row: str, names: Iterable[str]) -> str:
    """Assignments of columns from those of another row: ``source = s.source, target = s.target``."""
    return ", ".join(f"{name} = {row}.{name}" for name in names)


def parameters(names: Iterable[str]) -> str:
    """Parameters, called as the columns: ``:source, :target``."""
    return ", ".join(f":{name}" for name in names)


# --- Times, by the database's clock ---------------------------------------------------------------------------------


def seconds_from_now(seconds: str) -> str:
    """SQL: the time `seconds` from now."""
    return f"clock_timestamp() + {seconds} * interval '1 second'"


def seconds_ago(seconds: str) -> str:
    """SQL: the time `seconds` ago."""
    return f"clock_timestamp() - {seconds} * interval '1 second'"


def until(time: str) -> str:
    """Seconds until a time, as a float; negative once it has passed."""
    return f"extract(epoch FROM {time} - clock_timestamp())::float8"


def since(time: str) -> str:
    """Seconds since a time, as a float."""
    return f"extract(epoch FROM clock_timestamp() - {time})::float8"


# --- Jobs -----------------------------------------------------------------------------------------------------------


def unclaimed(row: str) -> str:
    """Whether no worker holds `row`, a job or a schedule's run."""
    return f"({row}.claimed_until IS NULL OR {row}.claimed_until < clock_timestamp())"


def claimable(job: str, state: JobState = JobState.QUEUED) -> str:
    """Whether a job in `state` may be claimed now."""
    return (
        f"{job}.state = '{state}' AND {unclaimed(job)}"
        f" AND ({job}.not_before IS NULL OR {job}.not_before <= clock_timestamp())"
    )


#: SET: a claim, with a count of those before it that ran out because a worker did not survive them.
CLAIMS = "lapses = least(lapses + (claimed_until IS NOT NULL)::int, 1000)"
#: SET: the end of a claim whose worker survived it.
UNCLAIMS = "claimed_until = NULL, lapses = 0"


def carefully(claimable_ids: str) -> str:
    """SQL for those of `claimable_ids` (id, lapsed) that may be claimed together: at most one whose claim ran out.

    Of a picture that ends workers, the jobs beside it know nothing: claimed one by one, they are done in between.
    """
    return (
        f"SELECT id FROM {claimable_ids} WHERE NOT lapsed UNION ALL"
        f" (SELECT id FROM {claimable_ids} WHERE lapsed ORDER BY id LIMIT 1)"
    )


def has_picture(job: str) -> str:
    """Whether a job has a picture that people can use: it succeeded, or had one before it was asked for again."""
    return f"({job}.state = '{JobState.SUCCEEDED}' OR {job}.kept_attempt IS NOT NULL)"


# --- Attempts -------------------------------------------------------------------------------------------------------


def is_paid(attempt: str) -> str:
    """Whether an attempt counts as paid: all do that the provider did not provably refuse or never get."""
    return f"{attempt}.state NOT IN ({quoted(_ordered(UNPAID_ATTEMPT_STATES))})"


def is_open(attempt: str) -> str:
    """Whether an attempt holds one of its account's places in flight."""
    return f"{attempt}.state IN ({quoted(_ordered(OPEN_ATTEMPT_STATES))})"


def last_attempt(job_id: str, columns: str, condition: str = "true") -> str:
    """A subquery: `columns` of a job's latest attempt, or of the latest that meets a condition."""
    return (
        f"(SELECT {columns} FROM attempts"
        f" WHERE attempts.job_id = {job_id} AND {condition} ORDER BY attempts.number DESC LIMIT 1)"
    )


#: The account and the operation of a job `j`: those of `last`, its latest attempt, or else those that it asks for.
ACCOUNT, OPERATION = "coalesce(last.account, j.account)", "coalesce(last.operation, j.operation)"
#: Both, as columns.
PLACE = f"{ACCOUNT} AS account, {OPERATION} AS operation"


def finished_attempt(job_id: str, columns: str = "attempts.id") -> str:
    """A subquery: `columns` of the attempt whose pictures are the job's: its latest that is done, or the one kept.

    One is kept while the job is redone, and when nothing came of that.
    """
    kept = f"(SELECT kept_attempt FROM jobs kept WHERE kept.id = {job_id})"
    done = f"attempts.state = '{AttemptState.DONE}' AND attempts.number = coalesce({kept}, attempts.number)"
    return last_attempt(job_id, columns, done)


def used_attempt(chosen: str, job_id: str) -> str:
    """A subquery: the attempt that made the picture which people chose, or else the job's latest that is done."""
    return f"coalesce((SELECT attempt_id FROM results WHERE id = {chosen}), {finished_attempt(job_id)})"


def paid_for(job_id: str) -> str:
    """A subquery: what a job's attempts cost, of all its versions; NULL where it has none."""
    return f"(SELECT sum(cost) AS cost FROM attempts WHERE job_id = {job_id} AND {is_paid('attempts')})"


# --- Verdicts -------------------------------------------------------------------------------------------------------


def newest_verdict(result_id: str, columns: str) -> str:
    """A subquery: `columns` of the verdict that counts for a result."""
    return f"(SELECT {columns} FROM verdicts WHERE result_id = {result_id} ORDER BY id DESC LIMIT 1)"


def reviewed(result_id: str) -> str:
    """A subquery: the verdict that counts for a result, when and in which role it was given; NULL if there is none."""
    said = newest_verdict(result_id, "verdict, at, role")
    return f"""(
        SELECT jsonb_build_object('verdict', verdict, 'at', at, 'role', role) FROM {said} said
        WHERE verdict <> 'unreviewed'
    )"""


def stands(verdict: str) -> str:
    """Whether a verdict counts or counted: it takes none back, and was not taken back."""
    return f"{verdict}.undoes IS NULL AND NOT EXISTS (SELECT FROM verdicts undone WHERE undone.undoes = {verdict}.id)"


def _ordered(states: frozenset[AttemptState]) -> list[AttemptState]:
    return [state for state in AttemptState if state in states]


# --- Quality checks -------------------------------------------------------------------------------------------------


def is_flag(alias: str = "checks") -> str:
    """Whether a row of `checks` is a flag that people should see: of a picture that its job has not replaced since."""
    return f"{alias}.flagged AND NOT {alias}.former"


def flags_of(result_id: str) -> str:
    """A subquery: the names of the checks that flagged a result, the worst first, as a JSON array."""
    return f"""(
        SELECT coalesce(jsonb_agg(name ORDER BY rank, name), '[]'::jsonb) FROM checks
        WHERE result_id = {result_id} AND flagged
    )"""


def checks_of(result_id: str) -> str:
    """A subquery: all checks of a result, the worst first, as a JSON array of objects."""
    return f"""(
        SELECT coalesce(jsonb_agg(jsonb_build_object('name', name, 'score', score, 'threshold', threshold,
            'flagged', flagged) ORDER BY rank, score DESC, name), '[]'::jsonb)
        FROM checks WHERE result_id = {result_id}
    )"""
