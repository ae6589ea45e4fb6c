"""A provider of tokens for tests: client credentials, signed access tokens and public keys, over TLS, by Authlib.

Authlib does what the standards say (RFC 6749, 7517, 9068), Flask and Werkzeug what HTTP says. What a test makes go
wrong is the client's: another lifetime, audience, issuer or key.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientCredentialsGrant, ClientMixin
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, Response, jsonify, request
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

from ipdsf_spark.security import certificates

AUDIENCE = "kafka"
HOUR_S = 3_600


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """A party that has a secret; what its tokens say.

    Attributes:
        name: its id, which becomes `sub`.
        secret: what it shows the provider.
        audience: `aud` of its tokens.
        lifetime_s: of its tokens; below zero: they have expired when they are given.
        issuer: `iss`, where it is not that of the realm.
        key: what signs, where it is not what the realm publishes.
    """

    name: str
    secret: str
    audience: str = AUDIENCE
    lifetime_s: int = HOUR_S
    issuer: str = ""
    key: RSAKey | None = None

    def get_client_id(self) -> str:
        return self.name

    def get_allowed_scope(self, scope: str) -> str:
        return scope or "kafka"

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """What signs the tokens of a client."""

    def __init__(self, issuer: str, client: Client, key: RSAKey) -> None:
        super().__init__(issuer=client.issuer or issuer)
        self._client, self._key = client, client.key or key

    def get_jwks(self) -> RSAKey:
        return self._key

    def get_audiences(self, client: Client, user: object, scope: str) -> str:
        return client.audience

    def _get_expires_in(self, client: Client, grant_type: str) -> int:
        return self._client.lifetime_s


@dataclass(frozen=True)
class Given:
    """A token that was given out: to whom, what, until when [s since 1970], and whether Java asked."""

    name: str
    token: str
    ends_s: float
    is_java: bool


@dataclass
class Provider:
    """One that listens as long as a `with` block, on a port that stays the same after `stop` and `start`.

    Attributes:
        server: folder with its certificate and key; that of its CA is the folder above.
        port: 0 = any.
        clients: by their names.
        given: tokens that were given out, in their order.
    """

    server: Path
    port: int = 0
    clients: dict[str, Client] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signing = new_key()
        self._server: Any = None

    @property
    def authority(self) -> Path:
        return self.server.parent / "ca.pem"

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def keys_url(self) -> str:
        return f"{self.issuer}/keys"

    def outlived(self, name: str, *, by_java: bool) -> int:
        """Number of tokens of a client that have ended; Spark's client is Java, the others are librdkafka."""
        own = (each for each in self.given if each.name == name and each.is_java == by_java)
        return sum(each.ends_s < time.time() for each in own)

    def __enter__(self) -> Provider:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        context = (str(self.server / certificates.CERTIFICATE), str(self.server / certificates.KEY_FILE))
        self._server = make_server("localhost", self.port, self._app(), threaded=True, ssl_context=context)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _app(self) -> Flask:
        app = Flask(__name__)
        server = AuthorizationServer(app, query_client=self._asked_by, save_token=self._remember)
        server.register_grant(ClientCredentialsGrant)
        server.register_token_generator("default", self._generate)

        @app.post("/token")
        def token() -> Response:
            answer: Response = server.create_token_response()
            return answer

        @app.get("/keys")
        def keys() -> Response:
            return jsonify(keys=[self.signing.as_dict(private=False)])

        return app

    def _asked_by(self, name: str) -> Client | None:
        return self.clients.get(name)

    def _generate(self, **asked: Any) -> dict[str, Any]:
        token: dict[str, Any] = Tokens(self.issuer, asked["client"], self.signing)(**asked)
        return token

    def _remember(self, token: dict[str, Any], asked: Any) -> None:
        is_java = str(request.user_agent).startswith("Java/")
        ends_s = time.time() + token["expires_in"]
        self.given.append(Given(asked.client.name, token["access_token"], ends_s, is_java))


def new_key() -> RSAKey:
    """What tokens are signed with; its name is that of its content (RFC 7638)."""
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True)
    key.ensure_kid()
    return key
