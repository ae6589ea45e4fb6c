"""Arrow schemas as Delta writes them, and back."""

from __future__ import annotations

import json
from typing import Any, Final

import pyarrow as pa

_NAMES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "short": pa.int16(),
    "byte": pa.int8(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_TYPES: Final = {kind: name for name, kind in _NAMES.items()}


def to_json(schema: pa.Schema) -> str:
    """The `schemaString` of a table.

    Raises:
        TypeError: Delta has no such type.
    """
    return json.dumps(_struct(schema))


def from_json(text: str) -> pa.Schema:
    """The inverse of `to_json`.

    Raises:
        TypeError: a type that is not read here.
    """
    return pa.schema(_fields(json.loads(text)))


def _struct(fields: Any) -> dict[str, Any]:
    listed = [
        {"name": field.name, "type": _name(field.type), "nullable": True, "metadata": _metadata(field)}
        for field in fields
    ]
    return {"type": "struct", "fields": listed}


def _metadata(field: pa.Field) -> dict[str, str]:
    held = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    meaning = held.pop("long_name", None)
    return held | ({"comment": meaning} if meaning else {})


def _name(kind: pa.DataType) -> Any:
    if kind in _TYPES:
        return _TYPES[kind]
    if pa.types.is_list(kind):
        return {"type": "array", "elementType": _name(kind.value_type), "containsNull": True}
    if pa.types.is_map(kind):
        pair = {"keyType": _name(kind.key_type), "valueType": _name(kind.item_type)}
        return {"type": "map", **pair, "valueContainsNull": True}
    if pa.types.is_struct(kind):
        return _struct([kind.field(number) for number in range(kind.num_fields)])
    raise TypeError(f"Delta has no type for Arrow's {kind}")


def _fields(struct: dict[str, Any]) -> list[pa.Field]:
    return [pa.field(field["name"], _type(field["type"])) for field in struct["fields"]]


def _type(name: Any) -> pa.DataType:
    if isinstance(name, str):
        if name not in _NAMES:
            raise TypeError(f"Delta's type {name} is not read here")
        return _NAMES[name]
    if name["type"] == "array":
        return pa.list_(_type(name["elementType"]))
    if name["type"] == "map":
        return pa.map_(_type(name["keyType"]), _type(name["valueType"]))
    return pa.struct(_fields(name))
