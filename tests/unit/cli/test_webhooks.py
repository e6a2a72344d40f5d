from __future__ import annotations

import pytest
from typer import BadParameter

from cli.webhooks import checked_url, chosen_events
from tests.words import names
from workers.jobs.outbox import EVENTS


def test_events_are_chosen_by_name() -> None:
    assert chosen_events("batch.done, job.failed,batch.done") == ["batch.done", "job.failed"]


@pytest.mark.parametrize("words", ["job.won", "", " , ", "batch.done,job", "*"])
def test_unknown_events_are_named(words: str) -> None:
    with pytest.raises(BadParameter) as caught:
        chosen_events(words)
    assert all(event in str(caught.value) for event in EVENTS)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://example.com/hook?token=1", []),
        ("http://127.0.0.1:8080/hook", ["127.0.0.1"]),
        ("http://shop.internal:8080/hook", ["shop.internal:8080"]),
        ("https://10.0.0.1/", ["10.0.0.1"]),
    ],
)
def test_addresses_that_can_be_told(url: str, hosts: list[str]) -> None:
    checked_url(url, hosts)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.1.2.3/hook", "RECAST_WEBHOOK_HOSTS"),
        ("https://[::1]/hook", "RECAST_WEBHOOK_HOSTS"),
        ("https://0x7f.1/hook", names("used")),
        ("ftp://example.com/hook", names("ftp", "https://")),
        ("https://user:secret@example.com/hook", names("used")),
        ("http://example.com/hook", names("https://")),
        ("https://example.com:99999/", names("99999", "65535")),
        ("https://exa mple.com/\x00", names(r"\x00")),
        ("nonsense", names("nonsense", "https://")),
    ],
)
def test_addresses_that_cannot(url: str, words: str) -> None:
    with pytest.raises(BadParameter, match=words):
        checked_url(url, ["shop.internal"])
