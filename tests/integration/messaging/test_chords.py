"""Ends that are counted in their chords together: each body is called as Celery calls it, and once."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery import Celery, states
from celery.app.task import Context
from redis import Redis

from workers.messaging.chords import count
from workers.messaging.result_store import Note

MEMBERS = 50

#: Celery writes the result of a body that it does not call with a method of redis-py that is out of fashion.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def body(results: Any) -> Any:
    """A chord's body, which nobody runs here."""
    return results


@pytest.fixture
def shop(url: str, redis: Redis) -> Celery:
    """An app whose result store and broker are empty."""
    assert not redis.dbsize()
    made = Celery("shop", broker=url, backend=url, set_as_current=False)
    made.task(name="body")(body)
    return made


def ends(shop: Celery, chord: str, members: int = MEMBERS, *, failing: int | None = None) -> list[Note]:
    """The ends of all members of a chord, the last one first."""
    shop.backend.set_chord_size(chord, members)
    then = shop.signature("body", task_id=f"{chord}-body")
    found = []
    for index in reversed(range(members)):
        request = Context(id=f"{chord}-{index}", group=chord, group_index=index, chord=then, delivery_info={})
        if index == failing:
            found.append(Note(request.id, KeyError("no face"), states.FAILURE, request))
        else:
            found.append(Note(request.id, {"job": index}, states.SUCCESS, request))
    return found


def finish(shop: Celery, notes: Sequence[Note]) -> None:
    """Do what Celery does with each of these ends."""
    for note in notes:
        shop.backend.on_chord_part_return(note.request, note.state, note.result)


def announce(shop: Celery, notes: Sequence[Note]) -> int:
    """Count them, and leave the others to Celery; returns how many these were."""
    counted = count(shop.backend, notes)
    left = [note for note in notes if note.task_id not in counted]
    finish(shop, left)
    return len(left)


def called(redis: Redis) -> list[Any]:
    """What bodies were called with, in the order of the calls."""
    messages: Any = redis.lrange("celery", 0, -1)
    return [json.loads(b64decode(json.loads(message)["body"]))[0][0] for message in reversed(messages)]


def results(members: int = MEMBERS) -> list[dict[str, int]]:
    """What a body is called with: the results in the order of the members."""
    return [{"job": index} for index in range(members)]


def test_a_chord_whose_members_end_together(shop: Celery, redis: Redis) -> None:
    assert announce(shop, ends(shop, "one")) == 1, "the one that completes it"
    assert called(redis) == [results()]
    left = {key.decode() for key in redis.scan_iter("*taskset*")}
    assert not {key for key in left if not key.endswith(".c")}, "its counters are gone, as Celery leaves them"


def test_two_chords_in_one_group(shop: Celery, redis: Redis) -> None:
    both = [note for pair in zip(ends(shop, "one"), ends(shop, "two"), strict=True) for note in pair]
    assert announce(shop, both) == 2
    assert called(redis) == [results()] * 2


def test_a_member_that_failed_fails_the_body(shop: Celery, redis: Redis) -> None:
    assert announce(shop, [*ends(shop, "bad", failing=7), *ends(shop, "good")]) == 2
    assert called(redis) == [results()]
    found = shop.AsyncResult("bad-body")
    assert found.state == states.FAILURE
    assert "bad-7" in str(found.result)
    assert "no face" in str(found.result)


def test_a_chord_that_lacks_members_waits(shop: Celery, redis: Redis) -> None:
    first, *others = ends(shop, "one")
    assert announce(shop, others) == 0
    assert called(redis) == []
    finish(shop, [first])  # as a worker does in whose groups nothing is counted
    assert called(redis) == [results()]


def test_repeated_ends_count_once(shop: Celery, redis: Redis) -> None:
    first, *others = notes = ends(shop, "one")
    for _ in range(2):
        assert announce(shop, others) == 0
    count(shop.backend, notes)  # and the worker is killed
    announce(shop, notes)
    announce(shop, notes)
    announce(shop, [first])
    assert called(redis) == [results()]


def test_members_that_end_at_several_workers(shop: Celery, redis: Redis) -> None:
    notes = ends(shop, "one")
    with ThreadPoolExecutor(5) as workers:
        parts = [notes[start::5] for start in range(5)]
        assert sum(workers.map(lambda part: announce(shop, part), parts)) == 1
    assert called(redis) == [results()]


def test_a_chord_whose_counter_is_broken_harms_no_other(shop: Celery, redis: Redis) -> None:
    bad, good = ends(shop, "bad", 2), ends(shop, "good", 2)
    redis.set(shop.backend.get_key_for_group("bad", ".j"), "no sorted set")
    counted = count(shop.backend, [*bad, *good])
    assert counted == {"good-1"}, "Celery meets the error, for one task at a time"


def test_a_chord_of_unknown_size_waits_until_it_is_known(shop: Celery, redis: Redis) -> None:
    notes = ends(shop, "one")
    redis.delete(shop.backend.get_key_for_group("one", ".s"))
    assert announce(shop, notes[1:]) == 0
    shop.backend.set_chord_size("one", MEMBERS)
    assert announce(shop, notes[:1]) == 1
    assert called(redis) == [results()]


def test_what_is_in_no_chord_is_not_counted(shop: Celery, redis: Redis) -> None:
    before: Any = redis.info("commandstats")
    assert count(shop.backend, [Note("alone", {}, states.SUCCESS, Context(id="alone"))]) == set()
    after: Any = redis.info("commandstats")
    assert after.keys() - {"cmdstat_info"} == before.keys() - {"cmdstat_info"}
