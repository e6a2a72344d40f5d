"""Workbooks as spreadsheet programs write them, made of the few parts that a reader needs, or as nobody writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
MEBI = 1 << 20
DATE, MOMENT, DURATION, OWN_DATE, OWN_NUMBER, ZEROS = 1, 2, 3, 4, 5, 6  # styles of `STYLES`
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="[$-407]dd.mm.yyyy"/>'
    '<numFmt numFmtId="165" formatCode="0.00 &quot;days&quot;"/><numFmt numFmtId="166" formatCode="[$-407]00000_);-0"/>'
    '</numFmts><cellStyleXfs><xf numFmtId="14"/>'
    '</cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="46"/>'
    '<xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/></cellXfs></styleSheet>'
)


def sheet_of(rows: Sequence[Sequence[Any]], after: str = "") -> str:
    """The XML of a sheet: a cell is a value, or XML of its own (`Raw`), or None where there is none."""
    written = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(_cell(f"{chr(65 + at)}{number}", value) for at, value in enumerate(row) if value is not None)
        written.append(f'<row r="{number}">{cells}</row>')
    return f"<sheetData>{''.join(written)}</sheetData>{after}"


class Raw(str):
    """A cell's attributes and content: ``s="1"><v>45000</v>``."""

    __slots__ = ()


def _cell(place: str, value: Any) -> str:
    if isinstance(value, Raw):
        return f'<c r="{place}" {value}</c>'
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{value:d}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def parts_of(
    sheets: Mapping[str, str], *, texts: str = "", hidden: Sequence[str] = (), properties: str = ""
) -> dict[str, str]:
    """The parts of a workbook with these sheets."""
    names = list(sheets)
    state = {True: 'state="hidden"', False: ""}
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{at}" r:id="rId{at}" {state[name in hidden]}/>'
        for at, name in enumerate(names, start=1)
    )
    related = [(f"rId{at}", "worksheet", f"worksheets/sheet{at}.xml") for at in range(1, len(names) + 1)]
    related += [("s", "styles", "styles.xml"), ("t", "sharedStrings", "/xl/sharedStrings.xml")]
    return {
        "_rels/.rels": _relationships([("r", "officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{properties}<sheets>{listed}</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": _relationships(related),
        "xl/styles.xml": STYLES,
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{texts}</sst>',
        **{
            f"xl/worksheets/sheet{at}.xml": f'<worksheet xmlns="{MAIN}">{sheets[name]}</worksheet>'
            for at, name in enumerate(names, start=1)
        },
    }


def _relationships(related: Sequence[tuple[str, str, str]]) -> str:
    each = "".join(f'<Relationship Id="{id_}" Type="{OFFICE}/{kind}" Target="{to}"/>' for id_, kind, to in related)
    return f'<Relationships xmlns="{PACKAGE}">{each}</Relationships>'


@dataclass(frozen=True)
class Long:
    """A part that is written piece by piece, because no test should hold it whole."""

    before: str
    repeated: str
    times: int
    after: str

    def pieces(self) -> Iterator[bytes]:
        """The part in pieces of about a mebibyte."""
        yield self.before.encode()
        each = max(MEBI // len(self.repeated), 1)
        block = (self.repeated * min(each, self.times)).encode()
        for _ in range(self.times // each):
            yield block
        yield (self.repeated * (self.times % each)).encode()
        yield self.after.encode()


Part = str | bytes | Long


def write_parts(path: Path, parts: Mapping[str, Part]) -> Path:
    """Pack parts into a file."""
    path.write_bytes(packed_bytes(parts))
    return path


def write_workbook(path: Path, rows: Sequence[Sequence[Any]], after: str = "", **more: Any) -> Path:
    """Write a workbook with one sheet."""
    return write_parts(path, parts_of({"Sheet1": sheet_of(rows, after)}, **more))


def workbook_bytes(rows: Sequence[Sequence[Any]]) -> bytes:
    """A workbook with one sheet, as a server sends it."""
    return packed_bytes(parts_of({"Sheet1": sheet_of(rows)}))


def packed_bytes(parts: Mapping[str, Part]) -> bytes:
    """Parts as the bytes of a file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            if not isinstance(content, Long):
                packed.writestr(name, content)
                continue
            with packed.open(name, "w") as part:
                for piece in content.pieces():
                    part.write(piece)
    return out.getvalue()
