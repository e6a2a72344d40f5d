"""The producers' tasks before anything is sent: which arguments they take, and what they say without a broker."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

import pytest
from celery import chain, group

from recast import DirectCallError, Picture, SwapResult, generate, swap
from recast.jobs import GenerateArguments, JobOptions, SwapArguments
from recast.names import ARGUMENTS, GENERATE, REQUIRED, SWAP
from recast.result_store import SEND_SECONDS
from tests.stack import ROOT
from tests.unit.recast.test_results import PICTURE, WRITTEN
from tests.words import names

UNTYPED_SWAP = cast("Any", swap)
UNTYPED_GENERATE = cast("Any", generate)
PAIR = {"source": "a.jpg", "target": "b.jpg"}


@pytest.mark.parametrize(
    ("task", "job", "named"), [(SWAP, swap, SwapArguments), (GENERATE, generate, GenerateArguments)]
)
def test_what_is_typed_is_what_goes_over_the_wire(task: str, job: Any, named: type) -> None:
    assert set(get_type_hints(named)) == set(ARGUMENTS[task])
    for method in (job.delay, job.si):
        *first, last = inspect.signature(method).parameters.values()
        assert tuple(each.name for each in first) + tuple(get_type_hints(JobOptions)) == ARGUMENTS[task]
        assert {each.name for each in first if each.default is each.empty} == REQUIRED[task]
        assert last.kind is last.VAR_KEYWORD


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: UNTYPED_SWAP.delay(source="a"), names("target")),
        (lambda: UNTYPED_SWAP.delay(**PAIR, taget="b"), names("swap", "taget")),
        (lambda: UNTYPED_SWAP.delay("a", taget="b"), names("target")),
        (lambda: UNTYPED_SWAP.apply_async(("a",)), names("swap", "target")),
        (lambda: UNTYPED_SWAP.apply_async(kwargs={"taget": "b"}), names("swap", "source")),
        (lambda: UNTYPED_SWAP.apply_async(("a",), PAIR), names("swap", "source")),
        (lambda: UNTYPED_SWAP.apply_async(["a"] * 11), names("swap", "arguments")),
        (lambda: UNTYPED_SWAP.s(taget="b"), names("swap", "taget")),
        (lambda: UNTYPED_SWAP.s(*["a"] * 11), names("swap", "arguments")),
        (lambda: UNTYPED_SWAP.signature(kwargs={"taget": "b"}), names("swap", "taget")),
        (lambda: UNTYPED_SWAP.si("a"), names("target")),
        (lambda: UNTYPED_SWAP.signature(("a",), immutable=True), names("swap", "target")),
        (lambda: UNTYPED_SWAP.s(target="b").delay(), names("swap", "source")),
        (group(UNTYPED_SWAP.s(target="b")), names("swap", "source")),
        (chain(UNTYPED_SWAP.s("a"), UNTYPED_SWAP.s("b")), names("swap", "target")),
        (lambda: UNTYPED_GENERATE.delay(prompt="x"), names("image")),
        (lambda: UNTYPED_GENERATE.delay("a", source="b"), names("generate", "source")),
    ],
)
def test_a_wrong_argument_is_a_type_error_at_the_call(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any], told: str
) -> None:
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")
    with pytest.raises(TypeError, match=told):
        call()


def test_a_signature_may_lack_what_is_passed_on() -> None:
    partial = swap.s(target="b.jpg", priority=5)
    assert (partial.args, partial.kwargs) == ((), {"target": "b.jpg", "priority": 5})
    assert partial.options == {"queue": "jobs"}
    whole = swap.si("a.jpg", "b.jpg", consent="release-7")
    assert (whole.kwargs, whole.immutable) == ({**PAIR, "consent": "release-7"}, True)
    assert swap.signature(("a.jpg",), options={"countdown": 3}).options == {"queue": "jobs", "countdown": 3}


def test_a_result_stands_for_its_first_picture() -> None:
    made = swap.s(SwapResult.read(WRITTEN), target=Picture.read(PICTURE))
    assert (made.args, made.kwargs) == ((PICTURE["uri"],), {"target": PICTURE["uri"]})


def test_direct_and_eager_calls_are_refused() -> None:
    with pytest.raises(DirectCallError, match=names("swap.delay")):
        swap(**PAIR)
    with pytest.raises(DirectCallError, match=names("eagerly")):
        swap.apply(kwargs=PAIR)


SENDS = """
import logging, time
from celery import chord
from recast import generate, swap
swap.s(source="a.jpg")
began = time.monotonic()
try:
    {send}
finally:
    print(time.monotonic() - began)
"""
DELAY, CHORD = 'swap.delay("a.jpg", "b.jpg")', 'chord([swap.s("a.jpg", "b.jpg")] * 2, generate.s())()'


@pytest.mark.parametrize(
    ("send", "settings", "seconds", "error", "told"),
    [
        (DELAY, {}, 1.0, "NotConfiguredError", ("RECAST_BROKER_URL", "RECAST_HOME")),
        # Nothing listens on port 1. On a busy machine it takes longer than SEND_SECONDS; Celery itself would take 20 s.
        (DELAY, {"RECAST_BROKER_URL": "redis://:secret@127.0.0.1:1/0"}, 4 * SEND_SECONDS, "UnreachableError",
         ("RECAST_BROKER_URL", "127.0.0.1:1", "Connection refused")),
        (CHORD, {"RECAST_BROKER_URL": "redis://:secret@127.0.0.1:1/0"}, 4 * SEND_SECONDS, "UnreachableError",
         ("result store", "127.0.0.1:1", "Connection refused")),
    ],
    ids=["unconfigured", "unreachable", "a chord"],
)  # fmt: skip
def test_a_producer_without_a_broker_is_told_so_soon_and_in_one_error(
    tmp_path: Path, send: str, settings: dict[str, str], seconds: float, error: str, told: tuple[str, ...]
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECAST_")}
    environment |= {**settings, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", SENDS.format(send=send)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert float(run.stdout) < seconds
    *trace, last = run.stderr.splitlines()
    assert last.startswith(f"recast.errors.{error}: ")
    assert all(word in last for word in told)
    assert len(trace) < (15 if send == DELAY else 20), "Celery has more calls between for a chord"
    assert "secret" not in run.stderr
