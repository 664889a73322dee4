"""What handlers note on a request for its log line and its trace: keys of the ASGI scope, absent where unknown."""

from __future__ import annotations

BYTES_IN = "imageclassifier.bytes_in"
"""Bytes of the body that were read before the answer (int)."""

ITEMS = "imageclassifier.items"
"""Images or tensors of a request that may have several (int)."""

REASON = "imageclassifier.reason"
"""Why the request was refused, as `rejected_total` has it (str)."""

ROUTE = "imageclassifier.route"
"""The path as it was registered, where the router was not asked for it (str)."""

TRACE = "imageclassifier.trace"
"""The request's `RequestTrace`, only where tracing is on."""
