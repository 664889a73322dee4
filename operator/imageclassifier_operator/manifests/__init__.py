"""Builds the manifests of the children: one file per child, a pure function from `Params` to a manifest or None.

These manifests have no `apiVersion` and `kind`: `imageclassifier_operator.children` adds them.
"""

from imageclassifier_operator.manifests.params import Capabilities, Params

__all__ = ["Capabilities", "Params"]
