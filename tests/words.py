"""What a message must name, whatever its words: the field, the value, what is allowed, the command that helps.

Messages, help and pages are rewritten often, and their sentences belong to whoever writes them. What a reader acts on
is a fact, and a test holds the facts:

    with pytest.raises(CatalogError, match=names("kind", "paint", "swap", "generate")): ...
    assert unsaid(output, "--max-cost", "0.05 USD") == []
"""

from __future__ import annotations

import re


def names(*facts: object) -> str:
    """A pattern for ``match=``: a text that names each of `facts`, in any order."""
    return r"(?s)\A" + "".join(f"(?=.*{_whole(str(fact))})" for fact in facts)


def unsaid(text: str, *facts: object) -> list[str]:
    """Those of `facts` that `text` does not name; a fact within a longer word or number is not named."""
    plain = re.sub(r"\s+", " ", text)
    return [fact for fact in map(str, facts) if not re.search(_whole(fact), plain)]


def _whole(fact: str) -> str:
    before = r"(?<!\w)" if re.match(r"\w", fact) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", fact) else ""
    return before + re.escape(fact) + after
