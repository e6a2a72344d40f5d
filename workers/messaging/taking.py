"""Messages taken many at a time, each noted as unacknowledged by the same script that takes it from its queue.

kombu takes them one by one, and notes each in a second round trip: one that is killed in between loses a message.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

# The note comes first: a broker that is full refuses it, and then nothing has been taken. What is no message is taken
# without one, because it has no tag to be noted under.
_TAKE = """
local found = {}
for _ = 1, tonumber(ARGV[1]) do
    local item = redis.call('LINDEX', KEYS[1], -1)
    if not item then break end
    local ok, message = pcall(cjson.decode, item)
    local properties = ok and type(message) == 'table' and message['properties']
    local place = type(properties) == 'table' and properties['delivery_info']
    local tag = type(place) == 'table' and properties['delivery_tag']
    if type(tag) == 'string' then
        local exchange, key = cjson.encode(place['exchange']), cjson.encode(place['routing_key'])
        redis.call('ZADD', KEYS[2], ARGV[2], tag)
        redis.call('HSET', KEYS[3], tag, '[' .. item .. ', ' .. exchange .. ', ' .. key .. ']')
    else
        tag = ''
    end
    redis.call('RPOP', KEYS[1])
    found[#found + 1] = {tag, item}
end
return found
"""


class Taken(NamedTuple):
    """An item of a queue; its tag is empty if it is no message."""

    tag: str
    item: bytes


def take(channel: Any, key: str, most: int) -> list[Taken]:
    """Take up to `most` items from the list `key` of a kombu channel.

    Raises:
        redis.exceptions.RedisError: the broker is away, or full; nothing was taken that is not noted.
    """
    with channel.conn_or_acquire() as client:
        keys = [key, channel.unacked_index_key, channel.unacked_key]
        found = client.eval(_TAKE, len(keys), *keys, most, time.time())
    return [Taken(tag.decode(), item) for tag, item in found]
