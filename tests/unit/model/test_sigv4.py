"""Signatures against the worked example of the Amazon S3 API reference ("GET Object")."""

from forebay.model.sigv4 import canonical_query, escape, signed_headers


def test_the_signature_is_the_one_of_the_published_example() -> None:
    headers = signed_headers(
        "GET",
        "/test.txt",
        "",
        {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"},
        key_id="AKIAIOSFODNN7EXAMPLE",
        secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        region="us-east-1",
        stamp="20130524T000000Z",
    )

    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_escaping_keeps_unreserved_letters_and_encodes_all_else() -> None:
    assert escape("a/b c+d~e-f_g.h=ü") == "a/b%20c%2Bd~e-f_g.h%3D%C3%BC"


def test_a_query_is_escaped_and_put_in_order() -> None:
    assert canonical_query([("prefix", "a/b"), ("list-type", "2"), ("a", "")]) == (
        "a=&list-type=2&prefix=a%2Fb"
    )
