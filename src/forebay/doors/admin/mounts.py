"""Mounts over the admin API."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from forebay.doors.admin.audited import audited, services_of
from forebay.model.paths import lake_path
from forebay.namespace.mounts import Mount

router = APIRouter(prefix="/v1/mounts", tags=["mounts"])


class WantedMount(BaseModel):
    """What is to be mounted where."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(examples=["/onprem"])
    uri: str = Field(examples=["hdfs://namenode:8020/"])
    readonly: bool = False
    options: dict[str, str] = Field(default_factory=dict)


@router.get("")
async def list_mounts(request: Request) -> dict[str, Any]:
    """All mounts."""
    services = services_of(request)
    return {
        "mounts": [
            described(mount, services.state_of(mount)) for mount in services.namespace.mounts()
        ]
    }


@router.post("")
async def mount(request: Request, wanted: WantedMount) -> dict[str, Any]:
    """Mount a store, after it has answered; on any error nothing is mounted."""
    services = services_of(request)
    facts = {"uri": wanted.uri, **wanted.options}
    async with audited(request, "mount", wanted.path, facts):
        made = await services.namespace.mount(
            lake_path(wanted.path), wanted.uri, wanted.options, readonly=wanted.readonly
        )
    return {
        "mount": described(made.mount, services.state_of(made.mount)),
        "facts": dict(made.facts),
        "notices": list(made.notices),
    }


@router.delete("")
async def unmount(request: Request, path: str) -> dict[str, Any]:
    """Take a mount away; nothing in its store is touched."""
    async with audited(request, "unmount", path):
        gone = await services_of(request).namespace.unmount(lake_path(path))
    return described(gone, "unmounted")


def described(mount: Mount, state: str) -> dict[str, Any]:
    """A mount as plain values."""
    return {
        "path": mount.path.text,
        "uri": mount.uri,
        "store": mount.store.text,
        "prefix": mount.prefix.text,
        "readonly": mount.readonly,
        "sync": str(mount.sync),
        "options": dict(mount.options),
        "state": state,
    }
