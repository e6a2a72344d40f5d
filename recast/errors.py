"""The errors that reach producers; re-exported by `recast`.

    RecastError
    +-- NotConfiguredError   no broker is configured for this process
    +-- UnreachableError     the broker, or the result store, does not answer
    +-- InvalidJobError      the job's arguments are not valid; nothing was stored, and nothing is charged
    +-- DirectCallError      a job was called like a function, or eagerly; only workers can run it
    +-- JobError             the job ended without a result
        +-- JobFailedError       the provider or the connection to it failed
        +-- JobRejectedError     the provider, or our own check, rejects the picture or the text

Some travel through Celery's result store, which keeps only the class, by this module's name, and the positional
arguments: so every one of them is built from positional strings, and the module's path is a wire format.
"""

from __future__ import annotations

from recast.hints import hint


class RecastError(Exception):
    """Base of every error Recast raises on purpose."""


class NotConfiguredError(RecastError):
    """No broker is configured; the message names the settings to use."""


class UnreachableError(RecastError):
    """The broker, or the result store, does not answer; the message names the setting and the address."""


class InvalidJobError(RecastError):
    """An argument of a job is not valid; the message names the field, the value and what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class DirectCallError(RecastError):
    """A job cannot run in the caller's process."""


class JobError(RecastError):
    """The job ended without a result; `reason` is a short code, such as ``no_face`` or ``timed_out``."""

    def __init__(self, reason: str, message: str, job_id: str = "") -> None:
        super().__init__(reason, message, job_id)
        self.reason = reason
        self.message = message
        self.job_id = job_id

    def __str__(self) -> str:
        return f"{self.message} ({self.reason}; {hint('show', self.job_id)})"


class JobFailedError(JobError):
    """The provider, or the connection to it, failed."""


class JobRejectedError(JobError):
    """The picture, the text or an option was rejected; sending the same again would be rejected again."""
