"""The project's own promises: which package may import which, and that packaging and documents agree with the code."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from providers import PROVIDERS
from tests import check
from tests.stack import ROOT
from tests.unit.cli.commands import whole
from tests.unit.documents import DOCUMENTS, tables_of, text_of
from tests.unit.test_layers import ROOMS
from tests.words import unsaid
from workers.config import accounts, settings
from workers.engine import locate_outcomes
from workers.jobs import transitions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: The producers' package is a distribution of its own.
CLIENT = tomllib.loads((ROOT / "recast" / "pyproject.toml").read_text())
PACKAGES = ("recast", *PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
OURS = {project["project"]["name"] for project in (PROJECT, CLIENT)}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
OWN_SERVICES = ("migrate", "worker", "beat", "flower", "web")


def test_every_package_is_shipped_typed_and_linted() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set(PACKAGES) == packages - {"tests", "benchmarks"}
    assert set(PROJECT["tool"]["mypy"]["files"]) == packages


def test_what_must_run_alone_is_where_make_looks_for_it() -> None:
    (where,) = re.findall(r"pytest -m alone (\S+)", (ROOT / "Makefile").read_text())
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark." + "alone" in path.read_text()]
    assert marked
    assert [path for path in marked if not path.is_relative_to(ROOT / where)] == []


def test_a_producer_loads_no_driver() -> None:
    heavy = {"sqlalchemy", "psycopg", "aiohttp", "httpx", "pydantic", "pydantic_settings", "structlog"}
    ours = set(PACKAGES) - {"recast"}
    script = "import sys, recast; recast.swap.s(); print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) & (heavy | ours) == set()


def test_both_distributions_are_of_one_version() -> None:
    server, client = PROJECT["project"], CLIENT["project"]
    assert server["version"] == client["version"]
    assert f"{client['name']}=={client['version']}" in server["dependencies"]
    for field in ("license", "requires-python", "classifiers"):
        assert client[field] == server[field]
    assert (ROOT / "recast" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_producers_need_nothing_but_celery() -> None:
    assert [Requirement(line).name for line in CLIENT["project"]["dependencies"]] == ["celery"]
    assert set(CLIENT["project"]["dependencies"]) <= set(PROJECT["project"]["dependencies"])


# --- Locks and the image ------------------------------------------------------------------------------------------


MAKEFILE = (ROOT / "Makefile").read_text()
#: Extras that no lock holds: a model of 100 MB is not for everybody who sets the project up.
UNLOCKED = {"likeness"}
#: The locks that hold a part of what `requirements.lock` holds, with the extras in them, as `make lock` writes them.
PARTS = {
    found[2]: tuple(re.findall(r"--extra (\w+)", found[1]))
    for found in re.finditer(r"^\t\$\(COMPILE\)(.*--constraint.*) -o (\S+)$", MAKEFILE, re.MULTILINE)
}
#: Extras that no deployment needs: servers and the sandbox of one machine, and tools.
ELSEWHERE = {"local", "bench", "dev"}


def locked(name: str) -> dict[str, str]:
    """Versions by package; fails on an entry that has no hash."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text())
    found: dict[str, str] = {}
    for entry in entries:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", entry)
        assert match, entry.splitlines()[0]
        assert "--hash=sha256:" in entry, match[1]
        found[canonicalize_name(match[1])] = match[2]
    return found


