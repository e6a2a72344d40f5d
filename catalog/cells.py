"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

import json
import re
from typing import Any

# A spreadsheet reads a cell that begins with one of these as a formula (OWASP, "CSV Injection"), except a number.
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


# What spreadsheets show for a formula that failed: Excel, LibreOffice, Google Sheets.
_FAILED = re.compile(
    r"#(?:REF|VALUE|NAME|NUM|NULL|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|UNKNOWN|EXTERNAL|PYTHON|ERROR)[!?]"
    r"|#DIV/0!|#N/A|#GETTING_DATA|Err:5\d\d",
    re.IGNORECASE,
)


def is_failed_formula(value: Any) -> bool:
    """Whether a cell holds what a spreadsheet shows for a formula that failed."""
    return isinstance(value, str) and ("#" in value or ":5" in value) and bool(_FAILED.fullmatch(value.strip()))


def cell(value: Any) -> str:
    """`value` as text, or as JSON if it is not text; a leading apostrophe keeps spreadsheets from running formulas."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else as_json(value)
    return f"'{written}" if _FORMULA.match(written) and not _NUMBER.fullmatch(written) else written


def as_json(value: Any) -> str:
    """`value` as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False)
