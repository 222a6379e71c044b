"""Buckets: what there is, and what is asked of one of them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from forebay.doors.s3.address import WHOLE_LAKE, is_bucket_name
from forebay.doors.s3.asked import Asked
from forebay.doors.s3.documents import ListQuery, most_of, owner, timestamp
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.lake import Lake, LakeEntry
from forebay.doors.s3.listing import list_keys, must_be_bucket
from forebay.doors.s3.operation import EMPTY_SETTINGS, SETTINGS_NOT_SET, Operation
from forebay.doors.s3.token import Tokens
from forebay.doors.s3.xml import branch, document, leaf
from forebay.model.errors import AccessDenied
from forebay.model.paths import ROOT
from forebay.model.status import Kind

MOST_BUCKETS: Final = 10_000
_PAGE: Final = 1000
_DEFAULT_REGION: Final = "us-east-1"


def xml_response(body: bytes, age: timedelta = timedelta(0)) -> Response:
    """A document, with how old its knowledge is."""
    seconds = age.total_seconds()
    headers = {
        "x-forebay-cache": "hit" if seconds >= 1 else "miss",
        "x-forebay-age": str(max(0, int(seconds))),
    }
    return Response(body, 200, headers, media_type="application/xml")


class Buckets:
    """Answers what is asked of buckets.

    Args:
        lake: where they are.
        tokens: make and read continuation tokens.
        region: the one in which all buckets are.
    """

    def __init__(self, lake: Lake, tokens: Tokens, region: str = _DEFAULT_REGION) -> None:
        self._lake = lake
        self._tokens = tokens
        self._region = region

    async def list_buckets(self, asked: Asked) -> Response:
        """The buckets that the caller may look into, by name."""
        query = asked.query
        prefix, most = query.get("prefix", ""), most_of(query, "max-buckets", MOST_BUCKETS)
        after = ""
        if "continuation-token" in query:
            after = self._tokens.key(prefix, query["continuation-token"])
        region = query.get("bucket-region", self._region)
        found = await self._buckets(asked) if region == self._region else {}
        names = sorted(name for name in found if name.startswith(prefix) and name > after)
        children = [
            owner(),
            branch("Buckets", *(self._bucket(name, found[name]) for name in names[:most])),
        ]
        if len(names) > most > 0:
            token = self._tokens.token(prefix, names[most - 1])
            children.append(leaf("ContinuationToken", token))
        if prefix:
            children.append(leaf("Prefix", prefix))
        return xml_response(document("ListAllMyBucketsResult", *children))

    async def _buckets(self, asked: Asked) -> Mapping[str, LakeEntry]:
        """The directories at the root that S3 can name, and the whole lake."""
        caller = asked.caller
        if not caller.may_pass(ROOT):
            raise AccessDenied(ROOT, f"{caller.key_id} has no grant")
        found = {WHOLE_LAKE: await self._lake.stat(caller, ROOT, detailed=False)}
        after: str | None = ""
        while after is not None:
            page = await self._lake.list(caller, ROOT, after=after, most=_PAGE)
            for entry in page.entries:
                name = entry.path.name
                if entry.kind is Kind.DIRECTORY and is_bucket_name(name) and name != WHOLE_LAKE:
                    found[name] = entry
            after = page.next_after
        return found

    def _bucket(self, name: str, entry: LakeEntry) -> str:
        return branch(
            "Bucket",
            leaf("Name", name),
            leaf("CreationDate", timestamp(entry)),
            leaf("BucketRegion", self._region),
        )

    async def head_bucket(self, asked: Asked) -> Response:
        """Whether the bucket is there."""
        entry = await must_be_bucket(self._lake, asked.caller, asked.address.bucket)
        response = xml_response(b"", entry.age)
        response.headers["x-amz-bucket-region"] = self._region
        return response

    async def location(self, asked: Asked) -> Response:
        """In which region the bucket is; S3 leaves its first region out."""
        await must_be_bucket(self._lake, asked.caller, asked.address.bucket)
        region = "" if self._region == _DEFAULT_REGION else self._region
        return xml_response(document("LocationConstraint", region))

    async def setting(self, asked: Asked) -> Response:
        """A setting that nobody can set here, answered as one that nobody has set."""
        await must_be_bucket(self._lake, asked.caller, asked.address.bucket)
        name = next(name for name in asked.query if name in {*EMPTY_SETTINGS, *SETTINGS_NOT_SET})
        if name in SETTINGS_NOT_SET:
            raise Refusal(SETTINGS_NOT_SET[name], f"The bucket has no {name} configuration")
        children = [leaf("Payer", "BucketOwner")] if name == "requestPayment" else []
        return xml_response(document(EMPTY_SETTINGS[name], *children))

    async def list_objects(self, asked: Asked) -> Response:
        """One page of the bucket's keys."""
        version_2 = asked.operation is Operation.LIST_OBJECTS_V2
        query = ListQuery(asked.address.bucket, asked.query, self._tokens, version_2)
        wish = query.wish()
        listing = await list_keys(self._lake, asked.caller, wish)
        return xml_response(query.answer(listing, wish.most), listing.age)
