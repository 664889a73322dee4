"""Signatures of S3 requests, compared with the examples of AWS; in `test_s3`, a server checks them.

The examples: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import datetime

import pytest
from imageclassifier_runtime.fetch.sigv4 import signed
from imageclassifier_runtime.settings.credentials import S3Keys

KEYS = S3Keys(access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"
MOMENT = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("path", "headers", "names", "signature"),
    [
        (
            "/test.txt",
            {"Range": "bytes=0-9"},
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/?lifecycle=",
            {},
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            {},
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_signature_equals_the_published_example(
    path: str, headers: dict[str, str], names: str, signature: str
) -> None:
    got = signed(path, {"Host": HOST, **headers}, keys=KEYS, region="us-east-1", now=MOMENT)
    assert got["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={names},Signature={signature}"
    )


def test_signing_keeps_all_headers() -> None:
    headers = {"Host": HOST, "Accept": "*/*"}
    got = signed("/", headers, keys=KEYS, region="us-east-1", now=MOMENT)
    assert headers.items() <= got.items()
    assert "accept" not in got["Authorization"]
