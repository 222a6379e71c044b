"""XML as S3 answers with it: elements in, bytes out. Nothing here is parsed."""

from typing import Final
from xml.sax.saxutils import escape

from forebay.doors.s3.errors import ErrorAnswer

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
# White space that a parser would change on its way.
_KEPT: Final = {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"}


def leaf(name: str, value: object) -> str:
    """An element that holds text."""
    text = escape(str(value), _KEPT)
    return f"<{name}>{text}</{name}>" if text else f"<{name}/>"


def branch(name: str, *children: str) -> str:
    """An element that holds elements."""
    return f"<{name}>{''.join(children)}</{name}>"


def document(root: str, *children: str) -> bytes:
    """A whole answer in S3's name space."""
    return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">{"".join(children)}</{root}>'.encode()


def error_document(answer: ErrorAnswer, resource: str, request_id: str) -> bytes:
    """The body of an error; it has no name space."""
    children = [
        leaf("Code", answer.code),
        leaf("Message", answer.message),
        *(leaf(name, value) for name, value in answer.facts.items()),
        leaf("Resource", resource),
        leaf("RequestId", request_id),
        leaf("HostId", "forebay"),
    ]
    # A lone surrogate or a control character of a hostile name must not spoil the document.
    text = branch("Error", *children)
    return (_DECLARATION + "".join(c if c.isprintable() else "?" for c in text)).encode()
