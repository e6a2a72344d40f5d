"""The check of one catalog row: its columns, its route, and the local files that it names.

What rows have in common is computed once: the check of an operation and its options, the route
(`workers.jobs.routing.route`) of each kind of picture in it, and the check of a picture. So checking a million rows
costs little more than reading them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from catalog.cells import is_failed_formula, text_of
from catalog.columns import COLUMNS, Row
from catalog.errors import Mistake
from catalog.local_files import LocalFile
from catalog.pictures import Picture, Pictures
from catalog.rows import parse_json
from recast.errors import InvalidJobError
from workers.config.accounts import Account
from workers.jobs.fingerprint import canonical, fingerprint
from workers.jobs.lanes import lane_operation
from workers.jobs.request import CONSENT, KINDS, MAX_CONSENT, MAX_KEY, MAX_PROMPT, JobRequest
from workers.jobs.routing import Reach, option_pictures, route
from workers.jobs.run_options import DEFAULTS, RunOptions

CACHED_ORDERS = 10_000  # combinations of kind, account, operation and options; one takes about 1 KiB

_OURS = frozenset(COLUMNS)
#: The signs without a shape that scripts, hyphenation and emoji need: joiners, the soft hyphen, the tags of flags.
JOINERS = frozenset({"\u200c", "\u200d", "\u00ad", *map(chr, range(0xE0020, 0xE0080))})
# Emoji that are younger than this Python's tables.
_EMOJI_TO_COME = frozenset(map(chr, range(0x1F300, 0x1FB00)))


@dataclass(frozen=True)
class Route:
    """A row's lane, and what its submission costs at the cheapest and at the most expensive account."""

    lane: str
    cheapest: Decimal
    dearest: Decimal
    #: ``account: operation`` pairs without a price.
    unpriced: tuple[str, ...] = ()

    @cached_property
    def written(self) -> tuple[str, str]:
        """Both costs as the database reads them."""
        return str(self.cheapest), str(self.dearest)


@dataclass(slots=True)  # not frozen, as there are millions: making one would take five times as long
class Entry:
    """A row that can be enqueued."""

    line: int
    key: str
    ask: JobRequest
    #: The local pictures of `ask` by role: absolute paths, since workers run elsewhere.
    places: Mapping[str, str]
    #: The options of `ask`, their local pictures absolute as well.
    options: Mapping[str, Any]
    route: Route
    fingerprint: str
    extra: Mapping[str, Any]
    #: The fingerprint that the row had while it contained the folder of its pictures, where it differs.
    former: str | None = None
    #: Whether source and target are the same picture.
    same: bool = False


