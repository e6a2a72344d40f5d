"""What is left of a provider's message when everything that only quotes something is taken out.

Addresses, file names, quoted texts and prompts are the caller's own words: a picture may be called ``api_key.png`` and
a prompt may ask for "a man without a face". What remains is split into clauses, without those that deny something ("you
were not charged") or speak of what may come ("or your account will be suspended").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MAX_CHARS: Final = 2_000  # of one message; a longer one is a page of HTML or a stack trace

_FILE_TYPES: Final = (
    "jpe?g|png|webp|gif|bmp|tiff?|heic|avif|svg|zip|mp4|mov|csv|txt|json|py|log|pdf|html?|xml|toml|safetensors|pth|onnx"
)
_QUOTES: Final = (
    r'"[^"\n]*"', r"“[^”\n]*”", r"「[^」\n]*」", r"『[^』\n]*』", r"《[^》\n]*》", r"«[^»\n]*»",
    r"`[^`\n]*`", r"(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)",
)  # fmt: skip
#: In this order: a prompt may hold quotes, a quote an address.
_QUOTED: Final = re.compile("|".join(_QUOTES))
_PROMPT: Final = re.compile(r"(?:\bprompt|提示词|提示語|描述词)(?:\s+(?:was|is))?\s*[:=]\s*[^;|)\n]*", re.IGNORECASE)
_ADDRESS: Final = re.compile(
    r"<[a-z/!][^>]{0,300}>"  # a tag of HTML
    r"|\b[a-z][a-z0-9+.-]{1,15}://[^\s,。;)]+|\bdata:\w+/\S+|\bwww\.[^\s,。;)]+"
    r"|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.]+"
    r"|(?<![\w.])(?:~|\.{1,2})?/[\w.%@+$~'!-]+(?:/[\w.%@+$~'!-]*)*|\b[a-z]:\\\S+"  # a path from the root, or from here
    r"|\b[\w.-]+\.[a-z]{2,12}/[^\s,。;)]*|(?<![\w.])[\w.-]+(?:/[\w.%-]+){2,}",  # a host with a path; a long path
    re.IGNORECASE,
)
_FILE: Final = re.compile(rf"(?<![\w.%()$~+@'\-])[\w.%()$~+@'\-]+\.(?:{_FILE_TYPES})\b(?:\?\S*)?", re.IGNORECASE)

#: "Invalid key 'targetUrl'" is about a field, of which the quotation is the name.
_KEY_BY_NAME: Final = re.compile(
    r"(?<!api )(?<!access )(?<!secret )\bkeys? (?=['\"`][a-z][A-Za-z_]{0,60}['\"`])", re.ASCII
)
_APOSTROPHES: Final = str.maketrans("\u2018\u2019", "''")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NEGATED: Final = re.compile(r"n't\b")
_JOINTS: Final = re.compile(r"[_\-/]+|(?<=[a-z])\.(?=[a-z])")
_CLAUSES: Final = re.compile(
    r"[.!?](?=\s|$)|:(?=\s(?!\d)|[\u4e00-\u9fff]|$)|[;,\n。、]|\b(?:but|because|since|so|however|although)\b"
    r"|但是?|因为|所以|不过"
)

# What the services are called says nothing of a face; and where a service for pictures is meant, it is a service.
_CALLED: Final = re.compile(
    r"\b(?:face|head|body|model) ?(?:swap\w*|fusion|merg\w+|consistency|avatar|replace\w*)"
    r"|\b(?:image|picture|photo|video) (?:generations?|edit(?:ing)?s?|to image|variations?)|\btext ?2 ?image\b"
    r"|人脸融合|换脸|图像?片?生成|人像生成|换头"
)
_SERVICE: Final = re.compile(
    # Whatever a service is for, that it does not answer is a fault of the service.
    r"\b(?:credits?|billing|payment|accounts?|auth\w*|tokens?|users?|licen[sc]e|quota|balance|login)"
    r" (?:service|server|system|backend)"
    r"(?= (?:\w+ ){0,2}(?:timed? ?out|timeout|unavailable|busy|errors?|down|failure)\b)"
    r"|(?:鉴权|认证|授权|权限|账[户号]|计费|登[录陆]|用户|余额|支付)(?:服务器?|系统|接口|中心)"
    r"(?=[^,。]{0,4}(?:超时|异常|不可用|繁忙|故障|维护|无响应|出错))"
    r"|\b(?!safety system)(?:images?|faces?|photos?|pictures?|content|safety|moderation|nsfw|template"
    r"|face detection|download|uploads?|storage)"
    r"(?: (?:detection|detector|recognition|processing|review|moderation|audit|check\w*|upload|download"
    r"|filter|analysis"
    r"|safety|generation|storage|hosting))*"
    r" (?:service|server|system|api|engine|queue|backend|cluster|worker|model server)\b"
    r"|(?:图片|人脸|图像|内容|照片|面部|素材|文件|安全|鉴黄)(?:审核|检测|识别|生成|处理|下载|上传|融合"
    r"|分析|校验|安全)*"
    r"(?:服务器?|系统|接口|引擎|队列|后台)"
)

_THINGS: Final = (
    r"(?:account|auth\w*|billing|credits?|quota|permissions?|rate|api|key|throttling|safety|content|nsfw"
    r"|servers?|service"
    r"|balance|payment|face|image|picture|network|capacity)"
)
_DENIED: Final = re.compile(
    r"\b(?:not|n't|never|no|nothing|without)\b(?: \w+){0,4} (?:charg\w+|bill(?:ed|ing)|deduct\w+|consum\w+|debit\w+"
    r"|affect\w+)\b"
    r"|(?<!not )\b(?:is|are|was|were|has|have|looks?|remains?)(?: been)? (?:all )?(?:fine|valid|active|ok"
    r"|okay|sufficient|enough|"
    r"intact|unaffected|unchanged|healthy|correct|refunded|returned|restored|in good standing|verified)\b"
    rf"|\b(?:no|not|isn't)(?: an?| the| your)?(?: {_THINGS})+ (?:problem|issue|trouble|error|failure"
    rf"|matter|limit)s?\b"
    r"|\b(?:no|not an?|nothing)\b.{0,8}\b(?:problem|issue|trouble|wrong|error)s? with\b|\brefund|\bcredited back"
    r"|\bnot (?:been )?(?:related|due|caused|because|throttled|suspended|banned|blocked|frozen|nsfw|sensitive|expired"
    r"|an? (?:matter|question)|about)\b|\bneither\b|\bunrelated to\b|\brather than\b|\bnothing to do with\b"
    r"|(?:未|不|没有?|并未|不会)(?:扣费|扣除|扣减|计费|收费|消耗|收取)|已(?:退还|返还|退回|恢复)"
    r"|(?:账[户号]|余额|密钥|额度|权限|服务|图片|人脸)(?:状态)?(?:一切)?(?:正常|充足|有效|不受影响|足够)"
    r"|(?:不是|并非|与).{0,12}(?:问题|原因|无关|所致|错误)"
)
_TO_COME: Final = re.compile(
    r"\b(?:may|might|will|would|could|shall) (?:also )?(?:be|get|lead|result|cause)\b.{0,24}\b(?:suspen"
    r"|bann|block|disabl"
    r"|throttl|limit|frozen|terminat|restrict|clos|revok|lock)|\b(?:if|unless|otherwise|or else|in case"
    r"|to avoid|to prevent"
    r"|before(?! (?:any |the )?(?:headers|response|body|data)))\b|\bmake sure\b"
    r"|\b(?:contact|ask) (?:us|support|sales)\b|\brisks? (?:of )?(?:suspension|being|a ban)"
    r"|否则|将(?:被|会|冻结|封)|可能(?:会|被)|如果|如有|若|避免|以免|请确保|(?:再次|多次)违规"
)


def clauses(text: str) -> Iterator[str]:
    """The clauses of a message that say something by themselves, in lower case and plain words."""
    for clause in _CLAUSES.split(plain(text)):
        if clause.strip() and not _DENIED.search(clause) and not _TO_COME.search(clause):
            yield " ".join(clause.split())


def plain(text: str) -> str:
    """A message in lower case, without what it quotes, with names such as ``NoFaceFound`` as words."""
    # One sign can become eighteen; the text is cut again, as some patterns look at a part of it several times.
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS])[:MAX_CHARS].translate(_APOSTROPHES)
    text = _KEY_BY_NAME.sub("field ", _unwrapped(text.strip()))
    for quoted in (_QUOTED, _PROMPT, _ADDRESS, _FILE):
        text = quoted.sub(" ", text)
    text = _NEGATED.sub(" not", _JOINTS.sub(" ", _CAMEL.sub(" ", text).lower()).replace("can't", "cannot"))
    return _SERVICE.sub(" checker service ", _CALLED.sub(" service ", text))


def normalized(text: str) -> str:
    """A message without what differs from job to job: numbers, ids and quotations. Two of one kind are then equal."""
    return " ".join(re.sub(r"\b\w*\d\w*\b", " ", re.sub(r"[^\w\s]", " ", plain(text))).split())


def _unwrapped(text: str) -> str:
    """A message that is quoted as a whole, without its quotes: it quotes nothing."""
    whole = _QUOTED.fullmatch(text)
    return text[1:-1] if whole and len(text) > 2 else text  # noqa: PLR2004 - two quotes
