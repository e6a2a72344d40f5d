"""A workbook (.xlsx) as a zip of XML parts, read in a stream: nothing is unpacked that nobody asked for.

Excel, LibreOffice and Google Sheets write it (ECMA-376). A library that reads a sheet as a rectangle takes half a
terabyte for two cells in opposite corners, and one that drops failed formulas lets them pass as blanks; so what a
catalog needs of the format is here. Part by part, memory does not grow with the file: texts that cells share lie in a
temporary file.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from catalog.errors import CatalogError

CHUNK_BYTES = 1 << 16  # of a part, unpacked and parsed at once
MAX_PARTS = 10_000  # of a workbook; it has some for each sheet and picture
MAX_UNPACKED_BYTES = 1 << 24  # of the parts that are read, whatever the size of the file: a second or two of CPU
MAX_EXPANSION = 60  # times the file's size, beyond that; XML of spreadsheets packs to a tenth
MAX_TOKEN_BYTES = 1 << 20  # of one tag; expat reads an unfinished one again with each chunk
MAX_TEXT = 40_000  # characters of a cell; Excel holds 32,767
MAX_TEXTS = 10_000_000  # that cells share: 80 MB of places in the file that has them
KEPT_TEXTS = 1_024  # shared texts in memory

_OLE = b"\xd0\xcf\x11\xe0"  # begins Excel's older format, and a workbook with a password
TRUE = frozenset({"1", "true"})  # an attribute or a value that is so

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]
Characters = Callable[[str], None]


class Sheet(NamedTuple):
    """A worksheet: its name, its part, and whether people see it."""

    name: str
    part: str
    visible: bool


class DamagedError(Exception):
    """What is read cannot be a workbook, or not all of one; the message says why."""


class Parts:
    """The parts of an open workbook; `where` names it in messages."""

    def __init__(self, where: str, file: BinaryIO) -> None:
        self._where = where
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(len(_OLE)) == _OLE:
            raise CatalogError(f"{where}: has a password, or Excel's older format; save it as .xlsx without one")
        self._left = max(MAX_UNPACKED_BYTES, MAX_EXPANSION * size)
        self._allowed = self._left
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise DamagedError(str(error)) from None
        names = self._zip.namelist()
        if len(names) > MAX_PARTS:
            raise CatalogError(f"{where}: has {len(names):,} parts; allowed: {MAX_PARTS:,}")
        self._names = {name.replace("\\", "/").lower(): name for name in names}

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._names

    def chunks(self, part: str) -> Iterator[bytes]:
        """The unpacked bytes of a part.

        Raises:
            DamagedError: there is no such part, or it cannot be unpacked.
            CatalogError: the workbook unpacks to too much.
        """
        try:
            with self._zip.open(self._names[part.lower()]) as file:
                while chunk := file.read(CHUNK_BYTES):
                    self._left -= len(chunk)
                    if self._left < 0:
                        allowed = f"{self._allowed:,} bytes ({MAX_EXPANSION} times its size, or {MAX_UNPACKED_BYTES:,})"
                        raise CatalogError(f"{self._where}: would unpack to more than {allowed}; save it as CSV UTF-8")
                    yield chunk
        except KeyError:
            raise DamagedError(f"it has no part {part!r}") from None
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise DamagedError(f"{part}: {error}") from None

    def parse(
        self, part: str, start: Start, end: End = lambda _: None, text: Characters = lambda _: None
    ) -> Iterator[None]:
        """Parse a part; yields after each chunk, so that what the callbacks found can be used meanwhile.

        Names come without their prefixes. Raises as `chunks`, and `DamagedError` for what is not XML.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        parser.StartElementHandler = lambda name, attributes: start(_local(name), attributes)
        parser.EndElementHandler = lambda name: end(_local(name))
        parser.CharacterDataHandler = text
        fed = 0
        try:
            for chunk in self.chunks(part):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > MAX_TOKEN_BYTES:
                    raise DamagedError(f"{part}: has a tag of more than {MAX_TOKEN_BYTES:,} bytes")
                yield
            parser.Parse(b"", True)
        except (expat.ExpatError, UnicodeError) as error:
            raise DamagedError(f"{part}: {error}") from None
        yield

    def read(self, part: str, start: Start, end: End = lambda _: None, text: Characters = lambda _: None) -> None:
        """Parse a part to its end; raises as `parse`."""
        for _ in self.parse(part, start, end, text):
            pass


def _no_doctype(*_: object) -> None:
    raise DamagedError("it declares a document type, as no spreadsheet does")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class Pieces:
    """A cell's text, which arrives in pieces: as many as its writer likes."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0

    def add(self, text: str) -> bool:
        """Add a piece; False where the text is longer now than a cell's can be."""
        self._pieces.append(text)
        self._length += len(text)
        return self._length <= MAX_TEXT

    def taken(self) -> str:
        """The whole text; the next one begins."""
        text = "".join(self._pieces)
        self._pieces.clear()
        self._length = 0
        return text


