"""Operations in words; the table in docs/providers.md is held to them."""

from __future__ import annotations

import json
import re
from typing import Literal

import pytest
from pydantic import Field

from providers import PROVIDERS, operation
from providers.describing import describe
from providers.spec import Need, Operation, Options, Via
from tests.stack import ROOT
from tests.words import unsaid

OPERATIONS = [name for adapter in PROVIDERS.values() for name in adapter.OPERATIONS]
DOCUMENT = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


class Every(Options):
    """Every kind of option."""

    plain: str
    counted: int | None = Field(default=None, ge=1, le=8)
    above: float = Field(default=0.5, gt=0)
    below: float = Field(default=0.5, le=2)
    said: str | None = Field(default=None, max_length=1_000)
    shaped: str = Field(default="#fff", pattern="^#")
    chosen: Literal["a", "b", "c"] = "a"
    only: Literal["a"] = "a"
    switch: bool = False
    anything: dict[str, int] = Field(default_factory=dict)


def test_every_kind_of_option_has_words() -> None:
    needs = {"image": Need(Via.BYTES, ratio=(3, 4), max_side=100), "other": Need(Via.URL, option="other")}
    found = describe(Operation("x.y", "generate", Every, needs, prompt="optional", callback=True, summary="makes"))

    assert (found.name, found.kind, found.summary, found.prompt, found.callback) == (
        "x.y", "generate", "makes", "optional", True,
    )  # fmt: skip
    assert found.pictures.keys() == {"image", "other"}
    assert unsaid(found.pictures["image"], "3:4", 100) == []
    assert unsaid(found.pictures["other"], "URL", "other") == []
    assert [(option.name, option.default) for option in found.options] == [
        ("plain", None), ("counted", None), ("above", 0.5), ("below", 0.5), ("said", None), ("shaped", "#fff"),
        ("chosen", "a"), ("only", "a"), ("switch", False), ("anything", None),
    ]  # fmt: skip
    allowed = {option.name: option.allowed for option in found.options}
    assert unsaid(allowed["plain"], "text") == []
    assert unsaid(allowed["counted"], "number", 1, 8) == []
    assert unsaid(allowed["above"], "number", 0) == []
    assert unsaid(allowed["below"], "number", 2) == []
    assert unsaid(allowed["said"], "text", "1,000") == []
    assert unsaid(allowed["shaped"], "text", "^#") == []
    assert unsaid(allowed["chosen"], "a", "b", "c") == []
    assert allowed["only"] == "a"
    assert unsaid(allowed["switch"], "true", "false") == []
    assert unsaid(allowed["anything"], "object") == []
    assert [option.name for option in found.options if option.required] == ["plain"]


def documented(name: str) -> list[tuple[str, str, str]]:
    """Option, allowed and default of the operation's table."""
    (section,) = re.findall(rf"^### `{re.escape(name)}`\n(.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?)\s?\| .+ \|$", section, re.MULTILINE)
    return [(option, allowed.replace("`", "").replace(r"\|", "|"), default) for option, allowed, default in rows]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_document_lists_the_options_as_they_are(name: str) -> None:
    assert documented(name) == [
        (
            option.name,
            option.allowed,
            "required" if option.required else "" if option.default is None else json.dumps(option.default),
        )
        for option in describe(operation(name)).options
    ]


def test_the_settings_that_the_document_names_exist() -> None:
    contradictions, _, _ = DOCUMENT.partition("## Submissions whose answer")
    of_any_account = {"base_url", "deadline", "poll_every", "fit"}
    for provider, section in re.findall(r"^### (\w+)\n(.*?)(?=^###|\Z)", contradictions, re.MULTILINE | re.DOTALL):
        last_columns = re.findall(r"\| ([^|]*) \|$", section, re.MULTILINE)
        named = {name for column in last_columns for name in re.findall(r"`(\w+)(?: = [^`]*)?`", column)}
        fields = set(PROVIDERS[provider.lower()].SETTINGS.model_fields)
        assert named <= fields | of_any_account, provider
        assert named & fields, provider
