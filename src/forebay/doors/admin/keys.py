"""Access keys over the admin API."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from forebay.doors.admin.audited import audited, services_of
from forebay.model.grants import grant_of
from forebay.model.quantities import duration_of
from forebay.state.rows import KeyRow, NewKey

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class WantedKey(BaseModel):
    """The key to make."""

    model_config = ConfigDict(extra="forbid")

    grants: list[str] = Field(min_length=1, examples=[["/onprem:read"]])
    description: str = Field(default="", max_length=1000)


class Rotation(BaseModel):
    """How the old secret ends."""

    model_config = ConfigDict(extra="forbid")

    grace: str = Field(default="0s", examples=["1h"])


@router.get("")
async def list_keys(request: Request) -> dict[str, Any]:
    """All keys, without their secrets."""
    return {"keys": [described(key) for key in await services_of(request).keys.all()]}


@router.post("")
async def create(request: Request, wanted: WantedKey) -> dict[str, Any]:
    """Make a key. Its secret is in this answer and in no other."""
    services = services_of(request)
    grants = [grant_of(text) for text in wanted.grants]
    facts = {"grants": " ".join(wanted.grants)}
    async with audited(request, "keys.create", wanted.description, facts):
        made = await services.keys.create(grants, wanted.description)
        await services.keys_changed()
    return _with_secret(made, services.endpoint)


@router.delete("/{key_id}")
async def revoke(request: Request, key_id: str) -> dict[str, Any]:
    """Make a key invalid for ever."""
    services = services_of(request)
    async with audited(request, "keys.revoke", key_id):
        await services.keys.revoke(key_id)
        await services.keys_changed()
    return {"key_id": key_id, "revoked": True}


@router.post("/{key_id}/rotate")
async def rotate(request: Request, key_id: str, wanted: Rotation) -> dict[str, Any]:
    """Give a key a new secret. It is in this answer and in no other."""
    services = services_of(request)
    grace = duration_of(wanted.grace)
    async with audited(request, "keys.rotate", key_id, {"grace": wanted.grace}):
        made = await services.keys.rotate(key_id, grace)
        await services.keys_changed()
    return _with_secret(made, services.endpoint)


def described(key: KeyRow) -> dict[str, Any]:
    """A key as plain values."""
    return {
        "key_id": key.key_id,
        "description": key.description,
        "grants": [str(grant) for grant in key.grants],
        "created_at": key.created_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
        "old_secret_until": None
        if key.old_secret_until is None
        else key.old_secret_until.isoformat(),
    }


def _with_secret(made: NewKey, endpoint: str) -> dict[str, Any]:
    return {"key_id": made.key_id, "secret": made.secret, "endpoint": endpoint}
