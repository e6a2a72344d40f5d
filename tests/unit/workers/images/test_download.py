"""Downloads: outcomes by status, redirects, caps, and the guard at every hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.http import ConnectError, ReadError, Request, Response, mock_client
from tests.words import names
from workers.http.client import TooLargeError, build_client
from workers.http.ssrf import BadUrlError, ForbiddenAddressError, Guard
from workers.images.download import DeadUrlError, TransientDownloadError, fetch

URL = "https://cdn.example/a/result.webp?sig=secret"


def download(
    handler: Callable[[Request], Response], url: str = URL, *, max_bytes: int = 1000, timeout: float = 5
) -> bytes:
    async def go() -> bytes:
        async with mock_client(handler) as client:
            return await fetch(client, url, max_bytes=max_bytes, timeout=timeout)

    return asyncio.run(go())


def redirects(chain: dict[str, str]) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        target = chain.get(str(request.url))
        return Response(302, headers={"Location": target}) if target else Response(200, content=b"end")

    return handler


def test_the_bytes_come_back_whatever_the_content_type_says() -> None:
    assert download(lambda _: Response(200, content=b"\xff\xd8", headers={"Content-Type": "text/html"})) == (
        b"\xff\xd8"
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_url_the_server_says_no_to_is_dead(status: int) -> None:
    with pytest.raises(DeadUrlError, match=rf"cdn\.example answered {status}") as caught:
        download(lambda _: Response(status))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [204, 206, 304, 408, 425, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_transient(status: int) -> None:
    with pytest.raises(TransientDownloadError, match=str(status)):
        download(lambda _: Response(status))


@pytest.mark.parametrize("error", [ConnectError("x"), ReadError("x"), TimeoutError()])
def test_a_network_in_trouble_is_transient(error: Exception) -> None:
    def handler(_: Request) -> Response:
        raise error

    with pytest.raises(TransientDownloadError) as caught:
        download(handler)
    assert "secret" not in str(caught.value)


def test_five_redirects_are_followed_and_six_are_not() -> None:
    hops = {f"https://cdn.example/{n}": f"/{n + 1}" for n in range(6)}
    assert download(redirects(hops), "https://cdn.example/1") == b"end"
    with pytest.raises(DeadUrlError, match="5 redirects"):
        download(redirects(hops), "https://cdn.example/0")


def test_a_redirect_may_change_host_and_be_relative() -> None:
    chain = {"https://cdn.example/a/b": "//img.example/c/d", "https://img.example/c/d": "../e?x=1"}
    seen: list[str] = []

    def handler(request: Request) -> Response:
        seen.append(str(request.url))
        return redirects(chain)(request)

    assert download(handler, "https://cdn.example/a/b") == b"end"
    assert seen == ["https://cdn.example/a/b", "https://img.example/c/d", "https://img.example/e?x=1"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://169.254.169.254/latest/meta-data", ForbiddenAddressError),
        ("http://[::1]/", ForbiddenAddressError),
        ("file:///etc/passwd", BadUrlError),
        ("https://user:pass@cdn.example/", BadUrlError),
        ("http://2130706433/", BadUrlError),
        ("http://0177.0.0.1/", BadUrlError),
    ],
)
def test_every_redirect_is_checked(target: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        download(redirects({URL: target}))


def test_a_redirect_without_a_target_is_transient() -> None:
    with pytest.raises(TransientDownloadError, match=names("301", "Location")):
        download(lambda _: Response(301))


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/"])
def test_a_private_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="allow_hosts"):
        download(lambda _: Response(200), url)


@pytest.mark.parametrize("url", ["", "no url", "https://", "https://exa\nmple/", "ftp://cdn.example/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadUrlError):
        download(lambda _: Response(200), url)


def test_the_cap_is_exact() -> None:
    assert download(lambda _: Response(200, content=bytes(1000))) == bytes(1000)
    with pytest.raises(TooLargeError):
        download(lambda _: Response(200, content=bytes(1001)))


def test_the_time_out_covers_all_hops() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Redirect to itself, 50 ms later each time: no hop is slow, all of them together are."""
        with_port = f"http://127.0.0.1:{writer.get_extra_info('sockname')[1]}/".encode()
        await reader.readuntil(b"\r\n\r\n")
        loop = asyncio.get_running_loop()
        answer = b"HTTP/1.1 302 Found\r\nLocation: " + with_port + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        loop.call_later(0.05, writer.write, answer)
        loop.call_later(0.06, writer.close)

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, build_client(Guard([f"127.0.0.1:{port}"]), max_connections=2) as client:
            with pytest.raises(TransientDownloadError):
                await fetch(client, f"http://127.0.0.1:{port}/", timeout=0.12)

    asyncio.run(go())


@pytest.mark.parametrize(("pieces", "pause", "ends"), [(8, 0.15, True), (2, 30.0, False)])
def test_a_slow_file_is_read_and_a_silent_one_is_given_up(
    monkeypatch: pytest.MonkeyPatch, pieces: int, pause: float, ends: bool
) -> None:
    monkeypatch.setattr("workers.images.download.SILENCE_SECONDS", 1.0)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"."
            await asyncio.sleep(pause)

    def handler(_: Request) -> Response:
        return Response(200, content=slowly())

    if ends:
        assert download(handler, timeout=20) == b"." * pieces
    else:
        with pytest.raises(TransientDownloadError, match=names("cdn.example", "1 s")):
            download(handler, timeout=20)


def test_a_picture_is_streamed_from_a_real_server_and_the_guard_holds_there() -> None:
    picture = bytes(range(256)) * 4096

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for start in range(0, len(picture), 100_000):
            piece = picture[start : start + 100_000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            async with build_client(Guard([f"127.0.0.1:{port}"]), max_connections=2) as client:
                assert await fetch(client, f"http://127.0.0.1:{port}/r.png", timeout=5) == picture
                with pytest.raises(TooLargeError):
                    await fetch(client, f"http://127.0.0.1:{port}/r.png", timeout=5, max_bytes=len(picture) - 1)
            async with build_client(Guard(), max_connections=2) as client:
                with pytest.raises(ForbiddenAddressError):
                    await fetch(client, f"http://127.0.0.1:{port}/r.png", timeout=5)

    asyncio.run(go())
