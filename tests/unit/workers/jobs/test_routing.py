"""Which accounts may serve a job; every refusal names the field, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recast.errors import InvalidJobError
from tests.words import names, unsaid
from workers.config.accounts import Account, parse
from workers.images.uris import local_path
from workers.jobs.lanes import lane_of, lane_operation
from workers.jobs.request import MAX_PROMPT, MAX_URI, JobRequest
from workers.jobs.routing import Reach, route

HERE = "http://127.0.0.1:9"
ACCOUNTS: dict[str, Account] = {
    name: parse(name, {"provider": provider, "base_url": HERE, **own})
    for name, provider, own in [
        ("zhiqite-a", "zhiqite", {"access_key_id": "id", "access_key_secret": "s"}),
        ("zhiqite-b", "zhiqite", {"access_key_id": "id", "access_key_secret": "s"}),
        ("piktid-a", "piktid", {"email": "a@example.com", "password": "s"}),
        ("qolaba-a", "qolaba", {"token": "s"}),
    ]
}
FAR = Reach(public_url=False, presigned=False)
PUBLIC = Reach(public_url=True, presigned=False)
SWAP: dict[str, Any] = {"kind": "swap", "source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
PORTRAIT: dict[str, Any] = {"kind": "generate", "image": "https://example.com/a.jpg", "prompt": "a pilot"}


@pytest.mark.parametrize(
    ("ask", "lane"),
    [
        (SWAP, "piktid.swap|zhiqite.swap"),
        ({**SWAP, "provider": "zhiqite"}, "zhiqite.swap"),
        ({**SWAP, "operation": "piktid.swap"}, "piktid.swap"),
        ({**SWAP, "account": "zhiqite-b"}, "zhiqite-b@zhiqite.swap"),
        (PORTRAIT, "qolaba.consistency"),
        ({**PORTRAIT, "prompt": None, "operation": "qolaba.avatar", "options": {"gender": "female"}}, "qolaba.avatar"),
        # An option that only one of two providers knows leaves that one.
        ({**SWAP, "options": {"seed": 7}}, "piktid.swap"),
    ],
)
def test_lanes(ask: dict[str, Any], lane: str) -> None:
    assert route(JobRequest(**ask), ACCOUNTS, PUBLIC) == lane


@pytest.mark.parametrize(
    ("change", "field", "facts"),
    [
        ({"kind": "blend"}, "kind", ("blend", "swap", "generate")),
        ({"target": None}, "target", ("source", "target")),
        ({"target": ""}, "target", ("source", "target")),
        ({"image": "a.jpg"}, "image", ("a.jpg", "source", "target")),
        ({"source": 5}, "source", ("5", "path", "URL")),
        ({"source": "ftp://a/b"}, "source", ("ftp://a/b", "ftp", "https://", "s3://")),
        ({"source": "a\0b"}, "source", (r"'a\x00b'", "NUL")),
        ({"source": "a" * (MAX_URI + 1)}, "source", ("4,097", "4,096")),
        ({"prompt": 5}, "prompt", ("5", "text")),
        ({"prompt": "x" * (MAX_PROMPT + 1)}, "prompt", (str(MAX_PROMPT),)),
        ({"prompt": "a\0b"}, "prompt", ("NUL",)),
        ({"prompt": "smile", "provider": "zhiqite"}, "prompt", ("zhiqite.swap",)),
        ({"account": "nobody"}, "account", ("nobody", "piktid-a", "qolaba-a", "zhiqite-a", "zhiqite-b")),
        ({"account": "qolaba-a"}, "account", ("qolaba-a", "swap", "zhiqite-a", "zhiqite.swap")),
        ({"provider": "nobody"}, "provider", ("nobody", "hidream", "piktid", "qolaba")),
        ({"provider": "hidream"}, "provider", ("hidream",)),
        (
            {"provider": "piktid", "account": "zhiqite-a"},
            "provider",
            ("piktid", "zhiqite-a"),
        ),
        ({"operation": "zhiqite.dance"}, "operation", ("zhiqite.dance", "piktid.swap")),
        ({"operation": "qolaba.avatar"}, "operation", ("qolaba.avatar", "swap")),
        (
            {"provider": "zhiqite", "options": {"size": 3}},
            "options.size",
            ("zhiqite.swap",),
        ),
        (
            {**PORTRAIT, "source": None, "target": None, "options": {"batch": 9}},
            "options.batch",
            ("9", "qolaba.consistency"),
        ),
        (
            {**PORTRAIT, "source": None, "target": None, "prompt": " "},
            "prompt",
            ("qolaba.consistency",),
        ),
    ],
)
def test_refusals(change: dict[str, Any], field: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidJobError) as caught:
        route(JobRequest(**{**SWAP, **change}), ACCOUNTS, PUBLIC)

    assert caught.value.field == field
    assert unsaid(caught.value.message, *facts) == []


def test_a_local_file_needs_a_way_to_a_provider_that_fetches() -> None:
    ask = JobRequest("swap", source="a.jpg", target="https://example.com/b.jpg", provider="zhiqite")

    with pytest.raises(InvalidJobError, match=names("a.jpg", "zhiqite.swap", "RECAST_PUBLIC_URL")):
        route(ask, ACCOUNTS, FAR)
    for reach in (PUBLIC, Reach(public_url=False, presigned=True)):
        assert route(ask, ACCOUNTS, reach) == "zhiqite.swap"
    # Where another provider takes bytes, the job is for that one.
    assert route(JobRequest("swap", source="a.jpg", target="b.jpg"), ACCOUNTS, FAR) == "piktid.swap"


def test_without_accounts_nothing_can_be_done() -> None:
    with pytest.raises(InvalidJobError, match=names("kind", "swap")):
        route(JobRequest(**SWAP), {}, PUBLIC)


@pytest.mark.parametrize(
    ("lane", "operations"),
    [
        ("piktid.swap|zhiqite.swap", ["zhiqite.swap", "zhiqite.swap", "piktid.swap", None]),
        ("zhiqite-a@zhiqite.swap", ["zhiqite.swap", None, None, None]),
        ("zhiqite-a@piktid.swap", [None, None, None, None]),
        ("qolaba.avatar", [None, None, None, "qolaba.avatar"]),
        ("", [None, None, None, None]),
    ],
)
def test_which_accounts_serve_a_lane(lane: str, operations: list[str | None]) -> None:
    assert [lane_operation(lane, account) for account in ACCOUNTS.values()] == operations


@given(
    st.none() | st.sampled_from(sorted(ACCOUNTS)), st.sets(st.sampled_from(["zhiqite.swap", "piktid.swap"]), min_size=1)
)
def test_a_lane_serves_exactly_those_it_was_made_for(pinned: str | None, operations: set[str]) -> None:
    lane = lane_of(pinned, operations)

    for name, account in ACCOUNTS.items():
        found = lane_operation(lane, account)
        can = operations & set(account.operations)
        assert (found is not None) is (pinned in (None, name) and bool(can))
        assert found is None or found in can


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("file:///a/b.jpg", "/a/b.jpg"),
        ("https://example.com/a.jpg", None),
        ("s3://bucket/a.jpg", None),
    ],
)
def test_what_lies_on_this_machine(uri: str, path: str | None) -> None:
    found = local_path(uri)

    assert (str(found) if found else None) == path
