"""`recast open`: a link to the desk, in a browser where there is one; at this machine, it signs in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

import typer

from cli import completion
from cli.environment import JsonOption, SandboxOption, open_database, readable
from cli.exit_codes import ExitCode
from cli.late import load
from cli.listeners import url_of
from cli.output import Style, complain, emit, say
from desk.actors import from_command
from desk.local_links import FRAGMENT, LINK_SECONDS, is_local, make
from recast.hints import hint
from reports.batch import find
from workers import private
from workers.config.settings import Settings

ASK_SECONDS = 5.0  # for a web process of this machine to answer; it takes milliseconds
OPENED = "open.html"  # in the home: what leads a browser to the link
FOR = f"signs in once, within {LINK_SECONDS // 60} minutes"


def open_page(
    batch: Annotated[
        str | None,
        typer.Argument(help="Name of a batch. Default: the first page.", autocompletion=completion.batches),
    ] = None,
    *,
    browser: Annotated[bool, typer.Option(help="Open a browser; --no-browser only prints the address.")] = True,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print a link to the desk, and open it in a browser.

    At the machine that runs it, the link signs you in as an operator: once, and for a few minutes. Elsewhere it is the
    page's address, which asks for a name and a password.
    """
    if batch is None:
        settings, page = readable(sandbox=sandbox), ""
    else:
        with open_database(sandbox=sandbox) as deployment:
            settings, page = deployment.settings, f"batches/{deployment.db(find, batch).id}"
    base = address_of(settings)
    link = signing_in(settings, base, page)
    url = link or f"{base}/{page or 'batches'}"
    if as_json:
        emit({"url": url, "signs_in": link is not None, "seconds": LINK_SECONDS if link else None})
    else:
        say(url)
    if (lacking := _lacking(f"{base}/batches")) is not None:
        complain(lacking, style=Style.WAITING)
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    if not as_json and browser and _has_screen():
        load("webbrowser:open")(url if link is None else _leading(settings.home, link))


def signing_in(settings: Settings, base: str, page: str = "") -> str | None:
    """A link below `base` that signs in who types this, and leads to `page`; None where none would be good."""
    host = urlsplit(base).netloc
    if settings.secret_key is None or not is_local(host):
        return None
    query = f"?{urlencode({'next': f'/{page}'})}" if page else ""
    return f"{base}/sign-in{query}#{FRAGMENT}{make(settings.secret_key, host, from_command().name)}"


def _leading(home: Path, link: str) -> str:
    """The address of a file that leads to `link`: every user of a machine can read what a browser is started with."""
    file = private.folder(home).absolute() / OPENED
    private.write(file, f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(link)}">\n')
    return file.as_uri()


def address_of(settings: Settings) -> str:
    """Where the gallery is: that of the stack that runs here, else as the settings say."""
    path = urlsplit(settings.public_url or "").path.rstrip("/")
    if running := _running(settings).get("web_url"):
        return f"{running}{path}"
    return (settings.public_url or url_of(settings.web_host, settings.web_port)).rstrip("/")


def _running(settings: Settings) -> Mapping[str, Any]:
    try:
        found = json.loads(settings.stack_file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lacking(url: str) -> str | None:
    """Why the page cannot be seen; None if it asks for the password, as it should."""
    try:
        # No proxy of the environment's: it is an address of our own.
        build_opener(ProxyHandler({})).open(url, timeout=ASK_SECONDS).close()
    except HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            return None
        if error.code == HTTPStatus.NOT_FOUND:
            return f"the gallery is not served there: set RECAST_WEB_AUTH and start {hint('web')} again"
        return f"it answers {error.code}; read the log of {hint('web')}"
    except OSError as error:
        return f"nothing answers there ({getattr(error, 'reason', error)}); start {hint('web')}"
    return None


def _has_screen() -> bool:
    """Whether a person at a desktop typed this: elsewhere a browser would run in the terminal, or not at all."""
    return sys.stdout.isatty() and (sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)))
