"""Phrases whose meaning is another than that of their words, which `providers.meanings` therefore asks first."""

from __future__ import annotations

from providers.vocabulary import CALLERS, FACE, KEY, LACK, NEAR, PICTURE, SIZE, WRONG

#: What is of a picture, although its words alone are of an account or of the service.
OF_A_PICTURE = (
    rf"\b(?:{PICTURE}|{FACE})\b.{{0,40}}\b{SIZE}(?!\w).{{0,40}}?(?<!\w){WRONG}",
    rf"\b(?:{PICTURE}|{FACE})\b.{{0,30}}(?<!\w){WRONG}.{{0,40}}(?:\b{SIZE}\b|\d ?[mk]b\b)",
    (
        r"(?:图片|图像|照片|文件|人脸|素材)[^,。]{0,6}(?:大小|尺寸|分辨率|像素|体积|格式|数量?)[^,。]{0,10}(?:超|过"
        r"|不|最|限|大于|小于|低于|高于)"
    ),
    (
        rf"\b{PICTURE}(?:'s)? (?:\w+ ){{0,2}}(?:token|signature|key|permission|access|credentials)s?\b"
        rf".{{0,24}}(?<!\w){WRONG}"
    ),
    (
        rf"\b(?:authenti\w+|authori\w+|permissions?|login|credentials|access|forbidden|denied"
        rf"|unauthori[sz]ed)\b.{{0,24}}\b(?:to|for|when|while|during|on|in) (?:\w+ ){{0,2}}?(?:(?:fetch|download"
        rf"|read|access|open|load|retriev)\w* (?:\w+ ){{0,3}}?)?{PICTURE}\b"
    ),
    rf"\b{PICTURE}\b.{{0,60}}\b(?:4\d\d|50\d)\b",
    r"(?:图片|照片|图像|素材|链接|地址)[^,。]{0,8}(?:4\d\d|50\d)(?!\d)",
    rf"\b(?:download|fetch|load)\w* (?:of )?(?:\w+ ){{0,2}}{PICTURE}\b.{{0,40}}(?:{WRONG}|throttl\w*)",
    (
        r"(?:图片|照片|图像|人脸|头像|素材|链接|地址|url)[^,。]{0,4}(?:鉴权|认证|授权|签名|权限|token"
        r"|密钥)[^,。]{0,6}(?:失败|错误|过期|失效|不足|无效|未通过|不匹配)"
    ),
    r"\bprompt (?:\w+ ){0,3}(?:invalid|illegal|unknown|bad) tokens?\b",
    rf"\b(?:{FACE}|liveness|photo|image) (?:authentication|verification|certification)\b.{{0,16}}(?<!\w){WRONG}",
    (
        rf"\b{FACE} (?:count |number )?(?:quota|limit)\b"
        rf"|\b(?:too many|multiple|several|more than one) (?:\w+ )?{FACE}\b(?!{CALLERS})"
    ),
)

TOO_FEW_FACES = (
    rf"\b(?:insufficient|not enough|too few|fewer|zero) (?:\w+ )?(?:number of |count of )?{FACE}\b",
    rf"\bnumber of {FACE}.{{0,12}}\b(?:insufficient|0|zero)\b",
    rf"\b(?:{FACE}(?: count| number| found| detected)?) ?[:=] ?0\b",
)

#: Why an account is barred, which says more than that it is.
UNPAID = (
    rf"\b(?:{LACK} (?:balance|funds?|credits?)|unpaid|arrears|past due|overdue|outstanding (?:invoice|payment))\b",
    r"欠费|余额(?:不足|不够|已?用完|已?耗尽)|逾期|未付款|未支付",
)

#: A key that is well, and used too much.
KEYS_TOO_FAST = (
    rf"\b(?:{KEY}|keys?)\b{NEAR}\b(?:throttl\w*|rate limit\w*|throughput|limited to \d|per (?:second|minute|hour))",
    r"\btoo many (?:\w+ )?(?:requests|calls)\b",
    r"\btemporar\w+ (?:blocked|limited|restricted|disabled|suspended|locked)\b",
)

#: The service's own work on a picture took too long, which is not the picture's fault; to fetch it may be.
WORK_TIMED_OUT = (
    r"\btemporary failure in name resolution\b",
    (
        r"\b(?:processing|detection|recognition|analysis|moderation|review|inference|swap\w*) (?:\w+ )?"
        r"(?:timed? ?out|timeout)\b"
    ),
    r"(?:处理|生成|识别|检测|审核|融合|分析|推理)超时",
)