class Texts:
    """The texts that cells share, in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with `close`
        self._places = array("Q", [0])
        self._pieces = Pieces()
        self._inside = self._silent = 0
        self.at = lru_cache(KEPT_TEXTS)(self._at)

    def read(self, parts: Parts, part: str) -> None:
        """Take the texts of a part; a workbook without texts has none."""
        if part in parts:
            parts.read(part, self._start, self._end, self._text)
        self._file.flush()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _at(self, number: int) -> str:
        if not 0 <= number < len(self._places) - 1:
            raise DamagedError(f"a cell names text {number}, and there are {len(self._places) - 1:,}")
        self._file.seek(self._places[number])
        return self._file.read(self._places[number + 1] - self._places[number]).decode("utf-8", "surrogatepass")

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._inside += name == "t"
        self._silent += name == "rPh"  # how it is pronounced

    def _end(self, name: str) -> None:
        self._inside -= name == "t"
        self._silent -= name == "rPh"
        if name == "si":
            written = unescaped(self._pieces.taken()).encode("utf-8", "surrogatepass")
            self._file.write(written)
            self._places.append(self._places[-1] + len(written))
            if len(self._places) > MAX_TEXTS:
                raise DamagedError(f"it has more than {MAX_TEXTS:,} texts")

    def _text(self, text: str) -> None:
        if self._inside and not self._silent and not self._pieces.add(text):
            raise DamagedError(f"a cell has more than {MAX_TEXT:,} characters")


def unescaped(text: str) -> str:
    """A text without the escapes that spreadsheets write for signs that XML lacks: ``_x000D_``."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


class Style(NamedTuple):
    """How a number is shown."""

    #: None for what shows no time, else whether it is a duration.
    duration: bool | None = None
    #: That it has at least, with zeros before it: ``00000``.
    digits: int = 0


NUMBER = Style()


class Workbook(NamedTuple):
    """What a sheet's cells refer to."""

    parts: Parts
    sheets: list[Sheet]
    texts: Texts
    styles: list[Style]
    #: Whether days are counted from 1904, as the first Macintoshes did.
    from_1904: bool


@contextmanager
def opened(where: str, file: BinaryIO) -> Iterator[Workbook]:
    """The workbook in `file`, for as long as the block runs.

    Raises:
        CatalogError: it is none, is damaged, or unpacks to too much.
    """
    try:
        parts = Parts(where, file)
        main = next(iter(_related(parts, "", "/officeDocument").values()), "xl/workbook.xml")
        sheets, from_1904 = _contents(parts, main)
        with closing(Texts()) as texts:
            texts.read(parts, next(iter(_related(parts, main, "/sharedStrings").values()), ""))
            styles = _styles(parts, next(iter(_related(parts, main, "/styles").values()), ""))
            yield Workbook(parts, sheets, texts, styles, from_1904)
    except DamagedError as error:
        raise CatalogError(f"{where}: cannot be read as a workbook: {error}; save it anew, or as CSV UTF-8") from None


def _related(parts: Parts, part: str, kind: str) -> Mapping[str, str]:
    """The parts that `part` refers to by a relationship of this kind, by the relationship's id."""
    folder, name = posixpath.split(part)
    found: dict[str, str] = {}

    def start(element: str, attributes: dict[str, str]) -> None:
        if element == "Relationship" and attributes.get("Type", "").endswith(kind) and "Target" in attributes:
            target = attributes["Target"].replace("\\", "/")
            found[attributes.get("Id", "")] = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")

    rels = posixpath.join(folder, "_rels", f"{name}.rels")
    if rels in parts:
        parts.read(rels, start)
    return found


def _contents(parts: Parts, main: str) -> tuple[list[Sheet], bool]:
    related = _related(parts, main, "/worksheet")
    sheets: list[Sheet] = []
    from_1904 = False

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal from_1904
        if element == "workbookPr":
            from_1904 = attributes.get("date1904", "0").lower() in TRUE
        if element == "sheet":
            id_ = next((value for name, value in attributes.items() if name.endswith(":id")), "")
            if id_ in related:
                visible = attributes.get("state", "visible") == "visible"
                sheets.append(Sheet(attributes.get("name", ""), related[id_], visible))

    parts.read(main, start)
    if not sheets:
        raise DamagedError("it has no sheet")
    return sheets, from_1904


#: The numbers of formats of times that are not written into the file: ECMA-376, part 1, 18.8.30.
_TIMES = frozenset({*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)})
_ZEROS = re.compile(r"0{2,15}")  # a number of article or a ZIP code
_SPACING = re.compile(r"_.|\*.|\[[^\]]*\]")  # a blank as wide as a sign, what fills a cell, a language
_DURATION = 46  # [h]:mm:ss
_QUOTED = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)


def _styles(parts: Parts, part: str) -> list[Style]:
    written: dict[int, str] = {}
    used: list[int] = []
    inside = False

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        if element == "numFmt":
            written[number_of(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
        inside = inside or element == "cellXfs"
        if element == "xf" and inside:
            used.append(number_of(attributes.get("numFmtId")))

    def end(element: str) -> None:
        nonlocal inside
        inside = inside and element != "cellXfs"

    if part in parts:
        parts.read(part, start, end)
    return [_style(number, written.get(number)) for number in used]


def number_of(text: str | None) -> int:
    """A whole number as the format writes it, of up to nine digits; 0 for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004


def _style(number: int, code: str | None) -> Style:
    if code is not None and (zeros := _ZEROS.fullmatch(_SPACING.sub("", code.partition(";")[0]))):
        return Style(digits=len(zeros[0]))
    return Style(_shows_time(number, code))


def _shows_time(number: int, code: str | None) -> bool | None:
    if code is None:
        return number == _DURATION if number in _TIMES else None
    plain = _QUOTED.sub("", code.partition(";")[0]).lower()
    if not set("dmyhs") & set(plain) or plain in {"general", "standard"}:
        return None
    return "[" in plain
