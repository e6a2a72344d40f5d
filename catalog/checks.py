"""Deciding of one row whether it can be enqueued: its columns, the way it would go, and the local files it names.

What rows have in common is decided once: the way (`workers.jobs.routing.route`) for every combination of accounts,
operation and options, and the look at a file for every distinct path. So a million rows cost little more than reading
them.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from catalog.columns import COLUMNS, Row
from catalog.errors import Mistake
from catalog.rows import parse_json
from recast.errors import InvalidJobError
from workers.cache import Cache
from workers.config.accounts import Account
from workers.images.inputs import MAX_INPUT_BYTES
from workers.images.uris import local_path
from workers.images.verify import BadPictureError, header
from workers.jobs.fingerprint import canonical, fingerprint
from workers.jobs.lanes import lane_operation
from workers.jobs.request import KINDS, MAX_CONSENT, MAX_KEY, MAX_PROMPT, Ask
from workers.jobs.routing import Reach, route

CONSENT = "consent"  # the column for the reference of a model's release
MAX_URI = 4_096  # characters; longer ones are refused by routing, and not worth remembering
REMEMBERED_WAYS = 10_000  # combinations of accounts, operation and options; an entry takes about 1 KiB
REMEMBERED_FILES = 100_000  # paths; an entry takes about 300 bytes

_OURS = frozenset(COLUMNS)
_NOTHING: tuple[Any, ...] = ("", None)


@dataclass(frozen=True, slots=True)
class Way:
    """How a row can go: its lane, and what its submission costs at the cheapest and the dearest account."""

    lane: str
    cheapest: Decimal
    dearest: Decimal
    #: ``account.operation`` that have no price.
    unpriced: tuple[str, ...] = ()

    @property
    def written(self) -> tuple[str, str]:
        """The two costs as the database reads them."""
        return str(self.cheapest), str(self.dearest)


@dataclass(slots=True)  # not frozen, as there are millions: making one would take five times as long
class Entry:
    """A row that can be enqueued."""

    line: int
    key: str
    ask: Ask
    #: The local pictures of `ask` by role: absolute paths, since workers run elsewhere.
    places: Mapping[str, str]
    #: The options of `ask`, their local pictures absolute as well.
    options: Mapping[str, Any]
    way: Way
    fingerprint: str
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Defaults:
    """Account and provider of rows that name neither, and what every row must have."""

    account: str | None = None
    provider: str | None = None
    #: Whether each row must name the model's release, in its metadata column `consent`.
    require_consent: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """What a look at a local file found: where it is; a stamp that changes when the file does."""

    place: str
    stamp: str = ""
    problem: str | None = None


class BadRowError(Exception):
    """A row that cannot be enqueued; its argument is the list of what is wrong with it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes


