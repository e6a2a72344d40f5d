"""Copies of one picture that differ in their bytes and not in their pixels, as the results of different jobs do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping


def jpeg(data: bytes, number: int) -> bytes:
    """With a comment behind its first marker."""
    said = b"%d" % number
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(said) + 2) + said + data[2:]


def png(data: bytes, number: int) -> bytes:
    """With a text behind its header, which is always 25 bytes long."""
    chunk = b"tEXtComment\0%d" % number
    added = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:33] + added + data[33:]


def webp(data: bytes, number: int) -> bytes:
    """With a chunk of no known kind at its end."""
    said = b"%8d" % number
    return data[:4] + struct.pack("<I", len(data) + 8) + data[8:] + b"note" + struct.pack("<I", len(said)) + said


#: By the ending of a file's name.
KINDS: Mapping[str, Callable[[bytes, int], bytes]] = {".jpg": jpeg, ".png": png, ".webp": webp}
