"""Requests of programs to the API of `recast web`, by somebody who has a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.hostile.cases import Area, Case, refused, survived
from tests.hostile.doors import Call
from web.api.bodies import MAX_BYTES

JSON = {"Content-Type": "application/json"}
ROW = {"key": "1", "kind": "swap", "source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
BULK = "/bulk/pause"
HUGE = "9" * 5_000
BOUNDARY = "b"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def raw(path: str, body: bytes | str, method: str = "POST", **headers: str) -> Callable[[], Call]:
    """A body as it stands."""
    sent = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return lambda: Call(path, sent, method, JSON | {name.replace("_", "-"): value for name, value in headers.items()})


def ask(path: str, document: Any, method: str = "POST", **headers: str) -> Callable[[], Call]:
    """A body of JSON."""
    return raw(path, json.dumps(document), method, **headers)


def get(path: str) -> Callable[[], Call]:
    return lambda: Call(path, b"", "GET")


def bulk(**which: Any) -> Callable[[], Call]:
    return ask(BULK, {"filter": which, "dry_run": True})


def plan(path: str = "/plans", /, **more: Any) -> Callable[[], Call]:
    return ask(path, {"name": "b", "rows": [ROW], **more})


def options(**more: Any) -> Callable[[], Call]:
    return plan(options=more)


def limits(**more: Any) -> Callable[[], Call]:
    return ask("/accounts/main", {"limits": more}, "PATCH")


def form(*parts: bytes) -> Callable[[], Call]:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return lambda: Call("/plans", body, "POST", FORM)


def field(name: str, value: bytes, file: str | None = None) -> bytes:
    named = f'; filename="{file}"' if file is not None else ""
    return f'Content-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value


def no_form(kind: str) -> Callable[[], Call]:
    return lambda: Call("/plans", b"x", "POST", {"Content-Type": kind})


ROWS = b"key,kind,source,target\n1,swap,https://example.com/a.jpg,https://example.com/b.jpg\n"
FILE = field("catalog", ROWS, "b.csv")

BODIES: tuple[Case, ...] = (
    refused("no body", raw(BULK, b""), "400"),
    refused("no JSON", raw(BULK, b"\x00\xff\xfe"), "400"),
    refused("JSON in 50,000 levels", raw(BULK, "[" * 50_000), "400"),
    refused("objects in 5,000 levels", raw(BULK, '{"a":' * 5_000 + "1" + "}" * 5_000), "400"),
    refused("a list in 900 levels", raw("/plans", '{"name":"b","rows":[' + "[" * 900 + "]" * 900 + "]}"), "422"),
    refused("a row in 300 levels",
            raw("/plans", '{"name":"b","rows":[{"key":' + "[" * 300 + "]" * 300 + "}]}"), "422"),
    refused("a number of 5,000 digits", raw(BULK, f'{{"dry_run": {HUGE}}}'), "400"),
    refused("a number of 60,000 digits with a point", raw(BULK, f'{{"dry_run": {"9" * 60_000}.5}}'), "400"),
    refused("1e999", raw(BULK, '{"dry_run": 1e999}'), "400"),
    refused("NaN", raw(BULK, '{"dry_run": NaN}'), "400"),
    refused("a name twice", raw(BULK, '{"dry_run": true, "dry_run": false}'), "400"),
    refused("an unknown name", ask(BULK, {"filter": {"all": True}, "dryrun": True}), "422"),
    refused("an unknown name within", bulk(all=True, owner="x"), "422"),
    refused("half a character", raw(BULK, b'{"filter": {"batch": "\\ud800"}}'), "400"),
    refused("half a character in UTF-8", raw(BULK, '{"filter": {"batch": "\ud800"}}'), "400"),
    refused("NUL", raw(BULK, b'{"filter": {"batch": "\\u0000"}}'), "400"),
    refused("a list in place of an object", ask(BULK, [1]), "422"),
    refused("a text in place of an object", ask(BULK, "x" * 60_000), "422"),
    refused("a text in place of a flag", ask(BULK, {"filter": {"all": True}, "dry_run": "true"}), "422"),
    refused("more than may be sent", raw(BULK, b" " * (MAX_BYTES + 1)), "413"),
    refused("a length of 5,000 digits", raw(BULK, b"{}", Content_Length="9" * 5_000), "413"),
    refused("a gzip bomb", raw(BULK, bytes(1_000), Content_Encoding="gzip"), "400"),
    refused("UTF-16", raw(BULK, '{"dry_run": true}'.encode("utf-16")), "400"),
    refused("a form to an endpoint without one", lambda: Call(BULK, b"a=b", "POST", {}), "415"),
    refused("a page's form", raw(BULK, b"a=b", Content_Type="application/x-www-form-urlencoded"), "415"),
    refused("a type of 60,000 characters", raw(BULK, b"{}", Content_Type="x" * 60_000), "415"),
    refused("a key of 60,000 characters", ask(BULK, {"filter": {"all": True}}, Idempotency_Key="x" * 60_000), "422"),
    refused("a key with a line end", ask(BULK, {"filter": {"all": True}}, Idempotency_Key="a\nb"), "422"),
)  # fmt: skip

VALUES: tuple[Case, ...] = (
    refused("a filter that names nothing", bulk(), "422"),
    refused("a text of 501 characters", bulk(batch="x" * 501), "422"),
    refused("1,001 jobs", bulk(jobs=["x"] * 1_001), "422"),
    survived("jobs of SQL and patterns", bulk(jobs=["'; DROP TABLE jobs --", "%", "a/b/c", "/", "\\"]), "404"),
    refused("a time of 30 digits", bulk(older="9" * 30 + "d"), "422"),
    refused("a time that is longer than there are", bulk(newer="999999999d"), "422"),
    refused("a negative time", bulk(older="-1d"), "422"),
    refused("a time in Arabic digits", bulk(older="\u0663d"), "422"),
    refused("a state twice a thousand times", bulk(state=["failed"] * 1_000), "422"),
    refused("a deadline of 30 digits", options(deadline="9" * 30 + "d"), "422"),
    refused("a deadline in the year 9999", options(deadline="9999-12-31T23:59:59Z"), "422"),
    refused("a deadline that is in the year 10000 elsewhere", options(deadline="9999-12-31T23:59:59-12:00"), "422"),
    refused("a deadline without a zone", options(deadline="2099-01-01T00:00:00"), "422"),
    refused("a limit of 40 digits", options(max_cost="9" * 40), "422"),
    refused("a limit of blanks", options(max_cost=" " * 40), "422"),
    refused("a limit below zero", options(max_cost="-1"), "422"),
    refused("a number of jobs of 18 digits", options(max_in_flight=10**17), "422"),
    refused("days of 18 digits", options(keep_days=10**17), "422"),
    refused("a priority of 18 digits", options(priority=-(10**17)), "422"),
    refused("a label with a line end", options(label="a\nb"), "422"),
    refused("a label with a NUL", raw("/plans", b'{"name":"b","rows":[{}],"options":{"label":"\\u0000"}}'), "400"),
    refused("no rows", ask("/plans", {"name": "b", "rows": []}), "422"),
    refused("a row of lists", ask("/plans", {"name": "b", "rows": [{"key": [1], "kind": {}}]}), "422"),
    refused("a name of blanks", ask("/plans", {"name": "   ", "rows": [ROW]}), "422"),
    refused("a name with a line end", ask("/plans", {"name": "a\nb", "rows": [ROW]}), "422"),
    refused("a picture at an address without a scheme",
            ask("/plans", {"name": "b", "rows": [ROW | {"source": "gopher://169.254.169.254/x"}]}), "422"),
    refused("a verdict of a picture of 5,000 digits",
            ask(f"/results/{HUGE}/verdict", {"verdict": "approved", "based_on": 0}, "PUT"), "404"),
    refused("a verdict based on 19 digits",
            ask("/results/1/verdict", {"verdict": "approved", "based_on": 10**18 * 9 + 10**18}, "PUT"), "422"),
    refused("a note of 60,000 characters",
            ask("/results/1/verdict", {"verdict": "approved", "based_on": 0, "note": "x" * 60_000}, "PUT"), "422"),
    refused("an area outside",
            ask("/results/1/verdict", {"verdict": "needs_work", "based_on": 0,
                                       "area": {"x": 1e300, "y": 0, "width": 1, "height": 1}}, "PUT"), "422"),
    refused("a limit of blanks in 60,000 characters", limits(**{"budget.day": "1" + " " * 60_000 + "x"}), "422"),
    refused("a rate of 60,000 digits", limits(rate="9" * 60_000 + "/min"), "422"),
    refused("a rate of blanks", limits(rate="1" + " " * 60_000 + "x"), "422"),
    refused("a rate of 300 digits", limits(rate="9" * 300 + "/s"), "422"),
    refused("a time-out of 300 digits", limits(submit_timeout="9" * 300 + "d"), "422"),
    refused("pictures side by side in 18 digits", limits(max_in_flight=10**17), "422"),
    refused("a limit of 1e300", limits(max_in_flight=1e300), "422"),
    refused("an unknown limit", limits(owner="x"), "422"),
    refused("a part of a limit that has none", limits(**{"rate.day.x": "1/s"}), "422"),
    refused("a stop for 30 digits of days",
            ask("/accounts/main", {"stopped": True, "lasting": "9" * 30 + "d"}, "PATCH"), "422"),
    refused("an account that is none", ask("/accounts/a%00b", {"stopped": True}, "PATCH"), "404"),
    refused("a quote of SQL", ask("/runs", {"quote": "' OR '1'='1"}), "422"),
)  # fmt: skip

QUERIES: tuple[Case, ...] = (
    refused("a page of 5,000 digits", get(f"/batches?limit={HUGE}"), "422"),
    refused("a page below zero", get("/batches?limit=-1"), "422"),
    refused("a place of 19 digits", get(f"/batches?after={10**19}"), "422"),
    refused("a place in Arabic digits", get("/batches?after=%D9%A3x"), "422"),
    refused("a parameter a thousand times", get("/batches?" + "&".join(["limit=1"] * 1_000)), "422"),
    refused("an unknown parameter", get("/batches?owner=x"), "422"),
    refused("a search with NUL", get("/batches?search=%00"), "422"),
    survived("a search of signs of LIKE", get("/batches?search=" + "%25" * 150 + "_"), "200"),
    survived("a search of half a character", get("/batches?search=%ff"), "200"),
    refused("a month that is none", get("/spend?by=account&month=2026-99"), "422"),
    refused("a month with NUL", get("/spend?by=account&month=%00"), "422"),
    survived("a month of the year 0", get("/spend?by=account&month=0000-01"), "200"),
    refused("a batch with NUL", get("/batches/a%00b"), "404"),
    refused("a batch of 60,000 characters", get("/batches/" + "x" * 60_000), "404"),
    refused("a batch of 19 digits", get(f"/batches/{10**19}"), "404"),
    refused("a job of 60,000 slashes", get("/jobs/" + "/" * 60_000), "404"),
    refused("a job with a line end", get("/jobs/a%0Ab"), "404"),
    refused("a path out of the API", get("/../../healthz"), "404"),
    refused("an unknown method", lambda: Call("/batches", b"", "JEFF"), "405"),
)  # fmt: skip

FORMS: tuple[Case, ...] = (
    refused("a form without an end", lambda: Call("/plans", b"--b\r\n" + FILE[:40], "POST", FORM), "422"),
    refused("a form without a boundary", no_form("multipart/form-data"), "400"),
    refused("a boundary of 60,000 characters", no_form("multipart/form-data; boundary=" + "b" * 60_000), "400"),
    refused("two files", form(FILE, FILE), "400"),
    refused("a hundred fields", form(FILE, *(field(f"f{n}", b"x") for n in range(100))), "400"),
    refused("an unknown field", form(FILE, field("owner", b"x")), "422"),
    refused("a field twice", form(FILE, field("name", b"a"), field("name", b"b")), "422"),
    refused("a field of 1 MB", form(FILE, field("name", b"x" * 1_000_000)), "400"),
    refused("options that are not JSON", form(FILE, field("options", b"{")), "400"),
    refused("options in 5,000 levels", form(FILE, field("options", b"[" * 5_000)), "400"),
    refused("a text in place of the file", form(field("catalog", ROWS)), "422"),
    refused("a file without a name", form(field("catalog", ROWS, "")), "422"),
    refused("a file of another kind", form(field("catalog", b"MZ" * 1_000, "b.exe")), "422"),
    survived("a file whose name is a path", form(field("catalog", ROWS, "../../../etc/cron.d/b.csv")), "200"),
    refused("a header of 60,000 characters in a part", form(b"X: " + b"x" * 60_000 + b"\r\n\r\nx"), "400"),
    refused("a thousand headers in a part", form(b"X: y\r\n" * 1_000 + b"\r\nx"), "400"),
    refused("Parquet that is none", form(field("catalog", b"PAR1" + b"\xff" * 100 + b"PAR1", "b.parquet")), "422"),
    refused("a workbook that is none", form(field("catalog", b"PK\x03\x04" + b"\xff" * 100, "b.xlsx")), "422"),
    refused("a packed bomb", form(field("catalog", b"\x1f\x8b\x08" + b"\xff" * 100, "b.csv.gz")), "422"),
    refused("a NUL in the file", form(field("catalog", ROWS + b"\0", "b.csv")), "422"),
)  # fmt: skip

CASES = (*BODIES, *VALUES, *QUERIES, *FORMS)

AREAS = (
    Area(
        "Requests of programs",
        "sent to the API of `recast web` on a real database, by a program whose token may everything; each is answered"
        " within a second, with a problem as JSON, and afterwards a request that is right is answered",
        CASES,
    ),
)
