"""Credentials: the keys that requests are signed with, and where they come from."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from forebay.model.errors import BadOption, StoreRefused
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.profile import Profile
from forebay.stores.object_store.temporary_keys import (
    TemporaryKeys,
    container_keys,
    instance_keys,
    web_identity_keys,
)

RENEW_BEFORE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One pair of keys; secrets are never shown."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


class CredentialSource(Protocol):
    """Gives the keys that are valid now."""

    @property
    def origin(self) -> str:
        """Where they come from, in words for people."""
        ...

    async def current(self) -> Credentials:
        """The keys to sign with. Raises StoreRefused when there are none, StoreAway."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSource:
    """Keys that do not change."""

    credentials: Credentials
    origin: str

    async def current(self) -> Credentials:
        """The keys."""
        return self.credentials


class RenewedSource:
    """Keys that expire: fetched when asked for, and again before they end."""

    def __init__(
        self,
        origin: str,
        fetch: Callable[[], Awaitable[TemporaryKeys]],
        clock: Callable[[], datetime],
    ) -> None:
        self._origin = origin
        self._fetch = fetch
        self._clock = clock
        self._held: Credentials | None = None
        self._fetching = asyncio.Lock()

    @property
    def origin(self) -> str:
        """Where they come from."""
        return self._origin

    async def current(self) -> Credentials:
        """The keys held, or new ones when those are about to end."""
        held = self._held
        if held is not None and not self._ends_soon(held):
            return held
        async with self._fetching:
            # Whoever waited for the lock finds what the one before has fetched.
            if self._held is None or self._ends_soon(self._held):
                keys = await self._fetch()
                self._held = Credentials(
                    keys.access_key_id,
                    keys.secret_access_key,
                    keys.session_token,
                    keys.expires_at,
                )
            return self._held

    def _ends_soon(self, held: Credentials) -> bool:
        return held.expires_at is not None and self._clock() + RENEW_BEFORE >= held.expires_at


def credential_source(
    options: S3Options,
    environment: Mapping[str, str],
    profile: Profile,
    client: httpx.AsyncClient,
    clock: Callable[[], datetime],
) -> CredentialSource:
    """The source of keys: the options, or else the first of the usual AWS chain that has some.

    The order is AWS's: environment, web identity, profile, container, instance.

    Raises:
        BadOption: one key is given without the other.
        StoreRefused: the profile names a source that Forebay has not.
    """
    if options.access_key_id is not None or options.secret_access_key is not None:
        return _given(options)
    key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key_id and secret:
        token = environment.get("AWS_SESSION_TOKEN") or None
        return FixedSource(Credentials(key_id, secret, token), "the environment")
    token_file, role = (
        environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"),
        environment.get("AWS_ROLE_ARN"),
    )
    if token_file and role:
        session = environment.get("AWS_ROLE_SESSION_NAME") or "forebay"
        fetch = web_identity_keys(client, environment, profile, (token_file, role, session))
        return RenewedSource("web identity", fetch, clock)
    return _of_profile(environment, profile, client, clock) or _of_host(environment, client, clock)


def _given(options: S3Options) -> CredentialSource:
    if not options.access_key_id or not options.secret_access_key:
        raise BadOption("credentials", "an access key and its secret are given together or not")
    keys = Credentials(options.access_key_id, options.secret_access_key, options.session_token)
    return FixedSource(keys, "the options of the mount")


def _of_profile(
    environment: Mapping[str, str],
    profile: Profile,
    client: httpx.AsyncClient,
    clock: Callable[[], datetime],
) -> CredentialSource | None:
    origin = f"the AWS profile {profile.name}"
    if profile.token_file and profile.role:
        session = profile.role_session_name or "forebay"
        chosen = (profile.token_file, profile.role, session)
        fetch = web_identity_keys(client, environment, profile, chosen)
        return RenewedSource(f"web identity of {origin}", fetch, clock)
    if profile.unsupported is not None:
        raise StoreRefused(
            origin,
            f"takes its keys from {profile.unsupported}, which Forebay does not use; give the "
            "mount keys, or put them into the environment",
        )
    if profile.access_key_id and profile.secret_access_key:
        keys = Credentials(profile.access_key_id, profile.secret_access_key, profile.session_token)
        return FixedSource(keys, origin)
    return None


def _of_host(
    environment: Mapping[str, str], client: httpx.AsyncClient, clock: Callable[[], datetime]
) -> CredentialSource:
    in_container = container_keys(client, environment)
    if in_container is not None:
        return RenewedSource("the container", in_container, clock)
    return RenewedSource("the instance", instance_keys(client, environment), clock)
