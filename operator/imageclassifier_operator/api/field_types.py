"""The types of single fields: what a value of each must look like, and the error message of one that does not."""

import ipaddress
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from imageclassifier_operator.api.declaration import Quantity, Text, field_error, integer

DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_KEY = rf"({DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
AUTHORITY = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
"""Host and optional port of a URL; an IPv6 address is in brackets."""

_RESERVED_LABEL_PREFIX = "app.kubernetes.io/"
_RESERVED_ANNOTATION_PREFIX = "imageclassifier.dev/"


def _object_name(expected: str) -> Text:
    """Return the bounds of the name of an object."""
    return Text(253, min_length=1, pattern=f"^{DNS_NAME}$", expected=expected)


Replicas = Annotated[int, integer(0, 1000)]
Percent = Annotated[int, integer(1, 10_000)]
Generation = Annotated[int, integer(0, openapi_format="int64")]
Word = Annotated[str, Text(1024, min_length=1, pattern="^[A-Za-z][A-Za-z0-9]*$")]
Cores = Annotated[
    str,
    Quantity(
        minimum=1,
        maximum=1024,
        max_length=16,
        pattern=r"^([0-9]+(\.[0-9]{1,3})?|[0-9]+m)$",
        expected='a number of cores such as 2, 500m or "0.5"',
    ),
]
Bytes = Annotated[
    str,
    Quantity(
        minimum=1,
        maximum=16 * 1024**4,
        max_length=20,
        pattern=r"^[0-9]+(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$",
        expected='a number of bytes such as 512Mi, 1Gi or "1.5Gi"',
    ),
]
SecretName = Annotated[str, _object_name("the name of a Secret in this namespace")]
ConfigMapName = Annotated[str, _object_name("the name of a ConfigMap in this namespace")]
CatalogueName = Annotated[
    str,
    Text(
        63,
        min_length=1,
        pattern="^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
        expected="a name of at most 63 lower-case letters, digits, '.', '_' and '-'",
    ),
]
ModelUri = Annotated[
    str,
    Text(
        2048,
        min_length=9,
        pattern=rf"^(https?://{AUTHORITY}(/[^\s]*)?"
        r"|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s]*"
        r"|hf://[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}@[0-9a-f]{40}(/[^\s]*)?"
        rf"|pvc://{DNS_NAME}(/[^\s]*)?)$",
        expected="http(s)://host/path, s3://bucket/key, hf://owner/repo@commit/path or pvc://claim/path, "
        "without user and password",
    ),
]
Digest = Annotated[
    str, Text(64, pattern="^[0-9a-fA-F]{64}$", expected="a SHA-256 digest of 64 hexadecimal digits")
]
S3Endpoint = Annotated[
    str,
    Text(512, min_length=8, pattern=f"^https?://{AUTHORITY}$", expected="http(s)://host[:port], without a path"),
]
Region = Annotated[
    str,
    Text(63, min_length=1, pattern="^[a-z0-9-]+$", expected="at most 63 lower-case letters, digits and hyphens"),
]
RedisUrl = Annotated[
    str,
    Text(
        512,
        min_length=9,
        pattern=r"^rediss?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
        r"(:[0-9]{1,5})?(/[0-9]{1,5})?$",
        expected="redis://host[:port][/number] or rediss://…, without user and password",
    ),
]
Interval = Annotated[
    str,
    Text(
        5, min_length=2, pattern="^[1-9][0-9]{0,3}[smh]$", expected="seconds, minutes or hours such as 15s or 1m"
    ),
]
LabelValue = Annotated[
    str,
    Text(
        63,
        pattern="^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$",
        expected="a label value of at most 63 letters, digits, '.', '_' and '-'",
    ),
]
OtlpEndpoint = Annotated[
    str,
    Text(
        1024,
        pattern=rf"^(https?://{AUTHORITY}(/[A-Za-z0-9._~%/-]*)?)?$",
        expected="http(s)://host[:port][/path], without user and password",
    ),
]
AnnotationValue = Annotated[str, Text(8192)]
ImageReference = Annotated[
    str,
    Text(
        1024,
        min_length=1,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/:@-]*[A-Za-z0-9])?$",
        expected="an image reference such as registry.example.org/team/server:1.2",
    ),
]
Hostname = Annotated[
    str,
    Text(
        253,
        min_length=1,
        # the last label has a letter, which no IP address has
        pattern=r"^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*([0-9][-0-9]*)?[a-z]([-a-z0-9]*[a-z0-9])?$",
        expected="a lower-case DNS name such as pets.example.org or *.example.org",
    ),
]
ObjectName = Annotated[str, _object_name("the name of an object, such as pets")]
NamespaceName = Annotated[
    str,
    Text(
        63,
        min_length=1,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        expected="the name of a namespace",
    ),
]
LabelKey = Annotated[
    str,
    Text(
        317,
        min_length=1,
        pattern=f"^{_LABEL_KEY}$",
        expected="a label key such as example.org/pool",
    ),
]


def _check_label_key(key: str) -> str:
    if not re.fullmatch(_LABEL_KEY, key):
        raise field_error(f"{key!r} is not a valid label key")
    return key


def _check_own_label_key(key: str) -> str:
    if key.startswith(_RESERVED_LABEL_PREFIX):
        raise field_error(f"{key} is reserved for the operator")
    return _check_label_key(key)


def _check_annotation_key(key: str) -> str:
    if key.startswith(_RESERVED_ANNOTATION_PREFIX):
        raise field_error(f"{key} is reserved for the operator")
    if not re.fullmatch(_LABEL_KEY, key.lower()):
        raise field_error(f"{key!r} is not a valid annotation key")
    return key


Selector = Annotated[Mapping[Annotated[str, AfterValidator(_check_label_key)], LabelValue], Field(max_length=32)]
Labels = Annotated[Mapping[Annotated[str, AfterValidator(_check_own_label_key)], LabelValue], Field(max_length=32)]
Annotations = Annotated[
    Mapping[Annotated[str, AfterValidator(_check_annotation_key)], AnnotationValue], Field(max_length=32)
]


def size_in_bytes(minimum: int, maximum: int) -> Quantity:
    """Return the bounds of a size, which is a quantity whose value is a number of bytes."""
    return Quantity(
        minimum=minimum,
        maximum=maximum,
        max_length=16,
        pattern=r"^[0-9]+(\.[0-9]{1,3})?(k|M|G|Ki|Mi|Gi)?$",
        expected="a number of bytes such as 16Mi or 1Gi",
        in_bytes=True,
    )


def _check_network(value: Any, *, proxies: bool = True) -> Any:
    """Reject a value that is not a network. In CEL, this check is possible only since Kubernetes 1.31."""
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise field_error(f"{value} is not a network; write one as 10.0.0.0/8 or fd00::/8") from None
    if network.prefixlen == 0 and proxies:
        raise field_error(f"{value} contains every address, so any client could pretend to be another")
    if str(ipaddress.ip_interface(value).ip) != str(network.network_address):
        raise field_error(f"{value} is an address within a network; the network is {network}")
    return value


Network = Annotated[
    str,
    Text(
        43,
        min_length=4,
        pattern="^[0-9A-Fa-f:.]+/[0-9]{1,3}$",
        expected="a network such as 10.0.0.0/8 or fd00::/8",
    ),
    BeforeValidator(_check_network),
    Field(description="A network as address/length."),
]
Cidr = Annotated[
    str,
    Text(
        43,
        min_length=4,
        pattern="^[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})$",
        expected="a network such as 10.0.0.0/8 or fd00::/8",
    ),
    BeforeValidator(partial(_check_network, proxies=False)),
]
