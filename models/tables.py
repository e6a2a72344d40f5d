"""Every table in one place, for migrations and tests."""

from models.accounts import Account, Upload
from models.announcements import CompletionNotice
from models.attempts import Attempt
from models.base import Base
from models.batches import Batch
from models.callbacks import Callback
from models.counters import Tally
from models.deployment import Deployment
from models.inputs import InputPicture
from models.jobs import Job, Version
from models.leases import Lease
from models.people import AuditEntry, Person, SignIn
from models.programs import KeptAnswer, Quote, Token
from models.restores import Restore, Search
from models.results import Result
from models.schedules import Schedule, ScheduleRun
from models.spend import Spend
from models.verdicts import PictureClaim, Review, VerdictChange
from models.webhooks import Delivery, Webhook

metadata = Base.metadata

__all__ = [
    "Account",
    "Attempt",
    "AuditEntry",
    "Batch",
    "Callback",
    "CompletionNotice",
    "Delivery",
    "Deployment",
    "InputPicture",
    "Job",
    "KeptAnswer",
    "Lease",
    "Person",
    "PictureClaim",
    "Quote",
    "Restore",
    "Result",
    "Review",
    "Schedule",
    "ScheduleRun",
    "Search",
    "SignIn",
    "Spend",
    "Tally",
    "Token",
    "Upload",
    "VerdictChange",
    "Version",
    "Webhook",
    "metadata",
]
