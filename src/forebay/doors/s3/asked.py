"""What was asked: one request, authenticated and taken apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forebay.doors.s3.address import Address
from forebay.doors.s3.errors import Refusal
from forebay.doors.s3.operation import Operation
from forebay.model.grants import Caller


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Header names are in lower case; every query name was given once."""

    operation: Operation
    address: Address
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    caller: Caller


def query_of(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The query by name.

    Raises:
        Refusal: a name is given twice, so that nobody knows which is meant.
    """
    query = dict(pairs)
    if len(query) != len(pairs):
        raise Refusal("InvalidArgument", "A query parameter is given more than once.")
    return query
