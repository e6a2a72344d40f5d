"""The form of PiktID's answers; `sandbox.piktid` decides which endpoint gives them when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox.files import urls
from sandbox.inbox import Event
from sandbox.jobs import Job
from sandbox.studio import Box
from sandbox.tokens import Pair

MESSAGES = {
    "no_face": "face not found in the target image",
    "unreadable": "the image cannot be read",
    "content": "the image does not comply with the content policy",
    "internal": "internal error during the generation",
}


def described(pair: Pair) -> dict[str, str]:
    """Return the answer to a refresh."""
    return {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "access_expiration": date(pair.access_until),
        "refresh_expiration": date(pair.refresh_until),
    }


def date(at: float) -> str:
    """Return a moment in epoch seconds as PiktID writes dates."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def faces_in(boxes: list[Box]) -> dict[str, Any]:
    """Return `faces` of an upload's answer: places and sizes as parts of the picture's sides."""
    return {
        "approved_faces": [int(box.large) for box in boxes],
        "coordinates_list": [
            {
                "id": number,
                "centerX": box.left + box.width / 2,
                "centerY": box.top + box.height / 2,
                "cornerX": box.left,
                "cornerY": box.top,
                "boxWidth": box.width,
                "boxHeight": box.height,
            }
            for number, box in enumerate(boxes)
        ],
        "number_of_faces": len(boxes),
        "selected_faces": [int(box.large) for box in boxes],
    }


def event_data(event: Event, base: str) -> dict[str, Any]:
    """Return an event's `data`."""
    job = event.job
    image, face = job.notes["image"], job.notes["face"]
    low = urls(base, job, range(1), low=True)[0]
    match event.name:
        case "new_generation":
            about = {"address": image, "id_image": image, "f": face, "g": 0}
            return {**about, "msg": "done", "link": low, "task": "swap", "face_list": [face]}
        case "swap":
            file = job.notes.get("file") or image
            name = (image, file, file.rpartition(".")[0] or file)[job.id % 3]
            return {"face_name": job.notes["identity"], "target_name": name, "links": [_object(job, base)]}
        case "download":
            return {"id_image": image, "link_hd": link_to(job, base), "link": low}
    return {"tasks": "swap", "msg": MESSAGES[job.error or "internal"]}


def link_to(job: Job, base: str) -> str | dict[str, str]:
    """Return the link to a job's picture in one of its two forms, by the job's number."""
    return _object(job, base) if job.id % 2 else _object(job, base)["l"]


def _object(job: Job, base: str) -> dict[str, str]:
    url = urls(base, job, range(1))[0]
    return {"l": url, "n": url.rpartition("/")[2], "t": "image/png"}


def per_face(jobs: list[Job]) -> list[int]:
    """Return how many of `jobs` each face has had, up to the last one that has had any."""
    faces = [int(job.notes["face"]) for job in jobs]
    return [faces.count(face) for face in range(max(faces, default=-1) + 1)]


def problem(status: int, message: str, description: str) -> Response:
    """Return an error in the form of the page."""
    return JSONResponse({"code": status, "message": message, "description": description}, status)


def refuse(why: str) -> Response:
    """Say "auth" or "out_of_credit"."""
    if why == "auth":
        return problem(401, "unauthorized", "the token is missing, invalid or expired")
    return problem(402, "not enough credits", "buy credits to go on")
