"""Small catalogs, pictures and accounts for tests."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from workers.config.accounts import Account, parse

COLUMNS = ("key", "kind", "source", "target", "image", "prompt", "account", "provider", "operation", "options")


def accounts(*names: str, **more: Any) -> dict[str, Account]:
    """Accounts at a loopback address, one for each provider named."""
    secrets = {
        "zhiqite": {"access_key_id": "k", "access_key_secret": "s", "prices": {"swap": "0.02 USD"}},
        "qolaba": {"token": "t", "prices": {"consistency": "0.03 USD/picture", "avatar": "0.05 USD/picture"}},
    }
    base = {"base_url": "http://127.0.0.1:1"}
    return {
        f"{name}-main": parse(f"{name}-main", {"provider": name, **base, **secrets[name], **more}) for name in names
    }


def picture(path: Path, *, form: str = "PNG", side: int = 16) -> Path:
    """Write a small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), "teal").save(path, form)
    return path


def swap(key: str, **more: Any) -> dict[str, Any]:
    """A row that is in order where ``a.png`` and ``b.png`` lie beside the catalog."""
    return {"key": key, "kind": "swap", "source": "a.png", "target": "b.png", **more}


def portrait(key: str | int, **more: Any) -> dict[str, Any]:
    """A row for a generation, in order where ``a.png`` lies beside the catalog."""
    return {"key": key, "kind": "generate", "image": "a.png", "prompt": "a portrait", **more}


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], columns: Iterable[str] = ()) -> Path:
    """Write a catalog; the columns are the known ones and those the rows have besides."""
    rows = list(rows)
    header = list(columns) or [*COLUMNS, *dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
