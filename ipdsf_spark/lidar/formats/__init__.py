"""Every ceilometer format this project reads, from bytes, detected by content.

    decode(raw) -> Decoded            profiles and named reasons, for any bytes
    recognise(raw) -> str             maker and model, or "unknown"

A reader module offers ``recognise(raw) -> str | None`` (cheap, looks at the first bytes) and ``decode``.
"""
