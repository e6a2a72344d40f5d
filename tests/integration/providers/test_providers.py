"""Every operation of every provider against the sandbox: by its adapter and the real HTTP client, and end to end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from devstack.ports import pick_port
from models.states import Reason
from providers import PROVIDERS, operation
from providers.outcomes import Accepted, Done, Found, Output, Pending, Refused
from providers.protocol import Endpoint, Provider
from providers.spec import Input, OpenAttempt, Order, Via
from sandbox import Sandbox, SandboxConfig, sandbox_accounts
from tests.invariants import check_all
from tests.stack import PORTRAITS, ROOT, Stack, running, wait_for
from tests.words import unsaid
from workers.config.accounts import Account, parse
from workers.http.client import HttpClient, build_client
from workers.http.exchange import clock
from workers.http.ssrf import Guard
from workers.images.download import fetch
from workers.images.verify import verify

RESULT_SECONDS = 20.0  # for a result that the sandbox has after a fraction of a second
ASTRONAUT, HOPPER = (str(PORTRAITS / name) for name in ("astronaut.png", "grace_hopper.jpg"))


# --- By the adapter ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What one operation is asked for, and how many pictures are to come of it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    pictures: int = 1


WANTED: Mapping[str, Wanted] = {
    "hidream.variation": Wanted({"template_id": 20}, pictures=3),
    "piktid.swap": Wanted({"flag_hair": True, "seed": 7}),
    "qolaba.avatar": Wanted({"gender": "male", "batch": 2}, pictures=2),
    "qolaba.consistency": Wanted({"batch": 2, "width": 256, "height": 256}, "a knight in the rain", pictures=2),
    "replicate.generate": Wanted({"input": {"width": 512, "num_outputs": 2}}, "a knight in the rain", pictures=2),
    "replicate.swap": Wanted(),
    "zhiqite.swap": Wanted(),
    "zhiqite.swap_faces": Wanted({"second_source": "named apart", "face_idx": 1}),
    "zhiqite.swap_v2": Wanted({"fidelity_weight": 0.25}),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("sandbox")
    with Sandbox(SandboxConfig(home=home, pictures="cheap", latency=0.3, inbox_gap=0.0)) as running_one:
        yield running_one


def account_of(sandbox: Sandbox, provider: str, **more: Any) -> Account:
    name = f"sandbox-{provider}"
    return parse(name, {**sandbox_accounts(sandbox.url)[name], **more})


@asynccontextmanager
async def adapter(account: Account) -> AsyncIterator[tuple[Provider, HttpClient]]:
    client = build_client(Guard(("127.0.0.1",)), max_connections=4)
    endpoint = Endpoint(account.name, account.base_url, client, account.own)
    try:
        yield account.adapter(endpoint), client  # type: ignore[call-arg]
    finally:
        await client.aclose()


async def ordered(provider: Provider, name: str, picture: bytes) -> Order:
    """A submission with its inputs brought to the provider as it takes them."""
    wanted, wants = WANTED[name], operation(name)
    order = Order(uuid.uuid4(), name, wants.options.model_validate(wanted.options), {}, wanted.prompt)
    for role, need in wants.needs.items():
        given = Input(media_type="image/jpeg", width=768, height=1024)
        match need.via:
            case Via.URL:
                given = replace(given, url=f"http://127.0.0.1/{role}.jpg")
            case Via.BYTES:
                given = replace(given, data=picture)
            case Via.UPLOAD:
                handle = await provider.upload(role, replace(order, inputs={role: given}), picture)
                given = replace(given, handle=handle)
        order = replace(order, inputs={**order.inputs, role: given})
    return order


async def finished(provider: Provider, attempt: OpenAttempt) -> tuple[Output, ...]:
    """The outputs of an attempt, once it is done; what the inbox said of it is acknowledged."""
    async with asyncio.timeout(RESULT_SECONDS):
        while True:
            outcome = (await provider.poll([attempt])).get(attempt.reference, Pending())
            if isinstance(outcome, Done):
                await provider.acknowledge(outcome.receipts)
                return outcome.outputs
            assert isinstance(outcome, Pending), outcome
            await asyncio.sleep(0.05)


def test_every_operation_is_asked_for() -> None:
    assert set(WANTED) == {name for provider in PROVIDERS.values() for name in provider.OPERATIONS}


@pytest.mark.parametrize("name", WANTED)
def test_an_operation_brings_its_pictures_and_one_line_on_the_bill(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    provider_name, _, short = name.partition(".")
    Image.new("RGB", (768, 1024), "grey").save(tmp_path / "picture.jpg")
    picture = (tmp_path / "picture.jpg").read_bytes()
    before = sandbox.bill(provider=provider_name)

    async def story() -> tuple[OpenAttempt, list[bytes]]:
        async with adapter(account_of(sandbox, provider_name)) as (provider, client):
            order = await ordered(provider, name, picture)
            outcome = await provider.submit(order, write_before=clock() + 5)
            assert isinstance(outcome, Accepted), outcome
            attempt = OpenAttempt(
                order.reference, name, outcome.handle, provider.locator(order), parts=outcome.parts
            )  # fmt: skip
            forgetful = replace(attempt, handle=None)
            if provider.CAN_LOCATE:
                assert await provider.locate(forgetful) == Found(outcome.handle), "found while it is being made"
            outputs = await finished(provider, attempt)
            if provider.CAN_LOCATE:
                assert await provider.locate(forgetful) == Found(outcome.handle)
            return attempt, [await fetch(client, output.url) for output in outputs]

    attempt, files = asyncio.run(story())

    assert len(files) == WANTED[name].pictures
    for file in files:
        verify(file)
    (line,) = sandbox.bill(provider=provider_name)[len(before) :]
    assert line["operation"] == short
    assert attempt.handle in (line["handle"], line["reference"])


@pytest.mark.parametrize("name", ["zhiqite", "qolaba", "piktid", "hidream", "replicate"])
def test_credentials_are_judged_without_spending(sandbox: Sandbox, name: str) -> None:
    secret = {"zhiqite": "access_key_secret", "piktid": "password", "hidream": "api_key"}.get(name, "token")
    good, bad = account_of(sandbox, name), account_of(sandbox, name, **{secret: "wrong"})
    before = sandbox.bill(provider=name)

    async def verdict(account: Account) -> bool | None:
        async with adapter(account) as (provider, _):
            return (await provider.check()).ok

    assert asyncio.run(verdict(good)) is True
    assert asyncio.run(verdict(bad)) in ((False, None) if name == "qolaba" else (False,))
    assert sandbox.bill(provider=name) == before


@pytest.mark.parametrize("name", WANTED)
def test_a_provider_without_credit_takes_nothing(sandbox: Sandbox, name: str) -> None:
    provider_name, _, short = name.partition(".")
    where = {"provider": provider_name, "operation": short}
    picture = Path(HOPPER).read_bytes()
    sandbox.add_fault("out_of_credit", where=where, times=1)
    before = sandbox.bill(provider=provider_name)

    async def story() -> object:
        async with adapter(account_of(sandbox, provider_name)) as (provider, _):
            return await provider.submit(await ordered(provider, name, picture), write_before=clock() + 5)

    outcome = asyncio.run(story())

    assert isinstance(outcome, Refused), outcome
    assert outcome.reason is Reason.CREDIT
    assert sandbox.bill(provider=provider_name) == before


# --- End to end ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment with real pictures, every provider, and a web process that they fetch from and call back."""
    home = tmp_path_factory.mktemp("studio")
    port = pick_port(None)
    config = SandboxConfig(home=home / "sandbox", latency=0.3)
    with running(home, config, RECAST_PUBLIC_URL=f"http://127.0.0.1:{port}") as stack:
        limits: dict[str, dict[str, Any]] = {
            "sandbox-replicate": {"submit_timeout": "1s", "poll_every": "1s"},
            # Its callback comes before the first poll, however busy the machine is.
            "sandbox-zhiqite": {"poll_every": "10s"},
            "sandbox-qolaba": {"check_face": True, "operations": ["consistency", "avatar"]},
        }
        stack.configure(**limits)
        stack.web(port)
        stack.worker().wait_ready()
        yield stack


