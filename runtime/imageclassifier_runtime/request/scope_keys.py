"""What is noted on a request for those around its handler: keys of the ASGI scope, absent where unknown."""

from __future__ import annotations

BYTES_IN = "imageclassifier.bytes_in"
"""Bytes of the body that were read before the answer (int)."""

LEFT = "imageclassifier.left"
"""That the client went away while the request's task was at work (bool)."""

ITEMS = "imageclassifier.items"
"""Images or tensors of a request that may have several (int)."""

REASON = "imageclassifier.reason"
"""Why the request was refused, as `rejected_total` has it (str)."""

ROUTE = "imageclassifier.route"
"""The path as it was registered, where the router was not asked for it (str)."""

TASK = "imageclassifier.task"
"""The task that works for the request, while it is of no use without the client (`asyncio.Task`)."""

TRACE = "imageclassifier.trace"
"""The request's `RequestTrace`, only where tracing is on."""
