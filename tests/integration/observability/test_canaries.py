"""No secret comes out anywhere: planted in every credential, looked for in everything that a deployment wrote."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import make_url

from devstack.ports import pick_port
from sandbox import SandboxConfig
from tests import http
from tests.integration.canaries import Canaries, EchoServer, of_database, of_files, of_processes, of_redis
from tests.integration.producer import produce
from tests.stack import PORTRAITS, ROOT, Stack, running, wait_for, write_accounts
from workers.config.settings import Settings
from workers.images.signed_urls import MediaSigner

WEBHOOK_KEY = base64.b64encode(b"canary of a webhook's key").decode()


@dataclass
class Deployment:
    """A stack in which everything that can fail has failed, with secrets at stake."""

    stack: Stack
    canaries: Canaries
    flower: str
    flower_auth: tuple[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> None:
        """Start `recast WORDS` as a process whose output is a log."""
        with (self.stack.home / f"{words[0]}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "cli", *words], cwd=ROOT, env=self.stack.env, stdout=log, stderr=log
                )
            )

    def recast(self, *words: str, **env: str) -> tuple[int, str]:
        """Exit code and output of `recast WORDS`."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words], cwd=self.stack.home, env={**self.stack.env, **env},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


def secret_accounts(canaries: Canaries, echo: EchoServer) -> dict[str, dict[str, Any]]:
    """One account at each provider that repeats what it is sent, and two that only ever fail otherwise."""
    new = canaries.new
    common = {"allow_hosts": ["127.0.0.1"], "poll_every": "1s", "submit_timeout": "2s"}
    zhiqite = {
        "provider": "zhiqite",
        "access_key_id": new("zhiqite's id"),
        "access_key_secret": new("zhiqite's secret"),
    }
    return {
        "echo-zhiqite": {**zhiqite, "base_url": echo.url(500), **common},
        "echo-malformed": {**zhiqite, "base_url": echo.url(200), **common},
        "echo-refusing": {**zhiqite, "base_url": echo.url(401), **common},
        "echo-qolaba": {"provider": "qolaba", "base_url": echo.url(500), "token": new("qolaba's token"), **common},
        "echo-piktid": {
            "provider": "piktid", "base_url": echo.url(500), "email": "shop@example.org",
            "password": new("piktid's password"), **common,
        },
        "echo-hidream": {
            "provider": "hidream", "base_url": echo.url(500), "api_key": new("hidream's key"),
            "token_url": f"{echo.url(500)}/apikey2token", **common,
        },
        "echo-replicate": {
            "provider": "replicate", "base_url": echo.url(500), "token": new("replicate's token"),
            "webhook_secret": f"whsec_{WEBHOOK_KEY}", **common,
        },
        "nobody-there": {
            "provider": "qolaba", "base_url": "http://127.0.0.1:1", "token": new("another token"), **common,
        },
    }  # fmt: skip


def portrait(folder: Path) -> str:
    """A picture of exactly 3:4."""
    path = folder / "portrait.jpg"
    with Image.open(PORTRAITS / "grace_hopper.jpg") as image:
        image.crop((0, 0, 450, 600)).save(path)
    return str(path)


