"""Thumbnails of pictures that cannot be had: each is tried once in a while, and none holds up the others."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.stack import PORTRAITS
from web import input_thumbnails
from web.input_thumbnails import FETCHES, InputThumbnails, NoPictureError
from workers.images.decoders import Decoders

PICTURE = (PORTRAITS / "grace_hopper.jpg").read_bytes()


class Inputs:
    """A file system on which files named `slow` hang."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = threading.Event()

    def read(self, role: str, uri: str) -> Any:
        self.asked.append(uri)
        if "slow" in uri:
            self.free.wait(30)
        return SimpleNamespace(data=PICTURE if "good" in uri else b"no picture")


def asked(inputs: Inputs, *uris: str) -> list[str]:
    """What became of each, all asked for at the same time."""
    thumbnails = InputThumbnails(inputs, None, Decoders())  # type: ignore[arg-type]

    async def one(uri: str) -> str:
        try:
            return "made" if await thumbnails.thumbnail("source", uri) else ""
        except NoPictureError as error:
            return str(error)

    async def story() -> list[str]:
        try:
            return [*(await asyncio.gather(*map(one, uris))), *(await asyncio.gather(*map(one, uris)))]
        finally:
            inputs.free.set()

    return asyncio.run(story())


def test_those_that_hang_end_and_do_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_thumbnails, "FETCH_SECONDS", 0.5)
    inputs = Inputs()
    told = asked(inputs, *(f"/slow/{n}" for n in range(FETCHES - 1)), "/good.jpg")
    assert told[FETCHES - 1] == told[-1] == "made"
    assert all("0.5 s" in said for said in told[: FETCHES - 1])


def test_a_failure_is_remembered(tmp_path: Path) -> None:
    inputs = Inputs()
    told = asked(inputs, "/bad.jpg")
    assert told[0] == told[1] != "made"
    assert inputs.asked == ["/bad.jpg"]
