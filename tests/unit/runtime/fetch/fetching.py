"""Models, and helpers that run a fetch that succeeds or fails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.fetch import run

from tests.unit.runtime.support import LABELS, colour_model

if TYPE_CHECKING:
    from imageclassifier_runtime.model import folder as model_folder
    from imageclassifier_runtime.settings.commands import FetchSettings

MODEL = colour_model().SerializeToString()
IMAGENET = colour_model(classes=1000).SerializeToString()
LABELS_TEXT = ("\n".join(LABELS) + "\n").encode()


def fetch(settings: FetchSettings, *uris: str, **changes: Any) -> model_folder.ModelInfo:
    return run.fetch(dataclasses.replace(settings, uris=uris, **changes))


def refused(settings: FetchSettings, *uris: str, **changes: Any) -> ModelError:
    with pytest.raises(ModelError) as raised:
        fetch(settings, *uris, **changes)
    remaining = list(settings.model_dir.iterdir()) if settings.model_dir.exists() else []
    assert remaining == []
    return raised.value
