"""The directories of this host that may be mounted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from forebay.model.errors import BadUri, PlaceForbidden
from forebay.namespace.uri import Scheme, StoreUri


async def allowed(uri: StoreUri, directories: Sequence[str]) -> StoreUri:
    """The URI, that of a directory of files with its links followed.

    Raises:
        PlaceForbidden: the directory is below none of `directories`.
        BadUri: its real path cannot be written as a URI.
    """
    if uri.scheme is not Scheme.FILE:
        return uri
    return await asyncio.to_thread(_followed, uri, directories)


def _followed(uri: StoreUri, directories: Sequence[str]) -> StoreUri:
    # Links are followed first: one inside an allowed directory may lead out of it.
    try:
        path = Path(uri.path).resolve()
        is_allowed = any(path.is_relative_to(Path(allowed).resolve()) for allowed in directories)
    except (OSError, RuntimeError) as error:
        raise BadUri(uri, f"its links cannot be followed: {error}") from error
    if not is_allowed:
        raise PlaceForbidden(uri, "is below no directory that the setting stores.file.allow names")
    return StoreUri(uri.scheme, "", str(path), uri.key)
