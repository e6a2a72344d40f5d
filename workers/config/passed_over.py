"""Variables that Kubernetes and Docker set for other services, and that only look like settings.

For a service called ``recast-web``, Kubernetes puts ``RECAST_WEB_PORT=tcp://10.0.0.12:8765`` into every pod, and
``RECAST_WEB_SERVICE_HOST`` and the like, which name no setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_LINK = re.compile(r"(?:tcp|udp|sctp)://[\w.:\[\]-]+:\d{1,5}", re.IGNORECASE)

log = structlog.get_logger()

#: Those that this process has been told of.
_told: set[str] = set()


def is_link(value: object) -> bool:
    """Whether `value` is a service's address, as such variables have it."""
    return isinstance(value, str) and _LINK.fullmatch(value) is not None


def without_links(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the ports that are a service's address; each is told once."""
    links = {name for name, value in values.items() if name.endswith("_port") and is_link(value)}
    for name in sorted(links - _told):
        log.warning(
            "setting_passed_over", name=f"RECAST_{name.upper()}", reason="it is a service's address, not a port"
        )
    _told.update(links)
    return {name: value for name, value in values.items() if name not in links}


def remove_links(environ: MutableMapping[str, str], prefix: str) -> None:
    """Remove such variables from `environ`, for a program that would read them as its own."""
    for name in [name for name, value in environ.items() if name.startswith(prefix) and is_link(value)]:
        del environ[name]
