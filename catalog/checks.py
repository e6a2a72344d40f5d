"""The check of one catalog row: its columns, its route, and the local files that it names.

What rows have in common is computed once: the route (`workers.jobs.routing.route`) for each combination of accounts,
operation and options, and the check of a file for each distinct path. So checking a million rows costs little more than
reading them.
"""

from __future__ import annotations

import hashlib
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from catalog.cells import is_failed_formula
from catalog.columns import COLUMNS, Row
from catalog.errors import Mistake
from catalog.local_files import LocalFile, content_of, look_at
from catalog.rows import parse_json
from recast.errors import InvalidJobError
from workers.cache import Cache
from workers.config.accounts import Account
from workers.http.addresses import advice_for, is_schemeless, visible
from workers.jobs.fingerprint import canonical, fingerprint
from workers.jobs.lanes import lane_operation
from workers.jobs.request import CONSENT, KINDS, MAX_CONSENT, MAX_KEY, MAX_PROMPT, MAX_URI, JobRequest
from workers.jobs.routing import Reach, option_pictures, picture_uri, route
from workers.jobs.run_options import DEFAULTS, RunOptions

CACHED_ROUTES = 10_000  # combinations of accounts, operation and options; an entry takes about 1 KiB
CACHED_FILES = 100_000  # paths; an entry takes about 300 bytes

_OURS = frozenset(COLUMNS)
#: The signs without a shape that scripts, hyphenation and emoji need: joiners, the soft hyphen, the tags of flags.
JOINERS = frozenset({"\u200c", "\u200d", "\u00ad", *map(chr, range(0xE0020, 0xE0080))})
# Emoji that are younger than this Python's tables.
_EMOJI_TO_COME = frozenset(map(chr, range(0x1F300, 0x1FB00)))
_NOTHING: tuple[Any, ...] = ("", None)


