"""What `--help` says beside the table of commands: sections by what people do, and examples of the common commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recast.hints import PROGRAM

#: The commands in `recast --help`, by what people do with them. A command that is in no section stands at the end.
SECTIONS: Mapping[str, Sequence[str]] = {
    "Run work": ("run", "schedule"),
    "Look": ("status", "watch", "jobs", "show", "verify", "export", "open", "logs"),
    "Decide and repair": (
        "resolve", "retry", "redownload", "cancel", "pause", "resume", "reroute", "set-priority", "forget", "prune",
        "archive",
    ),
    "Review": (
        "review", "verdict", "redo", "pilot", "people", "guests", "tokens", "releases", "audit",
    ),
    "Money": ("books", "reconcile"),
    "Run the service": ("up", "worker", "beat", "flower", "web", "mcp", "sandbox"),
    "Set up and check": ("accounts", "providers", "webhooks", "doctor", "health", "db"),
}  # fmt: skip
REST = "Other commands"

#: What people type most after the program's name, by the command's words.
EXAMPLES: Mapping[tuple[str, ...], Sequence[str]] = {
    ("run",): (
        "run catalog.csv --dry-run",
        "run catalog.csv --max-cost 12.50",
        "run 'shoes/*.jpg' --source face.jpg --account mine",
    ),
    ("status",): ("status", "status spring", "status --watch"),
    ("retry",): (
        "retry spring --dry-run",
        "retry spring/shoe-1 spring/shoe-2",
        "retry --singles --newer 1d --dry-run",
    ),
    ("redo",): (
        "redo spring --verdict needs_work --dry-run",
        "redo spring shoe-1 --seed 7",
        "redo spring --reason hair --to other --max-cost 2.00",
        "redo --singles --check blurred --dry-run",
    ),
    ("verdict",): (
        "verdict spring/shoe-1 needs-work --reason hair",
        "verdict spring approve --dry-run",
        "verdict spring needs-work --check blurred --reason blurred",
        "verdict --singles approve --account main --dry-run",
    ),
    ("guests", "add"): ("guests add spring --role reviewer --expires 3d",),
    ("pilot",): ("pilot spring", "pilot spring --go-on --max-cost 40"),
    ("export",): (
        "export spring --to done.csv",
        "export spring --pictures done --template '{key}.{ext}'",
    ),
    ("schedule", "add"): (
        "schedule add nightly catalog.csv --cron '30 2 * * *' --dry-run",
        "schedule add mornings s3://in/new.csv --cron '0 6 * * MON-FRI'",
    ),
    ("archive",): ("archive --older-than 365d --dry-run", "archive --older-than 365d"),
    ("logs",): ("logs worker --follow",),
    ("up",): ("up --sandbox", "up --flower"),
}


def sectioned(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The sections with those of `names` that are in each; empty sections are left out."""
    placed = {name for section in SECTIONS.values() for name in section}
    found = [(title, [name for name in section if name in names]) for title, section in SECTIONS.items()]
    return [each for each in [*found, (REST, [name for name in names if name not in placed])] if each[1]]


def add_examples(command: object, *path: str) -> None:
    """Write the examples below the help of a command and of the commands in its group."""
    if lines := EXAMPLES.get(path):
        # After \\b a paragraph is printed as it stands.
        command.epilog = "\b\n" + "\n".join(["Examples:", *(f"  {PROGRAM} {line}" for line in lines)])  # type: ignore[attr-defined]
    inner: Mapping[str, object] = getattr(command, "commands", {})
    for name, each in inner.items():
        add_examples(each, *path, name)
