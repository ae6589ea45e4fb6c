"""A small web server for metrics and the status page, in a thread of its own; read-only, on the loopback by default."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from ipdsf_spark.errors import ConfigError

logger = logging.getLogger(__name__)

Query = Mapping[str, str]  # what stands behind the ? of an address
# What follows the route, and the query -> content type and body; None = no such page.
Page = Callable[[str, Query], tuple[str, bytes] | None]
ALLOWED: Final = ("default-src 'none'", "style-src 'unsafe-inline'", "img-src 'self' data:", "form-action 'self'")
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "; ".join(ALLOWED),
    "X-Content-Type-Options": "nosniff",
}
MOST_FIELDS: Final = 20  # of a query
TIMEOUT_S: Final = 10.0  # a client that says nothing holds a thread no longer


class _IPv6Server(ThreadingHTTPServer):
    """At an address of IPv6."""

    address_family = socket.AF_INET6


class PageServer:
    """Serves pages until it is closed.

    Args:
        listen: host:port, of IPv6 [address]:port; port 0 is any free one.
        pages: route to page; the longest route that an address begins with is asked.

    Raises:
        ConfigError: `listen` is no host and port.
        OSError: it cannot be listened on.
    """

    def __init__(self, listen: str, pages: Mapping[str, Page]) -> None:
        host, _, port = listen.rpartition(":")
        if not (host and port.isdecimal() and int(port) < 65_536):
            raise ConfigError(f"an address to listen on is host:port, got {listen!r}")
        host = host.strip("[]")
        kind = _IPv6Server if ":" in host else ThreadingHTTPServer
        self._server = kind((host, int(port)), _handler(pages))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="ipdsf-pages", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, http://host:port."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(TIMEOUT_S)


def served(listen: str, pages: Mapping[str, Page], *, what: str) -> PageServer | None:
    """A server, or a warning and None: nothing that only looks may keep work from being done."""
    try:
        server = PageServer(listen, pages)
    except OSError as error:
        logger.warning("%s is not served at %s: %s", what, listen, error.strerror or error)
        return None
    logger.warning("%s at %s", what, server.address)
    return server


def _handler(pages: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    routes = sorted(pages, key=len, reverse=True)

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S
        server_version, sys_version = "ipdsf", ""

        def do_GET(self) -> None:
            address, _, asked = self.path.partition("?")
            path = unquote(address)
            route = next((route for route in routes if path == route or path.startswith(f"{route.rstrip('/')}/")), None)
            try:
                query = dict(parse_qsl(asked, keep_blank_values=True, max_num_fields=MOST_FIELDS))
                found = pages[route](path[len(route) :].strip("/"), query) if route is not None else None
            except Exception as error:  # a page that fails is said to fail; the stream goes on
                logger.warning("page %s: %s: %s", path, type(error).__name__, error)
                self._answer(500, "text/plain; charset=utf-8", b"this page could not be made; the log says why\n")
                return
            if found is None:
                self._answer(404, "text/plain; charset=utf-8", b"no such page\n")
            else:
                self._answer(200, *found)

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            for name, value in (*HEADERS.items(), ("Content-Type", kind), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            logger.debug(format, *args)

    return Handler
