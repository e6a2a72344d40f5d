"""Result files, at ``/_files/<provider>/<job>-<index>.<ending>``, as a provider's object storage would serve them.

``<job>-<index>-low.<ending>`` is the same picture at a quarter of its sides, for providers that offer a preview.
"""

from __future__ import annotations

import asyncio
import io
import re
import time

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from sandbox import recipes
from sandbox.desk import Desk
from sandbox.faults import Call, Rule
from sandbox.jobs import Job
from sandbox.pictures import cheap
from sandbox.recipes import Recipe, Swap

NAME = re.compile(r"(\d+)-(\d+)(-low)?\.([a-z]+)")

SWAP_SIDE = 64  # pixels of a cheap swap, whose target nobody has looked at
LOW_PART = 4  # a preview's sides are the picture's by this

#: What an object store says of a key it does not have (the form of S3, which the others copy).
GONE = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code></Error>'


#: Media types by ending, where the two differ in name.
MEDIA = {"jpg": "jpeg"}


def urls(base: str, job: Job, indices: range | list[int], *, low: bool = False) -> list[str]:
    """Return the addresses of a job's pictures; `base` is the address under which the client knows the sandbox."""
    ending = job.recipe["ending"]
    return [f"{base}/_files/{job.provider}/{job.id}-{index}{'-low' if low else ''}.{ending}" for index in indices]


class Files:
    """Serves the results of `desk`'s jobs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def get(self, request: Request) -> Response:
        """Answer one download. The Content-Type follows the ending, so it lies where the ending does."""
        provider, name = request.path_params["provider"], request.path_params["name"]
        match = NAME.fullmatch(name)
        job = self._desk.jobs.get(int(match[1])) if match else None
        if match is None or job is None or job.provider != provider or match[4] != job.recipe["ending"]:
            return gone(404)
        return await self.answer(job, int(match[2]), low=bool(match[3]))

    async def answer(self, job: Job, index: int, *, low: bool = False) -> Response:
        """Answer with picture `index` of `job`."""
        call = Call(job.provider, "file", job.operation, job.account, job.reference or "")

        async def work(rule: Rule | None) -> Response:
            if rule and rule.fault == "expired_url":
                return gone(rule.status or 404)
            recipe = recipes.load(job.recipe)
            if not self._served(job) or index >= recipe.pictures:
                return gone(404)
            content = await self._content(job, recipe, index, low=low)
            return Response(content, media_type=f"image/{MEDIA.get(recipe.ending, recipe.ending)}")

        return await self._desk.serve(call, work, lambda _: gone(403))

    def _served(self, job: Job) -> bool:
        now, expire = time.time(), self._desk.config.files_expire
        return job.state(now) == "done" and (expire is None or now < job.ready_at + expire)

    async def _content(self, job: Job, recipe: Recipe, index: int, *, low: bool) -> bytes:
        """Return the file that was made, or a cheap one where none was."""
        path = self._desk.studio.path(job.id, index)
        if path.exists():
            return await asyncio.to_thread(_shrunk if low else bytes, path.read_bytes())
        width, height = (SWAP_SIDE, SWAP_SIDE) if isinstance(recipe, Swap) else (recipe.width, recipe.height)
        if low:
            width, height = width // LOW_PART, height // LOW_PART
        text = f"{job.reference or job.handle} {index}"
        return cheap(text, job.id + index, recipe.form, width, height, alpha=recipe.transparent)


def _shrunk(content: bytes) -> bytes:
    """Return a preview of a file, in its own format."""
    image = Image.open(io.BytesIO(content))
    form = image.format
    file = io.BytesIO()
    image.resize((image.width // LOW_PART, image.height // LOW_PART)).save(file, form)
    return file.getvalue()


def gone(status: int) -> Response:
    """Return what an object store answers of a file it does not have."""
    return Response(GONE, status, media_type="application/xml")
