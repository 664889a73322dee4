"""A trace context of a client, and the delivery of a server's spans."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.runtime.support import Running

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-00"


def finish(server: Running) -> float:
    """Deliver the queued spans, and return the seconds that it took."""
    assert server.state.tracing is not None
    start = time.monotonic()
    server.state.tracing.close()
    return time.monotonic() - start
