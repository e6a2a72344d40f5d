"""What clauses of providers' messages mean: a subject, and what is said of it.

The order decides, the more certain first: what is plainly about the account, then plainly about the picture's content
or face, then about the service, then about the picture or the request, and last words that name no subject.
"""

from __future__ import annotations

import re
from typing import Final

from models.states import Reason
from providers.phrases import KEYS_TOO_FAST, OF_A_PICTURE, TOO_FEW_FACES, UNPAID, WORK_TIMED_OUT
from providers.vocabulary import (
    BAD_KEY,
    BARRED,
    BUSY,
    CALLERS,
    FACE,
    GONE,
    KEY,
    LACK,
    MONEY,
    NEAR,
    NOT_A_PICTURE,
    PICTURE,
    PLAN,
    SERVICE,
    WHO,
    WORDS,
    WRONG,
    one_of,
)

_SUSPENDED = (
    rf"\b{WHO}\b{NEAR}\b(?:{BARRED}|must be (?:verified|approved|activated))\b",
    (
        rf"\b(?:suspended|disabled|deactivated|blocked|banned|frozen|locked|inactive|unknown|invalid|expired"
        rf"|unverified|unauthori[sz]ed|no such|illegal) (?:\w+ )?{WHO}\b"
    ),
    (
        rf"(?:账[户号]|帐[户号]|用户|应用|租户|商户|企业|[主子]账号|会员|服务|产品|接口权限){NOT_A_PICTURE}{{0,8}}(?:冻结|封禁"
        r"|停用|禁用|锁定|注销|未激活|未开通|未授权|被限制|未实名|暂停使用|未认证|已关闭|黑名单|已失效|没有开通)"
    ),
    (
        rf"(?:账[户号]|帐[户号]|用户|应用|租户|商户){NOT_A_PICTURE}{{0,6}}(?:不存在|异常|过期|到期|无效|非法|状态)"
        r"|冻结[^,。]{0,4}账[户号]|账[户号].{0,4}封|接口[^,。]{0,2}[未没]有?开通"
    ),
)
_KEYS = (
    rf"\b{KEY}\b{NEAR}\b{BAD_KEY}\b",
    (
        rf"\b(?:invalid|wrong|bad|expired|incorrect|missing|no|unknown|revoked|unrecogni[sz]ed|malformed|illegal"
        rf"|disabled|without|unsupported) (?:or \w+ )?(?:\w+ )?{KEY}\b"
    ),
    (
        r"\b(?:invalid|wrong|bad|expired|incorrect|revoked|illegal) (?:keys?|tokens?|secret"
        r"|signature)\b(?! (?:limit|count|type))"
    ),
    (
        r"\b(?:your|the|this)? ?(?:key|token|secret|signature)s? (?:is |has |was |have )?(?:been )?(?:invalid|wrong"
        r"|expired|revoked|incorrect|disabled|not valid|mismatch|deactivated|verification failed|does not (?:match"
        r"|exist)|not found|could not be verified)"
    ),
    (
        r"\baccess (?:\w+ )?(?:has |is |was )?(?:been )?(?:revoked|suspended|disabled|expired|terminated)\b"
        r"|\bmust be logged in|\blogin required|\bfailed to (?:authenticate|authori[sz]e|log ?in)\b"
        r"|\bcould not (?:authenticate|validate credentials)"
    ),
    (
        r"(?:密钥|秘钥|令牌|凭证|(?<![a-z])(?:token|ak|sk|access ?key(?: ?(?:id|secret))?|api ?key|app ?id|app ?key"
        r"|secret)(?![a-z]))[^,。]{0,8}(?:错误|无效|失效|过期|不正确|不存在|不匹配|缺失|为空|失败|非法|有误|禁用"
        r"|未找到|校验)"
    ),
    r"(?:无效|错误|非法|缺少|过期|失效)的?(?:密钥|秘钥|令牌|凭证|token|api ?key|access ?key|签名)",
    (
        r"鉴权|验签|身份(?:验证|认证|校验)(?:失败|未通过|过期)"
        r"|签名(?:校验|验证)?(?:错误|失败|[不未]通过|不匹配|过期|不正确)"
        r"|登[录陆](?:已?失效|已?过期|状态)|(?:请|需要|尚未|未)(?:先|重新)?登[录陆]|白名单"
    ),
)
_SPENT = (
    rf"\b{LACK} {WORDS}(?:{MONEY}|quota)\b",
    rf"\b{MONEY}\b{NEAR}\b{GONE}\b",
    rf"\b{PLAN} {WORDS}(?:limits?|quota|usage|cap|allowance|calls)?\b{NEAR}\b{GONE}\b",
    (
        rf"\b(?:exceed\w*|reach\w*|hit|used(?: up)?(?: all)?|over|above|beyond|consumed"
        rf"|spent)(?: (?:all )?(?:of )?(?:the|your|its))? {WORDS}(?:plan|subscription|spend\w*|budget|{MONEY}"
        rf"|free tier|(?:monthly|daily|usage|plan|account) (?:\w+ )?limit|(?:your|current|account|usage) quota"
        rf"|quota for (?:the|this) (?:month|day|account))\b"
    ),
    (r"(?<!image )(?<!face )(?<!picture )(?<!photo )(?<!file )(?<!size )(?<!hosting )\bquota\b" rf"{NEAR}\b{GONE}\b"),
    (
        r"\bpayment(?: \w+){0,3} (?:required|failed|declined|overdue|due|needed)|\bpayment required\b|\barrears\b"
        r"|\bunpaid\b|\bpast due\b|\binvoices?\b.{0,16}\b(?:overdue|due|open)|\bbilling\b.{0,24}\b(?:issue|problem"
        r"|limit|disabled|not (?:enabled|active|set up)|required|hard|failed|details)|\bno (?:valid )?(?:payment"
        r"|billing)\b|\boverdraft"
    ),
    (
        r"\b(?:top ?up|recharge|(?:buy|purchase|add)(?: more| some)? (?:credits?|funds|points|tokens)"
        r"|add (?:a )?payment)"
        rf"|\b0 {MONEY}\b|\bneed(?:s|ed)? to (?:buy|purchase)\b|\brequires? an? (?:\w+ )?(?:plan|subscription)\b"
        rf"|\bupgrade (?:to|your) |\b(?:subscription|membership|plan) (?:is )?(?:not active|inactive)\b"
    ),
    (
        r"\bnot purchased?\b|\bcard\b.{0,16}\bdeclined|\boutstanding balance\b|\b(?:spend|usage) cap\b|未购买"
        r"|余额(?:不足|不够|为|已|用|过低|耗尽)|欠费|账单.{0,4}逾期|未付款|未支付|预付费.{0,6}(?:用完|不足)"
    ),
    (
        r"(?:额度|配额|点数|(?<!请求)(?<!调用)次数|积分|资源包|套餐|流量包|免费额度|算力点?|余量|灵感值|点券|会员"
        r"|充值|费用|预算|体验|试用期?)(?<!图片余量)[^,。图脸]{0,8}(?:不足|不够|用完|用尽|耗尽|用光|已完|超限|已达|上限|到期|过期|为0"
        r"|为零|已满|没有了|超支|结束|已过)(?<!算力不足)"
    ),
    (
        r"(?:没有|无|剩余)(?:可用|剩余|足够)?的?(?:额度|次数|余额|积分|点数|资源包)(?!.{0,3}充足)|请(?:先|及时"
        r"|尽快)?(?:充值|续费|购买)"
    ),
    r"(?:调用|使用)(?:次数|量)[^,。]{0,4}(?:用完|用尽|耗尽|不足|已用)",
)
_TOO_FAST = (
    (
        r"\btoo many (?:\w+ )?(?:requests?|calls|tasks|jobs|connections|submissions|predictions|queries|attempts"
        r"|generations|in flight|pending|concurrent)"
    ),
    rf"\btoo many people{CALLERS}|\btoo many users\b",
    r"\btoo many \w+ (?:in (?:the |your )?queue|being (?:processed|generated)|per (?:second|minute|hour))\b",
    r"\btoo (?:frequent|fast|quickly|often)|rate ?limit|throttl|\bslow down\b|\bfrequency\b|\b(?:qps|tps|rpm|tpm)\b",
    (
        r"\bconcurren\w+\b.{0,28}\b(?:limit|exceed\w*|reach\w*|full|max\w*|too)|\b(?:limit|max\w*|exceed\w*"
        r"|too many)\b.{0,16}\bconcurren|\bconcurrency\b|\b(?:requests?|calls) (?:per|limit|quota|rate)"
        r"|\brequests? .{0,12}\bexceed"
    ),
    (
        r"频繁|限流|限频|频率|并发|流控|qps|tps|(?:请求|访问|调用)(?:量|数|次数)?(?:过多|太多|过快|太快|超限|过大"
        r"|超过|过于|频次|达到)|(?:任务|提交)(?:数量?)?(?:过多|太多|过快|已达)"
    ),
)
_BUSY_SERVICE = (
    rf"\b{SERVICE}\b{NEAR}\b{BUSY}\b",
    r"\bchecker service.{0,12}(?:timed? ?out|timeout|超时)",
    (
        r"\b(?:insufficient|not enough|no(?: free| available)?|out of|lack of|exhausted|limited"
        r"|waiting for(?: a)?) (?:\w+ ){0,2}(?:gpus?|capacity|workers?|resources?|nodes?|instances?|compute"
        r"|servers?|machines?|slots?|runners?|replicas?)\b"
    ),
    (
        r"\b(?:resources?|gpus?|slots?|capacity)\b.{0,16}\b(?:insufficient|exhausted|unavailable|not available"
        r"|not enough|limit|exceeded)"
    ),
    (
        r"\b(?:insufficient|not enough) memory\b|\bbusy\b|\boverload|\bat (?:full )?capacity|\b(?:high|heavy"
        r"|peak) (?:demand|traffic|load|volume)|\btemporar(?:y|ily) (?:unavailable|overload|out|down|disabled)"
        r"|\bservice unavailable|\bmaintenance\b|\bqueue(?: \w+){0,3} (?:full|limit|long)"
    ),
    (
        r"(?:服务器?|service|系统|网络|接口|队列|后台|平台|当前|模型|引擎|节点|集群|通道|线路)[^,。图脸]{0,8}(?:忙"
        r"|满|超载|过载|过高|维护|不可用|拥挤|拥堵|升级|过大|紧张|压力)|繁忙|太忙|人数[过较太]多|排队"
        r"|(?:(?<!包)资源(?!包)|算力|gpu|显卡|机器|显存|容量|计算节点)[^,。]{0,4}(?:不足|紧张|不够|耗尽|已满|有限)"
    ),
)
_NO_FACE = (
    rf"\b(?:no|zero|0|without|missing|none|lacks?|find no|found no|contains? no)(?: \w+){{0,2}} {FACE}\b",
    (
        rf"\b(?:not|unable|fail\w*|cannot|could|did|impossible) (?:\w+ ){{0,2}}(?:find|found|detect\w*|locat\w*|spot"
        rf"|recogni[sz]\w*|see|contain|have|identify|has|extract\w*|show)\b.{{0,16}}\b{FACE}\b"
    ),
    (
        rf"\b{FACE}\b(?: \w+){{0,5}} (?:not|never|cannot)(?: be)?(?: \w+)? (?:found|detect\w*|recogni[sz]\w*|clear"
        rf"|extract\w*|visible|present|located|identified|usable|exist|complete)"
    ),
    (
        rf"\b{FACE}(?: \w+){{0,2}} (?:undetected|missing|unclear|absent|invisible)\b|\bface (?:detection"
        rf"|detect) (?:failed|error)"
    ),
    rf"\bdetection of (?:a )?{FACE} failed|\b{FACE} not (?:found|detected|exist)|\bno (?:image )?match\w* {FACE}",
    (
        r"(?:没有?|未|无|不含|缺少|找不到|看不到)(?:能|有)?(?:检测|识别|发现|找|包含|含)?(?:到|出|有)?(?:任何|有效"
        r"|清晰|可用|完整)?的?(?:人?脸|面部|人像|人物)"
    ),
    (
        r"请(?:上传|使用|更换|提供)[^,。]{0,8}(?:人脸|正脸)|不到(?:有效|清晰)?的?(?:人?脸|脸部|面部|人像)|(?:人脸"
        r"|脸部|面部|人像)(?:检测|识别|提取)?(?:不到|不存在|不清晰|未|失败|缺失|为空)"
    ),
)
_CONTENT = (
    (
        r"\bnsfw\b|\bnud(?:e|ity)\b|\bporn|\bsexual|\bexplicit\b|\bviolen(?:t|ce)|\bgore\b|\bsensitive\b|\bmoderat"
        r"|\binappropriate|\bprohibited\b|\bcopyright|\bcelebrit|\bpublic figure|\bunderage|\bminors?\b|\bharmful"
        r"|\bunsafe\b|\boffensive|\bdisallowed\b|\b(?:banned|forbidden|blocked) (?:words?|terms?|topics?)\b"
    ),
    (
        r"\b(?:content|usage|community|safety|acceptable use|use) (?:polic|guideline|audit|review|check|filter"
        r"|standard|system|risk|safety)|\bviolat|\brisk control|\bsafety (?:checker|filter|review|system|settings)"
        r"|\bflagged\b|\bcontent (?:is )?(?:rejected|blocked|not allowed|restricted|illegal)|\bblocked by (?:our "
        r"|the )?(?:safety|content)|\billegal content"
    ),
    (
        r"敏感|违规|违禁|涉黄|涉政|涉暴|暴恐|色情|拦截|版权|不合规|低俗|违法|裸露|鉴黄|(?:内容|图片|图像|素材"
        r"|提示词|安全|照片|文本|机审|人工)?审[核查](?:不|未|失败|拒绝|没|结果)|内容安全|安全(?:策略|检测|审核)"
        r"|公众人物|名人|未成年"
    ),
)
_OF_THE_PICTURE = (
    rf"\b{PICTURE}\b.{{0,80}}?(?<!\w){WRONG}",
    rf"(?<!\w){WRONG}.{{0,60}}?\b{PICTURE}\b",
    rf"\b{FACE}\b.{{0,40}}?(?<!\w){WRONG}|(?<!\w){WRONG}.{{0,40}}?\b{FACE}\b",
    (
        r"\b(?:cannot|failed)\b.{0,24}\b(?:jpe?g|png|rgba?|webp)\b|\b(?:jpe?g|png|webp|gif|bmp"
        r"|heic)\b.{0,40}\b(?:only|error|not|supported|invalid)|\bonly .{0,24}\b(?:jpe?g|png|webp)\b"
    ),
    rf"\b{PICTURE}\b(?: \w+){{0,2}} weighs?\b|\bthe same (?:image|picture|photo|person|face|file)\b",
    rf"\b{FACE}\b.{{0,30}}\b(?:turned|tilted|rotated|closed|sideways|covered|hidden|obscured|cropped|cut off)\b",
    r"\b(?:corrupt\w*|truncat\w*|damaged|broken|invalid) (?:jpe?g|png|webp|gif|bmp)\b",
    (
        r"\b(?:fetch|download|load|read|open|decode|retriev)\w*\b.{0,40}\b(?:fail\w*|error|40\d|50\d|forbidden"
        r"|denied|timed? ?out)|\b(?:fail\w*|error|unable|cannot|could not)\b.{0,24}\b(?:fetch|download|load|read"
        r"|open|decode|retriev|identify)"
    ),
    (
        r"(?:图片|图像|url|image|照片|头像|人脸|脸部|面部|素材|文件|原图|目标图|源图|底图|模板|链接|地址|分辨率"
        r"|尺寸|像素|提示词|五官|格式|宽高|比例|人像|参考图|视频)[^,。]{0,16}(?:失败|错误|无效|不支持|不存在|过大"
        r"|过小|太大|太小|超过|超出|超限|限制|不符|不合法|非法|损坏|为空|有误|不正确|无法|不能|不可|异常|超时|缺失"
        r"|过期|失效|过多|太多|模糊|遮挡|过低|不足|不够|最多|至少|仅支持|只支持|须|必须|应为|解析|拒绝|过长|过短"
        r"|没有权限|无权|禁止|多张|角度|侧脸|不完整|不通过|未通过|额度|不匹配)"
    ),
    (
        r"(?:无法|不能|找不到|没有找到|未找到|不支持|无效|非法|错误|缺少|过多|多张|多个|超过|下载|读取|解析|解码"
        r"|打开|获取|访问|加载)的?[^,。]{0,10}(?:图片|图像|照片|头像|人脸|素材|文件|原图|链接|地址|格式|尺寸|分辨率"
        r"|模板)(?:[^,。]{0,6})"
    ),
    r"(?:下载|解码|读取|加载|上传)[^,。]{0,6}(?:失败|错误|超时|异常)",
)
_OF_THE_REQUEST = (
    (
        r"\b(?:invalid|unsupported|missing|illegal|bad|malformed|wrong|unknown|incorrect)\b.{0,24}\b(?:param\w*"
        r"|arguments?|values?|fields?|options?|body|json|payload|format|type|style|templates?|seed|prompt"
        r"|attributes?)\b"
    ),
    (
        r"\b(?:param\w*|arguments?|fields?|values?|property|option|body|payload|parameter \w+)\b.{0,32}\b(?:invalid"
        r"|missing|required|illegal|error|must|should|out of range|not (?:valid|supported|allowed|found|match)"
        r"|exceed\w*|too|wrong|empty|incorrect)"
    ),
    (
        r"\bvalidation (?:error|failed)|\binput (?:should|must)"
        r"|\bmust be (?:less|greater|more|at (?:least|most)|between|one of|positive|smaller|larger|in )"
        r"|\bmust be an? (?:integer|number|string|boolean|list|valid)"
        r"|\bvalid (?:integer|string|number|url)"
        r"|\bfield required\b|\bextra (?:inputs|fields)|\bbad request\b|\bunprocessable|\bunsupported media"
        r"|\bpayload too large|\bentity too large|\bnot supported\b|\bunsupported\b"
    ),
    r"参数|入参|字段|取值|请求体|必填|不支持该|格式(?:错误|不)|json",
)
_NOBODY = (
    rf"\b{PLAN} (?:does|do|did) not (?:\w+ )?(?:include|cover|allow|support|permit)\b",
    (
        r"\bunauthori[sz]ed\b|\bunauthenticated\b|\bforbidden\b|\b(?:access|permission) (?:is |was "
        r"|has been )?denied|\bpermissions?\b|\bnot (?:authori[sz]ed|permitted|entitled|subscribed)|\bprivileges?\b"
        r"|\bnot (?:have|allowed).{0,16}\baccess|\bsignature\b.{0,24}\b(?:invalid|fail\w*|mismatch|wrong|error|not)"
        r"|\bno (?:right|access)\b|\bauthenticat\w+ (?:failed|error|required)|\bauth failure\b"
        r"|\b(?:insufficient|missing|lacks?) (?:\w+ ){0,3}scopes?\b"
        r"|\bcertification failed|\bip(?: address)?\b.{0,24}\b(?:not|blocked|denied|forbidden|restricted)\b"
    ),
    (
        r"(?<!图片)(?<!图像)(?<!内容)(?<!肖像)(?<!素材)未授权|无权|[没无]有?.{0,4}权限|授权(?:已|已经)?(?:过期|失效|失败|到期)|权限(?:不足|不够|校验|被拒|错误"
        r"|未)|缺少.{0,4}权限|认证(?:失败|未通过|错误|过期)|访问(?:被拒绝?|受限|拒绝)|拒绝访问|禁止访问"
    ),
)
_LATER = (
    (
        r"\b(?:try|retry)(?: \w+){0,2} (?:later|again (?:later|in|after|shortly|soon)|after|shortly|in a (?:few"
        r"|moment|minute))|\bplease retry\b|\bcome back later|\btry again\.?$|\bwait (?:a|and|for|some|until)\b"
    ),
    r"(?:稍后|稍候|过一会|一会儿|晚点|待会)[^,。]{0,4}(?:再试|重试|再来|尝试|再)?",
)
_BROKE = (
    (
        r"\binternal(?: \w+)? (?:error|exception|failure)|\bserver error|\binternal server"
        r"|\bunexpected (?:\w+ )?(?:error|exception|failure)|\bunknown error|\bsomething went wrong|\bunhandled"
        r"|\btraceback|\btimed? ?out\b|\btimeout\b|\bbad gateway|\bgateway\b|\bupstream\b|\bconnection (?:reset"
        r"|refused|closed|aborted|error|timed)|\bcrash|\bout of memory\b|\boom\b|\bcuda\b|\bsegmentation fault"
        r"|\bconnect error\b|\bdatabase\b|\bdeadline exceeded|\bnetwork error|\bprediction interrupted"
        r"|\bworker (?:lost|died|exited)|\bbroken pipe|\bunavailable\b"
    ),
    (
        r"(?:系统|服务器?|内部|网络|程序|未知|算法服务|数据库|模型|推理)(?:内部)?(?:异常|错误|故障|出错|崩溃|开小差)|超时"
        r"|连接(?:失败|异常|中断)"
    ),
)


