"""Descriptions of operations in words, for the command line and for documents, made from the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from providers.spec import Need, Operation, Via

_VIA: Final[Mapping[Via, str]] = {
    Via.URL: "fetched by the provider from a URL",
    Via.BYTES: "sent with the job",
    Via.UPLOAD: "uploaded first",
}
_TYPES: Final[Mapping[str, str]] = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "object",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OptionInWords:
    """One option: what may be given for it, and what holds without it."""

    name: str
    allowed: str
    #: As JSON has it; None also where nothing holds without it.
    default: Any
    required: bool
    #: All that may be given, as text, where that is a short list.
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationInWords:
    """One operation: the pictures that it takes by role, its prompt, its options."""

    name: str
    kind: str
    summary: str
    pictures: Mapping[str, str]
    prompt: str
    options: tuple[OptionInWords, ...]
    callback: bool


def describe(operation: Operation) -> OperationInWords:
    """`operation` in words."""
    schema = operation.options.model_json_schema()
    required = schema.get("required", ())
    shared: Mapping[str, Any] = schema.get("$defs", {})
    options = tuple(
        OptionInWords(name, _allowed(full), value.get("default"), name in required, _choices(full))
        for name, value in schema.get("properties", {}).items()
        for full in (_full(value, shared),)
    )
    pictures = {role: _picture(need) for role, need in operation.needs.items()}
    return OperationInWords(
        operation.name, operation.kind, operation.summary, pictures, operation.prompt, options, operation.callback
    )


def _picture(need: Need) -> str:
    words = [_VIA[need.via]]
    if need.option:
        words.append(f"named by the option {need.option}, or left out")
    if need.ratio:
        words.append(f"exactly {need.ratio[0]}:{need.ratio[1]}")
    if need.max_side:
        words.append(f"at most {need.max_side} pixels on the longer side")
    return ", ".join(words)


def _full(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON schema of pydantic's with what it refers to, and of alternatives the one that is not null."""
    if "$ref" in schema:
        schema = shared[schema["$ref"].rpartition("/")[2]]
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":  # an option that may be left out
            schema = {**schema, **one}
    return schema


def _choices(schema: Mapping[str, Any]) -> tuple[str, ...]:
    if schema.get("type") == "boolean":
        return ("true", "false")
    return tuple(map(str, schema.get("enum", ())))


def _allowed(schema: Mapping[str, Any]) -> str:
    """What such a schema allows, in a few words."""
    if "enum" in schema:
        *most, last = map(str, schema["enum"])
        return f"{', '.join(most)} or {last}" if most else last
    if "const" in schema:
        return str(schema["const"])
    words = _TYPES.get(schema.get("type", ""), "anything")
    limits = _range(schema)
    if "pattern" in schema:
        limits = f"like {schema['pattern']}"
    elif schema.get("maxLength"):
        limits = f"at most {schema['maxLength']:,} characters"
    if "multipleOf" in schema:
        limits += f" in steps of {schema['multipleOf']}"
    return f"{words}, {limits}" if limits else words


def _range(schema: Mapping[str, Any]) -> str:
    low, over, high = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None:
        return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
    ends = [f"over {over:g}"] if over is not None else []
    return ", ".join([*ends, f"at most {high:g}"] if high is not None else ends)
