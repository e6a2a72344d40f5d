"""Values as cells of a CSV file that somebody will open in a spreadsheet."""

from __future__ import annotations

import json
import re
from typing import Any

# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"); plain numbers are none.
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def cell(value: Any) -> str:
    """`value` as text, JSON where it is none; what a spreadsheet would run is made text by a leading apostrophe."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else as_json(value)
    return f"'{written}" if _FORMULA.match(written) and not _NUMBER.fullmatch(written) else written


def as_json(value: Any) -> str:
    """`value` as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False)
