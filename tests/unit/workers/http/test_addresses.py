"""Addresses as people write them: one form for what can be opened, a refusal that shows the sign for what cannot."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.words import names, unsaid
from workers.http.addresses import AddressError, advice_for, one_form, visible, web_address

ONE = "https://cdn.example/1.jpg"
TWO = "https://cdn.example/2.jpg"
SEPARATORS = (", ", ",", "|", " | ", ";", "; ", " ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\uff0c", "\u3001", ",\n")
UNSEEN = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u180e", "\u034f", "\u3164",
          "\u115f", "\u2800", "\x00", "\x1b", "\x7f")  # fmt: skip


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (ONE, ONE),
        ("HTTPS://cdn.example/x.jpg", "https://cdn.example/x.jpg"),
        ("Http://cdn.example/X.JPG", "http://cdn.example/X.JPG"),
        ("S3://bucket/my photo, 2.jpg", "s3://bucket/my photo, 2.jpg"),
        ("FILE:///srv/my photo.jpg", "file:///srv/my photo.jpg"),
        (f" \t\r\n{ONE}\n", ONE),
        ("photos/my photo, the best.jpg", "photos/my photo, the best.jpg"),
        ("C:\\photos\\1.jpg", "C:\\photos\\1.jpg"),
        ("http://localhost:8080/x", "http://localhost:8080/x"),
        ("https://[2606:4700::1111]:443/x", "https://[2606:4700::1111]:443/x"),
        ("https://bücher.example/ü/照片.png", "https://bücher.example/ü/照片.png"),
        ("https://cdn.example/❤️.png", "https://cdn.example/❤️.png"),
        # Commas, and addresses within addresses, that image services have.
        ("https://res.example/w_200,h_100,c_fill/1.jpg", "https://res.example/w_200,h_100,c_fill/1.jpg"),
        ("https://proxy.example/?url=https://cdn.example/1.jpg", "https://proxy.example/?url=https://cdn.example/1.jpg"),
        ("https://old.example/2020/https://cdn.example/1.jpg", "https://old.example/2020/https://cdn.example/1.jpg"),
        ("https://cdn.example/1.jpg?p=image/resize,w_9/format,png", "https://cdn.example/1.jpg?p=image/resize,w_9/format,png"),
    ],
)  # fmt: skip
def test_what_can_be_opened_has_one_form(written: str, meant: str) -> None:
    assert one_form(written) == meant
    assert one_form(meant) == meant


@pytest.mark.parametrize(
    "host",
    [
        "a..b", ".example.com", "a" * 64 + ".example", "a." * 127 + "com", "xn--", "xn--a.example", "www.xn--.example",
        "１２７.0.0.1", "ⓔxample.com", "a..b:8080", "-ü-.example", "ü" * 60 + ".example",
    ],
)  # fmt: skip
def test_a_host_that_there_cannot_be_is_refused(host: str) -> None:
    for path in ("/x.jpg", "", "?x=1"):
        with pytest.raises(AddressError, match=names("host", "https://HOST/PATH")):
            one_form(f"https://{host}{path}")


@pytest.mark.parametrize(
    "host",
    ["a" * 63 + ".example", "example.com.", "a_b.example", "xn--bcher-kva.example", "BÜCHER.example", "例え.テスト"],
)
def test_a_host_that_there_may_be_is_kept(host: str) -> None:
    assert one_form(f"https://{host}/x.jpg") == f"https://{host}/x.jpg"


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize(
    ("first", "second"),
    [(ONE, TWO), ("s3://b/1.jpg", TWO), (ONE, "2.jpg"), ("1.jpg", TWO), (f"{ONE}?a=1", f"{TWO}?b=2")],
)
def test_several_addresses_in_one_text_are_named(first: str, second: str, separator: str) -> None:
    with pytest.raises(AddressError, match=names("2", f"'{first}'", f"'{second}'")):
        one_form(f"{first}{separator}{second}")


def test_addresses_with_nothing_between_them_or_in_brackets_are_several() -> None:
    for written in (
        ONE + TWO,
        f"{ONE}&{TWO}",
        f"{ONE}+{TWO}",
        f'["{ONE}", "{TWO}"]',
        f"<{ONE}> <{TWO}>",
        f"{ONE} and {TWO}",
    ):
        with pytest.raises(AddressError, match=names("1.jpg", "2.jpg")):
            one_form(written)


def test_several_paths_are_named_where_there_is_no_such_file() -> None:
    assert unsaid(advice_for("faces/1.jpg, faces/2.jpg"), "2", "'faces/1.jpg'", "'faces/2.jpg'") == []
    assert advice_for("faces/my photo, the best.jpg") == ""


@pytest.mark.parametrize("path", ["www.shop.example/1.jpg", "//cdn.example/1.jpg", "cdn.shop.com/1.jpg"])
def test_an_address_without_a_scheme_is_told_where_there_is_no_such_file(path: str) -> None:
    assert unsaid(advice_for(path), f"'https://{path.lstrip('/')}'") == []


@pytest.mark.parametrize("sign", UNSEEN)
@pytest.mark.parametrize("place", [0, 2, 5, 8, 12, 21])
def test_a_sign_that_cannot_be_seen_is_shown(sign: str, place: int) -> None:
    with pytest.raises(AddressError) as caught:
        one_form(ONE[:place] + sign + ONE[place:])
    message = str(caught.value)
    assert sign not in message
    assert ascii(sign)[1:-1] in message


@pytest.mark.parametrize(
    ("written", "facts"),
    [
        ("htp://cdn.example/x.jpg", ("htp", "https://", "s3://")),
        ("ftp://cdn.example/x.jpg", ("ftp", "https://", "s3://")),
        ("data:image/png;base64,AAAA", ("data:image/png", "https://")),
        ("https://https://cdn.example/x.jpg", ("https://https://cdn.example/x.jpg", "two")),
        ("HTTPS://http://cdn.example/x.jpg", ("http://cdn.example/x.jpg", "two")),
        ("https://http//cdn.example/x.jpg", ("two",)),
        ("https:/cdn.example/x.jpg", ("https:/cdn.example/x.jpg", "https://")),
        ("https:cdn.example/x.jpg", ("https:cdn.example/x.jpg", "https://")),
        ("http//cdn.example/x.jpg", ("http//cdn.example/x.jpg", "https://")),
        ("https;//cdn.example/x.jpg", ("https;//cdn.example/x.jpg", "https://")),
        ("https ://cdn.example/x.jpg", ("https ://cdn.example/x.jpg",)),
        ("https\uff1a//cdn.example/x.jpg", ("https://",)),
        ("\uff48ttps://cdn.example/x.jpg", ("cdn.example/x.jpg",)),
        ("'https://cdn.example/x.jpg'", ("https://",)),
        ("https://", ("HOST",)),
        ("https:///x.jpg", ("HOST",)),
        ("https://?x", ("HOST",)),
        ("https://.../x.jpg", ("HOST",)),
        ("https://cdn.example\\x.jpg", ("HOST",)),
        ("https://cdn.example:99999/x.jpg", ("99999", "65535")),
        ("https://cdn.example:0/x.jpg", ("65535",)),
        ("https://cdn.example:http/x.jpg", ("'http'", "65535")),
        ("https://cdn.example/my photo.jpg", ("https://cdn.example/my%20photo.jpg",)),
        ("https://cdn.example/x.jpg,", ("%2C",)),
        ("https://cdn.example/a\nb.jpg", (r"https://cdn.example/a\nb.jpg", "%0A")),
        ("s3:///x.jpg", ("s3://BUCKET/KEY",)),
    ],
)
def test_what_no_door_knows_is_refused(written: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(AddressError) as caught:
        one_form(written)
    assert unsaid(str(caught.value), *facts) == []


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(AddressError) as caught:
        one_form("https://anna:secret@cdn.example/my photo.jpg")
    assert "secret" not in str(caught.value)


@given(st.text())
@example("https://[/x")
@example("https://:80/x")
@example("://")
def test_any_text_has_one_form_or_is_refused_in_signs_that_can_be_seen(text: str) -> None:
    assert visible(text).isprintable()
    try:
        found = one_form(text)
    except AddressError as error:
        message = str(error)
    else:
        message = ""
        assert one_form(found) == found
    assert message.isprintable()


@pytest.mark.parametrize("written", ["cdn.example", "s3://b", "/srv/x", "file:///x", "ftp://x.example", f"{ONE} {TWO}"])
def test_a_web_address_is_nothing_else(written: str) -> None:
    with pytest.raises(AddressError, match=names("https://")):
        web_address(written)
    assert web_address(" HTTPS://shop.example ") == "https://shop.example"
