"""Messages taken many at a time, and noted as unacknowledged by the script that takes them.

kombu takes them one by one, and notes each in a second round trip: a worker that is killed in between loses one. Here
nothing is ever out of its list and not noted. Only where a server cannot wait without taking (`waiting`), the first one
comes as with kombu, and those behind it are taken in that second round trip.

A full broker takes these notes, too: they only move what it has already. A worker that is killed while the broker is
full has then lost nothing, and the queue that filled it gets shorter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

# Since Redis 7 and in every Valkey, a script may say that it writes although the memory is full.
_ALTHOUGH_FULL = "#!lua flags=allow-oom\n"
_TOO_OLD = "compiling script"  # what an older Redis says to that line
# An older one lets a script go on that has written before, and this needs no memory.
_WRITTEN = "redis.call('ZREM', KEYS[1], '')\n"
# The note comes first: a broker that refuses it has then given nothing away. What is not a message is
# taken without one, because it has no tag to be noted under.
_TAKE = """
local function note(item)
    local ok, message = pcall(cjson.decode, item)
    local properties = ok and type(message) == 'table' and message['properties']
    local place = type(properties) == 'table' and properties['delivery_info']
    local tag = type(place) == 'table' and properties['delivery_tag']
    if type(tag) ~= 'string' then return '' end
    local exchange, key = cjson.encode(place['exchange']), cjson.encode(place['routing_key'])
    redis.call('ZADD', KEYS[1], ARGV[2], tag)
    redis.call('HSET', KEYS[2], tag, '[' .. item .. ', ' .. exchange .. ', ' .. key .. ']')
    return tag
end
local found = {}
if ARGV[3] then found[1] = {note(ARGV[3]), ARGV[3]} end
for list = 3, #KEYS do
    while #found < tonumber(ARGV[1]) do
        local item = redis.call('LINDEX', KEYS[list], -1)
        if not item then break end
        found[#found + 1] = {note(item), item}
        redis.call('RPOP', KEYS[list])
    end
end
return found
"""


_NOTE = """
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
"""


class Taken(NamedTuple):
    """An item of a queue; its tag is empty if it is not a message."""

    tag: str
    item: bytes


def take(channel: Any, lists: Sequence[str], most: int) -> list[Taken]:
    """Take up to `most` items from these lists of a kombu channel, the first list first, and note them in one step.

    Raises:
        redis.exceptions.RedisError: the broker is away, or full; nothing was taken that is not noted.
        OSError: the broker takes nothing now, or does not permit it.
    """
    return _run(channel, lists, most, time.time())


def take_with(channel: Any, key: str, item: bytes, most: int) -> list[Taken]:
    """Note `item`, which was taken from the list `key` of a kombu channel, and take up to `most` of those behind it.

    Returns:
        What was taken, `item` first.

    Raises:
        redis.exceptions.RedisError: the broker is away, or full; nothing else was taken that is not noted.
        OSError: the broker takes nothing now, or does not permit it.
    """
    return _run(channel, [key], most + 1, time.time(), item)


def _run(channel: Any, lists: Sequence[str], *given: Any) -> list[Taken]:
    keys = _keys(channel, channel.unacked_index_key, channel.unacked_key, *lists)
    with channel.conn_or_acquire() as client:
        found = _eval(client, _TAKE, len(keys), *keys, *given)
    return [Taken(tag.decode(), taken) for tag, taken in found]


def _eval(client: Any, script: str, *given: Any) -> Any:
    """Run a script although the memory is full."""
    try:
        return client.eval(_ALTHOUGH_FULL + script, *given)
    except ResponseError as error:
        if _TOO_OLD not in str(error):
            raise
        return client.eval(_WRITTEN + script, *given)


def note_although_full(channel: Any, tag: str, noted: str) -> bool:
    """Note a message, as kombu writes it, in a broker that refused kombu's own note; whether that was possible."""
    keys = _keys(channel, channel.unacked_index_key, channel.unacked_key)
    try:
        with channel.conn_or_acquire() as client:
            _eval(client, _NOTE, len(keys), *keys, time.time(), tag, noted)
    except (RedisError, OSError):
        return False
    return True


def _keys(channel: Any, *names: str) -> list[str]:
    """Names with the prefix that kombu puts before the keys of the commands it knows, and not of a script."""
    return [f"{channel.global_keyprefix}{name}" for name in names]
