"""The words of a provider that could not fetch a picture."""

from __future__ import annotations

import re
from typing import Final

from providers.plain_words import plain

# The picture was not fetched, in contrast to: it was, and cannot be read.
_FAILED: Final = r"can ?not|can't|could ?n[o']t|unable to|fail(?:ed|ure)? (?:to|in|at)|error|problem"
_FETCH: Final = r"download|fetch|retriev\w*|access|reach|connect(?:ion)?|get"
_NOT_FETCHED: Final = re.compile(
    rf"(?:{_FAILED}).{{0,24}}\b(?:{_FETCH})(?:ed|ing|e)?\b"
    rf"|\b(?:{_FETCH})(?:ed|ing|e)?\b.{{0,24}}\b(?:fail|error|refus|time.?d? ?out|impossible)"
    r"|\b(?:can ?not|could ?n[o']t) be (?:downloaded|fetched|retrieved|accessed|reached)"
    r"|\b(?:image|picture|file|url|link|address)s?\b.{0,24}\b(?:unreachable|inaccessible|not (?:accessible|reachable))"
    r"|(?:下载|获取|访问|拉取|请求).{0,8}(?:图片|图像|文件|链接|地址)?.{0,4}(?:失败|超时|错误|异常)|无法(?:下载|获取|访问|拉取)",
    re.IGNORECASE,
)


def not_fetched(message: str) -> bool:
    """Whether a provider's words say that it could not fetch a picture."""
    return _NOT_FETCHED.search(plain(message)) is not None
