"""What is said of a request that does not fit its model: the field, the value, and what is allowed there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from web.api.problems import ProblemError, unprocessable

M = TypeVar("M", bound=BaseModel)

SHOWN = 80  # characters of a value, in the sentence that refuses it

#: What is allowed, by the kind of a mistake; it may name a bound that the model sets.
_ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true, false"),
    **dict.fromkeys(("dict_type", "model_type"), "an object"),
    # Where a moment is asked for, a time may be said as well.
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "a moment, a time as in 2h"),
    **dict.fromkeys(("enum", "literal_error"), "{expected}"),
    "string_type": "text", "string_too_short": "{min_length} or more characters",
    "string_too_long": "up to {max_length} characters", "list_type": "a list", "too_short": "{min_length} or more",
    "too_long": "up to {max_length}", "greater_than_equal": "{ge} or more", "less_than_equal": "up to {le}",
}  # fmt: skip


def of_json(model: type[M], document: str | bytes) -> M:
    """A body as its model has it, where no number in quotes is taken for a number.

    Raises:
        ProblemError: it is not what the model asks for.
    """
    return _checked(model, lambda: model.model_validate_json(document, strict=True))


def of_query(model: type[M], values: Mapping[str, Any]) -> M:
    """A query as its model has it, whose values are all text.

    Raises:
        ProblemError: it is not what the model asks for.
    """
    return _checked(model, lambda: model.model_validate(values))


def _checked(model: type[M], read: Callable[[], M]) -> M:
    try:
        return read()
    except ValidationError as error:
        raise _problem(model, error.errors(include_url=False)[0]) from None


def _problem(model: type[BaseModel], first: Mapping[str, Any]) -> ProblemError:
    """The first thing that a model has to say of a request."""
    within, place = _placed(model, first["loc"])
    name, value = ".".join(place) or "body", first.get("input")
    if first["type"] == "missing":
        return unprocessable(f"{name}: it is missing", name)
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(within.model_fields) or "nothing"
        return unprocessable(f"{name}: there is no such field; allowed: {allowed}", name, value, allowed)
    context = first.get("ctx") or {}
    if first["type"] == "value_error":
        said = str(context["error"])
        return unprocessable(f"{name}: {said}", name, value, said.partition("allowed: ")[2] or None)
    if first["type"] not in _ALLOWED:
        return unprocessable(f"{name}: {first['msg']}", name, value)
    allowed = _ALLOWED[first["type"]].format_map(context)
    return unprocessable(f"{name}: {_shown(value)} is not allowed; allowed: {allowed}", name, value, allowed)


def _placed(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[type[BaseModel], list[str]]:
    """The innermost model that a place is in, and the place without what is only tried, such as one of two types."""
    place: list[str] = []
    leaf: Sequence[Any] = ()
    for part in loc:
        if leaf:
            if any(get_origin(kind) in (list, dict) for kind in leaf):
                place.append(str(part))
            break
        place.append(str(part))
        field = model.model_fields.get(str(part))
        if field is None:
            break
        kinds = (field.annotation, *get_args(field.annotation))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        model, leaf = (inner[0], ()) if inner else (model, kinds)
    return model, place


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
