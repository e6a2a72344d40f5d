"""Every table in one place, for migrations and tests."""

from models.accounts import Account, Batch, Callback, Lease, Spend, Tally, Upload
from models.base import Base
from models.inputs import InputPicture
from models.jobs import Announcement, Attempt, Job, Result, Version
from models.outbox import Delivery, Webhook
from models.restores import Restore, Search
from models.schedules import Schedule, ScheduleRun

metadata = Base.metadata

__all__ = [
    "Account",
    "Announcement",
    "Attempt",
    "Batch",
    "Callback",
    "Delivery",
    "InputPicture",
    "Job",
    "Lease",
    "Restore",
    "Result",
    "Schedule",
    "ScheduleRun",
    "Search",
    "Spend",
    "Tally",
    "Upload",
    "Version",
    "Webhook",
    "metadata",
]
