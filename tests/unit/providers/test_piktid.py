"""PiktID's inbox, which all jobs share, and its session, whose refresh token may be spent once."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from models.states import Reason
from providers import piktid
from providers.outcomes import Done, Found, Pending, Refused, Throttled, Unanswered
from providers.protocol import NotSentError, Reply, UnclearError
from providers.sessions import MemorySessions
from providers.spec import OpenAttempt
from tests.http import Request
from tests.unit.providers.cases import PIKTID_SWAP
from tests.unit.providers.scripted import WRITE_BEFORE, ScriptedHttp, always, in_turn, reply, run
from tests.words import names, unsaid
from workers.config.account_values import AccountsError
from workers.config.accounts import parse

OLD = b'{"access_token": "a1", "refresh_token": "r1"}'
NEW = {"access_token": "a2", "refresh_token": "r2"}


def attempts(count: int, *, age: float = 0.0) -> list[OpenAttempt]:
    return [OpenAttempt(uuid.uuid4(), "piktid.swap", f"img{index}/0", age=age) for index in range(count)]


def inbox(*events: tuple[str, dict[str, Any]]) -> Reply:
    listed = [{"id": number, "name": name, "data": data} for number, (name, data) in enumerate(events)]
    return reply(200, {"notifications_list": listed})


class Server:
    """PiktID's tokens: which are valid, what was sent, and whether a refresh token came twice."""

    def __init__(self, *, valid: str | None = None, login: Reply | None = None, refresh: Reply | None = None) -> None:
        self.valid = valid
        self.login = login or reply(200, NEW)
        self.refresh = refresh or reply(200, NEW)
        self.sent: list[str] = []
        self.refreshed: list[str] = []

    def __call__(self, request: Request) -> Reply:
        if not request.url.path.endswith("/tokens"):
            self.sent.append("call")
            good = self.valid is not None and request.headers["authorization"] == f"Bearer {self.valid}"
            return reply(200, {"notifications_list": []}) if good else reply(401)
        if request.method == "POST":
            self.sent.append("login")
            self.valid = "a2" if self.login.ok else self.valid
            return self.login
        self.sent.append("refresh")
        self.refreshed.append(json.loads(request.content)["refresh_token"])
        self.valid = "a2" if self.refresh.ok else self.valid
        return self.refresh


# --- The inbox ---------------------------------------------------------------------------------------------------


def test_one_call_serves_every_job_and_none_gets_another_ones_picture() -> None:
    """The page's own example takes the first event of the inbox, whoever it belongs to."""
    jobs = attempts(200)
    events = [
        ("download", {"id_image": f"img{index}", "link": f"https://p.example/{index}.png"}) for index in range(150)
    ]
    http = ScriptedHttp(always(inbox(*reversed(events), ("error", {"msg": "No face found"}))))

    outcomes = run(PIKTID_SWAP.build(http).poll(jobs))

    assert len(http.requests) == 1
    for index, job in enumerate(jobs):
        outcome = outcomes[job.reference]
        if index < 150:
            assert isinstance(outcome, Done)
            assert outcome.outputs[0].url == f"https://p.example/{index}.png"
            assert outcome.receipts == (str(149 - index),)
            assert json.loads(outcome.raw)["id_image"] == f"img{index}"
        else:
            assert isinstance(outcome, Pending)


def test_two_faces_of_one_image_are_told_apart() -> None:
    first, second = (OpenAttempt(uuid.uuid4(), "piktid.swap", f"img/{face}") for face in (0, 1))
    events = [("download", {"id_image": "img", "f": face, "link": f"https://p.example/{face}.png"}) for face in (1, 0)]
    outcomes = run(PIKTID_SWAP.build(ScriptedHttp(always(inbox(*events)))).poll([first, second]))
    for face, job in enumerate((first, second)):
        outcome = outcomes[job.reference]
        assert isinstance(outcome, Done)
        assert outcome.outputs[0].url == f"https://p.example/{face}.png"


