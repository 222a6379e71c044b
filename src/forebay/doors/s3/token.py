"""Continuation tokens: the last key that was shown, signed, so that no listing leaves a state."""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from forebay.doors.s3.errors import Refusal

_PROOF_BYTES: Final = 16


class Tokens:
    """Makes and reads tokens.

    Args:
        secret: known to every process of the deployment, and to nobody else.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, listing: str, key: str) -> str:
        """The token with which `listing` (its bucket, prefix and delimiter) goes on after `key`."""
        text = key.encode()
        return urlsafe_b64encode(self._proof(listing, text) + text).decode()

    def key(self, listing: str, token: str) -> str:
        """The key after which `listing` goes on.

        Raises:
            Refusal: the token was not made here, or for another listing.
        """
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
            proof, text = raw[:_PROOF_BYTES], raw[_PROOF_BYTES:]
            if hmac.compare_digest(proof, self._proof(listing, text)):
                return text.decode()
        except (UnicodeError, binascii.Error):
            pass
        raise Refusal(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            {"ArgumentName": "continuation-token"},
        )

    def _proof(self, listing: str, text: bytes) -> bytes:
        # The listing's length stands first: no two pairs share a text.
        scope = listing.encode()
        message = b"%d:%b%b" % (len(scope), scope, text)
        return hmac.digest(self._secret, message, "sha256")[:_PROOF_BYTES]
