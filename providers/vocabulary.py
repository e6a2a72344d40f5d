"""The nouns and predicates of which `providers.meanings` is made, as parts of regular expressions."""

from __future__ import annotations

import re

#: Whatever is of one picture or request.
PICTURE = (
    r"(?:images?|pictures?|photos?|faces?|portraits?|selfies?|files?|urls?|links?|uris?|downloads?"
    r"|downloading|uploads?|source"
    r"|target|mask|template|resolution|dimensions?|pixels?|prompt|width|height|base ?64|media|assets?|inputs?|video)"
)
FACE = r"(?:faces?|facial|heads?|persons?|people|humans?|portrait|landmarks?|eyes?|bod(?:y|ies))"
SIZE = r"(?:resolution|sizes?|dimensions?|pixels?|\d+ ?[mk]b|megabytes|bytes|width|height|aspect|ratio|px)"
#: Words between a subject and what is said of it, none of which begins another phrase.
NEAR = rf"(?:(?!\b{PICTURE}\b|\b(?:to|for|while|cannot|unable|could)\b).){{0,28}}"
WORDS = r"(?:(?!(?:to|for|in|on|while|when|of)\b)\w+ ){0,4}?"

MONEY = r"(?:credits?|balance|funds?|points|coins|wallet|allowance|money|tokens left|entitlement|prepaid)"
PLAN = r"(?:plan|subscription|trial|free tier|package|membership|spend(?:ing)?|budget|monthly|daily)"
GONE = (
    r"(?:insufficient|not enough|exhaust\w*|used up|deplet\w*|ran out|run out|exceed\w*"
    r"|reached|hit|too low"
    r"|expired|ended|zero|empty|negative|consumed|finished|unavailable|cancell?ed|overdue|lapsed|over|is 0)"
)
LACK = (
    r"(?:insufficient|not enough|no|no more|no remaining|out of|lack(?:s|ing)?(?: of)?|low"
    r"|zero|negative|too few"
    r"|without enough|short of|used all|exhausted|depleted|not have(?: any| enough)?)"
)
WHO = (
    r"(?:accounts?|users?|organi[sz]ation|tenant|workspace|app(?:lication)?|customer|merchant|member"
    r"|api access|caller)"
)
BARRED = (
    r"(?:suspen\w*|disabl\w*|deactivat\w*|terminat\w*|bann\w*|frozen|freez\w*|lock\w*|closed|inactive|unverified"
    r"|restricted|revoked|deleted|blocked|blacklisted|expired|not (?:been )?(?:active|activated"
    r"|verified|found|exist"
    r"|authori[sz]ed|allowed|approved|enabled|permitted|entitled|subscribed|have (?:the )?(?:access|permission))"
    r"|unauthori[sz]ed|under review|on hold"
    r"|pending (?:verification|review|approval|activation))"
)
KEY = (
    r"(?:(?:api|access|secret|app|auth|bearer|client|private|public|refresh|license|subscription"
    r"|session) ?(?:keys?|tokens?"
    r"|id|secret|code)(?: (?:id|secret))?|apikey|appkey|appid|credentials?|authori[sz]ation(?: header)?"
    r"|authentication"
    r"|passwords?|login|jwt|access ?key)"
)
BAD_KEY = (
    r"(?:invalid|wrong|bad|expired|incorrect|missing|not valid|not found|not provided|not exist"
    r"|not recogni\w+|not"
    r" match|not correct|not authori\w+|revoked|disabled|mismatch\w*|unknown|fail\w*|error|rejected"
    r"|required|malformed"
    r"|denied|illegal|refused|blocked|unable|not have|lacks?|without|cannot be|could not be|was not"
    r"|deleted|no longer \w+|rotated|no)"
)
SERVICE = (
    r"(?:servers?|service|system|queue|backend|cluster|gpus?|models?|workers?|worker pool|engine|nodes?"
    r"|machines?|instances?"
    r"|upstream|capacity|compute|api|platform|inference|endpoint|pool|checker)"
)
BUSY = (
    r"(?:busy|full|overload\w*|exhausted|unavailable|saturat\w*|maintenance|too long|high load|overwhelm\w*"
    r"|warming up|starting|booting|not ready|at capacity|capacity|down|offline"
    r"|not (?:currently )?available|congest\w*|limit)"
)

#: After "people": those who use the service, and not those on a picture.
CALLERS = r" (?:are )?(?:generating|using|waiting|online|requesting|queuing)\b"
#: In Chinese, what may stand between an account and what is said of it: nothing that is of a picture.
NOT_A_PICTURE = "(?:(?!图|脸|人像|肖像|照片|头像|素材|链接|文件|模板|视频|内容)[^,。])"

WRONG = (
    r"(?:invalid|unsupported|not (?:\w+ )?(?:supported|valid|allowed|found|readable|accessible"
    r"|reachable|be \w+|a valid"
    r"|recogni[sz]ed|an? \w+|match\w*|exist|available|accept\w*|authori[sz]ed|permitted|meet|enough|open"
    r"|load|provided|empty)"
    r"|corrupt\w*|broken|damaged|truncat\w*|malformed|too (?:large|small|big|close|long|short|wide|high"
    r"|low|many|few|dark|blurr\w*|"
    r"heavy)|exceed\w*|fail\w*|error|bad|missing|required|expired|empty|unreadable|inaccessible"
    r"|unreachable|cannot|could n|"
    r"unable|forbidden|denied|unauthori[sz]ed|refused|reject\w*|out of range|must|should|at most|at least"
    r"|only|limit\w*|"
    r"maximum|minimum|more than|less than|fewer than|larger|smaller|blurr\w*|occlu\w*|illegal|wrong"
    r"|mismatch|incorrect|"
    r"insufficient|timed? ?out|timeout|unknown|no |40\d|50\d|quota|low quality|blank|duplicate"
    r"|unauthenticated|authentication)"
)


def one_of(*alternatives: str) -> re.Pattern[str]:
    """A pattern that any of the alternatives fits."""
    return re.compile("|".join(f"(?:{each})" for each in alternatives))
