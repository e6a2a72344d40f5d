"""Which accounts may serve a job; every refusal names the field, the value and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recast.errors import InvalidJobError
from workers.config.accounts import Account, parse
from workers.images.uris import local_path
from workers.jobs.lanes import lane_of, lane_operation
from workers.jobs.request import MAX_PROMPT, MAX_URI, Ask
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
    assert route(Ask(**ask), ACCOUNTS, PUBLIC) == lane


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"kind": "blend"}, "kind", "'blend' is unknown; allowed: swap, generate"),
        ({"target": None}, "target", "is missing; a swap needs source and target"),
        ({"target": ""}, "target", "is missing; a swap needs source and target"),
        ({"image": "a.jpg"}, "image", "'a.jpg' has no use here; a swap takes source and target"),
        ({"source": 5}, "source", "5 is not a path or URL"),
        ({"source": "ftp://a/b"}, "source", "'ftp://a/b' has the scheme 'ftp'; allowed: a path, https:// or s3://"),
        ({"source": "a\0b"}, "source", "it is too long or has a NUL character"),
        ({"source": "a" * (MAX_URI + 1)}, "source", "it is too long or has a NUL character"),
        ({"prompt": 5}, "prompt", "5 is not text"),
        ({"prompt": "x" * (MAX_PROMPT + 1)}, "prompt", f"at most {MAX_PROMPT} characters"),
        ({"prompt": "a\0b"}, "prompt", "without NUL"),
        ({"prompt": "smile", "provider": "zhiqite"}, "prompt", "zhiqite.swap takes no prompt"),
        ({"account": "nobody"}, "account", "'nobody' is unknown; allowed: piktid-a, qolaba-a, zhiqite-a, zhiqite-b"),
        ({"account": "qolaba-a"}, "account", "'qolaba-a' cannot swap; the accounts are: zhiqite-a (zhiqite.swap"),
        ({"provider": "nobody"}, "provider", "'nobody' is unknown; allowed: hidream, piktid, qolaba, "),
        ({"provider": "hidream"}, "provider", "'hidream' has no account here; the accounts are: "),
        (
            {"provider": "piktid", "account": "zhiqite-a"},
            "provider",
            "'piktid' has no account here under account 'zhiqite-a'",
        ),
        ({"operation": "zhiqite.dance"}, "operation", "'zhiqite.dance' is not to be had here; allowed: piktid.swap, "),
        ({"operation": "qolaba.avatar"}, "operation", "'qolaba.avatar' cannot swap"),
        (
            {"provider": "zhiqite", "options": {"size": 3}},
            "options.size",
            "zhiqite.swap has no such option; allowed: none",
        ),
        (
            {**PORTRAIT, "source": None, "target": None, "options": {"batch": 9}},
            "options.batch",
            "9 is not allowed for qolaba.consistency: ",
        ),
        (
            {**PORTRAIT, "source": None, "target": None, "prompt": " "},
            "prompt",
            "is missing; qolaba.consistency needs one",
        ),
    ],
)
def test_refusals(change: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        route(Ask(**{**SWAP, **change}), ACCOUNTS, PUBLIC)

    assert caught.value.field == field
    assert told in caught.value.message


def test_a_local_file_needs_a_way_to_a_provider_that_fetches() -> None:
    ask = Ask("swap", source="a.jpg", target="https://example.com/b.jpg", provider="zhiqite")

    with pytest.raises(
        InvalidJobError, match=r"'a\.jpg' is a local file and zhiqite\.swap fetches .* set RECAST_PUBLIC_URL"
    ):
        route(ask, ACCOUNTS, FAR)
    for reach in (PUBLIC, Reach(public_url=False, presigned=True)):
        assert route(ask, ACCOUNTS, reach) == "zhiqite.swap"
    # Where another provider takes bytes, the job is for that one.
    assert route(Ask("swap", source="a.jpg", target="b.jpg"), ACCOUNTS, FAR) == "piktid.swap"


def test_without_accounts_nothing_can_be_done() -> None:
    with pytest.raises(InvalidJobError, match=r"kind: 'swap' cannot swap; the accounts are: none"):
        route(Ask(**SWAP), {}, PUBLIC)


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
