"""Retry-After in both of its forms, and the words of providers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from providers.words import reason_in

from models.states import Reason
from providers.protocol import Reply
from providers.replies import MAX_RETRY_AFTER_SECONDS, retry_after

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Saturday, 21-Nov-26 12:01:30 GMT", 90.0),
        ("Sat Nov 21 12:01:30 2026", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("999999999", MAX_RETRY_AFTER_SECONDS),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("in a minute", None),
        ("Sat, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(Reply(429, {"retry-after": value, "date": NOON}, b"")) == seconds


def test_without_a_date_of_theirs_ours_counts() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = retry_after(Reply(429, {"retry-after": until}, b""))
    assert found is not None
    assert 90 < found <= 100


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("No face detected", Reason.NO_FACE),
        ("no usable face in source_image", Reason.NO_FACE),
        ("Unable to detect faces. Please provide a clear image.", Reason.NO_FACE),
        ("could not find any faces", Reason.NO_FACE),
        ("face could not be detected", Reason.NO_FACE),
        ("Source face is not detected", Reason.NO_FACE),
        ("error: NO_SOURCE_FACE", Reason.NO_FACE),
        ("未检测到人脸", Reason.NO_FACE),
        ("图片中没有人脸", Reason.NO_FACE),
        ("检测不到人脸", Reason.NO_FACE),
        ("人脸检测失败", Reason.NO_FACE),
        ("face swap service is not available", None),
        ("人脸融合失败", None),
        ("Request cancelled due to detection of NSFW content", Reason.CONTENT),
        ("the image did not pass the content audit", Reason.CONTENT),
        ("图片涉及敏感信息", Reason.CONTENT),
        ("Too many requests", Reason.THROTTLED),
        ("请求过于频繁", Reason.THROTTLED),
        ("invalid API key", Reason.AUTH),
        ("insufficient permission", Reason.AUTH),
        ("鉴权失败", Reason.AUTH),
        ("Token has expired", Reason.AUTH),
        ("insufficient account balance", Reason.CREDIT),
        ("You have no credits left", Reason.CREDIT),
        ("账户余额不足", Reason.CREDIT),
        ("Given image type is not supported. Please try with JPG or PNG.", Reason.BAD_INPUT),
        ("image download failed", Reason.BAD_INPUT),
        ("参数错误", Reason.BAD_INPUT),
        ("algorithm error", None),
        ("系统异常", None),
        ("", None),
    ],
)
def test_words(text: str, reason: Reason | None) -> None:
    assert reason_in(None, text) is reason
