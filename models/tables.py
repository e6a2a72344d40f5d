"""Every table in one place, for migrations and tests."""

from models.accounts import Account, Upload
from models.announcements import CompletionNotice
from models.archives import Archive
from models.attempts import Attempt
from models.base import Base
from models.batches import Batch
from models.callbacks import Callback
from models.checks import Check, DueCheck, HashBand
from models.counters import Counter
from models.deployment import Deployment
from models.inputs import InputPicture
from models.jobs import Job, Version
from models.leases import Lease
from models.people import AuditEntry, Guest, Person, SignIn, Visit
from models.pilots import Pilot, PilotJob
from models.programs import KeptAnswer, Quote, Token
from models.redos import Redo
from models.releases import Release
from models.restores import Restore, Search
from models.results import Result
from models.schedules import Schedule, ScheduleRun
from models.spend import Spend
from models.verdicts import PictureClaim, Review, VerdictChange, VerdictCount
from models.webhooks import Delivery, Webhook

metadata = Base.metadata

__all__ = [
    "Account",
    "Archive",
    "Attempt",
    "AuditEntry",
    "Batch",
    "Callback",
    "Check",
    "CompletionNotice",
    "Counter",
    "Delivery",
    "Deployment",
    "DueCheck",
    "Guest",
    "HashBand",
    "InputPicture",
    "Job",
    "KeptAnswer",
    "Lease",
    "Person",
    "PictureClaim",
    "Pilot",
    "PilotJob",
    "Quote",
    "Redo",
    "Release",
    "Restore",
    "Result",
    "Review",
    "Schedule",
    "ScheduleRun",
    "Search",
    "SignIn",
    "Spend",
    "Token",
    "Upload",
    "VerdictChange",
    "VerdictCount",
    "Version",
    "Visit",
    "Webhook",
    "metadata",
]
