"""What a spec asks for: one file per child, pure functions from `Params` to a manifest or None.

A manifest comes without `apiVersion` and `kind`: the child's row in `imageclassifier_operator.children` has them.
"""

from imageclassifier_operator.manifests.params import Capabilities, Params

__all__ = ["Capabilities", "Params"]