def catalog(folder: Path) -> Path:
    """A row for each account."""
    picture = portrait(folder)
    swap = {"kind": "swap", "source": picture, "target": picture}
    generate = {"kind": "generate", "image": picture}
    consistency = {**generate, "prompt": "a knight", "operation": "qolaba.consistency"}
    rows: list[dict[str, Any]] = [
        {**swap, "account": "echo-zhiqite"},
        {**swap, "account": "echo-malformed"},
        {**swap, "account": "echo-refusing"},
        {**consistency, "account": "echo-qolaba"},
        {**swap, "account": "echo-piktid"},
        {**generate, "account": "echo-hidream", "options": {"template_id": 20}},
        {**swap, "account": "echo-replicate"},
        {**consistency, "account": "nobody-there"},
        {**generate, "account": "sandbox-hidream", "options": {"template_id": 20}},
        {**swap, "account": "sandbox-replicate"},
    ]
    path = folder / "canaries.jsonl"
    path.write_text("".join(json.dumps({"key": row["account"], **row}) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("canaries")
    canaries = Canaries()
    echo = EchoServer(canaries)
    web, flower = pick_port(None), pick_port(None)
    user, password = "people", canaries.new("Flower's password")
    settings = {
        "RECAST_SECRET_KEY": canaries.new("the secret key"),
        "RECAST_PUBLIC_URL": f"http://127.0.0.1:{web}",
        "RECAST_FLOWER_AUTH": f"{user}:{password}",
        "RECAST_FLOWER_PORT": str(flower),
        "RECAST_SLOTS": "32",
    }
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.2)
    with echo.running(), running(home, config, **settings) as stack:
        for name, url in (("database", stack.env["RECAST_DATABASE_URL"]), ("broker", stack.env["RECAST_BROKER_URL"])):
            canaries.add(f"the {name}'s password", str(make_url(url).password))
        canaries.add("a webhook's key", WEBHOOK_KEY)
        mine = {name: stack.accounts[name] for name in ("sandbox-hidream", "sandbox-replicate")}
        mine["sandbox-hidream"]["api_key"] = canaries.new("hidream's key at the sandbox", "sandbox-")
        mine["sandbox-replicate"]["token"] = canaries.new("replicate's token at the sandbox", "sandbox-")
        write_accounts(stack.accounts_file, _by_environment(stack, {**secret_accounts(canaries, echo), **mine}))
        made = Deployment(stack, canaries, f"http://127.0.0.1:{flower}", (user, password))
        try:
            made.start("worker", "--loglevel=DEBUG")
            made.start("beat", "--loglevel=DEBUG")
            made.start("web", f"--port={web}")
            made.start("flower")
            yield _lived(made, home)
        finally:
            for process in made.processes:
                process.terminate()
            for process in made.processes:
                process.wait(60)


def _by_environment(stack: Stack, accounts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The accounts with their secrets in the environment, as in production."""
    secret = {"access_key_id", "access_key_secret", "token", "password", "api_key", "webhook_secret"}
    for account, table in accounts.items():
        for name in secret & table.keys():
            variable = f"{account}_{name}".upper().replace("-", "_")
            stack.env[variable], table[name] = table[name], f"env:{variable}"
    return accounts


def _lived(made: Deployment, home: Path) -> Deployment:
    """Run jobs at every account until each has ended or failed in its way, one of them a producer's."""
    stack = made.stack
    code, told = made.recast("run", str(catalog(home)), "--no-wait", "--json")
    assert code == 0, told
    produce(stack, 'made = swap.delay(**PAIR, account="sandbox-replicate")\nmade.get(timeout=240)\nanswer(made.id)')
    produce(stack, 'made = swap.delay(**PAIR, account="echo-zhiqite")\nanswer(made.id)')

    def all_told() -> bool:
        rows = stack.sql(
            "SELECT j.state, coalesce(j.error, a.error, g.closed_note) AS told FROM jobs j"
            " LEFT JOIN attempts a ON a.job_id = j.id LEFT JOIN accounts g ON g.name = j.account"
        )
        return all(row.state == "succeeded" or row.told for row in rows)

    wait_for(all_told, timeout=120, message="each account has had its say")
    wait_for(
        lambda: "recast@" in _flower(made, "/api/workers?refresh=1"), timeout=60, message="Flower knows the worker"
    )
    return made


def _flower(made: Deployment, path: str) -> str:
    try:
        return http.get(made.flower + path, auth=made.flower_auth, timeout=60, follow_redirects=True).text
    except http.HTTPError:
        return ""


def test_the_secrets_were_at_stake(deployment: Deployment) -> None:
    """Each account has sent its credentials, and what came back repeated them: else nothing is shown below."""
    answers = deployment.stack.sql("SELECT account, raw FROM attempts WHERE raw IS NOT NULL")
    repeated = {row.account for row in answers if b"[redacted]" in bytes(row.raw)}
    assert repeated >= {"echo-zhiqite", "echo-malformed", "echo-qolaba", "echo-hidream", "echo-replicate"}
    (piktid,) = deployment.stack.sql("SELECT error FROM jobs WHERE account = 'echo-piktid'")
    assert "[redacted]" in piktid.error
    states = deployment.stack.sql("SELECT account, state FROM jobs WHERE account LIKE 'sandbox-%'")
    assert {row.state for row in states} == {"succeeded"}
    sessions = deployment.stack.sql("SELECT name FROM accounts WHERE session IS NOT NULL")
    assert {row.name for row in sessions} >= {"echo-piktid", "echo-hidream", "sandbox-hidream"}


def test_no_secret_is_written_anywhere(deployment: Deployment) -> None:
    """Links and callback tokens are secrets as well: of those that were made, and of one that is used here."""
    stack, canaries = deployment.stack, deployment.canaries
    settings = Settings(_env_file=None, secret_key=stack.env["RECAST_SECRET_KEY"])
    (key,) = stack.sql("SELECT key FROM results LIMIT 1")[0]
    link = MediaSigner(settings.model_copy(update={"public_url": stack.env["RECAST_PUBLIC_URL"]})).link(key, 60)
    assert http.get(link).status_code == 200
    canaries.add("a link's signature", link.split("/")[5])
    for number, job in enumerate(stack.sandbox.jobs()):
        if wish := job["notes"].get("callback"):
            canaries.add(f"the token of callback {number}", wish["url"].rpartition("/")[2])
        for signature in re.findall(r"/media/\d+/([\w-]{32})/", json.dumps(job["recipe"])):
            canaries.add(f"the signature of input {number}", signature)
    assert any(name.startswith("the token of callback") for name in canaries.secrets)

    seen: list[str] = []
    for place, data in (
        *of_files(stack.home, stack.home / "sandbox", stack.home / "servers"),
        *of_database(stack.engine),
        *of_redis(stack.env["RECAST_BROKER_URL"]),
        *of_processes([process.pid for process in deployment.processes]),
    ):
        seen += canaries.seen_in(place, data)
    assert seen == []


def test_no_command_tells_a_secret(deployment: Deployment) -> None:
    stack, home = deployment.stack, deployment.stack.home
    (job,) = stack.sql("SELECT id FROM jobs WHERE account = 'echo-malformed'")[0]
    commands = [
        ["accounts", "list", "--json"], ["jobs", "--json"], ["show", job, "--json"],
        ["export", "canaries", "--to", str(home / "export.jsonl")], ["accounts", "check", "echo-zhiqite"],
    ]  # fmt: skip
    outputs = [(" ".join(words), deployment.recast(*words)[1]) for words in commands]
    outputs.append(("the export", (home / "export.jsonl").read_text()))
    seen = [found for words, output in outputs for found in deployment.canaries.seen_in(words, output)]
    assert seen == []


@pytest.mark.parametrize("url", ["postgresql://u:SECRET@127.0.0.1:1/x", "mysql://u:SECRET@127.0.0.1/x"])
def test_a_database_that_cannot_be_used_is_told_without_its_password(deployment: Deployment, url: str) -> None:
    canary = Canaries()
    code, told = deployment.recast(
        "status", "canaries", RECAST_DATABASE_URL=url.replace("SECRET", canary.new("the password"))
    )
    assert canary.seen_in("status", told) == []
    assert code in {2, 4}, told
    assert "Traceback" not in told, told


def test_flower_tells_no_secret(deployment: Deployment) -> None:
    """Its pages say how the worker is set up, and what tasks were given and brought."""
    tasks = json.loads(_flower(deployment, "/api/tasks"))
    assert tasks
    (worker,) = json.loads(_flower(deployment, "/api/workers?refresh=1"))
    pages = [
        "/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/tasks", "/api/queues/length", "/metrics",
        f"/worker/{worker}", *(f"/task/{task}" for task in list(tasks)[:5]),
    ]  # fmt: skip
    seen = [
        found for page in pages for found in deployment.canaries.seen_in(f"Flower's {page}", _flower(deployment, page))
    ]
    assert seen == []


def test_the_search_finds_what_it_looks_for() -> None:
    canary = Canaries()
    secret = canary.new("planted")
    encoded = base64.b64encode(f'{{"body": "{secret}"}}'.encode()).decode()
    for held in (f"password={secret}&", f"Basic {base64.b64encode(f'shop:{secret}'.encode()).decode()}", encoded):
        assert canary.seen_in("a log", held), held
    assert not canary.seen_in("a log", secret[:-1])
