"""Messages taken many at a time, and noted as unacknowledged by the script that takes them.

kombu takes them one by one, and notes each in a second round trip. So does this with the first one, for which a worker
waits; those behind it are taken in that second round trip, and cannot be lost in between.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

# The note comes first: a broker that is full refuses it, and then nothing has been taken. What is not a message is
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
    # kombu puts the prefix before the keys of the commands that it knows, and not of this one.
    keys = [f"{channel.global_keyprefix}{name}" for name in (key, channel.unacked_index_key, channel.unacked_key)]
    with channel.conn_or_acquire() as client:
        found = client.eval(_TAKE, len(keys), *keys, most, time.time(), item)
    return [Taken(tag.decode(), taken) for tag, taken in found]
