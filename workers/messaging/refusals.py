"""Replies of a broker that takes nothing now, told as a lost connection.

A broker that is full, read-only, loading or no longer the master answers, with an error that Celery takes for a bug of
its own, and ends. Told as a lost connection, the worker waits and connects again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

_REFUSALS = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)
#: How replies without a class of redis-py's begin; a pipeline's name the command before.
# UNBLOCKED is told to who waits for messages while a failover makes the server a replica.
_CODES = re.compile(r"(^|caused error: )(OOM|MISCONF|NOREPLICAS|READONLY|BUSY|UNBLOCKED) ")


class BrokerRefusalError(OSError):
    """The broker takes nothing now: it is full, read-only, or without its disk.

    An OSError, because kombu and Celery wait and connect again after one, and redis-py does not repeat the command.
    """


def takes_nothing(error: BaseException) -> bool:
    """Whether the broker answered that it cannot do now what it does otherwise."""
    return isinstance(error, _REFUSALS) or (isinstance(error, ResponseError) and _CODES.search(str(error)) is not None)


@contextmanager
def told() -> Iterator[None]:
    """Tell the broker's refusals as the kind of error that they are."""
    try:
        yield
    except ResponseError as error:
        if takes_nothing(error):
            raise BrokerRefusalError(str(error)) from error
        raise
