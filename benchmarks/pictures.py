"""The suite `pictures`: the same work with a result that is fetched, checked and stored.

Idiomatic Celery takes part twice: as it only writes the file, and as it decodes it and makes a thumbnail as well.
Recast decodes each file, marks it as synthetic, and keeps what leads back to the provider's own; it makes a thumbnail
when a page first shows the picture. It takes part twice as well: with its default settings, it looks at each input's
address before, and compares each picture with its input afterwards.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from benchmarks.deployed import DeployedPictures
from benchmarks.lineup import BareLoop, Contestant, IdiomaticCelery, Recast

#: A portrait with grain, as cameras and models make them: a smooth one would be too easy to decode.
PORTRAIT = Path(__file__).parent.parent / "examples" / "portraits" / "astronaut.png"
GRAIN = 0.06  # of the picture that is noise
QUALITY = 85
SIDES = (1024, 2048)
FORMATS: Mapping[str, str] = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def contestants() -> Sequence[Contestant]:
    """Those that are compared."""
    celery = IdiomaticCelery("prefork", 4), IdiomaticCelery("prefork", 4, thumbnails=True)
    return *celery, Recast(), DeployedPictures(), BareLoop()


def cases(*, short: bool) -> list[str]:
    """Names of the pictures, such as ``1024.jpg``; a short run has the first alone."""
    names = [f"{side}.{ending}" for ending in FORMATS for side in SIDES]
    return names[:1] if short else names


@contextmanager
def made(case: str) -> Iterator[Path]:
    """The file of a picture, as long as the block runs."""
    side, _, ending = case.partition(".")
    size = int(side), int(side)
    with Image.open(PORTRAIT) as portrait:
        whole = portrait.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    grain = Image.effect_noise(size, 64).convert("RGB")
    out = io.BytesIO()
    Image.blend(whole, grain, GRAIN).save(out, FORMATS[ending], quality=QUALITY)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / case
        path.write_bytes(out.getvalue())
        yield path