class BadRowError(Exception):
    """A row that cannot be enqueued; `mistakes` lists what is wrong with it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class _Order:
    """What rows of one kind, account, provider, operation and options have in common."""

    kind: str
    account: str | None
    provider: str | None
    operation: str | None
    options: Mapping[str, Any]
    #: The options in canonical form.
    written: str
    #: The route by everything that routing reads besides: the pictures' schemes, and whether there are texts.
    routes: dict[tuple[bool | str, ...], Route] = field(default_factory=dict)


class Checker:
    """Checks the rows of one catalog.

    Args:
        accounts: the accounts that rows may use.
        reach: how providers can fetch local files.
        base: what relative paths are relative to: the catalog's folder or its address.
        options: the run's options: account and provider of rows that name neither, and whether each needs a consent.
    """

    def __init__(
        self, accounts: Mapping[str, Account], reach: Reach, base: str | Path, options: RunOptions = DEFAULTS
    ) -> None:
        self._accounts = accounts
        self._reach = reach
        self._pictures = Pictures(base, reach.roots)
        self._pictures_in_options = any(
            need.option for account in accounts.values() for op in account.operations.values()
            for need in op.needs.values()
        )  # fmt: skip
        self._run = options
        #: Metadata cells that hold a failed formula, by column.
        self.failed_formulas: Counter[str] = Counter()
        self._order = lru_cache(CACHED_ORDERS)(self._read_order)  # what it raises is not kept

    def check(self, row: Row) -> Entry:
        """The entry to enqueue for `row`.

        Raises:
            BadRowError: the row is wrong; it names each column, its value and what is allowed.
        """
        values = row.values
        try:
            key = _key(values.get("key"))
            order = self._order_of(values)
            pictures = self._pictures.of(values)
            ask = self._ask(order, pictures, values)
            row_route = self._route(order, ask, pictures)
        except InvalidJobError as error:
            raise BadRowError([Mistake(row.line, error.field, error.message, _shown(values.get("key")))]) from None
        files: dict[str, LocalFile] = {}
        mistakes: list[Mistake] = []
        for role in KINDS[ask.kind]:
            _note(role, pictures[role].file, files, mistakes)
        in_options = self._option_pictures(ask, row_route, mistakes)
        for option, uri in in_options.items():
            _note(f"options.{option}", self._pictures.file(uri), files, mistakes)
        if mistakes:
            raise BadRowError([Mistake(row.line, each.column, each.message, key) for each in mistakes])
        places: dict[str, str] = {}
        stamps: list[str] = []
        for name, file in files.items():
            places[name] = file.place
            stamps.append(file.stamp)
        digest, former = self._fingerprints(row, ask, order, pictures, stamps)
        options = ask.options
        if in_options:
            options = {**options, **{name: places.pop(f"options.{name}", uri) for name, uri in in_options.items()}}
        # A row that a person wrote with one picture twice is meant so; a search finds the source by chance.
        same = row.named is not None and self._is_same(ask, files)
        return Entry(row.line, key, ask, places, options, row_route, digest, self._extra(values), former, same)

    def _fingerprints(
        self, row: Row, ask: JobRequest, order: _Order, pictures: Mapping[str, Picture], stamps: list[str]
    ) -> tuple[str, str | None]:
        """The row's fingerprint, and the one it had while its pictures were called otherwise, where it differs."""

        def made(names: Mapping[str, str]) -> str:
            return _digest(fingerprint(replace(ask, **dict[str, Any](names)), order.written), stamps)

        asked = _digest(fingerprint(ask, order.written), stamps)
        if row.named:
            return made(row.named), asked
        names = {role: name for role, picture in pictures.items() if (name := picture.former) is not None}
        return asked, made(names) if names else None

    def _is_same(self, ask: JobRequest, files: Mapping[str, LocalFile]) -> bool:
        """Whether the source and the target of a swap are the same address, the same file, or files of one content."""
        if ask.source == ask.target:
            return True
        if not {"source", "target"} <= files.keys():
            return False
        return self._pictures.is_one_content(files["source"], files["target"])

    def _extra(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row's metadata, without empty cells."""
        extra = {}
        for name, value in values.items():
            if name not in _OURS and value is not None and value != "":
                extra[name] = value
                if is_failed_formula(value):
                    self.failed_formulas[name] += 1
        return extra

    def _option_pictures(self, ask: JobRequest, route: Route, bad: list[Mistake]) -> Mapping[str, str]:
        """The pictures in the row's options, by option, as `Pictures.address` gives them."""
        if not self._pictures_in_options or not ask.options:
            return {}
        try:
            found = option_pictures(route.lane, ask.options, self._accounts)
            return {option: self._pictures.address(f"options.{option}", uri) for option, uri in found.items()}
        except InvalidJobError as error:
            bad.append(Mistake(0, error.field, error.message))
            return {}

    def _order_of(self, values: Mapping[str, Any]) -> _Order:
        get, options = values.get, values.get("options")
        if isinstance(options, dict):
            options = canonical(options)
        cells = get("kind"), get("account"), get("provider"), get("operation"), options
        try:
            return self._order(*cells)
        except TypeError:  # a list of JSON, which no cell may hold, cannot be kept by what it is
            return self._read_order(*cells)

    def _read_order(self, kind: Any, account: Any, provider: Any, operation: Any, options: Any) -> _Order:
        parsed = _parsed_options(options)
        account, provider = text_of("account", account), text_of("provider", provider)
        if account is None and provider is None:
            account, provider = self._run.account, self._run.provider
        return _Order(
            text_of("kind", kind) or "", account, provider, text_of("operation", operation), parsed, canonical(parsed)
        )

    def _ask(self, order: _Order, pictures: Mapping[str, Picture], values: Mapping[str, Any]) -> JobRequest:
        prompt = text_of("prompt", values.get("prompt"), strip=False)
        consent = text_of(CONSENT, values.get(CONSENT))
        if self._run.require_consent and not consent:
            raise InvalidJobError(
                CONSENT, "is missing; with --require-consent, each row must give the reference of a model release"
            )
        ask = JobRequest(
            order.kind, None, None, None, prompt, order.account, order.provider, order.operation, order.options, consent
        )
        for role, picture in pictures.items():
            setattr(ask, role, picture.uri)
        return ask

    def _route(self, order: _Order, ask: JobRequest, pictures: Mapping[str, Picture]) -> Route:
        """The route of `ask`, kept in `order` under everything that `route` reads besides."""
        prompt, consent = ask.prompt or "", ask.consent or ""
        if len(prompt) > MAX_PROMPT or "\x00" in prompt or len(consent) > MAX_CONSENT or not consent.isprintable():
            return self._find_route(ask)
        key: list[bool | str] = [prompt != "", prompt.isspace(), consent != ""]
        for role, picture in pictures.items():
            key += (role, picture.scheme)
        kept = tuple(key)
        found = order.routes.get(kept)
        if found is None:
            found = order.routes[kept] = self._find_route(ask)
        return found

    def _find_route(self, ask: JobRequest) -> Route:
        return priced_route(route(ask, self._accounts, self._reach), ask.options, self._accounts)


def priced_route(lane: str, options: Mapping[str, Any], accounts: Mapping[str, Account]) -> Route:
    """What a job of a lane costs at those of the accounts that may take it."""
    costs, unpriced = [], []
    for account in accounts.values():
        name = lane_operation(lane, account)
        if name is not None:
            costs.append(account.cost(account.operations[name], options))
            if name.partition(".")[2] not in account.prices:
                unpriced.append(f"{account.name}: {name}")
    return Route(lane, min(costs), max(costs), tuple(unpriced))


def _note(name: str, file: LocalFile | None, files: dict[str, LocalFile], bad: list[Mistake]) -> None:
    """Keep what is known of a local file."""
    if file is not None:
        files[name] = file
        if file.problem:
            bad.append(Mistake(0, name, file.problem))


def _digest(asked: str, stamps: list[str]) -> str:
    return hashlib.sha256("|".join([asked, *stamps]).encode()).hexdigest()


def _key(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of("key", value)
    if text is None:
        raise InvalidJobError(
            "key", "is missing; give each row a key that is unique in its catalog and does not change"
        )
    if len(text) > MAX_KEY or not (text.isprintable() or all(map(_may_stand_in_a_key, text))):
        raise InvalidJobError("key", f"{text[:80]!r} is not allowed; allowed: 1 to {MAX_KEY} printable characters")
    return text


def _may_stand_in_a_key(sign: str) -> bool:
    """Whether a sign is printable, a blank of any width, or what joins letters and emoji."""
    return sign.isprintable() or sign in JOINERS or unicodedata.category(sign) == "Zs" or sign in _EMOJI_TO_COME


def _shown(key: Any) -> str:
    """A key as messages show it, also one that is not text."""
    return key if isinstance(key, str) else "" if key is None else repr(key)


def _parsed_options(value: Any) -> Mapping[str, Any]:
    """The options that a cell holds."""
    if value is not None and not isinstance(value, str):
        raise InvalidJobError("options", f"{value!r} is not a JSON object")
    text = text_of("options", value)
    if text is None:
        return {}
    try:
        parsed = parse_json(text)
    except ValueError as error:
        raise InvalidJobError("options", f"{text[:80]!r} {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidJobError("options", f'{text[:80]!r} is not a JSON object, such as {{"batch": 2}}')
    return parsed
