"""The tree of commands: a table of their names, places and help, from which only the command that is called is loaded.

`--help`, completion and suggestions need the table alone. `tests/unit/cli/test_start.py` holds that it says what the
commands say of themselves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from cli.late import if_loaded, load
from cli.sections import add_examples, sectioned


class Entry(NamedTuple):
    """One command, or one group of commands."""

    name: str
    #: Its function, or its `typer.Typer`, as ``module:name``.
    place: str
    #: The first sentence of its help.
    help: str
    hidden: bool = False
    #: Whether `recast audit` lists who ran it and for what, unless it does so by itself.
    recorded: bool = False


COMMANDS = (
    Entry("run", "cli.run:run", "Make the pictures of a catalog.", recorded=True),
    Entry("status", "cli.batches:status", "Show batch progress."),
    Entry("watch", "cli.following:watch", "Show a batch's progress until it ends."),
    Entry("open", "cli.browser:open_page", "Print a link to the desk, and open it in a browser."),
    Entry("logs", "cli.service_logs:logs", "Print the logs of this machine's services."),
    Entry("jobs", "cli.jobs:jobs", "List jobs, newest first."),
    Entry("show", "cli.show:show", "Show one job: request, attempts, pictures, former versions."),
    Entry("export", "cli.export:export", "Write a batch as a table, and its pictures as files."),
    Entry("review", "cli.review:review", "Show what people approved, and its price."),
    Entry(
        "verdict", "cli.verdict:verdict",
        "Approve a picture or not, undo that, or choose one.",
    ),
    Entry("redo", "cli.redo:redo", "Ask for pictures again as new versions, which pays again."),
    Entry("pilot", "cli.pilot:pilot", "Show what a sample says of the rest; send or cancel it."),
    Entry("resolve", "cli.resolve:resolve", "List held jobs, or decide about them.", recorded=True),
    Entry("cancel", "cli.bulk:cancel", "Cancel queued jobs.", recorded=True),
    Entry("retry", "cli.bulk:retry", "Queue failed jobs again, which pays again.", recorded=True),
    Entry("pause", "cli.bulk:pause", "Stop sending jobs, and wait for submissions in flight.", recorded=True),
    Entry("resume", "cli.bulk:resume", "Send paused jobs again.", recorded=True),
    Entry("reroute", "cli.bulk:reroute", "Send queued jobs to another account.", recorded=True),
    Entry(
        "set-priority", "cli.bulk:set_priority", "Set the priority of queued jobs within their batch.", recorded=True
    ),
    Entry(
        "redownload", "cli.redownload:redownload",
        "Download again what was paid for and lost; costs nothing.", recorded=True,
    ),
    Entry(
        "reprioritise", "cli.bulk:set_priority", "Set the priority of queued jobs within their batch.",
        hidden=True, recorded=True,
    ),
    Entry("verify", "cli.verify:verify", "Say what made a picture, and find its job."),
    Entry(
        "forget", "cli.housekeeping:forget", "Remove a person's pictures and data, and what they became.",
        recorded=True,
    ),
    Entry(
        "archive", "cli.archive:archive", "Move jobs that ended long ago to Parquet files in the storage.",
        recorded=True,
    ),
    Entry("prune", "cli.housekeeping:prune", "Remove pictures by age.", recorded=True),
    Entry("books", "cli.spend:books", "Show spending by account, batch, label, month or operation."),
    Entry("reconcile", "cli.spend:reconcile", "Compare a provider's invoice with recorded attempts."),
    Entry("providers", "cli.providers:providers", "List operations, their options and their prices."),
    Entry("up", "cli.services:up", "Run a whole deployment in this terminal until Ctrl-C."),
    Entry("worker", "cli.services:worker", "Run a worker process."),
    Entry("beat", "cli.services:beat", "Run the beat, which sends the sweeps."),
    Entry("flower", "cli.services:flower", "Run Flower, which shows every job as a task."),
    Entry("web", "cli.services:web", "Serve pages for people, health, metrics and pictures."),
    Entry("sandbox", "cli.services:sandbox", "Run only the provider sandbox."),
    Entry("health", "cli.health:health", "Check a worker or beat of this machine."),
    Entry("doctor", "cli.doctor:doctor", "Check what this deployment needs and say how to fix it."),
    Entry("accounts", "cli.accounts:accounts", "Show, check, pause, resume and change accounts at providers."),
    Entry("people", "cli.people:people", "Add, list and change people who sign in to the pages."),
    Entry("guests", "cli.guests:guests", "Add, list and revoke links to one batch for guests."),
    Entry("tokens", "cli.tokens:tokens", "Add, list and revoke tokens of programs that use the API."),
    Entry(
        "releases", "cli.releases:releases",
        "Say what a release allows, and list what was made.",
    ),
    Entry("mcp", "cli.mcp:mcp", "Serve tools for assistants on standard input and output (MCP)."),
    Entry("audit", "cli.audit:audited", "List who did what, newest first."),
    Entry("schedule", "cli.schedules:schedules", "Run catalogs at planned times."),
    Entry("webhooks", "cli.webhooks:webhooks", "Notify other systems when jobs and batches end."),
    Entry("db", "cli.database:db", "Upgrade or check the schema; continue after a restore."),
)  # fmt: skip


class Later(TyperCommand):
    """A command as the table has it, until it is called."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.name, help=entry.help, hidden=entry.hidden)
        self._entry = entry

    def load(self) -> Any:
        """The command itself."""
        found = load(self._entry.place)
        one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            one.add_typer(found, name=self._entry.name)
        else:
            if self._entry.recorded:
                found = load("cli.recorded:recorded")(found.__name__.replace("_", "-"))(found)
            one.command(self._entry.name, hidden=self._entry.hidden)(found)
        made = typer.main.get_group(one).commands[self._entry.name]
        add_examples(made, self._entry.name)
        return made


class Tree(TyperGroup):
    """The group of all commands, each of which is loaded when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {entry.name: Later(entry) for entry in COMMANDS}

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as the class has it
        """The commands in their sections, with one column for the names of all."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        width = max(map(len, shown))
        for title, names in sectioned(list(shown)):
            rows = [(f"{name:<{width}}", shown[name].get_short_help_str(formatter.width - 6 - width)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, loaded, with its name and what is left of the arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        command = self.loaded(name) if name is not None else None
        if if_loaded("structlog:configure"):  # a command that has not loaded it logs nothing
            load("cli.logs:to_standard_error")()
        return name, command, rest

    def loaded(self, name: str) -> Any:
        """The command called `name`, loaded."""
        command = self.commands[name]
        if isinstance(command, Later):
            command = self.commands[name] = command.load()
        return command