def brought(name: str) -> set[NormalizedName]:
    """The packages that others of a lock need, and the project itself does not name."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text())
    return {
        canonicalize_name(re.split(r"[\[=]", entry)[0]) for entry in entries if "recast-server (pyproject" not in entry
    }


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-demo.lock", "requirements-prod.lock"])
def test_locks_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"https?:|file:|--(extra-)?index-url|--find-links|@ ", text)


def test_locks_are_up_to_date() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    everything, needed = locked("requirements.lock"), PROJECT["project"]["dependencies"]
    every = [lines for extra, lines in extras.items() if extra not in UNLOCKED]
    wanted = [(everything, [*needed, *itertools.chain(*every)])]
    for name, has in PARTS.items():
        part = locked(name)
        wanted.append((part, [*needed, *itertools.chain.from_iterable(extras[extra] for extra in has)]))
        # What is installed on top of another lock keeps its versions.
        assert {package: everything.get(package) for package in part} == part
    for versions, lines in wanted:
        for requirement in map(Requirement, lines):
            if requirement.name not in OURS:
                version = versions.get(canonicalize_name(requirement.name))
                assert version is not None, f"{requirement} is not locked: run make lock"
                assert requirement.specifier.contains(version), f"{version} is locked, not {requirement}: run make lock"


def test_the_demo_installs_no_tools() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    demo, everything = locked("requirements-demo.lock"), locked("requirements.lock")
    tools = {canonicalize_name(Requirement(line).name) for line in extras["dev"] + extras["s3"] + extras["parquet"]}
    assert demo.keys() & tools == set()
    assert len(demo) < 0.6 * len(everything)
    needs = {
        name: found[1]
        for name in ("demo", "up", "test", "lint")
        if (found := re.search(rf"^{name}: (\S+)", MAKEFILE, re.MULTILINE))
    }
    assert needs == {"demo": "$(RUNNING)", "up": "$(RUNNING)", "test": "$(INSTALLED)", "lint": "$(INSTALLED)"}


def test_the_image_does_all_that_a_deployment_can() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert set(PARTS["requirements-prod.lock"]) == extras - ELSEWHERE - UNLOCKED


def test_production_has_no_embedded_servers_and_no_tools() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    tools = {canonicalize_name(Requirement(line).name) for line in [*extras["local"], *extras["dev"]]}
    # Libraries of these names come with others that production needs.
    needed = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    needed |= brought("requirements-prod.lock")
    assert tools & set(locked("requirements-prod.lock")) - needed == set()


def test_the_image_is_pinned_unprivileged_and_has_every_package() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    froms = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", froms[0])
    assert froms[1:] == ["base", "base"]
    assert [line for line in lines if line.startswith("USER ")] == ["USER recast"]
    assert 'ENTRYPOINT ["recast"]' in lines
    let_in = {line.strip("!/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    built_from = {"pyproject.toml", "requirements-prod.lock", PROJECT["project"]["readme"], "LICENSE"}
    assert let_in == {*PACKAGES, *built_from}


# --- Compose ------------------------------------------------------------------------------------------------------


def test_compose_has_the_deployment() -> None:
    assert set(SERVICES) == {"postgres", "redis", *OWN_SERVICES}
    assert SERVICES["redis"]["image"].startswith("valkey/valkey:")
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        image = service["image"]
        assert not image.endswith(":latest")
        assert ":" in image, name


def test_compose_starts_what_the_command_line_has() -> None:
    commands = whole().commands
    for name in OWN_SERVICES:
        first, *rest = SERVICES[name]["command"]
        assert first in commands
        assert all(word in commands[first].commands for word in rest)


def test_compose_waits_for_what_is_needed() -> None:
    assert all("healthcheck" in SERVICES[name] for name in set(SERVICES) - {"migrate"})
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in set(OWN_SERVICES) - {"migrate"}:
        waits = {needed: how["condition"] for needed, how in SERVICES[name]["depends_on"].items()}
        assert waits == {
            "postgres": "service_healthy",
            "redis": "service_healthy",
            "migrate": "service_completed_successfully",
        }


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_compose_asks_for_the_heartbeat_of_what_has_no_port(name: str) -> None:
    program, command, kind = SERVICES[name]["healthcheck"]["test"][1:]
    assert (program, command, kind) == ("recast", "health", name)
    assert SERVICES[name]["command"] == [name], "the health check looks for the default name"
    assert command in whole().commands


def test_compose_opens_only_web_and_flower_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"web", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert SERVICES["flower"]["environment"]["RECAST_FLOWER_AUTH"].startswith("${RECAST_FLOWER_AUTH:?")


def test_compose_takes_every_secret_from_outside() -> None:
    secret = re.compile(r"PASSWORD|SECRET|AUTH$|TOKEN")
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            if secret.search(variable) and value is not None:
                assert re.fullmatch(r"\$\{RECAST_[A-Z_]+:\?[^}]+\}", value), f"{name}: {variable}"
            if "://" in str(value) and "@" in str(value):
                assert re.search(r"recast@postgres|:\$\{RECAST_[A-Z_]+:\?[^}]+\}@", value), f"{name}: {variable}"


#: The secrets that each service needs; `providers.env` and `web.env` stand for what is in them.
SECRETS = {
    "postgres": {"RECAST_POSTGRES_PASSWORD"},
    "redis": {"RECAST_REDIS_PASSWORD"},
    "migrate": {"RECAST_POSTGRES_PASSWORD"},
    "worker": {"RECAST_POSTGRES_PASSWORD", "RECAST_REDIS_PASSWORD", "RECAST_SECRET_KEY", "providers.env"},
    "beat": {"RECAST_REDIS_PASSWORD"},
    "web": {
        "RECAST_POSTGRES_PASSWORD", "RECAST_REDIS_PASSWORD", "RECAST_SECRET_KEY", "RECAST_WEB_AUTH",
        "RECAST_METRICS_TOKEN", "web.env",
    },
    "flower": {"RECAST_REDIS_PASSWORD", "RECAST_FLOWER_AUTH"},
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_compose_gives_each_service_the_secrets_that_it_needs_and_no_others(name: str) -> None:
    assert set(SECRETS) == set(SERVICES)
    service = SERVICES[name]
    given = {file["path"] for file in service.get("env_file", [])}
    for variable, value in service["environment"].items():
        given |= set(re.findall(r"\$\{([A-Z_]*(?:PASSWORD|SECRET|AUTH|TOKEN)[A-Z_]*)", str(value)))
        if value is None and re.search("PASSWORD|SECRET|AUTH|TOKEN", variable):
            given.add(variable)
    assert given == SECRETS[name]


def test_compose_has_no_secret_in_a_command_line() -> None:
    for name, service in SERVICES.items():
        said = json.dumps([service.get(part) for part in ("command", "entrypoint", "healthcheck")])
        # A `$` that compose replaces; `$$` is the shell's, which reads it from its environment.
        assert not re.search(r"(?<!\$)\$(?!\$)\{?[A-Z]", said), name


def test_compose_and_the_example_of_its_settings_agree() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{([A-Z0-9_]+)[:?-]", text))
    offered = set(example_variables(".env.example"))
    assert used <= offered
    only_compose = {"RECAST_POSTGRES_PASSWORD", "RECAST_REDIS_PASSWORD", "RECAST_PHOTOS", "RECAST_C2PA_FOLDER"}
    fields = {f"RECAST_{name.upper()}" for name in settings.Settings.model_fields}
    in_compose = {name for service in OWN_SERVICES for name in SERVICES[service]["environment"]}
    assert in_compose <= fields
    assert offered <= fields | only_compose
    # What compose does not replace itself reaches the services by its name.
    assert offered - only_compose <= in_compose
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {file["path"] for service in SERVICES.values() for file in service.get("env_file", [])} <= set(ignored)


def test_compose_stops_a_worker_later_than_its_submissions() -> None:
    grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    submit_timeout = accounts.Account.model_fields["submit_timeout"].default
    assert grace >= locate_outcomes.WRITE_SECONDS + submit_timeout + locate_outcomes.JUDGE_MARGIN_SECONDS


def test_compose_keeps_messages_and_refuses_rather_than_drops() -> None:
    words = SERVICES["redis"]["command"][-1].split()
    chosen = {name.removeprefix("--"): value for name, value in itertools.pairwise(words) if name[:2] == "--"}
    assert chosen["appendonly"] == "yes"
    assert chosen["appendfsync"] == "everysec"
    assert chosen["maxmemory-policy"] == "noeviction"
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in named if name.isalpha()} == set(COMPOSE["volumes"])


# --- Examples, commands and documents ------------------------------------------------------------------------------


def example_variables(name: str) -> list[str]:
    return re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / name).read_text(), re.MULTILINE)


def test_the_example_accounts_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "accounts.example.toml"
    secrets = re.findall(r'= "env:([A-Z_]+)"', path.read_text())
    assert set(secrets) == set(example_variables("providers.env.example"))
    for name in secrets:
        monkeypatch.setenv(name, "something")
    loaded = accounts.load(path)
    assert sorted(account.provider for account in loaded.values()) == sorted(PROVIDERS)
    for account in loaded.values():
        assert {f"{account.provider}.{name}" for name in account.prices} == set(account.operations)


def test_the_documents_commands_exist() -> None:
    commands = set(whole().commands)
    for name in (
        *DOCUMENTS,
        ".env.example",
        "accounts.example.toml",
        "docker-compose.yml",
        "workers/config/accounts.py",
    ):
        text = (ROOT / name).read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        code = "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", text)])
        assert set(re.findall(r"^recast ([a-z-]+)", code, re.MULTILINE)) <= commands, name
        assert set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)) <= targets(), name


#: What is locked, in the order in which every transaction takes it.
LOCKED = ("quote", "token", "account", "attempts", "jobs", "batches", "spend")


WITH_LOCKS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/pumps.md")


@pytest.mark.parametrize("text", [transitions.__doc__ or "", *map(text_of, WITH_LOCKS)])
def test_the_order_of_locks_is_the_same_everywhere(text: str) -> None:
    told = [list(dict.fromkeys(re.findall("|".join(LOCKED), sentence))) for sentence in re.split(r"[.:]\s", text)]
    assert [order for order in told if set(order) == set(LOCKED)] == [list(LOCKED)]


def test_the_sweeps_rules_are_those_of_the_page() -> None:
    told = {name for row in tables_of("docs/pumps.md", "The sweep") for name in re.findall(r"`(\w+)`", row[0])}
    assert told == set(re.findall(r'found\["(\w+)"\] ', (ROOT / "workers/maintenance/sweep.py").read_text()))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def listed_commands() -> list[str]:
    """The make commands of CONTRIBUTING's table, with their variables."""
    return [match[1] for row in tables_of("CONTRIBUTING.md", "Commands") if (match := re.match("`make (.+)`", row[0]))]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program is not None, "make is not installed"
    # As typed into a shell, also where a `make` runs the tests: its own variables would make this one a part of it.
    typed = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run([program, *arguments], cwd=folder, env=typed, capture_output=True, text=True, check=False)


