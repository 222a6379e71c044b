"""Files of the lake over the admin API."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from forebay.doors.admin.audited import audited, caller_of, services_of
from forebay.files.opened import OpenFile
from forebay.files.status import LakeStatus
from forebay.files.usage import Step, Usage
from forebay.model.errors import BadRange, ForebayError
from forebay.model.generation import Generation
from forebay.model.paths import lake_path, must_be_directory
from forebay.model.ranges import ByteRange
from forebay.reports.jobs import Job

router = APIRouter(prefix="/v1/fs", tags=["files"])

MOST_ENTRIES = 10_000


class Wanted(BaseModel):
    """The path that is meant, with all below it."""

    model_config = ConfigDict(extra="forbid")

    path: str


@router.get("/status")
async def status(request: Request, path: str) -> dict[str, Any]:
    """What is known of a path, and how old that is."""
    found = await services_of(request).files.stat(
        caller_of(request), lake_path(path), must_be_directory=must_be_directory(path)
    )
    return described(found)


@router.get("/list")
async def list_directory(
    request: Request, path: str, after: str = "", most: int = 1000, *, recursive: bool = False
) -> dict[str, Any]:
    """One page of a directory, in whole-path order; `next_after` leads to the next."""
    page = await services_of(request).files.list(
        caller_of(request),
        lake_path(path),
        recursive=recursive,
        after=after,
        most=max(1, min(most, MOST_ENTRIES)),
    )
    return {
        "entries": [described(entry) for entry in page.entries],
        "next_after": page.next_after,
        "partial": page.partial,
        "age_seconds": page.age.total_seconds(),
        "unaddressable": page.unaddressable,
    }


@router.get("/content", response_class=StreamingResponse)
async def content(
    request: Request,
    path: str,
    start: int | None = None,
    end: int | None = None,
    generation: str | None = None,
) -> StreamingResponse:
    """The bytes of a file, or those from `start` up to `end`; of one generation, if it is named."""
    wanted = None if generation is None else generation_of(generation)
    file = await services_of(request).files.open(
        caller_of(request), lake_path(path), generation=wanted, detailed=False
    )
    try:
        span = await file.begin(lambda found: span_of(found, start, end))
    except BaseException:
        file.close()
        raise
    headers = {"content-length": str(len(span)), "etag": file.status.etag}
    return StreamingResponse(
        _bytes_of(request, file, span), headers=headers, media_type="application/octet-stream"
    )


@router.get("/usage")
async def usage(request: Request, path: str, *, children: bool = False) -> dict[str, Any]:
    """How much is below a path, and how much of it is cached; with what is directly in it."""
    found = await services_of(request).files.usage(caller_of(request), lake_path(path))
    shown = _usage(found)
    if children:
        shown["children"] = [_usage(child) for child in found.children]
    return shown


@router.get("/location")
async def location(request: Request, path: str) -> dict[str, Any]:
    """Where the bytes of a file are."""
    found = await services_of(request).files.location(caller_of(request), lake_path(path))
    return {
        "path": found.status.path.text,
        "size": found.status.size,
        "cached_bytes": found.held.bytes,
        "cached_blocks": found.held.blocks,
        "blocks": found.blocks,
        "segments": found.held.segments,
        "store_uri": found.status.store_uri,
        "store_hosts": list(found.hosts),
    }


@router.get("/checksum")
async def checksum(request: Request, path: str) -> dict[str, Any]:
    """The digest that the store keeps of a file; nulls where it keeps none."""
    found = await services_of(request).files.checksum(caller_of(request), lake_path(path))
    digest = found.digest
    return {
        "path": found.status.path.text,
        "algorithm": None if digest is None else digest.algorithm,
        "value": None if digest is None else digest.value,
    }


@router.post("/load", response_class=StreamingResponse)
async def load(request: Request, wanted: Wanted) -> StreamingResponse:
    """Fetch a file, or all files below a directory; lines of JSON tell how far it is."""
    services = services_of(request)
    path = lake_path(wanted.path)
    async with audited(request, "load", path.text):
        await services.files.stat(caller_of(request), path, detailed=False)
    before = services.reports.fetched_bytes()

    async def lines() -> AsyncIterator[str]:
        caller = caller_of(request)
        with services.jobs.running("load", path.text, caller.key_id) as job:
            steps = services.files.load(caller, path, recursive=True)
            async for step in _told(steps, _nothing(path.text), job):
                step["fetched_bytes"] = services.reports.fetched_bytes() - before
                yield json.dumps(step) + "\n"

    async def lines_and_error() -> AsyncIterator[str]:
        try:
            async for line in lines():
                yield line
        except ForebayError as error:
            # The answer has begun: the last line tells.
            yield json.dumps({"error": dict(error.facts())}) + "\n"

    return StreamingResponse(lines_and_error(), media_type="application/x-ndjson")


@router.post("/free")
async def free(request: Request, wanted: Wanted) -> dict[str, Any]:
    """Let go of what is cached of a path; the stores keep everything."""
    services = services_of(request)
    path = lake_path(wanted.path)
    last: Step | None = None
    async with (
        audited(request, "free", path.text),
        aclosing(services.files.free(caller_of(request), path, recursive=True)) as steps,
    ):
        async for step in steps:
            last = step
    return {
        "path": path.text,
        "files": 0 if last is None else last.files,
        "freed_bytes": 0 if last is None else last.bytes,
    }


def described(found: LakeStatus) -> dict[str, Any]:
    """A status as plain values."""
    owner = found.ownership
    return {
        "path": found.path.text,
        "name": found.path.name,
        "kind": found.kind.value,
        "size": found.size,
        "modified_at": None if found.modified_at is None else found.modified_at.isoformat(),
        "etag": found.etag or None,
        "generation": None if found.generation is None else str(found.generation),
        "fingerprint": None if found.fingerprint is None else found.fingerprint.text,
        "content_type": found.content_type,
        "owner": None if owner is None else owner.owner,
        "group": None if owner is None else owner.group,
        "mode": None if owner is None else f"{owner.mode:04o}",
        "mount": None if found.mount is None else found.mount.text,
        "store_uri": found.store_uri,
        "checked_at": None if found.checked_at is None else found.checked_at.isoformat(),
        "age_seconds": round(found.age.total_seconds(), 3),
    }


def span_of(found: LakeStatus, start: int | None, end: int | None) -> ByteRange:
    """The bytes that are meant; what lies behind the end of the file is left out.

    Raises:
        BadRange: it is none.
    """
    first = 0 if start is None else start
    last = found.size if end is None else min(end, found.size)
    if first < 0 or last < 0 or (first > found.size):
        raise BadRange(found.path, f"has {found.size} bytes; {first} to {last} was asked")
    return ByteRange(first, max(first, last))


def generation_of(text: str) -> Generation:
    """The generation written in hex.

    Raises:
        BadRange: it is none.
    """
    try:
        return Generation(bytes.fromhex(text))
    except ValueError as error:
        raise BadRange(text, "is no generation: 32 hex digits") from error


async def _bytes_of(request: Request, file: OpenFile, span: ByteRange) -> AsyncIterator[bytes]:
    begun = time.time()
    status = 500
    try:
        async for chunk in file.stream(span):
            yield chunk
        status = 200
    finally:
        file.close()
        _count(request, file, span, status, begun)


def _count(request: Request, file: OpenFile, span: ByteRange, status: int, begun: float) -> None:
    """Count what was read, as every door does."""
    services = services_of(request)
    seconds = time.time() - begun
    path = file.status.path.text
    services.counters.operation("admin", "content").read(
        status, seconds, file.from_cache, file.from_store
    )
    mount = services.counters.mount_of(path)
    if mount is not None:
        mount.bytes_from_cache += file.from_cache
        mount.bytes_from_store += file.from_store
    services.access_log.note(
        (
            begun,
            "admin",
            caller_of(request).key_id,
            "content",
            path,
            span.start,
            span.end,
            status,
            file.from_cache,
            file.from_store,
            seconds,
            request.state.request_id,
        )
    )


async def _told(
    steps: AsyncGenerator[Step, None], nothing: dict[str, Any], job: Job
) -> AsyncIterator[dict[str, Any]]:
    """Each step as plain values; one that says nothing was done, if there was no step."""
    told = nothing
    async with aclosing(steps):
        async for step in steps:
            told = {
                "path": step.path.text,
                "files": step.files,
                "bytes": step.bytes,
                "total_files": step.total_files,
                "total_bytes": step.total_bytes,
            }
            job.done_bytes, job.total_bytes = step.bytes, step.total_bytes
            yield told
    if told is nothing:
        yield told


def _nothing(path: str) -> dict[str, Any]:
    return {"path": path, "files": 0, "bytes": 0, "total_files": 0, "total_bytes": 0}


def _usage(found: Usage) -> dict[str, Any]:
    return {
        "path": found.path.text,
        "files": found.files,
        "directories": found.directories,
        "bytes": found.bytes,
        "cached_bytes": found.cached_bytes,
    }