class Checker:
    """Checks the rows of one catalog.

    Args:
        accounts: those that may be used.
        reach: how providers can fetch local files.
        base: what relative paths are relative to: the catalog's own folder, or the address it lies at.
        defaults: for rows that name neither account nor provider.
    """

    def __init__(self, accounts: Mapping[str, Account], reach: Reach, base: str | Path, defaults: Defaults) -> None:
        self._accounts = accounts
        self._reach = reach
        self._address = str(base) if "://" in str(base) else None
        self._folder = Path() if self._address else Path(base)
        self._pictures_in_options = any(
            need.option for account in accounts.values() for op in account.operations.values()
            for need in op.needs.values()
        )  # fmt: skip
        self._defaults = defaults
        self._ways: Cache[Hashable, Way] = Cache(REMEMBERED_WAYS)
        self._files: Cache[str, _File | None] = Cache(REMEMBERED_FILES)
        self._options: Cache[str, tuple[Mapping[str, Any], str]] = Cache(REMEMBERED_WAYS)

    def check(self, row: Row) -> Entry:
        """What is to be enqueued for `row`.

        Raises:
            BadRowError: nothing; it names each column, its value and what is allowed.
        """
        values = row.values
        try:
            key = _key(values.get("key"))
            ask, options_written = self._ask(row)
            way = self._way(ask, options_written)
        except InvalidJobError as error:
            raise BadRowError([Mistake(row.line, error.field, error.message, _shown(values.get("key")))]) from None
        places: dict[str, str] = {}
        stamps = [fingerprint(ask, options_written)]
        mistakes: list[Mistake] = []
        for role in KINDS[ask.kind]:
            self._take(role, getattr(ask, role), places, stamps, mistakes)
        in_options = self._option_pictures(ask, way) if self._pictures_in_options and ask.options else {}
        for option, uri in in_options.items():
            self._take(f"options.{option}", uri, places, stamps, mistakes)
        if mistakes:
            raise BadRowError([Mistake(row.line, each.column, each.message, key) for each in mistakes])
        digest = hashlib.sha256("|".join(stamps).encode()).hexdigest()
        extra = {name: value for name, value in values.items() if name not in _OURS and value not in _NOTHING}
        options = ask.options
        if in_options:
            options = {**options, **{name: places.pop(f"options.{name}", uri) for name, uri in in_options.items()}}
        return Entry(row.line, key, ask, places, options, way, digest, extra)

    def _take(self, field: str, uri: str | None, places: dict[str, str], stamps: list[str], bad: list[Mistake]) -> None:
        """Look at one picture of a row, where it is a local file."""
        if not uri:
            return
        file = self._files.get_or_make(uri, lambda: _look(self._folder, uri))
        if file is None:
            return
        if file.problem:
            bad.append(Mistake(0, field, f"{uri!r}: {file.problem}"))
        stamps.append(file.stamp)
        places[field] = file.place

    def _option_pictures(self, ask: Ask, way: Way) -> Mapping[str, str]:
        """The pictures that the row's options name, by option."""
        ways = ((account, lane_operation(way.lane, account)) for account in self._accounts.values())
        operations = {name: account.operations[name] for account, name in ways if name is not None}
        return {
            str(operation.needs[role].option): uri
            for operation in operations.values()
            for role, uri in operation.option_pictures(ask.options).items()
        }

    def _ask(self, row: Row) -> tuple[Ask, str]:
        values = row.values
        options, options_written = self._parse_options(values.get("options"))
        account, provider = _text("account", values.get("account")), _text("provider", values.get("provider"))
        if account is None and provider is None:
            account, provider = self._defaults.account, self._defaults.provider
        ask = Ask(
            kind=_text("kind", values.get("kind")) or "",
            source=self._uri("source", values.get("source")),
            target=self._uri("target", values.get("target")),
            image=self._uri("image", values.get("image")),
            prompt=_text("prompt", values.get("prompt"), strip=False),
            account=account,
            provider=provider,
            operation=_text("operation", values.get("operation")),
            options=options,
            consent=_text(CONSENT, values.get(CONSENT)),
        )
        if self._defaults.require_consent and not ask.consent:
            raise InvalidJobError(CONSENT, "is missing; with --require-consent each row names the model's release")
        return ask, options_written

    def _uri(self, role: str, value: Any) -> str | None:
        """A picture's path or address; in a catalog that lies at an address, relative paths are relative to that."""
        uri = _text(role, value)
        if uri is None or self._address is None or "://" in uri or uri.startswith("/"):
            return uri
        scheme, _, place = self._address.partition("://")
        server, _, folder = place.partition("/")
        return f"{scheme}://{server}{posixpath.normpath(f'/{folder}/{uri}')}"

    def _parse_options(self, value: Any) -> tuple[Mapping[str, Any], str]:
        """A row's options, and their canonical form."""
        if value is None or value == "":
            return {}, canonical({})
        if isinstance(value, dict):
            return value, canonical(value)
        if not isinstance(value, str):
            raise InvalidJobError("options", f"{value!r} is not a JSON object")
        return self._options.get_or_make(value, lambda: _parsed_options(value))

    def _way(self, ask: Ask, options_written: str) -> Way:
        """The way of `ask`, remembered under everything that `route` looks at."""
        pictures = (_shape(ask.source), _shape(ask.target), _shape(ask.image))
        prompt = ask.prompt or ""
        consent = ask.consent or ""
        if "unusual" in pictures or len(prompt) > MAX_PROMPT or "\x00" in prompt:
            return self._find_way(ask)
        if len(consent) > MAX_CONSENT or not consent.isprintable():
            return self._find_way(ask)
        said = (bool(prompt), bool(prompt.strip()), bool(consent))
        known = (ask.kind, ask.account, ask.provider, ask.operation, options_written, pictures, said)
        return self._ways.get_or_make(known, lambda: self._find_way(ask))

    def _find_way(self, ask: Ask) -> Way:
        lane = route(ask, self._accounts, self._reach)
        costs, unpriced = [], []
        for account in self._accounts.values():
            name = lane_operation(lane, account)
            if name is not None:
                costs.append(account.cost(account.operations[name], ask.options))
                if name.partition(".")[2] not in account.prices:
                    unpriced.append(f"{account.name}: {name}")
        return Way(lane, min(costs), max(costs), tuple(unpriced))


def _key(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text("key", value)
    if text is None:
        raise InvalidJobError("key", "is missing; it names the row within its catalog, and must not change")
    if len(text) > MAX_KEY or not text.isprintable():
        raise InvalidJobError("key", f"{text[:80]!r} is not allowed; allowed: 1 to {MAX_KEY} printable characters")
    return text


def _shown(key: Any) -> str:
    """A key in a message, whatever it is."""
    return key if isinstance(key, str) else "" if key is None else repr(key)


def _text(column: str, value: Any, *, strip: bool = True) -> str | None:
    """A column's text, or None where it is empty."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidJobError(column, f"{value!r} is not text")
    return (value.strip() if strip else value) or None


def _parsed_options(text: str) -> tuple[Mapping[str, Any], str]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InvalidJobError("options", f"{text[:80]!r} {error}") from None
    if not isinstance(value, dict):
        raise InvalidJobError("options", f'{text[:80]!r} is not a JSON object, such as {{"batch": 2}}')
    return value, canonical(value)


def _shape(uri: str | None) -> str | None:
    """All that routing looks at of a picture's address."""
    if uri is None:
        return None
    if len(uri) > MAX_URI or "\x00" in uri:
        return "unusual"
    return uri.partition("://")[0] if "://" in uri else "path"


def _look(folder: Path, uri: str) -> _File | None:
    """Look at the local file that `uri` names; None for an address elsewhere."""
    path = local_path(uri)
    if path is None:
        return None
    place = os.path.abspath(folder / path)  # noqa: PTH100 - must not follow links, which may change
    try:
        picture = header(Path(place))
        stat = Path(place).stat()
    except BadPictureError as error:
        return _File(place, problem=str(error))
    except OSError as error:
        return _File(place, problem=f"the file cannot be read: {error.strerror or error}")
    problem = None
    if picture.animated:
        problem = f"this is an animated {picture.format}; a still picture is needed"
    elif stat.st_size > MAX_INPUT_BYTES:
        problem = f"the file has {stat.st_size:,} bytes; allowed: {MAX_INPUT_BYTES:,}"
    return _File(place, f"{stat.st_size}:{stat.st_mtime_ns}", problem)
