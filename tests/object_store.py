"""A real object store on this machine for tests: S3 as moto serves it, over HTTP, with buckets that begin empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, *buckets: str) -> Iterator[str]:
    """URL of a store with these buckets; this process and those that it starts are told where it is."""
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        url = f"http://127.0.0.1:{port}"
        for name, value in (("AWS_ENDPOINT_URL", url), ("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "tester"),
                            ("AWS_SECRET_ACCESS_KEY", "not-a-secret")):  # fmt: skip
            monkeypatch.setenv(name, value)
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        maker = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", region="us-east-1",
                                allow_bucket_creation=True)  # fmt: skip
        for bucket in buckets:
            maker.create_dir(bucket)
        yield url
    finally:
        server.stop()
