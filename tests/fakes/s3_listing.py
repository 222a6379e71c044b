"""A bucket that can only be listed, by HTTP: in whole-key order as S3, or by tree as SeaweedFS."""

from collections.abc import Iterable
from urllib.parse import quote_plus

import httpx

MODIFIED = "2024-05-06T07:08:09.123Z"


class ListedBucket:
    """Answers ListObjectsV2 and HEAD over the given keys, each of which has one byte.

    Args:
        keys: the whole keys; those that end with '/' are empty objects.
        by_tree: whether names come in the order of a tree walk.
        server: the Server header.
    """

    def __init__(self, keys: Iterable[str], *, by_tree: bool = False, server: str = "S3") -> None:
        self.keys = set(keys)
        self.by_tree = by_tree
        self.server = server
        self.requests: list[httpx.Request] = []

    def transport(self) -> httpx.MockTransport:
        """The way to it."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        headers = {"server": self.server}
        if request.method == "HEAD":
            key = request.url.path.split("/", 2)[2]
            if key not in self.keys:
                return httpx.Response(404, headers=headers)
            held = {"etag": '"e"', "content-length": "1"}
            return httpx.Response(200, headers={**headers, **held})
        return httpx.Response(200, headers=headers, content=self._listing(request.url.params))

    def _listing(self, query: httpx.QueryParams) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        token = bytes.fromhex(query.get("continuation-token", "")).decode()
        after = token or query.get("start-after", "")
        names = {self._rolled_up(key, prefix, delimiter) for key in self.keys}
        shown = sorted(
            (name for name in names if name is not None and self._place(name) > self._place(after)),
            key=lambda name: (self._place(name), name),
        )
        most = int(query["max-keys"])
        # In a tree a file and a directory of one name have one place, and come together.
        while most < len(shown) and self._place(shown[most]) == self._place(shown[most - 1]):
            most += 1
        page, more = shown[:most], len(shown) > most
        contents = "".join(
            f"<Contents><Key>{self._shown(name)}</Key><Size>{int(not name.endswith('/'))}</Size>"
            f"<ETag>&quot;e&quot;</ETag><LastModified>{MODIFIED}</LastModified></Contents>"
            for name in page
            if name in self.keys and not self._is_prefix(name, prefix, delimiter)
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{self._shown(name)}</Prefix></CommonPrefixes>"
            for name in page
            if self._is_prefix(name, prefix, delimiter)
        )
        goes_on = page[-1].encode().hex() if more else ""
        following = f"<NextContinuationToken>{goes_on}</NextContinuationToken>" if more else ""
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{following}{contents}{prefixes}</ListBucketResult>"
        ).encode()

    def _rolled_up(self, key: str, prefix: str, delimiter: str) -> str | None:
        if not key.startswith(prefix):
            return None
        head, found, _ = key[len(prefix) :].partition("/") if delimiter else (key, "", "")
        return f"{prefix}{head}/" if found else key

    def _is_prefix(self, name: str, prefix: str, delimiter: str) -> bool:
        return bool(delimiter) and name.endswith("/") and name != prefix

    def _place(self, name: str) -> tuple[bytes, ...]:
        # A tree compares name by name; the text as a whole is one name to S3.
        if not self.by_tree:
            return (name.encode(),)
        return tuple(name.removesuffix("/").encode().split(b"/"))

    def _shown(self, name: str) -> str:
        return quote_plus(name, safe="/")