def test_make_lists_its_targets() -> None:
    listed = re.findall(r"^  make ([a-z-]+) ", make("help").stdout, re.MULTILINE)
    assert set(listed) == targets()
    assert {name.partition(" ")[0] for name in listed_commands()} == targets() - {"help", "setup", "up", "clean"}


@pytest.mark.parametrize(
    ("named", "path", "tests"),
    [
        ("workers/engine", "workers/engine", "tests/unit/workers/engine"),
        ("workers.engine.poll", "workers/engine/poll.py", "tests/unit/workers/engine"),
        ("cli/main.py", "cli/main.py", "tests/unit/cli"),
        ("workers/webhooks", "workers/webhooks", "tests/unit/workers"),
        ("tests/integration/engine", "tests/integration/engine", "tests/integration/engine"),
        ("docs", "docs", "tests/unit"),
    ],
)
def test_make_check_finds_a_paths_tests(named: str, path: str, tests: str) -> None:
    found = check.named(named)
    assert found == Path(path)
    assert check.tests_of(found) == Path(tests)


@pytest.mark.parametrize("named", ["", "no/such/path", "../..", "/etc"])
def test_make_check_names_what_is_not_a_path(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([named]) == check.USAGE
    assert unsaid(capsys.readouterr().err, "PATH", repr(named)) == []


def test_make_check_finds_its_programs_although_path_names_something_else() -> None:
    """A variable of that name would otherwise be where programs are looked for."""
    result = make("--dry-run", "check", "PATH=workers/engine")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].endswith("-m tests.check workers/engine")


