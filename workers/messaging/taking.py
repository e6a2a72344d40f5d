"""Messages taken many at a time, and noted as unacknowledged by the script that takes them.

kombu takes them one by one, and notes each in a second round trip. So does this with the first one, for which a worker
waits; those behind it are taken in that second round trip, and cannot be lost in between.

A full broker takes these notes, too: they only move what it has already. A worker that is killed while the broker is
full has then lost nothing, and the queue that filled it gets shorter.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

# Since Redis 7 and in every Valkey, a script may say that it writes although the memory is full.
_ALTHOUGH_FULL = "#!lua flags=allow-oom\n"
_TOO_OLD = "compiling script"  # what an older Redis says to that line
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
    redis.call('ZADD', KEYS[2], ARGV[2], tag)
    redis.call('HSET', KEYS[3], tag, '[' .. item .. ', ' .. exchange .. ', ' .. key .. ']')
    return tag
end
local found = {{note(ARGV[3]), ARGV[3]}}
for _ = 1, tonumber(ARGV[1]) do
    local item = redis.call('LINDEX', KEYS[1], -1)
    if not item then break end
    found[#found + 1] = {note(item), item}
    redis.call('RPOP', KEYS[1])
end
return found
"""


_NOTE = f"""{_ALTHOUGH_FULL}
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
"""


class Taken(NamedTuple):
    """An item of a queue; its tag is empty if it is not a message."""

    tag: str
    item: bytes


def take_with(channel: Any, key: str, item: bytes, most: int) -> list[Taken]:
    """Note `item`, which was taken from the list `key` of a kombu channel, and take up to `most` of those behind it.

    Returns:
        What was taken, `item` first.

    Raises:
        redis.exceptions.RedisError: the broker is away, or full; nothing else was taken that is not noted.
    """
    keys = _keys(channel, key, channel.unacked_index_key, channel.unacked_key)
    with channel.conn_or_acquire() as client:
        given = (len(keys), *keys, most, time.time(), item)
        try:
            found = client.eval(_ALTHOUGH_FULL + _TAKE, *given)
        except ResponseError as error:
            if _TOO_OLD not in str(error):
                raise
            found = client.eval(_TAKE, *given)
    return [Taken(tag.decode(), taken) for tag, taken in found]


def note_although_full(channel: Any, tag: str, noted: str) -> bool:
    """Note a message, as kombu writes it, in a broker that refused kombu's own note; whether that was possible."""
    keys = _keys(channel, channel.unacked_index_key, channel.unacked_key)
    try:
        with channel.conn_or_acquire() as client:
            client.eval(_NOTE, len(keys), *keys, time.time(), tag, noted)
    except (RedisError, OSError):
        return False
    return True


def _keys(channel: Any, *names: str) -> list[str]:
    """Names with the prefix that kombu puts before the keys of the commands it knows, and not of a script."""
    return [f"{channel.global_keyprefix}{name}" for name in names]
