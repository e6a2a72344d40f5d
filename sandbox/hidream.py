"""HiDream's "variation": tokens for API keys, templates, the submission, its results and its callback.

From HiDream's pages "variation request", "variation templates", "user token" and "Pixeling" (for the callback), and
from HiDream's own clients (github.com/HiDream-ai/hidream-api-gen and hidream-model-gen) for the results:

- A request is understood by HTTP 200 and `code` 0; anything that is wrong with it is another `code` with HTTP 200.
- Of a task only the sub tasks have a status, one for each picture: 0 queued, 2 processing, 1 done, 3 failed, 4 rejected
  by the safety review, 1004 no result. At first there are no sub tasks in the answer.
- `image` is 3:4 and 2,048 pixels at most on its longer side, given by URL or as base64 without a prefix.
- A picture is answered as an address or as a bare id ``p_<uuid>``, here in turn; ids lead to ``/image/<id>.jpg``.
- `request_id` is echoed, and a repeated one is a new task.
- A callback brings what the results say. It counts as taken by HTTP 200 within 5 s; else it is sent again after 1 s,
  and three times at most.

What the sandbox chose: a template's number gives how many pictures it makes (its remainder by 3, plus 1). A wrong token
is HTTP 401. Codes other than 1051, which another page has, are invented. A job fails with all its pictures, and the
fault "withhold" takes some away; that a picture has failed is known while others are still being made. Of several
pictures the first is there before the others, which the list then has as being made or, in turn, not yet.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import CallbackRequest, CallbackStyle, Notice
from sandbox.desk import Desk
from sandbox.faults import Call, CallKind, Rule
from sandbox.files import Files, gone, urls
from sandbox.jobs import Job
from sandbox.pictures import cheap
from sandbox.recipes import Portraits
from sandbox.requests import base_of, bearer, json_object, lasting, web_address
from sandbox.studio import UnusableInputError

NAME = "hidream"

TOKEN_SECONDS = 86_400.0  # "valid for one day" (page "user token")
TEMPLATES = range(1, 41)  # the page's example asks for 20
MAX_PAGE = 100  # templates ("variation templates")
MAX_SIDE = 2_048  # pixels: the page's "2K"
CALLBACK_SECONDS = 5.0  # (page "Pixeling")
REPEAT_AFTER = (1.0, 1.0)  # seconds, which makes three requests (page "Pixeling")

QUEUED, SUCCESS, PROCESSING, FAILED, REJECTED, NO_RESULT = 0, 1, 2, 3, 4, 1004
FAILURES = {"content": REJECTED, "no_face": NO_RESULT}
DESCRIPTIONS = {FAILED: "生成失败", REJECTED: "内容安全审核未通过", NO_RESULT: "算法无结果,请更换输入"}

BAD_PARAMETER, BAD_IMAGE, NO_TEMPLATE, NO_CREDIT, NO_TASK = 1001, 1051, 1052, 1060, 1070

#: What is seen of a task by how much of its time is over: no sub tasks, then queued ones, then ones at work.
NOTHING_UNTIL, QUEUED_UNTIL, FAILURES_FROM = 0.25, 0.5, 0.75


class Hidream:
    """HiDream's endpoints on top of `desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._files = Files(desk)
        life = desk.config.tokens_expire
        self._token_seconds = TOKEN_SECONDS if life is None else life
        desk.callbacks.manners[NAME] = CallbackStyle(_callback, _taken, REPEAT_AFTER, CALLBACK_SECONDS)

    def routes(self) -> list[Route]:
        """Return the endpoints, relative to the provider's base address."""
        submit = "/api-pub/ec/v3/image/variation/async"
        return [
            Route("/prod-api/user/apikey2token", self.token),
            Route(submit, self.submit, methods=["POST"]),
            Route(f"{submit}/results", self.results),
            Route("/api-pub/ec/v3/template/variation", self.templates),
            Route("/image/{name}.jpg", self.image),
            Route("/template/{number:int}.jpg", self.show),
        ]

    async def token(self, request: Request) -> Response:
        """Give a token for an API key, in either of the headers that HiDream's clients use."""
        account = lasting(request.headers.get("Api-Key") or request.headers.get("Refresh-Token") or "")

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refusal(BAD_PARAMETER, "api-key无效")
            until = time.time() + self._token_seconds
            content = json.dumps({"account": account, "until": until, "id": uuid.uuid4().hex})
            token = base64.urlsafe_b64encode(content.encode()).decode()
            return _success({"token": token, "expire_time": datetime.fromtimestamp(until, UTC).isoformat()})

        return await self._desk.serve(_call("token", "token", account), work, _refuse)

    async def templates(self, request: Request) -> Response:
        """List the templates for a gender."""
        account, query = _account(request), request.query_params

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            try:
                size, index = int(query.get("page_size", "20")), int(query.get("page_index", "1"))
            except ValueError:
                size = index = 0
            if query.get("gender") not in {"man", "woman"} or not 1 <= size <= MAX_PAGE or index < 1:
                return _refusal(BAD_PARAMETER, "参数错误")
            numbers = [number for number in TEMPLATES if _gender(number) == query["gender"]]
            page = [
                {
                    "id": number,
                    "gender": _gender(number),
                    "show_image": f"{base_of(request)}/{NAME}/template/{number}.jpg",
                }
                for number in numbers[(index - 1) * size : index * size]
            ]
            return _success({"templates": page, "total_count": len(numbers), "total_page": -(-len(numbers) // size)})

        return await self._desk.serve(_call("poll", "templates", account), work, _refuse)

    async def submit(self, request: Request) -> Response:
        """Take a picture and a template."""
        account, body = _account(request), await json_object(request) or {}
        call = Call(NAME, "submit", "variation", account or "", str(body.get("request_id") or ""))
        request_id = call.reference or str(uuid.uuid4())

        async def work(rule: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            template, url = body.get("template_id"), body.get("notify_url")
            if not isinstance(template, int) or template not in TEMPLATES:
                return _refusal(NO_TEMPLATE, "template_id不存在", request_id)
            if url and not web_address(url):
                return _refusal(BAD_PARAMETER, "notify_url无效", request_id)
            try:
                picture, (width, height) = await self._picture(body.get("image"))
            except UnusableInputError as error:
                return _refusal(BAD_IMAGE, f"image无效: {error}", request_id)
            if width * 4 != height * 3 or height > MAX_SIDE:
                return _refusal(BAD_IMAGE, f"image仅支持宽高比3:4,最大分辨率2K: {width}x{height}", request_id)
            # A task's id ends in 00 and its sub tasks' in 01 and so on, so that each leads to the other.
            task = uuid.UUID(int=uuid.uuid4().int & ~0xFF)
            count = template % 3 + 1
            recipe = Portraits(picture, f"template {template}", width, height, count, template, ending="jpg")
            notes = {"base": base_of(request), "request_id": request_id}
            wanted = CallbackRequest(url) if url else None
            await self._desk.accept(call, str(task), recipe, rule=rule, notes=notes, callback=wanted)
            ids = [_sub_task(str(task), index) for index in range(count)]
            return _success({"sub_task_ids": ids, "task_id": str(task)}, request_id)

        return await self._desk.serve(call, work, _refuse)

    async def results(self, request: Request) -> Response:
        """Return the state of a task's sub tasks."""
        account, task = _account(request), request.query_params.get("task_id", "")

        async def work(_: Rule | None) -> Response:
            if account is None:
                return _refuse("auth")
            job = await self._desk.jobs.find(NAME, task, account=account)
            if job is None or job.lost:
                return _refusal(NO_TASK, "任务不存在", request.query_params.get("request_id"))
            return JSONResponse(_status_of(job, base_of(request)))

        return await self._desk.serve(_call("poll", "variation", account, task), work, _refuse)

    async def image(self, request: Request) -> Response:
        """Serve the picture behind a bare id."""
        try:
            sub_task = uuid.UUID(request.path_params["name"].removeprefix("p_"))
        except ValueError:
            return gone(404)
        found = await self._desk.jobs.under(NAME, str(uuid.UUID(int=sub_task.int & ~0xFF)), account=None)
        index = sub_task.int & 0xFF
        return await self._files.answer(found[0], index - 1) if found and index else gone(404)

    async def show(self, request: Request) -> Response:
        """Serve a template's example."""
        number = request.path_params["number"]
        return Response(cheap(f"template {number}", number, "jpeg", 384, 512), media_type="image/jpeg")

    async def _picture(self, image: object) -> tuple[str, tuple[int, int]]:
        """Return the address of a submission's picture, and its width and height.

        Without real pictures nothing is fetched, and one behind a URL is taken to be right.

        Raises:
            UnusableInputError: there is no picture there.
        """
        if not isinstance(image, str) or not image:
            raise UnusableInputError("unreadable", "no picture")
        if web_address(image):
            if self._desk.config.pictures == "cheap":
                return image, (768, 1024)
            data = await asyncio.to_thread(self._desk.studio.fetch, "image", image)
        else:
            try:
                data = base64.b64decode(image, validate=True)
            except (binascii.Error, ValueError) as error:
                raise UnusableInputError("unreadable", f"not base64: {error}") from error
        try:
            with Image.open(io.BytesIO(data)) as opened:
                size = opened.size
        except (OSError, Image.DecompressionBombError) as error:
            raise UnusableInputError("unreadable", "not a picture") from error
        return await asyncio.to_thread(self._desk.studio.keep, data), size


def _call(kind: CallKind, operation: str, account: str | None, reference: str = "") -> Call:
    return Call(NAME, kind, operation, account or "", reference)


def _account(request: Request) -> str | None:
    """Return whose token came with the request: one that lasts, or one that was given for an API key and is good."""
    token = bearer(request)
    try:
        content = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        return lasting(token)
    return content["account"] if isinstance(content, dict) and time.time() < content["until"] else None


def _gender(number: int) -> str:
    return "woman" if number % 2 else "man"


def _sub_task(task: str, index: int) -> str:
    return str(uuid.UUID(int=uuid.UUID(task).int + index + 1))


def _statuses(job: Job) -> list[int | None]:
    """Return the status of each sub task, None for one that is not in the list, or nothing while there is no list."""
    now = time.time()
    failure = FAILURES.get(job.error, FAILED) if job.error else None
    withheld = int(job.notes.get("withheld", 0))
    end: list[int | None] = [REJECTED if index < withheld else failure or SUCCESS for index in range(job.pictures)]
    if job.state(now) != "pending":
        return end
    part = (now - job.accepted_at) / max(job.ready_at - job.accepted_at, 1e-9)
    if part < NOTHING_UNTIL:
        return []
    if part < QUEUED_UNTIL:
        return [QUEUED] * job.pictures
    if part < FAILURES_FROM:
        return [PROCESSING] * job.pictures
    # The first of several has ended; of the others those that are still worked at are in the list in turn.
    unfinished = None if job.id % 2 else PROCESSING
    first = SUCCESS if job.pictures > 1 else unfinished
    return [status if status != SUCCESS else unfinished if index else first for index, status in enumerate(end)]


def _status_of(job: Job, base: str) -> dict[str, Any]:
    """Return the body of the results, which is also that of the callback."""
    results: list[dict[str, Any]] = []
    for index, status in enumerate(_statuses(job)):
        if status is None:
            continue
        sub_task = _sub_task(job.handle, index)
        result: dict[str, Any] = {"sub_task_id": sub_task, "task_status": status, "task_completion": 0.0}
        if status == SUCCESS:
            bare = (job.id + index) % 2
            image = f"p_{sub_task}" if bare else urls(base, job, [index])[0]
            result |= {"task_completion": 1.0, "image": image}
        elif status in DESCRIPTIONS:
            result |= {"description": DESCRIPTIONS[status]}
        results.append(result)
    return _body({"sub_task_results": results}, job.notes["request_id"])


def _callback(job: Job, _: str, forged: bool) -> Notice:
    """Write the one event there is; a forged one shows pictures that do not exist."""
    if not forged:
        return Notice(json.dumps(_status_of(job, job.notes["base"])).encode())
    results = [
        {"sub_task_id": _sub_task(job.handle, index), "task_status": SUCCESS, "image": f"p_{uuid.uuid4()}"}
        for index in range(job.pictures)
    ]
    return Notice(json.dumps(_body({"sub_task_results": results}, job.notes["request_id"])).encode())


def _taken(status: int, _: bytes) -> bool:
    return status == HTTPStatus.OK


def _body(
    result: dict[str, Any] | None, request_id: str | None, code: int = 0, message: str = "请求成功"
) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": request_id or str(uuid.uuid4()), "result": result}


def _success(result: dict[str, Any], request_id: str | None = None) -> Response:
    return JSONResponse(_body(result, request_id))


def _refusal(code: int, message: str, request_id: str | None = None, http: int = 200) -> Response:
    return JSONResponse(_body(None, request_id, code, message), http)


def _refuse(why: str) -> Response:
    if why == "auth":
        return _refusal(401, "token无效或已过期", http=401)
    return _refusal(NO_CREDIT, "账户余额不足")
