"""Keys of the ASGI scope through which a handler and the middleware share data; absent if unknown."""

from __future__ import annotations

BYTES_IN = "imageclassifier.bytes_in"
"""Bytes of the body that were read before the response (int)."""

DISCONNECTED = "imageclassifier.disconnected"
"""Whether the client disconnected while the request's task was running (bool)."""

ITEMS = "imageclassifier.items"
"""Number of images or tensors in a request (int)."""

REASON = "imageclassifier.reason"
"""Why the request was rejected: the label `reason` of `rejected_total` (str)."""

ROUTE = "imageclassifier.route"
"""The registered path, if the router was bypassed (str)."""

TASK = "imageclassifier.task"
"""The task that handles the request, as long as it must be cancelled on a disconnect (`asyncio.Task`)."""

TRACE = "imageclassifier.trace"
"""The request's `RequestTrace`, if tracing is enabled."""
