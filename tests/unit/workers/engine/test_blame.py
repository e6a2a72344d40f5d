"""Whose fault it is that a provider did not get a picture."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from models.states import REJECTING_REASONS, Reason
from providers import operation
from providers.fetching import not_fetched
from providers.outcomes import Failed, Pending, Refused
from workers.engine.blame import blames_input, gives_links, judged
from workers.engine.looks import OwnWeb


class Web:
    """Our own web, up or down; counts how often it was asked."""

    def __init__(self, *, down: bool = False) -> None:
        self.down, self.asked = down, 0

    async def is_down(self) -> bool:
        self.asked += 1
        return self.down


@pytest.mark.parametrize(
    "said",
    [
        "image download failed", "Failed to download image", "cannot fetch the source picture", "图片下载失败",
        "无法访问图片链接", "Unable to access the image URL", "could not be downloaded",
        "HTTPError while fetching: timed out",
        "the url is not reachable", "Error retrieving file", "connection refused", "下载源图超时",
    ],
)  # fmt: skip
def test_words_that_a_picture_was_not_fetched(said: str) -> None:
    assert not_fetched(said)


@pytest.mark.parametrize(
    "said",
    [
        "cannot identify image file", "The input image cannot be read.", "unsupported image type", "no face detected",
        "the resolution is too large", "图片格式错误", "invalid parameter: template_id", "list index out of range",
        "the image did not pass the content audit",
    ],
)  # fmt: skip
def test_words_about_the_picture_itself(said: str) -> None:
    assert not not_fetched(said)


def judge(outcome: Any, web: Web) -> Any:
    return asyncio.run(judged(outcome, cast("OwnWeb", web)))


@pytest.mark.parametrize("kind", [Refused, Failed])
def test_a_complaint_about_our_link_is_tried_again(kind: Any) -> None:
    found = judge(kind(Reason.BAD_INPUT, "image download failed"), Web())
    assert found.reason is Reason.INPUT_UNAVAILABLE
    assert found.reason not in REJECTING_REASONS
    assert "image download failed" in found.message
    if kind is Failed:
        assert found.again


@pytest.mark.parametrize("down", [True, False])
def test_any_complaint_while_our_web_is_down_is_tried_again(down: bool) -> None:
    found = judge(Failed(Reason.BAD_INPUT, "unsupported image type"), Web(down=down))
    assert found.reason is (Reason.INPUT_UNAVAILABLE if down else Reason.BAD_INPUT)


@pytest.mark.parametrize("outcome", [Refused(Reason.NO_FACE, "no face"), Failed(Reason.CONTENT, "nsfw"), Pending()])
def test_other_outcomes_stay_as_they_are(outcome: Any) -> None:
    web = Web(down=True)
    assert not blames_input(outcome)
    assert judge(outcome, web) is outcome
    assert web.asked == 0


@pytest.mark.parametrize(
    ("name", "pictures", "ours"),
    [
        ("zhiqite.swap", {"source": "/a.jpg", "target": "https://x.example/b.jpg"}, True),
        ("zhiqite.swap", {"source": "https://x.example/a.jpg", "target": "https://x.example/b.jpg"}, False),
        ("piktid.swap", {"source": "/a.jpg", "target": "/b.jpg"}, False),
        ("hidream.variation", {"image": "/a.jpg"}, False),
    ],
)
def test_who_gives_the_pictures(name: str, pictures: dict[str, str], ours: bool) -> None:
    assert gives_links(operation(name), pictures) is ours
