"""The corpus of providers' sentences, each with its meaning, and how well `providers.classify` reads it.

    python -m tests.unit.providers.sentences

prints precision and recall for each meaning, and every sentence that is read wrongly.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.states import ACCOUNT_REASONS, REJECTING_REASONS, Reason
from providers import hidream, piktid, qolaba, replicate, zhiqite
from providers.classify import GENERAL, Table, classify

FILE = Path(__file__).with_suffix(".txt")
TABLES: Mapping[str, Table] = {
    "hidream": hidream.TABLE,
    "piktid": piktid.TABLE,
    "qolaba": qolaba.TABLE,
    "replicate": replicate.TABLE,
    "zhiqite": zhiqite.TABLE,
}
_GIVEN = re.compile(r'(@|code=|name=|status=)("[^"]*"|\S+)')


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a provider says, and what it means; None for what nobody knows."""

    meaning: Reason | None
    text: str
    provider: str | None = None
    code: str | None = None
    name: str | None = None
    status: int | None = None

    @property
    def read(self) -> Reason | None:
        """What it is taken for."""
        table = TABLES.get(self.provider or "", GENERAL)
        return classify(self.text, table=table, code=self.code, name=self.name, status=self.status)


def sentences() -> list[Sentence]:
    """The corpus."""
    found: list[Sentence] = []
    meaning: Reason | None = None
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            meaning = None if line == "[unknown]" else Reason(line.strip("[]"))
        elif line.strip() and not line.startswith("# "):
            found.append(_sentence(meaning, line))
    return found


def _sentence(meaning: Reason | None, line: str) -> Sentence:
    head, bar, text = line.partition(" | ")
    if not bar:
        return Sentence(meaning, line)
    given = {key.strip("@=") or "provider": value.strip('"') for key, value in _GIVEN.findall(head)}
    status = int(given["status"]) if "status" in given else None
    return Sentence(meaning, text, given.get("provider"), given.get("code"), given.get("name"), status)


def group(reason: Reason | None) -> str:
    """What it is about: that decides whether a job or an account ends."""
    if reason in REJECTING_REASONS:
        return "picture"
    if reason in ACCOUNT_REASONS:
        return "account"
    return "service" if reason is not None else "unknown"


def measure(corpus: list[Sentence]) -> dict[str, tuple[float, float, int]]:
    """Precision, recall and number of sentences, by meaning."""
    meant = Counter(str(each.meaning) for each in corpus)
    read = Counter(str(each.read) for each in corpus)
    right = Counter(str(each.meaning) for each in corpus if each.read is each.meaning)
    return {name: (right[name] / max(1, read[name]), right[name] / meant[name], meant[name]) for name in meant}


def main() -> None:
    """Print what is measured."""
    corpus = sentences()
    lines = [f"{'meaning':<12} {'precision':>9} {'recall':>9} {'sentences':>9}"]
    for name, (precision, recall, number) in measure(corpus).items():
        lines.append(f"{name:<12} {precision:>9.3f} {recall:>9.3f} {number:>9}")
    lines.append(f"{len(corpus)} sentences")
    lines += [f"  {each.meaning} read as {each.read}: {each.text}" for each in corpus if each.read is not each.meaning]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
