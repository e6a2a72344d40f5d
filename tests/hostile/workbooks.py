"""Workbooks that nobody's spreadsheet wrote: zip bombs, XML bombs, cells in far corners, parts that lie."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

from tests.hostile.cases import Area, Case, refused, survived
from tests.unit.catalog.workbooks import MAIN, MEBI, Long, Part, Raw, packed_bytes, parts_of, sheet_of

HEADER = ["key", "kind", "source", "target"]
ROW = ["1", "swap", "a.png", "b.png"]
PART = "xl/worksheets/sheet1.xml"


def book(rows: str = "", **parts: Part) -> Callable[[], bytes]:
    """A workbook with this sheet and these parts in place of its own."""
    names = {"texts": "xl/sharedStrings.xml", "main": "xl/workbook.xml", "styles": "xl/styles.xml", "sheet": PART}

    def make() -> bytes:
        made: dict[str, Part] = dict(parts_of({"Sheet1": rows or sheet_of([HEADER, ROW])}))
        made.update({names[name]: content for name, content in parts.items()})
        return packed_bytes(made)

    return make


def cell(written: str) -> Callable[[], bytes]:
    return book(sheet_of([HEADER, ["1", "swap", "a.png", Raw(written)]]))


def large(before: str, repeated: str, times: int, after: str) -> Callable[[], bytes]:
    return book(sheet=Long(f'<worksheet xmlns="{MAIN}">{before}', repeated, times, f"{after}</worksheet>"))


def lying() -> bytes:
    """A part whose size in the directory is a thousandth of what it unpacks to."""
    data = bytearray(large("<sheetData>", " " * MEBI, 200, "</sheetData>")())
    for at in range(len(data) - 46):
        if data[at : at + 4] == b"PK\x01\x02" and PART.encode() in data[at + 46 : at + 46 + len(PART)]:
            data[at + 24 : at + 28] = (MEBI // 5).to_bytes(4, "little")
    return bytes(data)


def nested() -> bytes:
    """A zip of zips under a workbook's name."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("0", b"0" * (10 * MEBI))
    return packed_bytes({f"{number}.zip": inner.getvalue() for number in range(100)})


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9))
    + "]>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'

FILES: tuple[Case, ...] = (
    refused("a sheet of blanks of a gibibyte", large("<sheetData>", " " * MEBI, 1024, "</sheetData>"), "unpack"),
    refused("texts of 300 MB", book(texts=Long("<sst><si><t>", "x", 300 * MEBI, "</t></si></sst>")), "characters"),
    refused("ten million empty rows", large("<sheetData>", "<row/>", 10_000_000, "</sheetData>"), "rows"),
    refused("a part larger than it says", lying, "workbook"),
    refused("a zip of zips", nested, "workbook"),
    refused("entities that grow", book(sheet=f"{ENTITIES}<worksheet>&j;</worksheet>"), "document type"),
    refused("an entity of this machine", book(main=f"{EXTERNAL}<workbook>&e;</workbook>"), "document type"),
    refused("a tag of 2 MiB", book(sheet=f"<worksheet a='{'x' * (2 * MEBI)}'></worksheet>"), "tag"),
    refused("tags in 100,000 levels", book(sheet="<worksheet>" + "<a>" * 100_000), "workbook"),
    refused("a tag that is never closed", book(sheet="<worksheet><sheetData><row"), "workbook"),
    refused("no sheet", book(main=f'<workbook xmlns="{MAIN}"/>'), "sheet"),
    refused("an empty sheet", book("<sheetData/>"), "empty"),
    refused("rows in reverse", book('<sheetData><row r="9"/><row r="2"/></sheetData>'), "row"),
    refused("a row before the first", book('<sheetData><row r="-1"/></sheetData>'), "row"),
    refused("a cell nowhere", book('<sheetData><row r="1"><c r="?!"/></row></sheetData>'), "cell"),
    refused("a text that is not there", cell('t="s"><v>4000000000</v>'), "text"),
    refused("a text before the first", cell('t="s"><v>-1</v>'), "text"),
    refused("a number of letters", cell("><v>lots</v>"), "number"),
    refused("a cell of 100,000 characters", cell(f't="str"><v>{"&lt;x" * 50_000}</v>'), "characters"),
    refused("a cell of 100,000 pieces", cell('t="str"><v>' + "x<b/>" * 100_000 + "</v>"), "characters"),
    refused("a header in a far column", book(
        '<sheetData><row r="1"><c r="A1" t="str"><v>key</v></c><c r="XFD1" t="str"><v>kind</v></c></row></sheetData>'
    ), "columns, 1,000"),
    survived("a dimension of all cells", book(
        '<dimension ref="A1:XFD1048576"/>' + sheet_of([HEADER, ROW])
    ), "its rows are read"),
    survived("a blank cell in the farthest corner", book(
        sheet_of([HEADER, ROW]).replace("</sheetData>", '<row r="1048576"><c r="XFD1048576"/></row></sheetData>')
    ), "a blank row"),
    survived("half a million merged cells", book(
        sheet_of([HEADER, ROW], "<mergeCells>" + '<mergeCell ref="F1"/>' * 500_000 + "</mergeCells>")
    ), "its rows are read"),
    survived("parts called like ways out", lambda: packed_bytes(
        {**parts_of({"Sheet1": sheet_of([HEADER, ROW])}), "../../evil.txt": "x", "/etc/cron.d/x": "x"}
    ), "no part is written anywhere"),
)  # fmt: skip

AREAS = (
    Area(
        "Catalogs: workbooks",
        "as catalog.xlsx: each is refused or read within 4 seconds of CPU and 64 MB of memory, and nothing is written",
        FILES,
    ),
)