def ran(stack: Stack, catalog: Path) -> dict[str, Any]:
    """The jobs of `catalog` by key, once they have ended."""
    command = [sys.executable, "-m", "cli", "run", str(catalog), "--no-wait"]
    told = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    stack.wait_settled(timeout=120)
    rows = stack.sql(
        "SELECT j.key, j.state, j.reason, j.error, a.account, a.operation, a.handle, a.callback_at, a.send_count,"
        " (SELECT count(*) FROM attempts a WHERE a.job_id = j.id) AS attempts,"
        " ARRAY(SELECT r.width || 'x' || r.height FROM results r WHERE r.job_id = j.id ORDER BY r.index) AS sizes"
        " FROM jobs j JOIN batches b ON b.id = j.batch_id LEFT JOIN attempts a ON a.job_id = j.id"
        " WHERE b.name = :name",
        name=catalog.stem,
    )
    return {row.key: row for row in rows}


def written(folder: Path, name: str, *rows: Mapping[str, Any]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.long  # what `make demo` does has tests of its own; this is the same with callbacks
def test_the_example_of_all_operations_runs_on_any_machine(studio: Stack) -> None:
    jobs = ran(studio, ROOT / "examples" / "catalog.csv")

    assert {key: (job.state, job.error) for key, job in jobs.items()} == dict.fromkeys(jobs, ("succeeded", None))
    assert {job.operation for job in jobs.values()} == set(WANTED)
    assert {(line["provider"], line["operation"]) for line in studio.sandbox.bill()} == {
        tuple(name.split(".")) for name in WANTED
    }
    # The square portrait is cut to 3:4; the padded one, 512 x 600, keeps its width.
    assert set(jobs["hidream-variation-crop"].sizes) == {"384x512"}
    assert set(jobs["hidream-variation-pad"].sizes) == {"513x684"}
    check_all(studio)


def test_two_faces_are_swapped_by_a_picture_that_an_option_names(studio: Stack, tmp_path: Path) -> None:
    with Image.open(HOPPER) as left, Image.open(ASTRONAUT) as right:
        both = Image.new("RGB", (1024, 512))
        both.paste(left.crop((0, 0, 512, 512)), (0, 0))
        both.paste(right.convert("RGB"), (512, 0))
        both.save(tmp_path / "both.png")
        left.save(tmp_path / "second.jpg")
    row = {"key": "two", "kind": "swap", "source": ASTRONAUT, "target": "both.png", "operation": "zhiqite.swap_faces"}
    jobs = ran(studio, written(tmp_path, "two-faces", {**row, "options": {"second_source": "second.jpg"}}))

    assert (jobs["two"].state, jobs["two"].sizes) == ("succeeded", ["1024x512"])
    assert jobs["two"].callback_at is not None
    (job,) = (job for job in studio.sandbox.jobs() if job["handle"] == jobs["two"].handle)
    assert job["recipe"]["second"].endswith(".jpg")
    check_all(studio)


def test_a_picture_that_cannot_work_is_refused_before_it_is_paid_for(studio: Stack, tmp_path: Path) -> None:
    landscape = str(ROOT / "examples" / "landscape.png")
    whole = Path(HOPPER).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    variation: dict[str, Any] = {"kind": "generate", "operation": "hidream.variation"}
    rows: list[dict[str, Any]] = [
        {"key": "square", **variation, "image": ASTRONAUT, "options": {"template_id": 1}},
        {"key": "cut off", **variation, "image": "cut.jpg", "options": {"template_id": 1, "fit": "crop"}},
        {"key": "faceless", "kind": "generate", "operation": "qolaba.consistency", "image": landscape, "prompt": "x"},
    ]
    before = studio.sandbox.bill()
    jobs = ran(studio, written(tmp_path, "refusals", *rows))

    assert {job.state for job in jobs.values()} == {"rejected"}
    assert [jobs[row["key"]].reason for row in rows] == ["bad_input", "bad_input", "no_face"]
    assert unsaid(jobs["square"].error, "512 x 512", "3:4", "fit") == []
    assert unsaid(jobs["cut off"].error, "cut.jpg", "truncated") == []
    assert "shows no face" in jobs["faceless"].error
    assert sum(job.attempts for job in jobs.values()) == 0
    assert studio.sandbox.bill() == before


def test_a_lost_submission_is_found_by_its_signed_callback(studio: Stack, tmp_path: Path) -> None:
    """Replicate cannot be searched: without the callback the job would be held for a person."""
    studio.sandbox.add_fault("accept_then_hang", where={"provider": "replicate"}, times=1)
    before = studio.sandbox.bill(provider="replicate")
    row = {"key": "lost", "kind": "swap", "source": HOPPER, "target": ASTRONAUT, "operation": "replicate.swap"}
    jobs = ran(studio, written(tmp_path, "lost", row))

    assert (jobs["lost"].state, jobs["lost"].attempts, jobs["lost"].send_count) == ("succeeded", 1, 1)
    (line,) = studio.sandbox.bill(provider="replicate")[len(before) :]
    assert jobs["lost"].handle == line["handle"]
    check_all(studio)


@pytest.mark.long
def test_an_operation_that_is_not_offered_any_more_is_still_polled(studio: Stack, tmp_path: Path) -> None:
    """An account's choice holds for new jobs: what is under way has been paid for."""
    studio.sandbox.add_fault("late", where={"provider": "zhiqite", "operation": "swap_v2"}, times=1, seconds=8)
    row = {"key": "slow", "kind": "swap", "source": HOPPER, "target": ASTRONAUT, "operation": "zhiqite.swap_v2"}
    catalog = written(tmp_path, "slow", row)
    command = [sys.executable, "-m", "cli", "run", str(catalog), "--no-wait"]
    subprocess.run(command, cwd=ROOT, env=studio.env, capture_output=True, check=True)
    wait_for(lambda: studio.states()["running"], message="the job is under way")
    first, *_ = studio.workers
    first.kill(signal.SIGTERM)
    studio.configure(**{"sandbox-zhiqite": {"operations": ["swap"]}})
    studio.worker("second").wait_ready()

    states = studio.wait_settled(timeout=60)

    assert studio.sql("SELECT state FROM jobs WHERE key = 'slow'")[0].state == "succeeded", states
    check_all(studio)
