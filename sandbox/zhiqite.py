"""Zhiqite's "Img Open" API: face swaps (Single V1.0, Single V2.0, Multiple), their query and their callback.

From Zhiqite's pages "Single Face Swap V1.0", "Single Face Swap V2.0", "Multiple Face Swap" and
"queryImageToolTaskInfo". Of these only the Multiple Face Swap has a `callbackUrl`; sibling tools have one, too. A
callback counts as taken if it is answered by JSON with `code` 200; else it is repeated after 3, 5, 15, 30, 60, 600 and
3,600 s, and up to ten times.

The pages leave much open; what the sandbox does there is its own choice:

- The submission is answered at once, in turn in the form of the asynchronous result, without `outputImageUrl` and with
  a `status` that is neither 1 (success) nor 2 (failure), and in the form that the pages of sibling tools print (style
  recognition, outpainting, CNT preview): ``data`` has a `task_id` and no more. The query uses yet another `status`
  while the job runs.
- Wrong keys, bad parameters, no credit, an unknown or a repeated `businessTaskId`: HTTP 200 with a `code` that is not
  "200". Numbers and words are invented.
- A job that fails after its acceptance is told by `code` "200" and `status` 2, or, where a fault rule's form is "code",
  by `code` "500".
- Without `faceIdx` the largest face of the target is replaced. Of two sources the first goes to the target's first face
  from the left, the second to the next one, and `faceIdx` means nothing.
- A callback's body is the envelope of the answers, and nothing signs it. After the seventh of its repetitions, further
  ones come after an hour each.
"""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import CallbackRequest, CallbackStyle, Notice
from sandbox.config import CREDENTIAL
from sandbox.desk import Desk
from sandbox.faults import Call, Rule
from sandbox.files import urls
from sandbox.jobs import Job
from sandbox.recipes import Swap
from sandbox.requests import base_of, json_object, web_address

NAME = "zhiqite"

#: Operations by tool code: what follows ``tool/`` in the path, slash included.
TOOLS = {"roop": "swap", "v2/roop": "swap_v2", "face/fusion": "swap_faces"}

#: The Multiple Face Swap, the only tool with several sources and a callback.
FUSION = "face/fusion"
MAX_SOURCES = 2
REPEAT_AFTER = (3.0, 5.0, 15.0, 30.0, 60.0, 600.0, 3600.0, 3600.0, 3600.0, 3600.0)  # seconds
CALLBACK_SECONDS = 10.0  # until a callback must be answered; undocumented

ACCEPTED = 0  # `status` in the answer to a submission
SUCCESS = 1  # documented
FAILURE = 2  # documented
RUNNING = 3  # `status` in the answer to a query

#: Added to a job's number: a short `taskId` like the page's "1116", which is never the `businessTaskId`.
TASK_ID_BASE = 1115

MESSAGES = {
    "no_face": "no face detected in the image",
    "unreadable": "image download failed",
    "content": "the image did not pass the content audit",
    "internal": "algorithm error",
}


