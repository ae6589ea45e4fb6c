"""The part of JSON Schema that the project's schemas use, as breaches in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES = {"object": Mapping, "array": list, "string": str, "boolean": bool, "null": type(None)}
KNOWN = {
    *("$schema", "$id", "title", "description", "type", "properties", "required", "additionalProperties"),
    *("items", "prefixItems", "minItems", "const", "enum", "pattern", "minimum", "maximum"),
}


def _is(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        wanted = (int,) if kind == "integer" else (int, float)
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def breaches(value: Any, schema: Mapping[str, Any], where: str = "$") -> Iterator[str]:
    """Every sentence that says where a value is not what its schema says."""
    if unknown := set(schema) - KNOWN:
        yield f"{where}: this validator does not know {sorted(unknown)}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where}: {value!r} is none of {kinds}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    if _is(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: {value} is out of range"
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in properties:
                yield from breaches(item, properties[name], f"{where}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{where}: {name} is not in the schema"
    if isinstance(value, list):
        yield from _of_list(value, schema, where)


def _of_list(value: list[Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    first = schema.get("prefixItems", [])
    if len(value) < schema.get("minItems", 0):
        yield f"{where}: {len(value)} items are too few"
    if schema.get("items") is False and len(value) > len(first):
        yield f"{where}: {len(value)} items are more than {len(first)}"
    for number, item in enumerate(value):
        expected = first[number] if number < len(first) else schema.get("items") or {}
        yield from breaches(item, expected, f"{where}[{number}]")
