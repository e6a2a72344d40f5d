"""Routing: which operations, and so which accounts, can serve a job, with every rule about a job's arguments.

The answer is written into the job as its lane: the operations that could serve it, behind the pinned account if there
is one (``zhiqite-main@zhiqite.swap``, ``piktid.swap|zhiqite.swap``). A pump claims from the lanes that name its account
and one of its operations, so jobs without a pinned account are bound when they are claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from models.jobs import ROLES
from providers import PROVIDERS
from providers.spec import Operation, Via
from recast.errors import InvalidJobError
from recast.hints import hint
from workers.config.accounts import Account
from workers.http.addresses import AddressError, one_form, visible
from workers.images.roots import EVERYWHERE, Roots
from workers.images.uris import is_remote
from workers.jobs.lanes import lane_of, lane_operation
from workers.jobs.request import KINDS, MAX_CONSENT, MAX_PROMPT, MAX_URI, JobRequest, is_storable


@dataclass(frozen=True, slots=True)
class Reach:
    """The ways in which our own pictures can reach a provider that fetches by URL."""

    public_url: bool
    presigned: bool
    #: Where inputs may come from at all.
    roots: Roots = EVERYWHERE

    @property
    def ok(self) -> bool:
        """Whether a local file can be offered by URL."""
        return self.public_url or self.presigned


def route(ask: JobRequest, accounts: Mapping[str, Account], reach: Reach) -> str:
    """Check `ask` and return its lane.

    Raises:
        InvalidJobError: naming the field, the value and what is allowed.
    """
    _check_kind(ask)
    _check_prompt(ask)
    _check_consent(ask)
    for role, uri in ask.pictures().items():
        picture_uri(role, uri)
    if not is_storable(ask.options):
        raise InvalidJobError("options", "contain a NUL character, an incomplete character or NaN; remove it")
    candidates = _candidates(ask, accounts)
    problems: list[InvalidJobError] = []
    fitting = []
    for operation in candidates:
        problem = _problem(ask, operation, reach)
        if problem is None:
            fitting.append(operation.name)
        else:
            problems.append(problem)
    if not fitting:
        raise problems[0]
    lane = lane_of(ask.account, fitting)
    if not ask.consent:
        _refuse_without_consent(lane, accounts)
    return lane


def in_one_form(ask: JobRequest, lane: str, accounts: Mapping[str, Account]) -> JobRequest:
    """`ask`, which `route` has given its lane, with each of its pictures in its one form."""
    pictures = {role: picture_uri(role, uri) for role, uri in ask.pictures().items()}
    return replace(ask, **pictures, options={**ask.options, **option_pictures(lane, ask.options, accounts)})


def _check_kind(ask: JobRequest) -> None:
    if ask.kind not in KINDS:
        raise InvalidJobError("kind", f"{ask.kind!r} is unknown; allowed: {', '.join(KINDS)}")
    wanted = KINDS[ask.kind]
    for role in ROLES:
        value = getattr(ask, role)
        if value is not None and not isinstance(value, str):
            raise InvalidJobError(role, f"{value!r} is not a path or URL")
        if role in wanted and not value:
            raise InvalidJobError(role, f"is missing; a {ask.kind} needs {' and '.join(wanted)}")
        if role not in wanted and value:
            raise InvalidJobError(role, f"{value!r} is not used; a {ask.kind} takes {' and '.join(wanted)}")


def _check_prompt(ask: JobRequest) -> None:
    if ask.prompt is None:
        return
    if not isinstance(ask.prompt, str):
        raise InvalidJobError("prompt", f"{ask.prompt!r} is not text")
    if len(ask.prompt) > MAX_PROMPT or not is_storable(ask.prompt):
        raise InvalidJobError("prompt", f"must be text of at most {MAX_PROMPT} characters without NUL")


def _check_consent(ask: JobRequest) -> None:
    if ask.consent is None:
        return
    if not isinstance(ask.consent, str):
        raise InvalidJobError("consent", f"{ask.consent!r} is not text")
    if len(ask.consent) > MAX_CONSENT or not ask.consent.isprintable():
        message = f"must be the reference of a release: at most {MAX_CONSENT} printable characters"
        raise InvalidJobError("consent", message)


def _refuse_without_consent(lane: str, accounts: Mapping[str, Account]) -> None:
    """No account that may claim the job may require a consent that the job does not have."""
    requiring = [
        name for name, account in accounts.items() if account.require_consent and lane_operation(lane, account)
    ]
    if requiring:
        raise InvalidJobError(
            "consent",
            f"is missing; account {', '.join(requiring)} requires the reference of the model's release"
            " (require_consent): add it, or name another account",
        )


def picture_uri(role: str, uri: str) -> str:
    """A picture's path or address in its one form, as every door takes it in.

    Raises:
        InvalidJobError: it can be neither; the message names `role`, shows the value and says what to write.
    """
    if len(uri) > MAX_URI:
        raise InvalidJobError(role, f"{visible(uri)} has {len(uri):,} characters; a path or URL has up to {MAX_URI:,}")
    if not is_storable(uri):
        raise InvalidJobError(role, f"{visible(uri)} is not a path or URL: it has a NUL or an incomplete character")
    try:
        return one_form(uri)
    except AddressError as error:
        raise InvalidJobError(role, str(error)) from None


def option_pictures(lane: str, options: Mapping[str, Any], accounts: Mapping[str, Account]) -> dict[str, str]:
    """The pictures that the options of a job of `lane` name, by option, each in its one form.

    Raises:
        InvalidJobError: as `picture_uri` does.
    """
    lanes = ((account, lane_operation(lane, account)) for account in accounts.values())
    operations = {name: account.operations[name] for account, name in lanes if name is not None}
    named = {
        str(operation.needs[role].option): uri
        for operation in operations.values()
        for role, uri in operation.option_pictures(options).items()
    }
    return {option: picture_uri(f"options.{option}", uri) for option, uri in named.items()}


def _candidates(ask: JobRequest, accounts: Mapping[str, Account]) -> list[Operation]:
    """The operations that the request allows, among those that some account has."""
    if ask.account is not None and ask.account not in accounts:
        raise InvalidJobError("account", f"{ask.account!r} is unknown; allowed: {_names(accounts)}")
    if ask.provider is not None and ask.provider not in PROVIDERS:
        raise InvalidJobError("provider", f"{ask.provider!r} is unknown; allowed: {_names(PROVIDERS)}")
    usable = [account for name, account in accounts.items() if ask.account in (None, name)]
    if ask.provider is not None:
        usable = [account for account in usable if account.provider == ask.provider]
        if not usable:
            raise InvalidJobError("provider", f"{ask.provider!r} has no account{_pinned(ask)}; {_has(accounts)}")
    # In the provider's order, whatever the accounts' order is: the first operation of a kind is the default.
    offered = {name for account in usable for name in account.operations}
    everything = {name: operation for account in usable for name, operation in account.adapter.OPERATIONS.items()}
    operations = {name: operation for name, operation in everything.items() if name in offered}
    if ask.operation is not None:
        if ask.operation not in operations:
            raise InvalidJobError(
                "operation", f"{ask.operation!r} is not an operation of the accounts; allowed: {_names(operations)}"
            )
        operations = {ask.operation: operations[ask.operation]}
    found = [operation for operation in operations.values() if operation.kind == ask.kind]
    if not found:
        field = "operation" if ask.operation else "account" if ask.account else "kind"
        value = getattr(ask, field)
        raise InvalidJobError(field, f"{value!r} cannot {ask.kind}; {_has(accounts)}")
    # A request that names no operation means a provider's first operation of the kind, not each of its variants.
    if ask.operation is None:
        firsts: dict[str, Operation] = {}
        for operation in found:
            firsts.setdefault(operation.name.partition(".")[0], operation)
        found = list(firsts.values())
    return found


def _problem(ask: JobRequest, operation: Operation, reach: Reach) -> InvalidJobError | None:
    try:
        operation.options.model_validate(dict(ask.options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        name = f"options.{path}" if path else "options"
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(operation.options.model_fields) or "none"
            return InvalidJobError(name, f"{operation.name} has no such option; allowed: {allowed}")
        message = first["msg"].removeprefix("Value error, ")
        return InvalidJobError(name, f"{first['input']!r} is not allowed for {operation.name}: {message}")
    if operation.prompt == "required" and not (ask.prompt or "").strip():
        return InvalidJobError("prompt", f"is missing; {operation.name} needs a prompt")
    if operation.prompt == "unused" and ask.prompt:
        return InvalidJobError("prompt", f"{operation.name} takes no prompt")
    pictures = ask.pictures()
    for role, uri in operation.option_pictures(ask.options).items():
        try:
            pictures[role] = picture_uri(f"options.{operation.needs[role].option}", uri)
        except InvalidJobError as error:
            return error
    for role, need in operation.needs.items():
        uri = pictures.get(role, "")
        passed_on = is_remote(uri) and not need.exact
        if uri and need.via is Via.URL and not passed_on and not reach.ok:
            return InvalidJobError(
                f"options.{need.option}" if need.option else role,
                f"{uri!r} is {'checked before it is sent' if is_remote(uri) else 'a local file'}, and"
                f" {operation.name} fetches its pictures by URL: set RECAST_PUBLIC_URL to the address of {hint('web')}"
                " as seen from outside",
            )
    return None


def _names(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"


def _pinned(ask: JobRequest) -> str:
    return f" under account {ask.account!r}" if ask.account else ""


def _has(accounts: Mapping[str, Account]) -> str:
    describe: Callable[[Account], str] = lambda account: f"{account.name} ({', '.join(account.operations)})"  # noqa: E731
    return f"the accounts are: {', '.join(map(describe, accounts.values())) or 'none'}"