class Zhiqite:
    """Zhiqite's endpoints on top of `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        desk.callbacks.manners[NAME] = CallbackStyle(_callback, _taken, REPEAT_AFTER, CALLBACK_SECONDS)

    def routes(self) -> list[Route]:
        """Return the endpoints, relative to the provider's base address."""
        base = "/AIGCImgOpenServ/saas/tool/{tool:path}"
        return [
            Route(f"{base}/queryTask", self.query, methods=["POST"]),
            Route(base, self.submit, methods=["POST"]),
        ]

    async def submit(self, request: Request) -> Response:
        """Take a face swap: `sourceUrl` gives the face (or two), `targetUrl` receives it."""
        tool = request.path_params["tool"]
        body = await json_object(request) or {}
        reference, account = body.get("businessTaskId"), _account(request)
        call = Call(NAME, "submit", TOOLS.get(tool, tool), account or "", str(reference or ""))

        async def work(rule: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            wrong = _wrong(tool, body)
            if wrong:
                return _refusal("400", f"parameter error: {wrong}")
            # Between this question and the insertion in `accept` nothing else runs, so of two at once one is refused.
            if self._desk.config.duplicates == "refuse" and await self._find(account, call.reference, call.operation):
                return _refusal("409", "businessTaskId already exists")
            url, notes = body.get("callbackUrl"), {"base": base_of(request), "tool": tool}
            wanted = CallbackRequest(url) if tool == FUSION and url else None
            job = await self._desk.accept(call, call.reference, _recipe(body), rule=rule, notes=notes, callback=wanted)
            return JSONResponse(_result(job, tool, ACCEPTED) if job.id % 2 else _unfinished(job))

        return await self._desk.serve(call, work, _refuse)

    async def query(self, request: Request) -> Response:
        """Tell how the job with this `businessTaskId` stands."""
        tool = request.path_params["tool"]
        reference, account = (await json_object(request) or {}).get("businessTaskId"), _account(request)
        call = Call(NAME, "poll", TOOLS.get(tool, tool), account or "", str(reference or ""))

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            job = await self._find(account, call.reference, call.operation)
            if job is None or job.lost:
                return _refusal("404", "task does not exist")
            return JSONResponse(_status_of(job, tool, base_of(request)))

        return await self._desk.serve(call, work, _refuse)

    async def _find(self, account: str, reference: str, operation: str) -> Job | None:
        return await self._desk.jobs.find(NAME, reference, account=account, operation=operation)


def _account(request: Request) -> str | None:
    """Return whose keys came with the request (both headers of the pages), or None if they are wrong."""
    key = request.headers.get("X-Request-req-accessKeyId", "")
    secret = request.headers.get("X-Request-req-accessKeySecret")
    return key if key.startswith(CREDENTIAL) and secret == CREDENTIAL else None


def _wrong(tool: str, body: dict[str, Any]) -> str | None:
    """Return what is wrong with a submission, by the tables of the pages."""
    if tool not in TOOLS:
        return f"no tool {tool}"
    strings = ("targetUrl", "businessTaskId") if tool == FUSION else ("sourceUrl", "targetUrl", "businessTaskId")
    for name in strings:
        if not isinstance(body.get(name), str) or not body[name]:
            return f"{name} is required and is a string"
    match tool:
        case "v2/roop":
            return _wrong_weight(body.get("fidelityWeight"))
        case "face/fusion":
            return _wrong_fusion(body)
    return None


def _wrong_weight(weight: object) -> str | None:
    if weight is None:
        return None
    try:
        fits = isinstance(weight, str) and 0 <= float(weight) <= 1
    except ValueError:
        fits = False
    return None if fits else "fidelityWeight is a string between 0 and 1"


def _wrong_fusion(body: dict[str, Any]) -> str | None:
    sources, index, url = body.get("sourceUrl"), body.get("faceIdx"), body.get("callbackUrl")
    if not isinstance(sources, list) or not all(isinstance(source, str) and source for source in sources):
        return "sourceUrl is required and is an array of strings"
    if not 1 <= len(sources) <= MAX_SOURCES:
        return f"sourceUrl has 1 to {MAX_SOURCES} items"
    if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 1):
        return "faceIdx is an integer and counts from 1"
    return None if not url or web_address(url) else "callbackUrl is an address"


def _recipe(body: dict[str, Any]) -> Swap:
    """Return what is to be made, of a body without fault."""
    if isinstance(body["sourceUrl"], str):
        return Swap(body["sourceUrl"], body["targetUrl"])
    first, *others = body["sourceUrl"]
    index = body.get("faceIdx")
    return Swap(first, body["targetUrl"], face=index - 1 if index else None, second=others[0] if others else None)


def _status_of(job: Job, tool: str, base: str) -> dict[str, Any]:
    """Return how a job stands, as the query and the callback tell it."""
    state = job.state(time.time())
    if state == "pending":
        return _result(job, tool, RUNNING)
    if state == "done":
        return _result(job, tool, SUCCESS, outputImageUrl=urls(base, job, range(1))[0])
    message = MESSAGES.get(job.error or "", "failed")
    if job.notes.get("form") == "code":
        return _error("500", message)
    return _result(job, tool, FAILURE, message=message)


def _callback(job: Job, _: str, forged: bool) -> Notice:
    """Write the one event there is; a forged one shows a picture that does not exist."""
    base, tool = job.notes["base"], job.notes["tool"]
    if forged:
        return Notice(json.dumps(_result(job, tool, SUCCESS, outputImageUrl=f"{base}/_files/{NAME}/0-0.png")).encode())
    return Notice(json.dumps(_status_of(job, tool, base)).encode())


def _taken(_: int, body: bytes) -> bool:
    """Tell whether a callback counts as taken; the HTTP status alone says nothing."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and str(answer.get("code")) == "200"


def _result(job: Job, tool: str, status: int, message: str = "success", **more: str) -> dict[str, Any]:
    data = {"taskId": str(TASK_ID_BASE + job.id), "toolTask": tool, "status": status, **more}
    return {"code": "200", "msg": message, "data": data}


def _unfinished(job: Job) -> dict[str, Any]:
    """Return how the pages of sibling tools print a task that was accepted and is not finished."""
    return {"code": "200", "msg": "success", "data": {"task_id": f"pre{int(job.accepted_at * 1000)}{job.id:09d}"}}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "msg": message, "data": None}


def _refusal(code: str, message: str) -> Response:
    return JSONResponse(_error(code, message))


def _refuse(why: str) -> Response:
    if why == "auth":
        return _refusal("401", "accessKeyId or accessKeySecret is wrong")
    return _refusal("402", "insufficient account balance")