@dataclass(frozen=True, slots=True)
class Route:
    """A row's lane, and what its submission costs at the cheapest and at the most expensive account."""

    lane: str
    cheapest: Decimal
    dearest: Decimal
    #: ``account: operation`` pairs without a price.
    unpriced: tuple[str, ...] = ()

    @property
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
        self._address = str(base) if "://" in str(base) else None
        self._folder = Path() if self._address else Path(base)
        self._pictures_in_options = any(
            need.option for account in accounts.values() for op in account.operations.values()
            for need in op.needs.values()
        )  # fmt: skip
        self._run = options
        #: Metadata cells that hold a failed formula, by column.
        self.failed_formulas: Counter[str] = Counter()
        self._routes: Cache[Hashable, Route] = Cache(CACHED_ROUTES)
        self._files: Cache[str, LocalFile | None] = Cache(CACHED_FILES)
        self._contents: Cache[str, str] = Cache(CACHED_FILES)
        self._options: Cache[str, tuple[Mapping[str, Any], str]] = Cache(CACHED_ROUTES)

    def check(self, row: Row) -> Entry:
        """The entry to enqueue for `row`.

        Raises:
            BadRowError: the row is wrong; it names each column, its value and what is allowed.
        """
        values = row.values
        try:
            key = _key(values.get("key"))
            ask, options_written = self._ask(row)
            row_route = self._route(ask, options_written)
        except InvalidJobError as error:
            raise BadRowError([Mistake(row.line, error.field, error.message, _shown(values.get("key")))]) from None
        places: dict[str, str] = {}
        stamps: list[str] = []
        mistakes: list[Mistake] = []
        for role in KINDS[ask.kind]:
            self._take(role, getattr(ask, role), places, stamps, mistakes)
        in_options = self._option_pictures(ask, row_route, mistakes)
        for option, uri in in_options.items():
            self._take(f"options.{option}", uri, places, stamps, mistakes)
        if mistakes:
            raise BadRowError([Mistake(row.line, each.column, each.message, key) for each in mistakes])
        digest = _digest(fingerprint(ask, options_written), stamps)
        former = None
        if row.named:
            former, digest = (
                digest,
                _digest(fingerprint(replace(ask, **dict[str, Any](row.named)), options_written), stamps),
            )
        extra = {name: value for name, value in values.items() if name not in _OURS and value not in _NOTHING}
        self.failed_formulas.update(name for name, value in extra.items() if is_failed_formula(value))
        options = ask.options
        if in_options:
            options = {**options, **{name: places.pop(f"options.{name}", uri) for name, uri in in_options.items()}}
        # A row that a person wrote with one picture twice is meant so; a search finds the source by chance.
        same = row.named is not None and self._is_same(ask, places, stamps)
        return Entry(row.line, key, ask, places, options, row_route, digest, extra, former, same)

    def _take(self, field: str, uri: str | None, places: dict[str, str], stamps: list[str], bad: list[Mistake]) -> None:
        """Check one picture of a row, if it is a local file."""
        if not uri:
            return
        file = self._files.get_or_make(
            uri, lambda: look_at(uri, self._folder, self._reach.roots, elsewhere=self._address is not None)
        )
        if file is None:
            return
        if file.problem:
            bad.append(Mistake(0, field, f"{visible(uri)}: {file.problem}"))
        stamps.append(file.stamp)
        places[field] = file.place

    def _is_same(self, ask: JobRequest, places: Mapping[str, str], stamps: list[str]) -> bool:
        """Whether the source and the target of a swap are the same address, the same file, or files of one content."""
        if ask.source == ask.target:
            return True
        if not {"source", "target"} <= places.keys():
            return False
        source, target = places["source"], places["target"]
        # Only files of one size are read.
        one_size = stamps[0].partition(":")[0] == stamps[1].partition(":")[0]
        return source == target or (one_size and self._content(source) == self._content(target))

    def _content(self, place: str) -> str:
        return self._contents.get_or_make(place, lambda: content_of(place))

    def _option_pictures(self, ask: JobRequest, route: Route, bad: list[Mistake]) -> Mapping[str, str]:
        """The pictures in the row's options, by option."""
        if not self._pictures_in_options or not ask.options:
            return {}
        try:
            return option_pictures(route.lane, ask.options, self._accounts)
        except InvalidJobError as error:
            bad.append(Mistake(0, error.field, error.message))
            return {}

    def _ask(self, row: Row) -> tuple[JobRequest, str]:
        values = row.values
        options, options_written = self._parse_options(values.get("options"))
        account, provider = _text("account", values.get("account")), _text("provider", values.get("provider"))
        if account is None and provider is None:
            account, provider = self._run.account, self._run.provider
        ask = JobRequest(
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
        if self._run.require_consent and not ask.consent:
            raise InvalidJobError(
                CONSENT, "is missing; with --require-consent, each row must give the reference of a model release"
            )
        return ask, options_written

    def _uri(self, role: str, value: Any) -> str | None:
        """A picture's path or address; in a catalog with an address, relative paths are relative to that address."""
        text = _text(role, value)
        if text is None:
            return None
        uri = picture_uri(role, text)
        if self._address is None or "://" in uri or (uri.startswith("/") and not uri.startswith("//")):
            return uri
        if is_schemeless(uri):
            raise InvalidJobError(role, f"{visible(uri)} has no scheme{advice_for(uri)}")
        scheme, _, place = self._address.partition("://")
        server, _, folder = place.partition("/")
        return picture_uri(role, f"{scheme}://{server}{posixpath.normpath(f'/{folder}/{uri}')}")

    def _parse_options(self, value: Any) -> tuple[Mapping[str, Any], str]:
        """A row's options, and their canonical form."""
        if isinstance(value, dict):
            return value, canonical(value)
        if value is not None and not isinstance(value, str):
            raise InvalidJobError("options", f"{value!r} is not a JSON object")
        text = _text("options", value)
        if text is None:
            return {}, canonical({})
        return self._options.get_or_make(text, lambda: _parsed_options(text))

    def _route(self, ask: JobRequest, options_written: str) -> Route:
        """The route of `ask`, cached under everything that `route` reads."""
        pictures = (_shape(ask.source), _shape(ask.target), _shape(ask.image))
        prompt = ask.prompt or ""
        consent = ask.consent or ""
        if "unusual" in pictures or len(prompt) > MAX_PROMPT or "\x00" in prompt:
            return self._find_route(ask)
        if len(consent) > MAX_CONSENT or not consent.isprintable():
            return self._find_route(ask)
        texts = (bool(prompt), bool(prompt.strip()), bool(consent))
        key = (ask.kind, ask.account, ask.provider, ask.operation, options_written, pictures, texts)
        return self._routes.get_or_make(key, lambda: self._find_route(ask))

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


def _digest(asked: str, stamps: list[str]) -> str:
    return hashlib.sha256("|".join([asked, *stamps]).encode()).hexdigest()


def _key(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text("key", value)
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


def _text(column: str, value: Any, *, strip: bool = True) -> str | None:
    """A column's text, or None where it is empty."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidJobError(column, f"{value!r} is not text")
    if is_failed_formula(value):
        raise InvalidJobError(column, f"{value!r} is a formula that failed; correct it in the spreadsheet")
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
    """Everything that routing reads of a picture's address."""
    if uri is None:
        return None
    if len(uri) > MAX_URI or "\x00" in uri:  # routing rejects these, so they are not cached
        return "unusual"
    return uri.partition("://")[0] if "://" in uri else "path"
