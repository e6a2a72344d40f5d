"""The lines of text files as programs and spreadsheets write them.

UTF-8 with any number of byte order marks, or UTF-16 with one; lines that end with a line feed, a carriage return, or
both. What is not UTF-8 is recoded while it is read, so that memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from catalog.errors import CatalogError

MAX_LINE_BYTES = 1 << 22  # of a row; a longer line means another kind of file, and would fill the memory
PEEKED_BYTES = 1 << 16  # at a file's start, which show how its lines end; a header is shorter
RECODED_BYTES = 1 << 16  # of a file, recoded at once

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = codecs.BOM_UTF32_LE  # begins like UTF-16's mark
#: Byte order marks and zero-width signs that precede a header.
_MARKS = "\ufeff\u200b\u2060"
# The end of the first line: not one within quotes.
_FIRST_END = re.compile(r'(?:[^"\r\n]|"[^"]*")*(\r\n?|\n)')


def text_lines(where: str, file: BinaryIO) -> Iterator[str]:
    """The lines of a file from its beginning, decoded one by one so that an error can name its line.

    Raises:
        CatalogError: a line is too long, or is not text.
    """
    source = _recoded(file)
    for number, raw in enumerate(_read(where, source), start=1):
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
        yield text.lstrip(_MARKS) if number == 1 else text


def _read(where: str, source: BinaryIO) -> Iterator[bytes]:
    try:
        yield from iter(lambda: source.readline(MAX_LINE_BYTES + 1), b"")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{where}: is not valid UTF-16 ({error.reason}); save it as UTF-8") from None


def _recoded(file: BinaryIO) -> BinaryIO:
    """The file from its beginning, as UTF-8 whose lines end with a line feed, alone or behind a carriage return."""
    start = file.read(PEEKED_BYTES)
    file.seek(0)
    wide = start.startswith(_UTF16) and not start.startswith(_UTF32)
    end = _FIRST_END.match(start.decode("utf-16" if wide else "utf-8", "ignore"))
    returns = end is not None and end[1] == "\r"
    if not wide and not returns:
        return file
    decoder = codecs.getincrementaldecoder("utf-16")()

    def recode(chunk: bytes) -> bytes:
        written = decoder.decode(chunk, final=not chunk).encode() if wide else chunk
        return written.replace(b"\r", b"\n") if returns else written

    return cast("BinaryIO", io.BufferedReader(_Recoded(file, recode)))


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