def test_hooks_run_what_is_installed_and_download_nothing() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "mypy"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_each_folder_of_tests_mirrors_a_room() -> None:
    rooms = set(ROOMS)
    for kind, prefixes in (("unit", ("",)), ("integration", ("", "workers."))):
        for module in (ROOT / "tests" / kind).rglob("test_*.py"):
            folder = ".".join(module.parent.relative_to(ROOT / "tests" / kind).parts)
            assert not folder or any(prefix + folder in rooms for prefix in prefixes), module


def test_make_says_what_to_do_without_a_usable_python(tmp_path: Path) -> None:
    (tmp_path / "recast").mkdir()
    for name in ("Makefile", "pyproject.toml", "recast/pyproject.toml", "requirements.lock", "requirements-demo.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    result = make("PYTHON=/nonexistent/python", "setup", folder=tmp_path)
    assert result.returncode != 0
    assert "Python 3.11 to 3.14" in result.stderr
    assert "make PYTHON=/path/to/" in result.stderr


def test_ci_runs_lint_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test"]


@pytest.mark.parametrize("terminal", ["1", ""])
def test_an_installation_shows_that_it_is_at_work(terminal: str) -> None:
    collected = (f"Collecting package-a{number}==1.0 (from -r x.lock (line {number}))\n" for number in range(1, 41))
    processed = (f"Processing ./wheels/package_b{number}-1.0-py3-none-any.whl (from -r x)\n" for number in range(1, 21))
    said = "".join((*collected, *processed))
    result = subprocess.run(
        ["awk", "-v", "packages=85", "-v", f"terminal={terminal}", "-f", ".ci/progress.awk"],
        cwd=ROOT, input=f"{said}Installing collected packages: package-1\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = re.split(r"[\r\n]+", result.stdout.strip())
    assert len(lines) == (61 if terminal else 4)
    assert unsaid(lines[0], "package-a1", "1", "85") == []
    assert unsaid(lines[-2], "package_b20" if terminal else "package_b1", "60" if terminal else "41") == []
    assert unsaid(lines[-1], "60") == []
