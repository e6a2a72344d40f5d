"""Every table in one place, for migrations and tests."""

from models.accounts import Account, Batch, Callback, Lease, Schedule, Spend, Upload
from models.base import Base
from models.jobs import Announcement, Attempt, Job, Result

metadata = Base.metadata

__all__ = [
    "Account",
    "Announcement",
    "Attempt",
    "Batch",
    "Callback",
    "Job",
    "Lease",
    "Result",
    "Schedule",
    "Spend",
    "Upload",
    "metadata",
]
