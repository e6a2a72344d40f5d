"""The errors that reach producers; re-exported by `recast`.

    RecastError
    +-- InvalidJobError      the job's arguments are wrong; nothing was stored, nothing will be charged
    +-- DirectCallError      a job was called like a function, or eagerly; only workers can run it
    +-- JobError             the job ended without a result
        +-- JobFailedError       the provider or the way to it failed
        +-- JobRejectedError     the provider, or our own check, refuses the picture or the text

They travel through Celery's result backend, which keeps only the class and the positional arguments: so every one of
them is built from positional strings.
"""

from __future__ import annotations


class RecastError(Exception):
    """Base of every error Recast raises on purpose."""


class InvalidJobError(RecastError):
    """An argument of a job is wrong; the message names the field, the value and what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class DirectCallError(RecastError):
    """A job cannot run in the caller's process."""


class JobError(RecastError):
    """The job ended without a result; `reason` is one of `models.states.Reason`."""

    def __init__(self, reason: str, message: str, job_id: str = "") -> None:
        super().__init__(reason, message, job_id)
        self.reason = reason
        self.message = message
        self.job_id = job_id

    def __str__(self) -> str:
        return f"{self.message} ({self.reason}; recast show {self.job_id})"


class JobFailedError(JobError):
    """The provider, or the way to it, failed."""


class JobRejectedError(JobError):
    """The picture, the text or an option is refused; sending the same again would be refused again."""
