"""Whose account a message speaks of: the caller's own, or that of the host from which a picture could not be got.

"Cannot access image: account suspended by hosting provider" is about a picture, whatever its second half says alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: What the service gets from an address of the caller's, and how that is called.
_FETCHED: Final = (
    r"(?:(?:image|picture|photo|source|target|file|media)(?:s| urls?| links?| files?)?|urls?|links?|assets?|inputs?)"
    r"(?! (?:endpoint|api|model|operation|generat|feature|service))"
)
_FETCH: Final = r"\b(?:fetch|download|access|retriev|load|read|open|get)(?:e|ed|ing)?\b"
_GOT: Final = r"(?:下载|获取|读取|访问|拉取|加载|打开)"
_PICTURE: Final = r"(?:图片|图像|照片|头像|素材|文件|原图|链接|地址)"
_BADLY: Final = r"(?:失败|错误|异常|超时|被拒|不了)"

#: A picture could not be got, or its host said something.
_NOT_FETCHED: Final = re.compile(
    rf"\b(?:fail\w*|errors?|unable|cannot|could not|did not)\b.{{0,24}}?{_FETCH} (?:\w+ ){{0,4}}?{_FETCHED}\b"
    rf"|{_FETCH} (?:\w+ ){{0,4}}?{_FETCHED}\b.{{0,24}}?(?:\b(?:fail\w*|error|refused)\b|40\d|50\d)"
    rf"|\b{_FETCHED}(?:'s)? (?:\w+ ){{0,3}}?(?:host|server|cdn|bucket|storage|returned|responded|answered)\b"
    rf"|\b{_FETCHED}\b.{{0,24}}?\bnot (?:be )?{_FETCH}"
    rf"|\b(?:returned|responded|answered|replied)\b.{{0,16}}?\b40\d\b.{{0,40}}?{_FETCH} (?:\w+ ){{0,4}}?{_FETCHED}\b"
    rf"|\b(?:cdn|hosting|storage|bucket|s3|oss) (?:\w+ )?account\b"
    rf"|{_GOT}[^,。]{{0,8}}{_PICTURE}[^,。]{{0,6}}{_BADLY}|{_PICTURE}[^,。]{{0,6}}{_GOT}[^,。]{{0,4}}{_BADLY}"
    rf"|(?:无法|不能){_GOT}[^,。]{{0,4}}{_PICTURE}"
)
_THE_CALLERS: Final = re.compile(r"\byour?\b|[您你]")


def of_the_host(clauses: Iterable[str], cause: int) -> bool:
    """Whether the account in the clause `cause` is that of a picture's host: it explains why a picture was not got."""
    said = list(clauses)
    return any(map(_NOT_FETCHED.search, said[: cause + 1])) and not any(map(_THE_CALLERS.search, said))
