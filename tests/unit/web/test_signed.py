"""Paths that we signed, told from all others."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from web.prefix import within
from web.signed import Signed
from workers.config.settings import Settings
from workers.http.urls import CallbackTokens
from workers.images.signed_urls import MediaSigner

KEY = SecretStr("key-of-32-characters-for-the-test")
MEDIA = MediaSigner(Settings(_env_file=None, secret_key=KEY))
TOKENS = CallbackTokens(KEY)
HOURS = 24 * 3600  # seconds: a whole run of the tests may lie between a link and its test
LINK, TOKEN = MEDIA.link("aa/bb/cc.png", HOURS), TOKENS.new()


@pytest.mark.parametrize("prefix", ["", "/recast", "/me"])
def test_links_of_ours_are_signed_with_and_without_the_prefix(prefix: str) -> None:
    is_signed = Signed(MEDIA, TOKENS, prefix)
    for path in (urlsplit(LINK).path, f"/callbacks/{TOKEN}"):
        assert is_signed(path)
        assert is_signed(f"{prefix}{path}")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/healthz", "/callbacks/", "/callbacks", f"/callbacks/{TOKEN}x", f"/callbacks/x{TOKEN}",
        f"/callbacks/{'0' * 48}", f"/other/{TOKEN}", "/media/", "/media/1", "/media/1/2", f"{LINK}x",
        LINK.replace("aa/bb", "aa/bc"), MEDIA.link("aa/bb/cc.png", -60), f"/callbacks/{'é' * 48}", "/media/é/é/é",
        f"/x{LINK}", LINK.removeprefix("/media"),
    ],
    ids=str.isascii,  # links and tokens are made by chance, and each process of a run must name its tests alike
)  # fmt: skip
def test_everything_else_is_not(path: str) -> None:
    assert not Signed(MEDIA, TOKENS, "/recast")(path)


@pytest.mark.parametrize(
    ("path", "below"),
    [("/recast", "/"), ("/recast/", "/"), ("/recast/a", "/a"), ("/recasts", "/recasts"), ("/a", "/a"), ("/", "/")],
)
def test_a_path_below_a_prefix(path: str, below: str) -> None:
    assert within("/recast", path) == below
