"""One adapter for each provider: its wire format on one side, the outcomes of `providers.protocol` on the other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from providers.hidream import Hidream
from providers.piktid import Piktid
from providers.protocol import Provider
from providers.qolaba import Qolaba
from providers.replicate import Replicate
from providers.spec import Operation
from providers.zhiqite import Zhiqite

_ADAPTERS: tuple[type[Provider], ...] = (Hidream, Piktid, Qolaba, Replicate, Zhiqite)

#: Every adapter by its provider's name.
PROVIDERS: Mapping[str, type[Provider]] = MappingProxyType({adapter.NAME: adapter for adapter in _ADAPTERS})


def operation(name: str) -> Operation:
    """The operation called ``provider.operation``.

    Raises:
        KeyError: no provider has it; the message lists those there are.
    """
    adapter = PROVIDERS.get(name.partition(".")[0])
    if adapter is None or name not in adapter.OPERATIONS:
        allowed = (each for adapter in PROVIDERS.values() for each in adapter.OPERATIONS)
        raise KeyError(f"{name!r} is not a valid operation; allowed: {', '.join(allowed)}")
    return adapter.OPERATIONS[name]
