"""The runtime of a worker process: settings, database, accounts with adapters, storage, one event loop in a thread.

Celery's task slots are threads. A pump's slot hands its slice to the loop and waits; HTTP runs on the loop, SQL in a
small pool of threads beside it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from pydantic import SecretStr
from sqlalchemy.orm import Session

from providers.protocol import Endpoint, Http, Provider
from providers.sessions import Sessions
from workers.accounts import admission
from workers.accounts.latency import Latencies
from workers.accounts.tokens import StoredSessions
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, load
from workers.config.deployment import Deployment
from workers.config.settings import Settings, SettingsError
from workers.config.settings import settings as process_settings
from workers.engine.floors import Floors
from workers.engine.looks import OwnWeb, PublicAddresses, own_hosts
from workers.http.client import HttpClient, build_client
from workers.http.recorder import Recorder
from workers.http.redaction import Redacted, secrets_of
from workers.http.ssrf import Guard
from workers.http.urls import CallbackTokens
from workers.images.decoders import Decoders
from workers.images.inputs import Inputs
from workers.images.roots import Roots
from workers.images.storage import Storage
from workers.jobs.routing import Reach
from workers.messaging.task_events import Sampler

if TYPE_CHECKING:
    from workers.images.signing import Signer

P = ParamSpec("P")
T = TypeVar("T")


class Runtime(Deployment):
    """One process's connections to everything; built once, closed at the end."""

    def __init__(self, settings: Settings, secrets: Collection[str] | None = None) -> None:
        super().__init__(settings)
        #: The secrets of accounts that this process uses; by default all.
        self._secrets = secrets
        self.stopping = threading.Event()
        #: Pumps that claim work in this process now: they check again before they end, so they need no wake-up.
        self.active: dict[str, asyncio.Event] = {}
        #: What the poll pumps that run in this process learn, for its submit pumps to use at once.
        self.latencies: dict[str, Latencies] = {}
        #: Where accounts' queues began when their pumps last claimed here.
        self.floors: dict[str, Floors] = {}
        #: Which of the catalogs' jobs that end here Flower is shown.
        self.sampler = Sampler(settings.bulk_events)
        #: What accounts' providers listed as values of an option, by account.
        self.listed: dict[str, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._providers: dict[str, Provider] = {}
        self._downloads: dict[str, HttpClient] = {}
        self._webhook_client: HttpClient | None = None
        self._own_client: HttpClient | None = None
        #: What was seen at public addresses of pictures.
        self.addresses = PublicAddresses()
        #: Our own web, as providers reach it.
        self.own_web = OwnWeb(settings, lambda: self.own_client)
        self._clients: list[HttpClient] = []

    @cached_property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts of the accounts file, each with its row in the database.

        Raises:
            AccountsError: the file is missing or wrong.
        """
        accounts = load(self.settings.accounts_file, needed=self._secrets)

        def register_all(session: Session) -> None:
            for name in sorted(accounts):
                admission.register(session, accounts[name])

        self.db(register_all)
        return accounts

    @cached_property
    def decoders(self) -> Decoders:
        """Threads that decode pictures."""
        return Decoders()

    @cached_property
    def storage(self) -> Storage:
        """Where pictures are kept."""
        return Storage(self.settings.storage)

    @cached_property
    def signer(self) -> Signer | None:
        """What signs results; None where they are only marked.

        Raises:
            SettingsError: the certificate or its key cannot be used.
        """
        if self.settings.c2pa_certificate is None:
            return None
        # Only here: it loads what reads certificates, and most processes have none.
        from workers.images.signing import Signer  # noqa: PLC0415

        return Signer(self.settings)

    @cached_property
    def inputs(self) -> Inputs:
        """Prepares the pictures that jobs name."""
        return Inputs(self.settings, self.storage)

    @cached_property
    def callback_tokens(self) -> CallbackTokens:
        """Makes the tokens with which providers call back.

        Raises:
            SettingsError: there is no secret key.
        """
        return CallbackTokens(self._secret_key("the tokens of callbacks are recognized by it"))

    @cached_property
    def reach(self) -> Reach:
        """How providers can fetch our pictures."""
        return Reach(bool(self.settings.public_url), self.storage.can_sign, Roots.of(self.settings))

    def account(self, name: str) -> Account:
        """The account called `name`.

        Raises:
            AccountsError: there is none; messages for accounts that left the file come here.
        """
        try:
            return self.accounts[name]
        except KeyError:
            raise AccountsError(f"account {name!r} is not in {self.settings.accounts_file}") from None

    def provider(self, account: Account) -> Provider:
        """The adapter of `account`; call on the loop."""
        if account.name not in self._providers:
            self._providers[account.name] = self._adapter(account, self._client(Guard(allowed_hosts(account))))
        return self._providers[account.name]

    def recorded(self, account: Account) -> tuple[Recorder, Provider]:
        """An adapter of `account` whose exchanges are written down; call on the loop."""
        recorder = Recorder(self._client(Guard(allowed_hosts(account))), secrets_of(account.own))
        return recorder, self._adapter(account, recorder)

    def _adapter(self, account: Account, http: Http) -> Provider:
        endpoint = Endpoint(
            account=account.name,
            base_url=account.base_url,
            http=Redacted(http, secrets_of(account.own), self.settings.public_url),
            settings=account.own,
            submit_timeout=account.submit_timeout,
            sessions=self._sessions(account.name),
        )
        return account.adapter(endpoint)  # type: ignore[call-arg]

    def _sessions(self, account: str) -> Sessions:
        return StoredSessions(self, account, self._secret_key("providers' tokens are stored encrypted with it"))

    def _secret_key(self, why: str) -> SecretStr:
        if self.settings.secret_key is None:
            raise SettingsError(f"RECAST_SECRET_KEY is not set; {why}")
        return self.settings.secret_key

    def downloads(self, account: Account) -> HttpClient:
        """The client that fetches files whose URLs `account`'s provider, or a job, named; call on the loop.

        Unlike the adapter's client it does not trust the account's own base URL.
        """
        if account.name not in self._downloads:
            self._downloads[account.name] = self._client(Guard(account.allow_hosts))
        return self._downloads[account.name]

    @property
    def webhook_client(self) -> HttpClient:
        """The HTTP client for webhooks; call on the loop."""
        if self._webhook_client is None:
            self._webhook_client = self._client(Guard(self.settings.webhook_hosts))
        return self._webhook_client

    @property
    def own_client(self) -> HttpClient:
        """The HTTP client for our own web; call on the loop."""
        if self._own_client is None:
            self._own_client = self._client(Guard(own_hosts(self.settings)))
        return self._own_client

    def _client(self, guard: Guard) -> HttpClient:
        client = build_client(guard, max_connections=self.settings.connections)
        self._clients.append(client)
        return client

    def one_at_a_time(self, name: str) -> asyncio.Lock:
        """A lock that everybody on this process's loop who asks for `name` shares."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def in_decoder(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that decodes pictures in one of the threads for it; the database's stay free meanwhile."""
        return await self.decoders.run(partial(work, *args, **kwargs))

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the process's event loop and wait for it, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._running_loop()).result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="recast-loop", daemon=True).start()
            return self._loop

    def close(self) -> None:
        """Close every connection."""
        loop = self._loop
        if loop is not None:
            for client in self._clients:
                asyncio.run_coroutine_threadsafe(client.aclose(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
        if "decoders" in self.__dict__:
            self.decoders.close()
        super().close()


def allowed_hosts(account: Account) -> tuple[str, ...]:
    """Addresses the account may use although they are not public: its own base URL was named by the operator."""
    host = urlsplit(account.base_url).hostname
    return (*account.allow_hosts, *([host] if host else []))


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The runtime of this process."""
    return Runtime(process_settings())
