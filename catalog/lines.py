"""The lines of text files as programs and spreadsheets write them.

UTF-8 with any number of byte order marks, or UTF-16 with or without one; lines that end with a line feed, a carriage
return, or both. What is not UTF-8 is recoded while it is read, so that memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, cast

from catalog.errors import CatalogError
from recast.values import MARKS

MAX_LINE_BYTES = 1 << 22  # of a row; a longer line means another kind of file, and would fill the memory
MAX_LINES = 20_000_000  # of a file, blank ones too; more are a mistake, or meant to keep us busy
PEEKED_BYTES = 1 << 16  # at a file's start, which show how its lines end; a header is shorter
RECODED_BYTES = 1 << 16  # of a file, recoded at once

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = codecs.BOM_UTF32_LE  # begins like UTF-16's mark
# The end of the first line: not one within quotes.
_FIRST_END = re.compile(r'(?:[^"\r\n]|"[^"]*")*(\r\n?|\n)')
#: How files begin that are not text: what each is, and the endings by which it is read.
_NO_TEXT = {
    b"\x1f\x8b": ("a gzip file", ".csv.gz or .jsonl.gz"),
    b"PK\x03\x04": ("a workbook or another zip file", ".xlsx"),
    b"PAR1": ("a Parquet file", ".parquet"),
    b"\xd0\xcf\x11\xe0": ("a workbook with a password, or of Excel's older format", ".xlsx, saved without a password"),
}


def text_lines(where: str, file: BinaryIO) -> Iterator[str]:
    """The lines of a file from its beginning, decoded one by one so that an error can name its line.

    Raises:
        CatalogError: a line is too long, or is not text.
    """
    _refuse_other(where, file)
    source = _recoded(file)
    for number, raw in enumerate(_read(where, source), start=1):
        if number > MAX_LINES:
            raise CatalogError(f"{where}: has more than {MAX_LINES:,} lines; make several files of it")
        if len(raw) > MAX_LINE_BYTES:
            raise CatalogError(f"{where}:{number}: is longer than {MAX_LINE_BYTES >> 20} MiB, the limit for a row")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise CatalogError(
                f"{where}:{number}: is not UTF-8 (byte {error.start + 1} of the line is 0x{found:02x}); "
                "save it as UTF-8"
            ) from None
        if "\x00" in text:
            raise CatalogError(f"{where}:{number}: has a NUL character; save it as UTF-8 text")
        yield text.lstrip(MARKS) if number == 1 else text


def _refuse_other(where: str, file: BinaryIO) -> None:
    start = file.read(max(map(len, _NO_TEXT)))
    file.seek(0)
    for beginning, (kind, endings) in _NO_TEXT.items():
        if start.startswith(beginning):
            raise CatalogError(f"{where}: is {kind}, not text; its name must end with {endings}")


def _read(where: str, source: BinaryIO) -> Iterator[bytes]:
    try:
        yield from iter(partial(source.readline, MAX_LINE_BYTES + 1), b"")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{where}: is not valid UTF-16 ({error.reason}); save it as UTF-8") from None


def _recoded(file: BinaryIO) -> BinaryIO:
    """The file from its beginning, as UTF-8 whose lines end with a line feed, alone or behind a carriage return."""
    start = file.read(PEEKED_BYTES)
    file.seek(0)
    wide = _utf16(start)
    end = _FIRST_END.match(start.decode(wide or "utf-8", "ignore"))
    returns = end is not None and end[1] == "\r"
    if not wide and not returns:
        return file
    decoder = codecs.getincrementaldecoder(wide)() if wide else None

    def recode(chunk: bytes) -> bytes:
        written = decoder.decode(chunk, final=not chunk).encode() if decoder else chunk
        return written.replace(b"\r", b"\n") if returns else written

    return cast("BinaryIO", io.BufferedReader(_Recoded(file, recode)))


def _utf16(start: bytes) -> str | None:
    """The form of UTF-16 that a file has; without a mark, the zeros beside its first two letters show it."""
    if start.startswith(_UTF16):
        return None if start.startswith(_UTF32) else "utf-16"
    return {b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be"}.get(bytes(map(bool, start[:4])))


class _Recoded(io.RawIOBase):
    """A file whose bytes are changed chunk by chunk; the last, empty chunk says that it has ended."""

    def __init__(self, file: BinaryIO, recode: Callable[[bytes], bytes]) -> None:
        self._file, self._recode, self._left = file, recode, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            chunk = self._file.read(RECODED_BYTES)
            self._left = self._recode(chunk)
            if not chunk and not self._left:
                return 0
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)