@pytest.mark.parametrize("named", ["img0", "{reference}.jpg", "{reference}"])
def test_a_swap_waits_for_its_download_until_it_has_waited_enough(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event stays in the inbox meanwhile, for this worker or another one; a worker that saw it first waits on."""
    (job,) = attempts(1)
    data = {
        "face_name": "id",
        "target_name": named.format(reference=job.reference),
        "links": [{"l": "https://p/s.png"}],
    }
    swap = ("swap", data)
    download = ("download", {"id_image": "img0", "link_hd": {"l": "https://p.example/hd.png"}, "link": ""})
    replies = [inbox(swap), inbox(swap), inbox(swap, download), inbox(swap)]
    provider = PIKTID_SWAP.build(ScriptedHttp(in_turn(replies)))
    now = 1_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    for waited in (0.0, piktid.BETTER_SECONDS - 1):
        now = 1_000.0 + waited
        assert run(provider.poll([job]))[job.reference] == Pending(look_in=piktid.BETTER_SECONDS - waited)
    found = run(provider.poll([job]))[job.reference]
    assert isinstance(found, Done)
    assert (found.outputs[0].url, set(found.receipts)) == ("https://p.example/hd.png", {"0", "1"})
    now += 1
    alone = run(provider.poll([job]))[job.reference]
    assert isinstance(alone, Done)
    assert (alone.outputs[0].url, alone.receipts) == ("https://p/s.png", ("0",))


@pytest.mark.parametrize("stamp", [0, 984, 985.0])
def test_a_swap_that_is_old_by_its_timestamp_or_has_no_time_left_does_not_wait(
    stamp: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    event = {"id": 1, "name": "swap", "data": {"target_name": "img0", "links": [{"l": "https://p/s.png"}]}}
    old = reply(200, {"notifications_list": [event | {"timestamp": stamp}]})
    young = reply(200, {"notifications_list": [event | {"timestamp": 2_000_000}]})  # not in seconds, or a wrong clock
    (job,) = attempts(1)
    ending = replace(job, left=piktid.BETTER_SECONDS / 2)
    for answer, asked, wanted in ((old, job, Done), (young, job, Pending), (young, ending, Done)):
        found = run(PIKTID_SWAP.build(ScriptedHttp(always(answer))).poll([asked]))[job.reference]
        assert isinstance(found, wanted)


def test_an_attempt_with_an_error_of_its_image_was_taken() -> None:
    http = ScriptedHttp(
        in_turn([reply(200, {"history": []}), reply(200, {"errors_list": ["x"], "generations_per_face": []})])
    )
    assert isinstance(run(PIKTID_SWAP.build(http).locate(attempts(1)[0])), Found)


def test_an_attempt_is_matched_by_what_was_written_down_before_the_send() -> None:
    """The answer of the submission was lost, but the event came."""
    order = PIKTID_SWAP.order(face=2)
    locator = PIKTID_SWAP.build(ScriptedHttp(always(reply()))).locator(order)
    assert locator == "6776a1/2"
    lost = OpenAttempt(order.reference, "piktid.swap", handle=None, locator=locator)
    event = ("download", {"id_image": "6776a1", "f": 2, "link": "https://p.example/2.png"})
    outcome = run(PIKTID_SWAP.build(ScriptedHttp(always(inbox(event)))).poll([lost]))[order.reference]
    assert isinstance(outcome, Done)
    assert outcome.handle == locator


# --- The session -------------------------------------------------------------------------------------------------


def test_the_first_call_logs_in_and_the_session_is_kept() -> None:
    server, sessions = Server(), MemorySessions()
    http = ScriptedHttp(server)
    provider = PIKTID_SWAP.build(http, sessions=sessions)
    run(provider.poll(attempts(1)))
    run(provider.poll(attempts(1)))
    assert server.sent == ["login", "call", "call"]
    assert json.loads(sessions.session or b"") == NEW


def test_a_rejected_token_is_refreshed_once_and_the_mark_goes_with_the_new_session() -> None:
    server, sessions = Server(), MemorySessions(OLD)
    run(PIKTID_SWAP.build(ScriptedHttp(server), sessions=sessions).poll(attempts(1)))
    assert server.sent == ["call", "refresh", "call"]
    assert server.refreshed == ["r1"]
    assert not sessions.interrupted


def test_workers_that_meet_the_same_401_refresh_once() -> None:
    """A refresh token that is sent twice costs the user every token (PiktID's refresh page)."""
    server, sessions = Server(), MemorySessions(OLD)

    async def race() -> None:
        gate = asyncio.Event()

        class SlowHttp(ScriptedHttp):
            async def send(self, request: Request, **options: Any) -> Reply:
                answer = await super().send(request, **options)
                if len(self.requests) == 8:
                    gate.set()
                if not request.url.path.endswith("/tokens"):
                    await gate.wait()  # every worker has its 401 before the first one can renew
                return answer

        http = SlowHttp(server)
        workers = [PIKTID_SWAP.build(http, sessions=sessions) for _ in range(8)]
        await asyncio.gather(*(worker.poll(attempts(1)) for worker in workers))

    asyncio.run(race())
    assert server.refreshed == ["r1"]
    assert server.sent.count("login") == 0


def test_an_interrupted_renewal_is_never_repeated() -> None:
    """The worker before us died with the refresh token in its hands: log in anew instead."""
    server, sessions = Server(), MemorySessions(OLD)
    sessions.interrupted = True
    run(PIKTID_SWAP.build(ScriptedHttp(server), sessions=sessions).poll(attempts(1)))
    assert server.sent == ["call", "login", "call"]
    assert server.refreshed == []
    assert not sessions.interrupted


def test_a_renewal_without_an_answer_leaves_its_mark_and_nothing_was_submitted() -> None:
    sessions = MemorySessions(OLD)

    def answer(request: Request) -> Reply:
        if request.url.path.endswith("/tokens"):
            raise UnclearError("reset")
        return reply(401)

    provider = PIKTID_SWAP.build(ScriptedHttp(answer), sessions=sessions)
    with pytest.raises(NotSentError, match=names("login", "answer")):
        run(provider.submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))
    assert sessions.interrupted
    assert sessions.session == OLD


PAIR: dict[str, Any] = {"email": None, "password": None, "access_token": "a1", "refresh_token": "r1"}


def test_a_pair_of_tokens_is_used_and_what_follows_on_it_is_kept() -> None:
    server, sessions = Server(valid="a1"), MemorySessions()
    http = ScriptedHttp(server)
    run(PIKTID_SWAP.build(http, sessions=sessions, **PAIR).poll(attempts(1)))
    assert (server.sent, sessions.session) == (["call"], None)
    server.valid = None  # the access token has expired
    for _ in range(2):
        run(PIKTID_SWAP.build(http, sessions=sessions, **PAIR).poll(attempts(1)))
    assert server.sent == ["call", "call", "refresh", "call", "call"]
    assert (server.refreshed, sessions.interrupted) == (["r1"], False)
    kept = json.loads(sessions.session or b"")
    assert kept.items() >= NEW.items()
    assert "r1" not in kept.values()


@pytest.mark.parametrize("stored", ["nothing", "a login's session", "the pair before"])
def test_a_new_pair_in_the_accounts_file_is_used_whatever_was_kept_and_interrupted(stored: str) -> None:
    """A person put it there because the old one could be renewed no more."""
    before = {**PAIR, "access_token": "a0", "refresh_token": "r0"}
    sessions = MemorySessions(OLD if stored == "a login's session" else None)
    if stored == "the pair before":
        run(PIKTID_SWAP.build(ScriptedHttp(Server()), sessions=sessions, **before).poll(attempts(1)))
    sessions.interrupted = stored != "nothing"
    server = Server()
    run(PIKTID_SWAP.build(ScriptedHttp(server), sessions=sessions, **PAIR).poll(attempts(1)))
    assert (server.refreshed, server.sent) == (["r1"], ["call", "refresh", "call"])
    assert not sessions.interrupted


@pytest.mark.parametrize("how", ["interrupted", "refused"])
def test_a_pair_that_can_be_renewed_no_more_stops_the_account_and_says_what_to_do(how: str) -> None:
    sessions = MemorySessions()
    server = Server(refresh=reply(401))

    def answer(request: Request) -> Reply:
        if how == "interrupted" and request.method == "PUT" and not server.refreshed:
            server.refreshed.append("r1")
            raise UnclearError("reset")
        return server(request)

    provider = PIKTID_SWAP.build(ScriptedHttp(answer), sessions=sessions, **PAIR)
    if how == "interrupted":
        with pytest.raises(NotSentError):
            run(provider.submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))
    outcome = run(provider.submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.AUTH
    assert unsaid(outcome.message, "access_token", "refresh_token", "email", "password") == []
    assert (server.refreshed, server.sent.count("login")) == (["r1"], 0)


def test_a_refresh_that_was_never_sent_spends_nothing() -> None:
    sessions, server = MemorySessions(), Server()

    def answer(request: Request) -> Reply:
        if request.method == "PUT" and not server.sent.count("refused connection"):
            server.sent.append("refused connection")
            raise NotSentError("refused")
        return server(request)

    provider = PIKTID_SWAP.build(ScriptedHttp(answer), sessions=sessions, **PAIR)
    with pytest.raises(NotSentError):
        run(provider.poll(attempts(1)))
    run(provider.poll(attempts(1)))
    assert (server.refreshed, sessions.interrupted) == (["r1"], False)


@pytest.mark.parametrize(("status", "ok"), [(405, True), (200, True), (401, False), (403, False), (500, None)])
def test_a_pair_is_checked_by_a_question_that_is_free(status: int, ok: bool | None) -> None:
    http = ScriptedHttp(always(reply(status, {"code": status})))
    assert run(PIKTID_SWAP.build(http, **PAIR).check()).ok is ok
    assert {request.url.path for request in http.requests} <= {"/api/history", "/api/tokens"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"email": "a@b.c"},
        {"password": "x"},
        {"access_token": "a"},
        {"refresh_token": "r"},
        {"email": "a@b.c", "password": "x", "access_token": "a", "refresh_token": "r"},
        {"email": "a@b.c", "password": "x", "refresh_token": "r"},
    ],
)
def test_an_account_has_a_login_or_a_pair_of_tokens(given: dict[str, str]) -> None:
    with pytest.raises(AccountsError) as caught:
        parse("main", {"provider": "piktid", "base_url": "http://127.0.0.1:9", **given})
    assert unsaid(str(caught.value), "accounts.main", "email", "password", "access_token", "refresh_token") == []
    parse("main", {"provider": "piktid", "base_url": "http://127.0.0.1:9", "access_token": "a", "refresh_token": "r"})


