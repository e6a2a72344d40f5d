"""The meaning of providers' error texts: most have English or Chinese sentences and no code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from models.states import Reason


def pattern(*alternatives: str) -> re.Pattern[str]:
    """One expression for all of `alternatives`, whatever the case."""
    return re.compile("|".join(alternatives), re.IGNORECASE)


# The first match counts, so the more particular come first: "insufficient permission" is about the key and not about
# credit. "Face" alone proves nothing, because the services themselves are called face swap.
_NO_FACE: Final[Sequence[str]] = (
    r"\b(no|without|missing)( a| any| \w+)? faces?\b",
    r"no_\w*face",
    r"\b(unable to|(could|can|did) ?n[o']t|can't|failed to) (find|detect|locate|recogni[sz]e)\b.{0,16}\bfaces?\b",
    r"\bfaces?( \w+){0,2} (not( be)? (found|detected|recogni[sz]ed|clear)|undetected|missing|unclear)",
    r"\bface.detection.(failed|error)",
    r"(没有?|未|无)(检测到?|识别到?|发现|找到)?(有效|清晰)?的?(人脸|脸部|面部)",
    r"不到(人脸|脸部|面部)",
    r"(人脸|脸部|面部)(检测|识别)?(不到|不清晰|未|失败|缺失)",
)
_CONTENT: Final[Sequence[str]] = (
    r"\bnsfw\b",
    r"\bsensitive\b",
    r"content (polic|audit|review|check|filter)",
    r"\bmoderat|\bsafety\b|inappropriate|prohibited content|copyright",
    r"敏感|违规|审核|涉黄|色情|拦截",
)
_THROTTLED: Final[Sequence[str]] = (
    r"too (many|frequent)|rate.?limit|throttl|\bfrequency\b|\bqps\b",
    r"concurren(cy|t).{0,16}(limit|exceed)",
    r"频繁|限流|并发|请求过多",
)
_AUTH: Final[Sequence[str]] = (
    r"unauthori[sz]ed|unauthenticated|forbidden|authenticat|permission|access.?key|api.?key|credential|signature",
    r"\b(invalid|wrong|bad|expired|incorrect) (key|token|secret)",
    r"\b(key|token|secret)\b.{0,16}\b(invalid|wrong|expired)",
    r"鉴权|认证|密钥|秘钥|未授权|无权限|权限不足|令牌",
)
_CREDIT: Final[Sequence[str]] = (
    r"\bcredits?\b|\bbalance\b|insufficient|\bquota\b|arrears|payment|billing|overdue",
    r"余额|欠费|额度|点数|积分|次数不足",
)
_BAD_INPUT: Final[Sequence[str]] = (
    r"unsupported|not supported|\binvalid\b|validation|\bparam(eter)?s?\b|malformed|too (large|small|big)|resolution",
    r"(download|fetch|load|read|open).{0,24}(image|picture|file)",
    r"(image|picture|file).{0,12}(download|fetch|load)",
    r"\burls?\b",
    r"参数|格式|尺寸|分辨率|下载",
)

_REASONS: Final[Mapping[Reason, re.Pattern[str]]] = {
    Reason.NO_FACE: pattern(*_NO_FACE),
    Reason.CONTENT: pattern(*_CONTENT),
    Reason.THROTTLED: pattern(*_THROTTLED),
    Reason.AUTH: pattern(*_AUTH),
    Reason.CREDIT: pattern(*_CREDIT),
    Reason.BAD_INPUT: pattern(*_BAD_INPUT),
}


def reason_in(*texts: str | None) -> Reason | None:
    """The reason that a provider's words name, or None where they name none that we know."""
    joined = " ".join(text for text in texts if text)
    return next((reason for reason, words in _REASONS.items() if words.search(joined)), None)


# The picture was not fetched, in contrast to: it was, and cannot be read.
_NOT_FETCHED: Final = pattern(
    r"(can ?not|can't|could ?n[o']t|unable to|fail(ed|ure)? (to|in|at)|error|problem).{0,24}"
    r"\b(download|fetch|retriev|access|reach|connect|get)(ed|ing|e)?\b",
    r"\b(download|fetch|retriev\w*|access|connection)(ed|ing|e)?\b.{0,24}\b(fail|error|refus|time.?d? ?out|impossible)",
    r"\b(can ?not|could ?n[o']t) be (downloaded|fetched|retrieved|accessed|reached)",
    r"\b(image|picture|file|url|link|address)s?\b.{0,24}\b(unreachable|inaccessible|not (accessible|reachable))",
    r"(下载|获取|访问|拉取|请求).{0,8}(图片|图像|文件|链接|地址)?.{0,4}(失败|超时|错误|异常)|无法(下载|获取|访问|拉取)",
)


def not_fetched(message: str) -> bool:
    """Whether a provider's words say that it could not fetch a picture."""
    return _NOT_FETCHED.search(message) is not None
