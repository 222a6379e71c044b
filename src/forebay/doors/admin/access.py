"""Who may use the admin door: the node's own user over the socket, an admin key over HTTP."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request

from forebay.doors.admin.peer import UNIX_PEER
from forebay.model.errors import AccessDenied, KeyUnknown
from forebay.model.grants import NODE_USER, Caller, Right
from forebay.model.paths import ROOT

SecretsOf = Callable[[str], tuple[Caller, tuple[tuple[str, datetime | None], ...]] | None]
"""Gives the caller of a key id and its valid secrets (with the end of validity), or None."""


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """Decides who asks.

    Attributes:
        user_id: the user of the node; also the superuser passes.
        hosts: names under which the door may be called (against DNS rebinding).
        secrets_of: the key ring.
        now: the present.
    """

    user_id: int
    hosts: frozenset[str]
    secrets_of: SecretsOf
    now: Callable[[], datetime]

    def caller(self, request: Request) -> Caller:
        """The caller, who has an admin grant at the root.

        Raises:
            KeyUnknown: no key, or a wrong one.
            AccessDenied: another user, a foreign page, or a key that is no admin's.
        """
        peer = request.client
        if peer is not None and peer.host == UNIX_PEER:
            if peer.port not in {0, self.user_id}:
                raise AccessDenied("admin", f"user {peer.port} is not the user of the node")
            return NODE_USER
        self._must_be_ours(request.headers)
        caller = self._by_key(request.headers)
        caller.must(Right.ADMIN, ROOT)
        return caller

    def _must_be_ours(self, headers: Mapping[str, str]) -> None:
        """Refuse what a foreign web page makes a browser send."""
        host = _host_of(f"//{headers.get('host', '')}")
        if host not in self.hosts:
            raise AccessDenied("admin", f"it is not called {host!r}")
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) not in self.hosts:
            raise AccessDenied("admin", "the request comes from a foreign page")

    def _by_key(self, headers: Mapping[str, str]) -> Caller:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise KeyUnknown("admin", "sign in with an admin key (HTTP Basic: key id and secret)")
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise KeyUnknown("admin", "the Authorization header is damaged") from error
        key_id, _, given = text.partition(":")
        known = self.secrets_of(key_id)
        if known is not None:
            caller, secrets = known
            for secret, until in secrets:
                right = hmac.compare_digest(secret.encode(), given.encode())
                if right and (until is None or self.now() < until):
                    return caller
        raise KeyUnknown("admin", "no such key, or a wrong secret")


def _host_of(text: str) -> str:
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""
