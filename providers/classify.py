"""The meaning of a provider's refusal: what it is that is at fault, by the best evidence that there is.

A code whose meaning the provider documents decides. Next comes the structure: the error's name, then the HTTP status.
Words come last, in English and Chinese, and only those of the provider itself (`providers.plain_words`). They are read
as a subject and what is said of it: "insufficient balance" is about the account, "insufficient capacity" about the
service and "insufficient number of faces" about one picture.

    NO_FACE, CONTENT, BAD_INPUT   one picture, its text or options: never about the account
    AUTH, CREDIT                  the account
    THROTTLED                     the service does not take anything now
    OUTAGE                        the service broke while it worked: whether anything was made is not known
    None                          not known

Each adapter has a table (`Table`) of what is known of its provider, and where from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from models.states import REJECTING_REASONS, Reason
from providers.meanings import MEANINGS
from providers.plain_words import clauses, plain
from providers.whose import of_the_host


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of one provider's refusals; keys in lower case."""

    #: Codes that the provider documents.
    codes: Mapping[str, Reason] = field(default_factory=dict)
    #: Codes whose meaning is inferred: they count where the words say nothing.
    likely_codes: Mapping[str, Reason] = field(default_factory=dict)
    #: Names of errors.
    names: Mapping[str, Reason | None] = field(default_factory=dict)
    #: Whole messages that are known, without their ends: "list index out of range" is a picture without a face.
    sentences: Mapping[str, Reason] = field(default_factory=dict)
    #: Names of errors that prove, even within a 5xx, that nothing was made.
    nothing_made: frozenset[str] = frozenset()


GENERAL: Final = Table()

#: Why nobody is let in comes before any work, so even a 5xx that says it in words was given instead of a job.
BEFORE_ANY_WORK: Final = frozenset({Reason.AUTH, Reason.CREDIT})

_STATUSES: Final[Mapping[int, Reason]] = {
    HTTPStatus.UNAUTHORIZED: Reason.AUTH,
    HTTPStatus.PAYMENT_REQUIRED: Reason.CREDIT,
}
#: These say that the request is at fault, unless words say whose fault it is.
_OF_THE_REQUEST: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
#: Of words about a picture's or a request's fault: of the request.
_ABOUT_THE_REQUEST: Final = re.compile(
    r"\b(?:param\w*|argument|field|task ?id|business ?task ?id|business ?id|request ?id|query|body|json|id)\b"
    r"|\bmethod not allowed|\bbad request\b|\bunsupported media|\bvalidation|\bnot found$"
    r"|参数|入参|字段|任务|请求|记录|编号"
)
_BARE_QUOTA: Final = re.compile(r"\W*(?:\w+ ){0,2}quota (?:\w+ )?(?:exceeded|reached|exhausted)\W*")
#: Statuses that services also use for one picture (403 for its content) or for spent money (429): words come first.
_LIKELY_STATUSES: Final[Mapping[int, tuple[Reason, frozenset[Reason]]]] = {
    HTTPStatus.FORBIDDEN: (Reason.AUTH, REJECTING_REASONS | {Reason.CREDIT, Reason.THROTTLED}),
    HTTPStatus.TOO_MANY_REQUESTS: (Reason.THROTTLED, frozenset({Reason.CREDIT})),
}


def classify(
    *texts: str | None,
    table: Table = GENERAL,
    code: str | None = None,
    name: str | None = None,
    status: int | None = None,
) -> Reason | None:
    """What a refusal means, or None where that is not known.

    Args:
        texts: what the provider said, in its own words and without ours.
        table: what is known of the provider.
        code: the error's code in the body.
        name: the error's name.
        status: the HTTP status.
    """
    known = table.codes.get((code or "").lower())
    if known is not None:
        return known
    if name is not None and name.lower() in table.names:
        known = table.names[name.lower()]
        if known is not None:
            return known
    if status is not None and status in _STATUSES:
        return _STATUSES[status]
    said = in_words(*texts, table=table)
    if status is not None and status in _LIKELY_STATUSES:
        usual, instead = _LIKELY_STATUSES[status]
        # A quota that is all that a 429 names is one of requests.
        bare = said is Reason.CREDIT and all(_BARE_QUOTA.fullmatch(plain(text)) for text in texts if text)
        return said if said in instead and not bare else usual
    if status in _OF_THE_REQUEST and said in {None, Reason.OUTAGE}:
        return Reason.BAD_INPUT
    return said or table.likely_codes.get((code or "").lower())


def in_words(*texts: str | None, table: Table = GENERAL) -> Reason | None:
    """What words alone mean."""
    given = [text for text in texts if text]
    for text in given:
        whole = text.strip().rstrip(".!。").lower()
        for sentence, reason in table.sentences.items():
            if whole == sentence or whole.endswith(f": {sentence}"):
                return reason
    found = [clause for text in given for clause in clauses(text)]
    said = ((reason, at) for reason, meaning in MEANINGS for at, clause in enumerate(found) if meaning.search(clause))
    meant, at = next(said, (None, 0))
    return Reason.BAD_INPUT if meant in BEFORE_ANY_WORK and of_the_host(found, at) else meant


def about_the_request(*texts: str | None) -> bool:
    """Whether words are about the request itself (a parameter, an id, an address), and not about a picture."""
    return any(_ABOUT_THE_REQUEST.search(plain(text)) for text in texts if text)


def ends_the_job(reason: Reason | None, texts: Sequence[str | None]) -> bool:
    """Whether an error form in answer to a query proves that the job failed: only words about its picture do."""
    return reason in REJECTING_REASONS and not about_the_request(*texts)
