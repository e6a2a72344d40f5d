"""`python -m tests.hostile --write`: docs/hostile-input.md, from the cases."""

from __future__ import annotations

import sys

from tests.hostile.table import AREAS, PAGE, page

if sys.argv[1:] == ["--write"]:
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {sum(len(area.cases) for area in AREAS)} cases\n")
else:
    sys.exit(__doc__)
