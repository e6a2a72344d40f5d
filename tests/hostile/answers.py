"""What a provider answers: to a submission that will be paid for, and when it is asked how one stands."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.hostile.cases import Area, Case, refused, survived
from tests.hostile.saving import Answer, body, raw, status


def accepted(**more: Any) -> dict[str, Any]:
    """An honest acceptance, or one with something more in it."""
    return {"code": "200", "msg": "success", "data": {"taskId": "1", "status": 0}, **more}


def finished(url: Any, **more: Any) -> dict[str, Any]:
    """An honest result, or a dishonest one."""
    return {"code": "200", "msg": "success", "data": {"taskId": "1", "status": 1, "outputImageUrl": url, **more}}


def of(value: Any) -> Answer:
    """A 200 with this as JSON."""
    return body(json.dumps(value).encode())


def http(head: str, data: bytes = b"") -> Answer:
    """An answer byte by byte."""
    return raw(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + data)


HONEST = of(accepted())
WRITTEN = json.dumps(accepted()).encode()

# An answer that cannot be read may stand for a job that was taken: it is looked for, and neither sent nor paid again.
SUBMISSIONS: tuple[Case, ...] = (
    refused("nothing", lambda: body(b""), "unknown"),
    refused("one NUL", lambda: body(b"\0"), "unknown"),
    refused("null", lambda: body(b"null"), "unknown"),
    refused("true", lambda: body(b"true"), "unknown"),
    refused("a number", lambda: body(b"7"), "unknown"),
    refused("a text", lambda: body(b'"200"'), "unknown"),
    refused("a list", lambda: body(b"[]"), "unknown"),
    refused("an empty object", lambda: body(b"{}"), "unknown"),
    refused("NaN alone", lambda: body(b"NaN"), "unknown"),
    refused("100,000 opening brackets", lambda: body(b"[" * 100_000), "unknown"),
    refused("100,000 nested objects", lambda: body(b'{"a":' * 100_000), "unknown"),
    refused("half an answer", lambda: body(WRITTEN[: len(WRITTEN) // 2]), "unknown"),
    refused("two answers in one", lambda: body(WRITTEN * 2), "unknown"),
    refused("a web page", lambda: body(b"<!doctype html><h1>Welcome</h1>"), "unknown"),
    refused("an XML bomb", lambda: body(b"<!DOCTYPE l [<!ENTITY a 'aa'>]><l>&a;</l>"), "unknown"),
    refused("UTF-16", lambda: body(json.dumps(accepted()).encode("utf-16")), "unknown"),
    refused("a code that is an object", lambda: of(accepted(code={"code": "200"})), "unknown"),
    refused("a code that is a list", lambda: of(accepted(code=["200"])), "unknown"),
    refused("a code that is true", lambda: of(accepted(code=True)), "unknown"),
    refused("a code of Infinity", lambda: body(WRITTEN.replace(b'"200"', b"Infinity")), "unknown"),
    refused("a code of 5,000 digits", lambda: body(WRITTEN.replace(b'"200"', b"9" * 5_000)), "unknown"),
    refused("5 MB of JSON", lambda: of(accepted(note="x" * 5_000_000)), "unknown"),
    refused(
        "gzip that unfolds a thousandfold",
        lambda: body(gzip.compress(b" " * 30_000_000), Content_Encoding="gzip"),
        "unknown",
    ),
    refused("invalid gzip", lambda: body(WRITTEN, Content_Encoding="gzip"), "unknown"),
    refused("an unknown coding", lambda: body(b"\x00\x01", Content_Encoding="x-none"), "unknown"),
    refused("fewer bytes than promised", lambda: http("HTTP/1.1 200 OK\nContent-Length: 999", WRITTEN), "unknown"),
    refused("two lengths", lambda: http("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2", b"{}"), "unknown"),
    refused("a length that is not a number", lambda: http("HTTP/1.1 200 OK\nContent-Length: two", b"{}"), "unknown"),
    refused("a length and chunks", lambda: http(
        "HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked", b"zz\r\n{}"), "unknown"),
    refused("chunks without an end", lambda: http(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b'5\r\n{"cod'), "unknown"),
    refused("a status that is not a number", lambda: http("HTTP/1.1 OK 200", b"{}"), "unknown"),
    refused("another protocol", lambda: raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "unknown"),
    refused("headers of 1 MB", lambda: http("HTTP/1.1 200 OK\nX: " + "x" * 1_000_000), "unknown"),
    refused("no answer, only the end", lambda: raw(b""), "unknown"),
    refused("a redirect to the private network", lambda: status(302, Location="http://169.254.169.254/"), "unknown"),
    refused("200 around nothing, as 204", lambda: status(204), "unknown"),
    refused("500 around a body that says 200", lambda: status(500), "unknown"),
    survived("an unknown member of NaN", lambda: body(WRITTEN[:-1] + b', "x": NaN}'), "running"),
    survived("an unknown member with NUL", lambda: of(accepted(x="a\0b")), "running"),
    survived("an unknown member of half a character", lambda: body(WRITTEN[:-1] + rb', "x": "\ud800"}'), "running"),
    survived("an unknown member in 500 levels", lambda: body(
        WRITTEN[:-1] + b', "x": ' + b"[" * 500 + b"]" * 500 + b"}"), "running"),
    survived("a member twice", lambda: body(b'{"code": "500", ' + WRITTEN[1:]), "running"),
    survived("a byte order mark", lambda: body(b"\xef\xbb\xbf" + WRITTEN), "running"),
    survived("a byte that is not UTF-8", lambda: body(
        WRITTEN.replace(b"success", b"succ\xffss")), "running"),
    survived("a code that is a number", lambda: of(accepted(code=200)), "running"),
    survived("a task id of 300 KB", lambda: of(accepted(data={"taskId": "9" * 300_000})), "running"),
    survived("a task id with NUL", lambda: of(accepted(data={"taskId": "\0", "status": 1})), "running"),
    survived("an invalid type", lambda: body(WRITTEN, Content_Type="image/png"), "running"),
    survived("a cookie", lambda: body(WRITTEN, Set_Cookie="session=evil; Domain=.com"), "running"),
    survived("10 KB of message with NUL and escapes", lambda: of(accepted(msg="\x1b[2J\0" * 2_000)), "running"),
)  # fmt: skip

# What cannot be read says nothing of a job that is under way: it is asked about again.
POLLS: tuple[Case, ...] = (
    refused("nothing", lambda: body(b""), "running"),
    refused("noise", lambda: body(bytes(range(256))), "running"),
    refused("100,000 opening brackets", lambda: body(b"[" * 100_000), "running"),
    refused("5 MB of JSON", lambda: of(accepted(note="x" * 5_000_000)), "running"),
    refused("a success without a picture", lambda: of(finished(None)), "running"),
    refused("a picture that is a number", lambda: of(finished(7)), "running"),
    refused("a picture that is a list", lambda: of(finished(["https://cdn.example/x.png"])), "running"),
    refused("a picture that is a script", lambda: of(finished("javascript:alert(1)")), "running"),
    refused("a picture that is a file", lambda: of(finished("file:///etc/passwd")), "running"),
    refused("a picture without a scheme", lambda: of(finished("//cdn.example/x.png")), "running"),
    refused("a picture with a line break", lambda: of(finished("https://cdn.example/x\r\nHost: y")), "running"),
    refused("a picture with NUL", lambda: of(finished("https://cdn.example/\0")), "running"),
    refused("a picture of half a character", lambda: body(
        json.dumps(finished("https://cdn.example/@@")).encode().replace(b"@@", rb"\udfff")), "running"),
    refused("an address of 100,000 characters", lambda: of(finished("https://c.example/" + "x" * 100_000)), "running"),
    refused("a status that is a list", lambda: of({"code": "200", "data": {"status": [1]}}), "running"),
    refused("a status of 1e999", lambda: body(b'{"code": "200", "data": {"status": 1e999}}'), "running"),
    refused("401 in HTML", lambda: status(401), "running"),
    survived("facts with NUL", lambda: of(finished("https://cdn.example/a.png", toolTask="a\0b")), "done"),
    survived("facts that are objects", lambda: of(finished("https://cdn.example/a.png", taskId={"x": [1]})), "done"),
    survived("facts of 1 MB", lambda: of(finished("https://cdn.example/a.png", toolTask="x" * 1_000_000)), "done"),
    survived("an address in the private network", lambda: of(finished("http://169.254.169.254/")), "done"),
    survived("a success twice", lambda: body(
        b'{"code": "500", ' + json.dumps(finished("https://cdn.example/a.png")).encode()[1:]), "done"),
)  # fmt: skip

AREAS = (
    Area(
        "Answers to submissions",
        "a provider on loopback gives all of these answers to one slice of a submit pump, in one group with valid ones;"
        " an unreadable answer makes the attempt `unknown` (searched for, never just sent again), the others are"
        " `running`",
        SUBMISSIONS,
    ),
    Area(
        "Answers to polls",
        "the same for a poll pump: an unreadable answer leaves the attempt `running`, a result makes it `done`",
        POLLS,
    ),
)
