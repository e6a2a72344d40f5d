"""The API's document: OpenAPI 3.1, made of the table that routes and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from desk.replays import MAX_KEY_CHARS
from reports.written import written
from web.api.bodies import JSON, MULTIPART
from web.api.endpoints import Endpoint
from web.api.problems import MEDIA_TYPE
from web.api.shapes import ProblemShape
from web.api.table import BASE, ENDPOINTS
from web.media import MEDIA_TYPES
from web.streams import EVENTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "Any text of your own. The same request with the same key is answered as before, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS, "pattern": "^[!-~]+$"},
}  # fmt: skip

LAST_EVENT = {
    "name": "Last-Event-ID", "in": "header", "required": False,
    "description": "The id of the last event that was told; what has happened since comes first.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}  # fmt: skip


def document(below: str = "") -> dict[str, Any]:
    """The document of an API that is served below the path `below`."""
    return {**_everywhere(), "servers": _servers(below)}


def text(below: str = "") -> bytes:
    """The document as JSON. Below which path, a header may say, which is anybody's: so that part alone is made anew."""
    return _text_everywhere() + f', "servers": {written(_servers(below))}}}'.encode()


@cache
def _text_everywhere() -> bytes:
    return written(_everywhere()).removesuffix("}").encode()


def _servers(below: str) -> list[dict[str, str]]:
    return [{"url": f"{below}{BASE}"}]


@cache
def _everywhere() -> dict[str, Any]:
    """The document but for the path: a tenth of a second of work, and the same as long as the process lives."""
    schemas, refs = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Recast", "version": "1", "description": "Bulk face swaps: batches, verdicts, paid runs."},
        "jsonSchemaDialect": DIALECT,
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _models() -> Iterable[type[BaseModel]]:
    yield ProblemShape
    for endpoint in ENDPOINTS:
        yield endpoint.query
        yield from (model for model in (endpoint.answer, endpoint.body, endpoint.upload) if model is not None)


def _schemas() -> tuple[dict[str, Any], Mapping[type[BaseModel], Mapping[str, Any]]]:
    models = dict.fromkeys(_models())
    refs, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return definitions["$defs"], {model: refs[model, "validation"] for model in models}


def _operation(
    endpoint: Endpoint, schemas: Mapping[str, Any], refs: Mapping[type[BaseModel], Mapping[str, Any]]
) -> dict[str, Any]:
    problem = {MEDIA_TYPE: {"schema": refs[ProblemShape]}}
    answers = {str(int(status)): {"description": status.phrase, "content": problem} for status in endpoint.statuses}
    made = {"description": HTTPStatus(endpoint.status).phrase, "content": _content(endpoint, refs)}
    described: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}{endpoint.path.replace('/', '_').replace('{', '').replace('}', '')}",
        "summary": endpoint.summary,
        "description": f"Needs the role {endpoint.role}.",
        "parameters": [*_path(endpoint), *_query(refs[endpoint.query], schemas)],
        "responses": {str(int(endpoint.status)): made, **answers},
    }
    if endpoint.stream:
        described["parameters"].append(LAST_EVENT)
    if endpoint.method == "POST":
        described["parameters"].append(KEY)
    if endpoint.body is not None:
        content = {JSON: {"schema": refs[endpoint.body]}}
        if endpoint.upload is not None:
            content[MULTIPART] = {"schema": refs[endpoint.upload], "encoding": {"options": {"contentType": JSON}}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _content(endpoint: Endpoint, refs: Mapping[type[BaseModel], Mapping[str, Any]]) -> dict[str, Any]:
    """What is answered, by its media type."""
    if endpoint.answer is None:
        return {kind: {} for kind in dict.fromkeys(MEDIA_TYPES.values())}
    answer = refs[endpoint.answer]
    return {EVENTS: {"schema": _event(answer)}} if endpoint.stream else {JSON: {"schema": answer}}


def _event(data: Mapping[str, Any]) -> dict[str, Any]:
    """One of the events that are sent."""
    text = {"type": "string"}
    return {
        "type": "object", "required": ["event", "data"],
        "properties": {
            "event": text, "id": text,
            "data": {**text, "contentMediaType": JSON, "contentSchema": dict(data)},
        },
    }  # fmt: skip


def _path(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in endpoint.parameters]


def _query(ref: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    model = schemas[str(ref["$ref"]).rpartition("/")[2]]
    return [
        {
            "name": name, "in": "query", "required": False, "schema": schema,
            **({"style": "form", "explode": True} if name == "state" else {}),
        }
        for name, schema in model.get("properties", {}).items()
    ]  # fmt: skip
