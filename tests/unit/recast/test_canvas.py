"""What producers do with jobs in canvases, before anything is sent: chunks as in Celery, errbacks carried along."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, group

from recast import app as recast_app
from recast import swap
from recast.canvas import _carry_errbacks
from recast.names import ERRBACK, SWAP
from tests.words import unsaid

PAIR = ("a.png", "b.png")


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")


@pytest.fixture(name="shop")
def _shop() -> Iterator[Celery]:
    made = Celery("shop", broker="memory://", backend="cache+memory://")

    @made.task(name="shop.told", shared=False)
    def told(request: object, exc: Exception, traceback: str) -> None: ...

    @made.task(name="shop.told_of_id", shared=False)
    def told_of_id(task_id: str) -> None: ...

    @made.task(name="shop.total", shared=False)
    def total(results: object) -> None: ...

    yield made
    made.close()


def test_chunks_are_skewed_as_wholes() -> None:
    chunks = swap.chunks([PAIR] * 5, 2)
    assert chunks.group() is chunks
    chunks.group().skew(start=1, stop=3)
    assert [job.options["countdown"] for job in chunks.tasks] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: swap.starmap([PAIR, PAIR, ("a.png",)]),
        lambda: swap.chunks([PAIR, PAIR, ("a.png",)], 2),
        lambda: swap.map(["a.png"]),
        lambda: swap.starmap([PAIR, (*PAIR, None, "swap", "more", None, None, None, None, None, None)]),
    ],
)
def test_what_is_missing_in_one_of_many_is_noticed_before_any_is_sent(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="swap: "):
        make()


def test_celerys_other_name_for_a_signature_is_checked_as_well() -> None:
    assert swap.subtask(PAIR).options == {"queue": "jobs"}
    with pytest.raises(TypeError, match="taget"):
        swap.subtask(("a.png",), {"taget": "b.png"})


def published(sender: str, **embedded: Any) -> dict[str, Any]:
    _carry_errbacks(sender, ((), {}, embedded))
    return embedded


def errbacks(signature: Any) -> list[str]:
    return [each["task"] for each in signature["options"].get("link_error", [])]


def test_errbacks_of_a_chords_body_are_carried(shop: Celery) -> None:
    told, of_id = shop.tasks["shop.told"], shop.tasks["shop.told_of_id"]
    body = shop.tasks["shop.total"].s().on_error(told.s())
    body.link_error(of_id.s())
    assert errbacks(published(SWAP, chord=body)["chord"]) == [ERRBACK, "shop.told_of_id"]
    assert errbacks(body) == ["shop.told", "shop.told_of_id"], "the caller's own is not changed"
    both = published(SWAP, chord=group(body, body))["chord"]
    assert [errbacks(each) for each in both["kwargs"]["tasks"]] == [[ERRBACK, "shop.told_of_id"]] * 2
    # Without a job in its header, a chord is the producers' alone.
    assert errbacks(published("shop.total", chord=body)["chord"]) == ["shop.told", "shop.told_of_id"]


def test_errbacks_of_a_chords_body_are_carried_later_in_a_chain(shop: Celery) -> None:
    body = shop.tasks["shop.total"].s().on_error(shop.tasks["shop.told"].s())
    for header, expected in ((swap.si(*PAIR), ERRBACK), (group(swap.si(*PAIR)), ERRBACK), (body, "shop.told")):
        (later,) = published("shop.total", chain=[chord([header], body)])["chain"]
        assert errbacks(later["kwargs"]["body"]) == [expected]


def test_a_worker_of_the_producers_app_can_trace_every_task() -> None:
    recast_app.finalize()
    assert [name for name, task in recast_app.tasks.items() if task.request_stack is None] == []


@pytest.mark.heavy
def test_a_worker_of_the_producers_app_takes_no_jobs(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from recast import app\n")
    env = os.environ | {"RECAST_BROKER_URL": "redis://127.0.0.1:9/0", "RECAST_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-Q", "mine,jobs", "--pool=solo"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode != 0
    assert unsaid(ran.stderr.splitlines()[-1], "'jobs'", "recast worker", "--queues") == []