#: Meanings by the order in which they decide.
MEANINGS: Final[tuple[tuple[Reason, re.Pattern[str]], ...]] = (
    (Reason.NO_FACE, one_of(*TOO_FEW_FACES)),
    (Reason.BAD_INPUT, one_of(*OF_A_PICTURE)),
    (Reason.CREDIT, one_of(*UNPAID)),
    (Reason.THROTTLED, one_of(*KEYS_TOO_FAST)),
    (Reason.AUTH, one_of(*_SUSPENDED, *_KEYS)),
    (Reason.THROTTLED, one_of(*_TOO_FAST)),
    (Reason.CREDIT, one_of(*_SPENT)),
    (Reason.NO_FACE, one_of(*_NO_FACE)),
    (Reason.CONTENT, one_of(*_CONTENT)),
    (Reason.THROTTLED, one_of(*_BUSY_SERVICE)),
    (Reason.OUTAGE, one_of(*WORK_TIMED_OUT)),
    (Reason.BAD_INPUT, one_of(*_OF_THE_PICTURE, *_OF_THE_REQUEST)),
    (Reason.AUTH, one_of(*_NOBODY)),
    (Reason.OUTAGE, one_of(*_BROKE)),
    (Reason.THROTTLED, one_of(*_LATER)),
)
