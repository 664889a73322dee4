"""What the OpenAPI document says about API keys and rate limits, where this server has them."""

from __future__ import annotations

import copy
from typing import Any

from imageclassifier_runtime.protocols.schemas import parts
from imageclassifier_runtime.request.paths import is_open, is_probe, protocol_of

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: KEY`"},
}
_CHALLENGE = {"WWW-Authenticate": {"schema": parts.STRING, "description": "Bearer"}}


def secured(document: dict[str, Any], *, keys: bool, rates: bool) -> dict[str, Any]:
    """Return the document with who needs a key, and the answers to those who have none or come too often."""
    if not keys and not rates:
        return document
    document = copy.deepcopy(document)
    if keys:
        document.setdefault("components", {})["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            free, probe = is_open(method.upper(), path), is_probe(method.upper(), path)
            if keys and (free or probe):
                operation["security"] = []
            error = parts.OF_TYPE[protocol_of(path).errors.media_type]
            if keys and not free and not probe:
                operation["responses"]["401"] = {
                    **error("No API key, or none of this server"),
                    "headers": _CHALLENGE,
                }
            if rates and not probe:
                operation["responses"]["429"] = error("More requests than this client may send", retry=True)
    return document
