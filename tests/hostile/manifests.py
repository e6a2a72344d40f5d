"""Content Credentials that are made to be slow, cut short, doubled or in the wrong place, and what becomes of each."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from tests.hostile.cases import Area, Case, survived
from tests.hostile.pictures import JPEG, PNG, chunk, photo
from workers.images.jumbf import STORE_TYPE

TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MEGABYTE = 1_000_000
IN_A_SEGMENT = 65_000  # bytes of a box in one segment of a JPEG
PNG_BEHIND, WEBP_BEHIND = 33, 12  # bytes before the first chunk that may be another one

#: What becomes of a picture.
READ = "left as it is; its source type is read"
UNKNOWN = "left as it is; its source type is unknown"
CUT = "cut out, and the picture is marked"
NONE = "not a manifest where it lies; the picture is marked"


def box(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    """A box; `length` is what it says of itself, if not the truth."""
    return struct.pack(">I4s", len(body) + 8 if length is None else length, kind) + body


def described(label: bytes, *inside: bytes, kind: bytes = b"x" * 16) -> bytes:
    """A superbox with a label."""
    return box(b"jumb", box(b"jumd", kind + b"\x03" + label + b"\0") + b"".join(inside))


def text(value: str) -> bytes:
    return struct.pack(">BH", 0x79, len(value)) + value.encode()


def actions(*terms: str) -> bytes:
    """The actions assertion in CBOR, one action for each source type."""
    listed = b"".join(
        b"\xa2" + text("action") + text("c2pa.created") + text("digitalSourceType") + text(term) for term in terms
    )
    return b"\xa1" + text("actions") + bytes([0x80 + len(terms)]) + listed


def manifest(assertion: bytes, label: bytes = b"c2pa.actions.v2") -> bytes:
    return described(b"urn:c2pa:1", described(b"c2pa.assertions", described(label, box(b"cbor", assertion))))


def several(assertions: Iterable[bytes]) -> bytes:
    """A manifest with these assertions."""
    return described(b"urn:c2pa:1", described(b"c2pa.assertions", *assertions))


def store(*manifests: bytes) -> bytes:
    return described(b"c2pa", *manifests, kind=STORE_TYPE)


#: 60 KB of CBOR that take as long as any: a list of empty maps.
MAPS = b"\xa1" + text("actions") + b"\x99\xea\x60" + b"\xa0" * 60_000
GOOD = store(manifest(actions(TERM)))


def segments(whole: bytes, numbers: Iterable[int] | None = None, size: int = IN_A_SEGMENT) -> bytes:
    """A box in segments of a JPEG."""
    header, rest = whole[:8], whole[8:]
    parts = [rest[at : at + size] for at in range(0, len(rest), size)] or [b""]
    return b"".join(
        struct.pack(">BBH2sHI", 0xFF, 0xEB, len(part) + 18, b"JP", 1, number) + header + part
        for number, part in zip(numbers or range(1, len(parts) + 1), parts, strict=False)
    )


def in_jpeg(*stores: bytes) -> bytes:
    return JPEG[:20] + b"".join(map(segments, stores)) + JPEG[20:]


def in_png(*stores: bytes) -> bytes:
    return PNG[:PNG_BEHIND] + b"".join(chunk(b"caBX", each) for each in stores) + PNG[PNG_BEHIND:]


def in_webp(*stores: bytes) -> bytes:
    data = photo("WEBP")
    made = b"".join(b"C2PA" + struct.pack("<I", len(each)) + each + b"\0" * (len(each) % 2) for each in stores)
    return data[:4] + struct.pack("<I", len(data) - 8 + len(made)) + data[8:] + made


#: Each kind of file, by the name that the cases have.
FILES: dict[str, Callable[..., bytes]] = {"JPEG": in_jpeg, "PNG": in_png, "WebP": in_webp}

#: Stores by name: what makes them, and what becomes of the picture.
STORES: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "a manifest": (lambda: [GOOD], READ),
    "a manifest that states two source types": (lambda: [store(manifest(actions("x:camera", TERM)))], READ),
    "a manifest that states nothing": (lambda: [store(manifest(actions()))], UNKNOWN),
    "two manifests": (lambda: [GOOD, GOOD], CUT),
    "half a manifest": (lambda: [GOOD[: len(GOOD) // 2]], CUT),
    "a manifest without its last byte": (lambda: [GOOD[:-1]], CUT),
    "a manifest and some room": (lambda: [GOOD + bytes(99)], READ),
    "a manifest of 4 GB by its own word": (lambda: [b"\xff\xff\xff\xff" + GOOD[4:]], CUT),
    "a manifest of no length": (lambda: [b"\0\0\0\0" + GOOD[4:]], CUT),
    "a store without a manifest": (lambda: [store()], CUT),
    "a manifest longer than its store": (lambda: [store(box(b"jumb", b"", 2**31))], CUT),
    "a store of 100,000 manifests": (lambda: [store(box(b"jumb", b"") * 100_000)], CUT),
    "a manifest of 60 MB": (
        lambda: [store(manifest(actions(TERM)), described(b"last", box(b"free", bytes(60 * MEGABYTE))))],
        UNKNOWN,
    ),
    "a manifest of a million boxes": (lambda: [store(described(b"last", box(b"free", b"") * MEGABYTE))], UNKNOWN),
    "an assertion of 4 GB by its own word": (
        lambda: [store(described(b"m", described(b"c2pa.assertions", box(b"jumb", b"", 2**32 - 1))))],
        UNKNOWN,
    ),
    "a thousand actions assertions of 60 KB": (
        lambda: [store(several([described(b"c2pa.actions", box(b"cbor", MAPS))] * 900))],
        UNKNOWN,
    ),
    "an actions assertion of a thousand boxes of 60 KB": (
        lambda: [store(several([described(b"c2pa.actions", *[box(b"cbor", MAPS)] * 900)]))],
        UNKNOWN,
    ),
    "a million actions assertions in a thousand stores of them": (
        lambda: [store(described(b"m", *[described(b"c2pa.assertions", *[described(b"c2pa.actions")] * 900)] * 900))],
        UNKNOWN,
    ),
    "actions of 2**63 parts by their own word": (
        lambda: [store(manifest(b"\xa1" + text("actions") + b"\x9b" + b"\x7f" * 8))],
        UNKNOWN,
    ),
    "actions nested 30,000 deep": (lambda: [store(manifest(b"\x81" * 30_000))], UNKNOWN),
    "actions of open texts, 30,000 deep": (lambda: [store(manifest(b"\x7f" * 30_000))], UNKNOWN),
    "actions of 60,000 numbers": (lambda: [store(manifest(b"\x9f" + b"\0" * 60_000 + b"\xff"))], UNKNOWN),
    "actions of 2 MB": (lambda: [store(manifest(b"\x9f" + b"\0" * 2 * MEGABYTE + b"\xff"))], UNKNOWN),
    "actions of a source type of 60 KB": (lambda: [store(manifest(actions("x" * 60_000)))], UNKNOWN),
    "a number as source type": (
        lambda: [store(manifest(actions(TERM).replace(text(TERM), b"\x01")))],
        UNKNOWN,
    ),
}

#: Files that only one kind can be: their name, what makes them, and what becomes of the picture.
OTHERS: tuple[tuple[str, Callable[[], bytes], str], ...] = (
    ("a JPEG whose manifest lies in 300 segments", lambda: _jpeg(_spread(300)), READ),
    ("a JPEG whose manifest's segments are out of order", lambda: _jpeg(segments(GOOD, (2, 1, 3, 4), 100)), CUT),
    ("a JPEG that lacks a manifest's segment", lambda: _jpeg(segments(GOOD, (1, 3, 4, 5), 100)), CUT),
    ("a JPEG of 5,000 manifests", lambda: _jpeg(segments(GOOD) * 5_000), CUT),
    ("a JPEG with another JUMBF box", lambda: _jpeg(segments(described(b"other"))), NONE),
    ("a JPEG whose segment ends before its box", lambda: _jpeg(b"\xff\xeb\0\x06JP\0\1"), NONE),
    ("a manifest behind a JPEG", lambda: JPEG + segments(GOOD), NONE),
    ("a manifest among a JPEG's pixels", lambda: JPEG[:-2] + segments(GOOD) + JPEG[-2:], NONE),
    ("a manifest behind a PNG", lambda: PNG + chunk(b"caBX", GOOD), NONE),
    ("a manifest behind a PNG's pixels", lambda: PNG[:-12] + chunk(b"caBX", GOOD) + PNG[-12:], READ),
    ("a PNG whose pixels spell caBX", lambda: PNG[:PNG_BEHIND] + chunk(b"tEXt", b"k\0caBX") + PNG[PNG_BEHIND:], NONE),
    ("a manifest behind a WebP", lambda: photo("WEBP") + b"C2PA" + struct.pack("<I", len(GOOD)) + GOOD, NONE),
)


def _jpeg(inside: bytes) -> bytes:
    return JPEG[:20] + inside + JPEG[20:]


def _spread(number: int) -> bytes:
    """A manifest of about as many segments, of a hundred bytes each."""
    padded = store(described(b"first", box(b"free", bytes(100 * number - len(GOOD)))), manifest(actions(TERM)))
    return segments(padded, size=100)


def _made(kind: str, makes: Callable[[], list[bytes]]) -> Callable[[], bytes]:
    return lambda: FILES[kind](*makes())


CASES: tuple[Case, ...] = (
    *(
        survived(f"{name} in a {kind}", _made(kind, makes), becomes)
        for name, (makes, becomes) in STORES.items()
        for kind in FILES
    ),
    *(survived(name, make, becomes) for name, make, becomes in OTHERS),
)

AREAS = (
    Area(
        "Content Credentials made to be slow or wrong",
        "each stored as a result, in a process of its own: 2 s of CPU and 300 MB are the most that one may take",
        CASES,
    ),
)
