"""What each service of docker-compose.yml gets: the settings that its code reads, and the folders that it needs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.stack import ROOT
from tests.unit.test_layers import modules, name_of, project
from workers.config.settings import Settings

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
#: The modules that each service starts with; commands are run in a worker's container.
STARTS = {
    "worker": ("tasks.main", "cli.tree"),
    "web": ("web.__main__",),
    "beat": ("workers.messaging.app", "workers.messaging.beat"),
    "flower": ("workers.messaging.app",),
    "migrate": ("migrations.env",),
}
WEB_SIGNS_NOTHING = "what the network reaches gets no key; without one, downloads are as they are stored"
#: Settings that a service's code names and that the service does not get, each with its reason.
NOT_GIVEN = {
    ("worker", "FLOWER_AUTH"): "`recast flower` and `up` read it, which run elsewhere; it opens Flower",
    ("worker", "WEB_AUTH"): "`recast up` reads it, which runs elsewhere; it opens the desk",
    ("worker", "MIGRATION_DATABASE_URL"): "`recast db` reads it, which runs in migrate",
    ("web", "BULK_EVENTS"): "catalogs' jobs end in workers",
    ("web", "C2PA_CERTIFICATE"): WEB_SIGNS_NOTHING,
    ("web", "C2PA_KEY"): WEB_SIGNS_NOTHING,
    ("web", "C2PA_SIGN_COMMAND"): WEB_SIGNS_NOTHING,
    ("web", "RESULT_URL"): "it publishes tasks and reads no results",
    ("web", "SLOTS"): "it runs no tasks",
    ("web", "WEBHOOK_HOSTS"): "workers send webhooks",
    ("beat", "RESULT_URL"): "it publishes tasks and reads no results",
    ("beat", "SLOTS"): "it runs no tasks",
    ("flower", "SLOTS"): "it runs no tasks",
}
#: Settings that .env.example does not offer, each with its reason.
NOT_OFFERED = {
    **dict.fromkeys(("ACCOUNTS_FILE", "HOME"), "the image sets it; elsewhere the working folder is meant"),
    **dict.fromkeys(
        ("WEB_HOST", "WEB_PORT", "FLOWER_ADDRESS", "FLOWER_PORT"),
        "compose sets it; elsewhere, it belongs to how the process is started",
    ),
    **dict.fromkeys(
        ("CONNECTIONS", "HEARTBEAT_EVERY", "SLICE_SECONDS", "SWEEP_EVERY", "VISIBILITY_TIMEOUT"),
        "its default suits every deployment; tests and benchmarks change it",
    ),
    **dict.fromkeys(("MAX_RESULT_BYTES", "MEDIA_SECONDS"), "its default is above what providers need"),
}
_READ = re.compile(r"\b(?:settings|chosen|configured|read)(?:\(\))?\.(\w+)|_read\(settings, \"(\w+)\"\)")


def reached(starts: tuple[str, ...]) -> set[str]:
    """Our modules that a process which starts with `starts` may load."""
    graph, seen, left = project(), set[str](), list(starts)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += graph[module]
    return seen


def fields_of(name: str) -> Iterator[str]:
    """The settings behind an attribute of `Settings`; a property stands for those that it reads."""
    found = vars(Settings).get(name)
    if isinstance(found, property) and found.fget is not None:
        for inner in re.findall(r"self\.(\w+)", inspect.getsource(found.fget)):
            yield from fields_of(inner)
    elif name in Settings.model_fields:
        yield name.upper()


def offered() -> set[str]:
    return set(re.findall(r"^#?RECAST_(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def named_by(service: str) -> set[str]:
    """The settings that the code of `service` names."""
    texts = {name_of(path): path.read_text() for path in modules()}
    words = {a or b for module in reached(STARTS[service]) for a, b in _READ.findall(texts[module])}
    return {field for word in words for field in fields_of(word)}


@pytest.mark.parametrize("service", STARTS)
def test_each_service_gets_the_settings_that_its_code_reads(service: str) -> None:
    named = named_by(service) & offered()
    assert named, "nothing was found: how settings are read has changed"
    given = {name.removeprefix("RECAST_") for name in SERVICES[service]["environment"]}
    spared = {name for where, name in NOT_GIVEN if where == service}
    assert named - given - spared == set(), "give it to the service, or say in NOT_GIVEN why not"
    assert spared & given == set()
    assert spared <= named, "these need no exception"


def test_every_setting_is_offered_or_has_a_reason_not_to_be() -> None:
    assert {name.upper() for name in Settings.model_fields} - offered() == set(NOT_OFFERED)


@pytest.mark.parametrize(
    ("place", "services"),
    [
        ("/var/lib/recast", {"worker", "web", "beat"}),
        ("/etc/recast/accounts.toml", {"worker", "web"}),
        ("/photos", {"worker", "web"}),
        ("/etc/recast/c2pa", {"worker"}),
    ],
)
def test_a_folder_is_mounted_only_where_it_is_needed(place: str, services: set[str]) -> None:
    mounted = {
        name
        for name in STARTS
        if any(volume.removesuffix(":ro").endswith(f":{place}") for volume in SERVICES[name].get("volumes", []))
    }
    assert mounted == services


def test_what_is_offered_for_signing_lies_in_the_folder_that_is_mounted() -> None:
    text = (ROOT / ".env.example").read_text()
    files = re.findall(r"^#RECAST_C2PA_(?:CERTIFICATE|KEY)=(\S+)", text, re.MULTILINE)
    assert len(files) == 2
    assert all(path.startswith("/etc/recast/c2pa/") for path in files)
