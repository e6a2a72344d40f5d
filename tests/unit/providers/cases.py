"""One case for each operation; adding a provider to the conformance suite means adding its cases here."""

from __future__ import annotations

from dataclasses import replace

from providers.spec import Input
from tests.unit.providers.scripted import PICTURE, REFERENCE, SECRET, Case

SOURCE = Input(url="https://media.example/source.png?e=1&s=2")
TARGET = Input(url="https://media.example/target.jpg")
SECOND = Input(url="https://media.example/second.png")

ZHIQITE_SWAP = Case(
    operation="zhiqite.swap",
    base_url="https://api.zhiqite.com",
    settings={"access_key_id": f"{SECRET}-id", "access_key_secret": f"{SECRET}-secret"},
    inputs={"source": SOURCE, "target": TARGET},
    handle=str(REFERENCE),
)
ZHIQITE_SWAP_V2 = replace(ZHIQITE_SWAP, operation="zhiqite.swap_v2")
ZHIQITE_SWAP_FACES = replace(
    ZHIQITE_SWAP, operation="zhiqite.swap_faces", inputs={"source": SOURCE, "target": TARGET, "second_source": SECOND}
)
QOLABA_CONSISTENCY = Case(
    operation="qolaba.consistency",
    base_url="https://qolaba.example/api/v1/studio",
    settings={"token": SECRET},
    inputs={"image": SOURCE},
    prompt="a knight in the rain",
    handle="0d4a2f3c-6f7e-4a55-8a52-9f3a1c2b7d10",
)
QOLABA_AVATAR = Case(
    operation="qolaba.avatar",
    base_url="https://qolaba.example/api/v1/studio",
    settings={"token": SECRET},
    options={"gender": "female"},
    inputs={"image": SOURCE},
    handle="0d4a2f3c-6f7e-4a55-8a52-9f3a1c2b7d10",
)

PIKTID_SWAP = Case(
    operation="piktid.swap",
    base_url="https://api.piktid.com/api",
    settings={"email": "shop@example.com", "password": SECRET},
    inputs={
        "source": Input(media_type="image/png", handle="1W38bSrE"),
        "target": Input(media_type="image/jpeg", handle="6776a1"),
    },
    handle="6776a1/0",
    locator="6776a1/0",
    session=b'{"access_token": "%b-access", "refresh_token": "%b-refresh"}' % (SECRET.encode(), SECRET.encode()),
)
HIDREAM_VARIATION = Case(
    operation="hidream.variation",
    base_url="https://hidreamai.com",
    settings={"token": SECRET},
    options={"template_id": 20},
    inputs={"image": Input(media_type="image/jpeg", width=768, height=1024, data=PICTURE)},
    handle="97004e6a-5d2b-11ee-abe3-3a8d18c35963",
)
REPLICATE_SWAP = Case(
    operation="replicate.swap",
    base_url="https://api.replicate.com",
    settings={"token": SECRET},
    inputs={"source": SOURCE, "target": TARGET},
    handle="gm3qorzdhgbfurvjtvhg6dckhu",
)
REPLICATE_GENERATE = Case(
    operation="replicate.generate",
    base_url="https://api.replicate.com",
    settings={"token": SECRET},
    options={"input": {"width": 896, "num_outputs": 1}},
    inputs={"image": SOURCE},
    prompt="a knight in the rain",
    handle="gm3qorzdhgbfurvjtvhg6dckhu",
)

CASES = (
    ZHIQITE_SWAP,
    ZHIQITE_SWAP_V2,
    ZHIQITE_SWAP_FACES,
    QOLABA_CONSISTENCY,
    QOLABA_AVATAR,
    PIKTID_SWAP,
    HIDREAM_VARIATION,
    REPLICATE_SWAP,
    REPLICATE_GENERATE,
)
