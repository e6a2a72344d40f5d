"""The tables of the providers' pages: every header and field that they list is sent, of their type, and none besides.

Where a page contradicts itself or another one, `docs/providers.md` says what was decided and how to choose otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.providers.cases import CASES
from tests.unit.providers.scripted import WRITE_BEFORE, ScriptedHttp, always, reply, run

CALLBACK = "https://our.example/cb/1"


@dataclass(frozen=True)
class Page:
    """What a page lists for one submission."""

    operation: str
    url: str
    headers: frozenset[str]
    fields: Mapping[str, type]
    #: Options that make the adapter send every field.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Listed without a word on what they mean, so never sent.
    unexplained: frozenset[str] = frozenset()


BEARER = frozenset({"authorization", "content-type"})
KEY_PAIR = frozenset({"x-request-req-accesskeyid", "x-request-req-accesskeysecret", "content-type"})
PORTRAIT = {
    "app_id": str, "image": str, "prompt": str, "batch": int, "height": int, "width": int, "num_inference_steps": int,
    "guidance_scale": float, "negative_prompt": str, "celery": bool,
}  # fmt: skip
SWAP = {"sourceUrl": str, "targetUrl": str, "businessTaskId": str}

PAGES = (
    Page(  # PiktID, "Swap generate v2"
        "piktid.swap",
        "https://api.piktid.com/api/consistent_identities/generate/v2",
        BEARER,
        {
            "id_image": str,
            "id_face": int,
            "identity_name": str,
            "description_type": str,
            "options": str,
            "flag_sync": bool,
            "id_generation": int,
            "prompt": str,
        },
        unexplained=frozenset({"description_type", "flag_sync", "id_generation", "prompt"}),
    ),
    Page(  # Zhiqite, "Single Face Swap V1.0"
        "zhiqite.swap",
        "https://api.zhiqite.com/AIGCImgOpenServ/saas/tool/roop",
        KEY_PAIR,
        SWAP,
    ),
    Page(  # Zhiqite, "Single Face Swap V2.0"
        "zhiqite.swap_v2",
        "https://api.zhiqite.com/AIGCImgOpenServ/saas/tool/v2/roop",
        KEY_PAIR,
        {**SWAP, "fidelityWeight": str},
        {"fidelity_weight": 1},
    ),
    Page(  # Zhiqite, "Multiple Face Swap"
        "zhiqite.swap_faces",
        "https://api.zhiqite.com/AIGCImgOpenServ/saas/tool/face/fusion",
        KEY_PAIR,
        {**SWAP, "sourceUrl": list, "faceIdx": int, "callbackUrl": str},
        {"face_idx": 1, "second_source": "second.png"},
    ),
    Page(  # Qolaba, "Face consistency"
        "qolaba.consistency",
        "https://qolaba.example/api/v1/studio/getImagetoImage",
        BEARER,
        {**PORTRAIT, "strength": float, "inference_type": str},
        {"negative_prompt": "hat"},
    ),
    Page(  # Qolaba, "Face avatar"
        "qolaba.avatar",
        "https://qolaba.example/api/v1/studio/getImageToImage",
        BEARER,
        {**PORTRAIT, "gender": str, "remove_background": bool, "bg_color": str},
        {"negative_prompt": "hat", "bg_color": "#FFFFFF"},
    ),
    Page(  # HiDream, "variation request"
        "hidream.variation",
        "https://hidreamai.com/api-pub/ec/v3/image/variation/async",
        BEARER,
        {"image": str, "template_id": int, "request_id": str, "notify_url": str},
        {"fit": "crop"},
    ),
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.operation)
def test_a_submission_is_the_pages_table(page: Page) -> None:
    (case,) = (case for case in CASES if case.operation == page.operation)
    http = ScriptedHttp(always(reply(502)))
    prompt = "a knight in the rain" if "prompt" in page.fields else None
    order = case.order(prompt=prompt, callback_url=CALLBACK, **page.options)
    run(case.build(http).submit(order, write_before=WRITE_BEFORE))

    (sent,) = http.requests
    assert (sent.method, str(sent.url)) == ("POST", page.url)
    assert set(sent.headers) - {"host", "content-length"} == page.headers
    body = json.loads(sent.content)
    wanted = {name: kind for name, kind in page.fields.items() if name not in page.unexplained}
    assert {name: type(value) for name, value in body.items()} == wanted


def test_piktids_options_are_the_pages_in_a_text() -> None:
    (case,) = (case for case in CASES if case.operation == "piktid.swap")
    http = ScriptedHttp(always(reply(502)))
    run(case.build(http).submit(case.order(watermark_url="https://o.example/w.png"), write_before=WRITE_BEFORE))
    options = json.loads(json.loads(http.requests[0].content)["options"])
    assert list(options) == ["flag_replace_and_download", "watermark_url", "prompt_strength"]
