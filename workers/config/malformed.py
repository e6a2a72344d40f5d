"""What is said of settings that cannot be read: which one, why, and never a value, which may be a secret."""

from __future__ import annotations


def explain(error: ValueError) -> str:
    """Say what pydantic, or the reader of `.env`, found wrong."""
    if isinstance(error, UnicodeDecodeError):  # its own words repeat a byte, which may be one of a password
        line = error.object[: error.start].count(b"\n") + 1
        return f".env: line {line} is not UTF-8; save the file as UTF-8"
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    lines = []
    for item in errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        where = f"RECAST_{name.upper()}: " if name else ""
        lines.append(where + item["msg"].removeprefix("Value error, "))
    return "; ".join(lines)
