"""Which key made a set of pseudonyms, told by a check value that does not give the key away."""

from __future__ import annotations

import hashlib


def stated(kind: str, key: bytes) -> str:
    """How pseudonyms were made: "key" or "salt", with the check value of the key."""
    return f"{kind}:{hashlib.blake2b(b'ipdsf pseudonyms', key=key[:64], digest_size=4).hexdigest()}"


def is_key_of(said: str, key: bytes) -> bool:
    """Whether `stated` said this of a key."""
    return bool(key) and said == stated(said.partition(":")[0], key)
