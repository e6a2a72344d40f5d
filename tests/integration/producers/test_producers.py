"""Must hold for every producer: a job behaves as any Celery task, although the work behind it is batched."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from tests.integration.producer import SHOP, produce
from tests.stack import Stack, wait_for
from tests.words import unsaid
from workers.config.settings import Settings
from workers.messaging.app import configuration


@pytest.fixture(scope="module")
def shop_worker(deployment: Stack) -> Iterator[None]:
    """The shop's own worker, on Celery's default queue."""
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "threads", "-c", "4", "-n", "shop@test"]
    log = deployment.home / "shop.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "-l", "INFO"], cwd=SHOP, env=deployment.env, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: b"ready." in log.read_bytes(), message="the shop's worker is ready")
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["once", "twice"])
def announcements(request: pytest.FixtureRequest, deployment: Stack) -> Iterator[str]:
    """Announcements are made once, or every one of them twice, as after a crash between telling and noting it."""
    if request.param == "once":
        yield "once"
        return
    stop = threading.Event()
    thread = threading.Thread(target=_announce_again, args=(deployment, stop))
    thread.start()
    yield "twice"
    stop.set()
    thread.join()


def _announce_again(deployment: Stack, stop: threading.Event) -> None:
    sender = Celery("again")
    sender.conf.update(
        configuration(Settings(broker_url=deployment.env["RECAST_BROKER_URL"], database_url="postgresql://unused"))
    )
    repeated: set[str] = set()
    while not stop.wait(0.02):
        rows = deployment.sql("SELECT task_id, job_id FROM announcements WHERE announced_at IS NOT NULL")
        fresh = [row for row in rows if row.task_id not in repeated]
        if fresh:
            repeated.update(row.task_id for row in fresh)
            with deployment.engine.begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE announcements SET announced_at = NULL WHERE task_id = ANY(%s)",
                    ([row.task_id for row in fresh],),
                )
            sender.send_task("announce", args=[[row.job_id for row in fresh]], queue="beat")


def test_get_returns_the_results_metadata(deployment: Stack, announcements: str) -> None:
    got = produce(deployment, "answer(swap.delay(**PAIR, provider='zhiqite').get(timeout=240))")

    assert got["state"] == "succeeded"
    assert (got["account"], got["operation"]) == ("sandbox-zhiqite", "zhiqite.swap")
    assert got["cost"] == {"amount": "0.02", "currency": "USD"}
    picture = got["results"][0]
    stored = Path(picture["uri"].removeprefix("file://"))
    assert stored.stat().st_size == picture["size"]
    assert picture["width"] > 0
    assert picture["media_type"].startswith("image/")


def test_group_and_chord(deployment: Stack, shop_worker: None, announcements: str) -> None:
    got = produce(
        deployment,
        """
        made = group(swap.s(**PAIR), generate.s(PAIR["source"], prompt="a pilot", options={"batch": 2})).apply_async()
        both = made.get(timeout=240)
        summed = chord([swap.s(**PAIR), swap.s(**PAIR), swap.s(**PAIR)])(tasks.total.s()).get(timeout=240)
        answer([[len(item.results) for item in both], summed])
        """,
    )

    assert got[0] == [1, 2]
    assert got[1]["pictures"] == 3
    assert len(set(got[1]["jobs"])) == 3


def test_chain_passes_the_picture_on(deployment: Stack, shop_worker: None, announcements: str) -> None:
    got = produce(
        deployment,
        """
        made = chain(swap.s(**PAIR), swap.s(target=PAIR["target"]), tasks.note.s(label="end")).apply_async()
        answer([made.get(timeout=240), made.parent.id, made.parent.parent.get(timeout=60).results[0].uri])
        """,
    )
    note, second_id, first_uri = got

    assert note == {"label": "end", "job": second_id, "pictures": 1}
    assert deployment.sql("SELECT source FROM jobs WHERE id = :id", id=second_id)[0].source == first_uri


def test_a_task_of_another_project_passes_a_picture_to_a_job(deployment: Stack, shop_worker: None) -> None:
    got = produce(
        deployment,
        """
        made = chain(tasks.pick.s(PAIR["source"]), swap.s(target=PAIR["target"]), tasks.note.s(label="end"))()
        answer([made.get(timeout=240), made.parent.get(timeout=60).job, made.parent.id])
        """,
    )

    assert got == [{"label": "end", "job": got[2], "pictures": 1}, got[2], got[2]]


def test_a_typed_result_is_passed_on(deployment: Stack, shop_worker: None) -> None:
    got = produce(
        deployment,
        """
        first = swap.delay(**PAIR).get(timeout=240)
        swapped = swap.delay(source=first, target=PAIR["target"])
        portrait = generate.delay(first.results[0], "a pilot", provider="qolaba")
        ids = [job.get(timeout=240).job for job in (swapped, portrait)]
        answer([first.uri, ids, tasks.note.delay(first, label="seen").get(timeout=30)])
        """,
    )
    uri, (swapped, portrait), note = got

    assert deployment.sql("SELECT source FROM jobs WHERE id = :id", id=swapped)[0].source == uri
    assert deployment.sql("SELECT image FROM jobs WHERE id = :id", id=portrait)[0].image == uri
    assert note["label"] == "seen"


def test_links_run_and_paid_links_are_paid_once(deployment: Stack, shop_worker: None, announcements: str) -> None:
    got = produce(
        deployment,
        """
        label = str(uuid.uuid4())
        paid = swap.signature(kwargs={"target": PAIR["target"], "dedupe_key": None}).set(priority=None)
        first = swap.apply_async(kwargs=PAIR, link=[tasks.note.s(label=label), paid])
        first.get(timeout=240)
        answer(first.id)
        """,
    )

    def linked() -> list[Any]:
        return deployment.sql(
            "SELECT j.id FROM jobs j JOIN announcements a ON a.job_id = j.id WHERE a.canvas::jsonb->>'parent_id' = :id"
            " AND j.state = 'succeeded'",
            id=got,
        )

    wait_for(linked, message="the linked job")
    if announcements == "twice":
        wait_for(
            lambda: not deployment.sql("SELECT 1 FROM announcements WHERE announced_at IS NULL"),
            timeout=60,
            message="the repeated announcements",
        )
    assert len(linked()) == 1
    attempts = deployment.sql("SELECT count(*) AS n FROM attempts WHERE job_id = :id", id=linked()[0].id)
    assert attempts[0].n == 1


def test_link_error_and_the_providers_reason(deployment: Stack, shop_worker: None, announcements: str) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)

    got = produce(
        deployment,
        """
        made = swap.apply_async(kwargs={**PAIR, "provider": "zhiqite"}, link_error=tasks.complain.s())
        try:
            made.get(timeout=240)
        except JobRejectedError as error:
            answer([made.id, error.reason, str(error)])
        """,
    )

    assert got[1] == "no_face"
    assert "recast show" in got[2]
    with Redis.from_url(deployment.env["RECAST_RESULT_URL"]) as results:
        complaint = wait_for(lambda: results.get(f"complaint:{got[0]}"), message="the link_error")
    assert b"no_face" in complaint


@pytest.mark.parametrize("form", ["apply_async", "set_in_a_signature", "later_in_a_chain", "in_a_group"])
def test_a_link_error_that_takes_request_error_and_traceback(deployment: Stack, shop_worker: None, form: str) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)
    sent = {
        "apply_async": "swap.apply_async(kwargs=asked, link_error=[tasks.complain_of_all.s(), tasks.complain.s()])",
        "set_in_a_signature": "swap.s(**asked).on_error(tasks.complain_of_all.s()).apply_async()",
        "later_in_a_chain": 'chain(tasks.pick.s(PAIR["source"]), swap.s(target=PAIR["target"], provider="zhiqite")'
        '.on_error(tasks.complain_of_all.s()), tasks.note.s())()',
        "in_a_group": "group(swap.s(**asked).on_error(tasks.complain_of_all.s())).apply_async()[0]",
    }[form]  # fmt: skip

    got = produce(
        deployment,
        f"""
        asked = {{**PAIR, "provider": "zhiqite"}}
        made = {sent}
        failed = made.parent if made.parent else made
        try:
            made.get(timeout=240)
        except JobRejectedError:
            answer([failed.id, failed.traceback])
        """,
    )

    with Redis.from_url(deployment.env["RECAST_RESULT_URL"]) as results:
        told = wait_for(lambda: results.get(f"complained:{got[0]}"), message="the link_error").decode()
    assert unsaid(told, "no_face", "swap", "target", "JobRejectedError") == []
    assert unsaid(got[1], "JobRejectedError", "no_face") == []


@pytest.mark.parametrize("before", ["", "tasks.pick.si('x') | "], ids=["alone", "in_a_chain"])
def test_the_link_error_of_a_chords_body_is_told_of_a_job_of_the_header(
    deployment: Stack, shop_worker: None, before: str
) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)
    got = produce(
        deployment,
        f"""
        jobs = [swap.si(**PAIR, provider="zhiqite"), swap.si(**PAIR, provider="zhiqite")]
        made = ({before}chord(jobs, tasks.total.s().on_error(tasks.complain_of_all.s()))).apply_async()
        try:
            made.get(timeout=240)
        except Exception as error:
            answer([made.id, str(error)])
        """,
    )
    with Redis.from_url(deployment.env["RECAST_RESULT_URL"]) as results:
        told = wait_for(lambda: results.get(f"complained:{got[0]}"), message="the link_error").decode()
    assert unsaid(told, "no_face", "total") == []
    assert "no_face" in got[1]


def test_the_rest_of_a_chain_is_told_of_a_failure(deployment: Stack, shop_worker: None) -> None:
    deployment.sandbox.add_fault("fail", where={"provider": "zhiqite", "call": "submit"}, error="no_face", times=1)

    got = produce(
        deployment,
        """
        made = chain(swap.s(**PAIR, provider="zhiqite"), tasks.note.s(), tasks.note.s(label="end"))()
        # By its id alone: a result that knows its parents would ask them.
        last = recast_app.AsyncResult(made.id)
        try:
            last.get(timeout=120)
        except JobRejectedError as error:
            answer([last.state, error.reason])
        """,
    )

    assert got == ["FAILURE", "no_face"]


def test_children_and_collect_follow_links_and_chains(deployment: Stack, shop_worker: None) -> None:
    got = produce(
        deployment,
        """
        linked = swap.apply_async(kwargs=PAIR, link=[tasks.note.s(label="a"), tasks.note.s(label="b")])
        linked.get(timeout=240)
        values = [value for _, value in linked.collect(timeout=60)]
        chained = chain(swap.s(**PAIR), tasks.note.s(label="end")).apply_async()
        chained.get(timeout=240)
        # As in Celery, a task's result is written after the next task of its chain was sent, which may end before.
        chained.parent.get(timeout=240)
        answer([
            sorted(value["label"] for value in values[1:]), values[0].state,
            [child.id for child in chained.parent.children], chained.id,
        ])
        """,
    )

    assert got[:2] == [["a", "b"], "succeeded"]
    assert got[2] == [got[3]]


def test_maps_and_chunks_are_jobs(deployment: Stack) -> None:
    got = produce(
        deployment,
        """
        pairs = [(PAIR["source"], PAIR["target"])] * 3
        chunks = swap.chunks(pairs, 2)().get(timeout=240)
        star = swap.starmap(pairs[:2]).apply_async().get(timeout=240)
        ids = {job.job for chunk in chunks for job in chunk}
        answer([[len(chunk) for chunk in chunks], chunks[0][0].state, len(ids), [job.state for job in star]])
        """,
    )

    assert got == [[2, 1], "succeeded", 3, ["succeeded", "succeeded"]]


@pytest.mark.parametrize(
    ("stamp", "revoked"), [("'spring'", "'spring'"), ("['winter', 'may']", "['may', 'june']"), ("7", "7")]
)
def test_a_revoke_by_stamps_reaches_queued_jobs(deployment: Stack, stamp: str, revoked: str) -> None:
    with deployment.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET closed_until = 'infinity', closed_reason = 'paused'")
    try:
        sent = produce(
            deployment,
            f"""
            stamped, other = swap.s(**PAIR), swap.s(**PAIR)
            stamped.stamp(season={stamp})
            other.stamp(season="autumn")
            answer([each.id for each in (stamped.apply_async(), other.apply_async(), swap.delay(**PAIR))])
            """,
        )

        def queued() -> bool:
            return len(deployment.sql("SELECT 1 FROM jobs WHERE id = ANY(:ids)", ids=sent)) == len(sent)

        wait_for(queued, message="the jobs")
        got = produce(
            deployment,
            f"""
            from celery.exceptions import TaskRevokedError
            recast_app.control.revoke_by_stamped_headers({{"season": {revoked}}})
            try:
                swap.AsyncResult({sent[0]!r}).get(timeout=60)
            except TaskRevokedError as error:
                answer("revoked")
            """,
        )
        states = [deployment.sql("SELECT state FROM jobs WHERE id = :id", id=each)[0].state for each in sent]
        assert (got, states) == ("revoked", ["canceled", "queued", "queued"])
    finally:
        produce(deployment, f"recast_app.control.revoke({sent[1:]!r}); answer(None)")
        with deployment.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE accounts SET closed_until = NULL, closed_reason = NULL")


def test_dedupe_key_shares_one_job(deployment: Stack, announcements: str) -> None:
    got = produce(
        deployment,
        """
        key = str(uuid.uuid4())
        made = [swap.delay(**PAIR, dedupe_key=key) for _ in range(3)]
        jobs = {item.get(timeout=240).job for item in made}
        other = swap.delay(source=PAIR["target"], target=PAIR["source"], dedupe_key=key)
        try:
            other.get(timeout=240)
        except InvalidJobError as error:
            answer([sorted(jobs), error.field])
        """,
    )

    assert len(got[0]) == 1
    assert got[1] == "dedupe_key"
    assert deployment.sql("SELECT count(*) AS n FROM attempts WHERE job_id = :id", id=got[0][0])[0].n == 1


def test_revoke_of_a_queued_job(deployment: Stack) -> None:
    with deployment.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET closed_until = 'infinity', closed_reason = 'paused'")
    try:
        got = produce(
            deployment,
            """
            from celery.exceptions import TaskRevokedError
            import time
            made = swap.delay(**PAIR)
            while made.state != "STARTED":
                time.sleep(0.05)
            recast_app.control.revoke(made.id)
            try:
                made.get(timeout=240)
            except TaskRevokedError as error:
                answer([made.id, made.state])
            """,
        )
    finally:
        with deployment.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE accounts SET closed_until = NULL, closed_reason = NULL")

    assert got[1] == "REVOKED"
    assert deployment.sql("SELECT state FROM jobs WHERE id = :id", id=got[0])[0].state == "canceled"
    assert not deployment.sql("SELECT 1 FROM attempts WHERE job_id = :id", id=got[0])


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("swap.delay(**PAIR, account='nobody')", "account"),
        ("swap.delay(**PAIR, provider='nobody')", "provider"),
        ("swap.delay(**PAIR, priority='high')", "priority"),
        ("generate.delay(PAIR['source'], prompt='x', options={'batch': 9})", "options.batch"),
        ("generate.delay(PAIR['source'], prompt='x', options={'height': 100})", "options.height"),
        ("generate.delay(PAIR['source'])", "prompt"),
        ("swap.delay({'results': []}, PAIR['target'])", "source"),
        # A producer in another language, which nothing has checked.
        ("recast_app.send_task('swap', kwargs={'source': PAIR['source']})", "target"),
        ("recast_app.send_task('swap', kwargs={**PAIR, 'colour': 'red'})", "colour"),
        ("recast_app.send_task('swap', args=[PAIR['source']], kwargs=PAIR)", "source"),
        ("recast_app.send_task('swap', args=['a'] * 11)", "arguments"),
    ],
)
def test_a_bad_argument_raises_at_get_and_names_the_field(deployment: Stack, call: str, field: str) -> None:
    got = produce(
        deployment,
        f"""
        try:
            {call}.get(timeout=240)
        except InvalidJobError as error:
            answer([error.field, str(error)])
        """,
    )

    assert got[0] == field
    assert got[1].startswith(f"{field}: ")


def test_direct_and_eager_calls_are_refused(deployment: Stack) -> None:
    got = produce(
        deployment,
        """
        told = []
        for call in (lambda: swap(**PAIR), lambda: swap.apply(kwargs=PAIR)):
            try:
                call()
            except DirectCallError as error:
                told.append(str(error))
        answer(told)
        """,
    )

    assert "delay" in got[0]
    assert "eagerly" in got[1]
