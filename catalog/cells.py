"""Cells of CSV files that people open in a spreadsheet."""

from __future__ import annotations

import json
import re
from typing import Any

from recast.errors import InvalidJobError

# A spreadsheet reads a cell that begins with one of these as a formula (OWASP, "CSV Injection"), except a number.
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


# What spreadsheets show for a formula that failed: Excel, LibreOffice, Google Sheets.
_FAILED = re.compile(
    r"#(?:REF|VALUE|NAME|NUM|NULL|SPILL|CALC|FIELD|BLOCKED|CONNECT|BUSY|UNKNOWN|EXTERNAL|PYTHON|ERROR)[!?]"
    r"|#DIV/0!|#N/[A-Z]|#NV|#GETTING_DATA|Err:5\d\d",
    re.IGNORECASE,
)
# Excel says it in its own language, in capital letters: #BEZUG!, #¡REF!, #ПУСТО!, #NOMBRE?, #¡DIV/0!
_FAILED_ELSEWHERE = re.compile(r"#¡?[^\W\d_]{1,20}(?:/0)?[!?]")


def is_failed_formula(value: Any) -> bool:
    """Whether a cell holds what a spreadsheet shows for a formula that failed."""
    if not isinstance(value, str) or ("#" not in value and ":5" not in value):
        return False
    text = value.strip()
    return bool(_FAILED.fullmatch(text) or (text == text.upper() and _FAILED_ELSEWHERE.fullmatch(text)))


def text_of(column: str, value: Any, *, strip: bool = True) -> str | None:
    """The text that a cell holds, or None where it is empty.

    Raises:
        InvalidJobError: it holds no text, or a formula that failed.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidJobError(column, f"{value!r} is not text")
    if is_failed_formula(value):
        raise InvalidJobError(column, f"{value!r} is a formula that failed; correct it in the spreadsheet")
    return (value.strip() if strip else value) or None


def cell(value: Any) -> str:
    """`value` as text, or as JSON if it is not text; a leading apostrophe keeps spreadsheets from running formulas."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else as_json(value)
    return f"'{written}" if _FORMULA.match(written) and not _NUMBER.fullmatch(written) else written


def as_json(value: Any) -> str:
    """`value` as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False)
