"""Adds to lines of the log which ImageClassifier they are about, its generation, and what caused the reconcile."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_fields: ContextVar[Mapping[str, object]] = ContextVar("fields", default={})  # noqa: B039  never changed in place


@contextmanager
def reconcile_of(namespace: str, name: str, *, cause: str) -> Iterator[None]:
    """Add the fields to what is logged in this block, also by functions that it calls."""
    token = _fields.set({"object": f"{namespace}/{name}", "cause": cause})
    try:
        yield
    finally:
        _fields.reset(token)


def set_generation(generation: int | None) -> None:
    """Add the generation, from where it is known."""
    _fields.set({**_fields.get(), "generation": generation})


class ReconcileFields(logging.Filter):
    """Copies the fields to each record; the formatter writes them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, and keep the record."""
        record.__dict__.update(_fields.get())
        return True