@pytest.mark.parametrize("refresh", [reply(401), reply(500), reply(200, b"<html>"), reply(200, {"access_token": "x"})])
def test_a_refused_refresh_ends_in_a_login(refresh: Reply) -> None:
    server, sessions = Server(refresh=refresh), MemorySessions(OLD)
    server.valid = None
    run(PIKTID_SWAP.build(ScriptedHttp(server), sessions=sessions).poll(attempts(1)))
    assert server.sent[:3] == ["call", "refresh", "login"]
    assert json.loads(sessions.session or b"") == NEW


def test_a_refused_login_is_the_answer_to_the_submission() -> None:
    for login, wanted in ((reply(401), Refused), (reply(400), Refused), (reply(429, retry_after="5"), Throttled)):
        provider = PIKTID_SWAP.build(ScriptedHttp(Server(login=login)), sessions=MemorySessions())
        outcome = run(provider.submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))
        assert isinstance(outcome, wanted)
        if isinstance(outcome, Refused):
            assert outcome.reason is Reason.AUTH
        asked = run(provider.poll(jobs := attempts(2)))
        assert all(isinstance(asked[job.reference], Unanswered) for job in jobs)


@pytest.mark.parametrize("login", [reply(500), reply(503, b"<html>"), reply(200, b"{}"), reply(302)])
def test_a_login_that_fails_without_a_refusal_sent_nothing(login: Reply) -> None:
    provider = PIKTID_SWAP.build(ScriptedHttp(Server(login=login)), sessions=MemorySessions())
    with pytest.raises(NotSentError, match=names("login")):
        run(provider.submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))


def test_every_send_of_a_submission_keeps_its_deadline() -> None:
    """Also the one after a renewal: a frozen process must not pay."""
    http = ScriptedHttp(in_turn([reply(401), reply(200, NEW), reply(200, {"msg": "ok"})]))
    run(PIKTID_SWAP.build(http).submit(PIKTID_SWAP.order(), write_before=WRITE_BEFORE))
    assert http.deadlines == [WRITE_BEFORE, None, WRITE_BEFORE]
