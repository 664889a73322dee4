"""One revision: a rendered pod template, stored as a ControllerRevision that the ImageClassifier owns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api import GROUP
from imageclassifier_operator.kube import CONTROLLER_REVISIONS
from imageclassifier_operator.manifests.metadata import child_metadata
from imageclassifier_operator.naming import child_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier

ADOPT_ANNOTATION = f"{GROUP}/adopt"
"""Annotation of an ImageClassifier: the name of the candidate that is to be adopted at once."""

_CAUSE_ANNOTATION = f"{GROUP}/accepted-because"
_SPEC_ANNOTATION = f"{GROUP}/last-reconciled-spec"
_MAX_SPEC_LENGTH = 200_000
"""All annotations of an object may have 256 KiB. A longer spec is not stored."""

_DIGEST_LENGTH = 10


class Cause(StrEnum):
    """Why a revision was accepted."""

    CREATED = "Created"
    """It is the first one."""

    TAKEN_OVER = "TakenOver"
    """The Deployment had its template before there were revisions, or after all of them were deleted."""

    SPEC_CHANGED = "SpecChanged"
    """The spec has another template."""

    ADOPTED = "Adopted"
    """The annotation named it."""

    UPGRADED = "Upgraded"
    """The operator renders another template, and it was the object's turn."""

    NEVER_READY = "NeverReady"
    """The operator renders another template, and the revision before was never Ready."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A rendered pod template.

    number: the order of acceptance, as in the field `revision` of ControllerRevision; 0 if it was never accepted.
    spec: for the accepted revision, the spec at the last reconcile; None if it is not known.
    """

    name: str
    template: Mapping[str, Any]
    spec: Mapping[str, Any] | None = None
    number: int = 0
    cause: Cause | None = None
    uid: str | None = None

    @staticmethod
    def of(template: Mapping[str, Any], *, owner: str) -> Revision:
        """Return a revision that is not stored yet, of an ImageClassifier. Equal templates have equal names."""
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]
        return Revision(name=f"{child_name(owner)}-{digest}", template=template)

    @staticmethod
    def stored(live: Mapping[str, Any]) -> Revision:
        """Return the revision of a live ControllerRevision."""
        metadata = live["metadata"]
        annotations = metadata.get("annotations") or {}
        cause = annotations.get(_CAUSE_ANNOTATION)
        return Revision(
            name=metadata["name"],
            template=(live.get("data") or {}).get("template") or {},
            spec=_read_spec(annotations.get(_SPEC_ANNOTATION)),
            number=live.get("revision", 0),
            cause=Cause(cause) if cause in set(Cause) else None,
            uid=metadata["uid"],
        )

    def manifest(self, ic: ImageClassifier) -> dict[str, Any]:
        """Return the manifest of its ControllerRevision. The API server does not allow `data` to change."""
        annotations = {} if self.cause is None else {_CAUSE_ANNOTATION: self.cause.value}
        spec = None if self.spec is None else json.dumps(self.spec, sort_keys=True, separators=(",", ":"))
        if spec is not None and len(spec) <= _MAX_SPEC_LENGTH:
            annotations[_SPEC_ANNOTATION] = spec
        return {
            "apiVersion": CONTROLLER_REVISIONS.group_version,
            "kind": CONTROLLER_REVISIONS.kind,
            "metadata": {**child_metadata(ic, annotations=annotations), "name": self.name},
            "data": {"template": self.template},
            "revision": self.number,
        }


def _read_spec(text: str | None) -> Mapping[str, Any] | None:
    """Return the spec in the annotation, or None if there is none, or somebody has replaced it."""
    try:
        spec = json.loads(text or "null")
    except ValueError:
        return None
    return spec if isinstance(spec, dict) else None
