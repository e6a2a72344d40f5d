"""Media links: whoever has one may read that one file until then, and nobody can make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.words import names
from workers.config.settings import Settings, SettingsError, read
from workers.images.signed_urls import BadLinkError, MediaSigner

KEY = "ab/cd/abcdef.jpg"


def signer(key: str = "a secret key of the tests") -> MediaSigner:
    return MediaSigner(read(secret_key=key, public_url="https://shop.example"))


def parts(link: str) -> tuple[str, str, str]:
    """Expiry, signature and key of a link."""
    _, _, rest = link.partition("/media/")
    expires, signature, key = rest.split("/", 2)
    return expires, signature, key


def test_a_link_names_its_file_and_passes() -> None:
    link = signer().link(KEY, 60)

    assert link.startswith("https://shop.example/media/")
    assert parts(link)[2] == KEY
    signer().check(*parts(link))


def test_a_link_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    expires, signature, key = parts(signer().link(KEY, 60))

    monkeypatch.setattr("workers.images.signed_urls.time.time", lambda: int(expires))
    signer().check(expires, signature, key)
    monkeypatch.setattr("workers.images.signed_urls.time.time", lambda: int(expires) + 1)
    with pytest.raises(BadLinkError, match="expired"):
        signer().check(expires, signature, key)


@pytest.mark.heavy
@given(st.integers(0, 2), st.integers(0, 200), st.characters(categories=["L", "N", "P"]))
def test_a_link_that_was_changed_anywhere_is_refused(part: int, position: int, letter: str) -> None:
    changed = list(parts(signer().link(KEY, 60)))
    text = changed[part]
    position %= len(text)
    changed[part] = text[:position] + letter + text[position + 1 :]

    if changed[part] != text:
        with pytest.raises(BadLinkError):
            signer().check(*changed)


@pytest.mark.parametrize("expires", ["", "-1", "1e9", "٣", "9" * 13, "9" * 10_000, "0x10", " 5"])
def test_a_time_that_is_none_is_refused(expires: str) -> None:
    with pytest.raises(BadLinkError, match="malformed"):
        signer().check(expires, parts(signer().link(KEY, 60))[1], KEY)


def test_another_key_or_no_signature_is_refused() -> None:
    expires, signature, key = parts(signer("another key of the tests").link(KEY, 60))

    for forged in (signature, "", "ä", signature[:-1]):
        with pytest.raises(BadLinkError, match="signature"):
            signer().check(expires, forged, key)


def test_without_a_secret_key_nothing_is_signed() -> None:
    with pytest.raises(SettingsError, match=names("RECAST_SECRET_KEY")):
        MediaSigner(Settings(secret_key=None))
