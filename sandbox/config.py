"""The configuration of a sandbox, and the constants that its providers share."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

#: Credentials the sandbox takes: a key id or token beginning with this word (so that tests can have many accounts, each
#: with its own bill), and, where the provider has one, exactly this secret.
CREDENTIAL = "sandbox"

CURRENCY = "USD"

#: What the sandbox charges for one picture, or for one call of what `PER_CALL` names. Invented: no provider here
#: publishes its prices.
PRICES: Mapping[str, Decimal] = {
    "zhiqite.swap": Decimal("0.02"),
    "zhiqite.swap_v2": Decimal("0.03"),
    "zhiqite.swap_faces": Decimal("0.04"),
    "qolaba.consistency": Decimal("0.03"),
    "qolaba.avatar": Decimal("0.03"),
    "piktid.swap": Decimal("0.05"),
    "hidream.variation": Decimal("0.06"),
    "replicate.swap": Decimal("0.01"),
    "replicate.generate": Decimal("0.04"),
}

#: How many pictures these make is up to a template or a model, and is not known when they are asked for.
PER_CALL = frozenset({"hidream.variation", "replicate.swap", "replicate.generate"})

#: Signs Replicate's webhooks, in the form of Standard Webhooks: the key is what stands behind the prefix, in base64.
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"the sandbox's own signing key").decode()


def charge(operation: str, pictures: int) -> Decimal:
    """Return what one submission of `operation` costs that makes `pictures` pictures."""
    return PRICES[operation] * (1 if operation in PER_CALL else pictures)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Everything a sandbox is started with; only its fault rules change while it runs.

    `home` holds the bill, the jobs and the pictures, and survives restarts and SIGKILL.
    """

    home: Path
    #: "real" fetches the inputs and makes pictures with the face engine; "cheap" answers tiny valid files.
    pictures: Literal["real", "cheap"] = "real"
    #: Seconds from acceptance until a result can be had, and the standard deviation of it.
    latency: float = 1.0
    spread: float = 0.0
    #: Mean seconds of single providers, by name, instead of `latency`.
    latencies: Mapping[str, float] = field(default_factory=dict)
    #: Seconds after which a finished result's files answer 404; None keeps them.
    files_expire: float | None = None
    #: Seconds after which Qolaba forgets a result: Celery's `result_expires` in its backend is 14,400 s.
    results_expire: float = 14_400.0
    #: What Zhiqite does with a `businessTaskId` it already has. Its pages do not say, so both can be tried.
    duplicates: Literal["refuse", "bill"] = "refuse"
    #: Factor on the seconds before a callback is repeated: Zhiqite's last repetitions come after an hour.
    callback_scale: float = 1.0
    #: Seconds an access token lives; None leaves it at what the pages say: PiktID 30 days, HiDream one day.
    tokens_expire: float | None = None
    #: Seconds after which an event vanishes from PiktID's inbox ("Notification read": 600 s).
    inbox_expire: float = 600.0
    #: Seconds between two calls of PiktID's inbox, below which it answers 429 ("every 3 seconds at most").
    inbox_gap: float = 3.0
    #: Seeds the latencies and the pictures.
    seed: int = 0
