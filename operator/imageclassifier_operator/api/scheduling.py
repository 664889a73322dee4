"""The parts of the API that say which nodes the pods run on. The affinity has the fields that it has in a pod."""

from typing import Annotated, Literal

from pydantic import Field

from imageclassifier_operator.api.declaration import Part, Text, integer, items, rule
from imageclassifier_operator.api.field_types import LabelKey, LabelValue, NamespaceName, ObjectName, Selector


class Toleration(Part):
    """A taint of nodes that the pods tolerate."""

    key: LabelKey | None = None
    """Key of the taint. If absent, every key; operator must then be Exists."""

    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint must have this value (Equal) or may have any (Exists)."""

    value: LabelValue = ""
    """Value of the taint."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. If absent, every effect."""

    toleration_seconds: Annotated[int, integer(0, 31_536_000, openapi_format="int64")] | None = None
    """Seconds that a pod stays on a node with a NoExecute taint. If absent, it stays."""

    @rule(
        message="operator must be Exists if key is absent",
        cel="has(self.key) || !has(self.operator) || self.operator == 'Exists'",
    )
    def _key_or_exists(self) -> bool:
        return self.key is not None or self.operator == "Exists"

    @rule(
        message="value must be absent if operator is Exists",
        cel="!has(self.value) || self.value == '' || !has(self.operator) || self.operator != 'Exists'",
    )
    def _no_value_with_exists(self) -> bool:
        return not self.value or self.operator != "Exists"

    @rule(
        message="tolerationSeconds requires the effect NoExecute",
        cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
    )
    def _seconds_of_no_execute(self) -> bool:
        return self.toleration_seconds is None or self.effect == "NoExecute"


Weight = Annotated[int, integer(1, 100)]
Values = Annotated[tuple[Annotated[LabelValue, Field(description="A value.")], ...], items(64, list_type="atomic")]


class NodeRequirement(Part):
    """A requirement on one label of a node."""

    key: LabelKey
    """Key of the label."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How the label is compared with values."""

    values: Values = ()
    """Values to compare with: at least one for In and NotIn, one integer for Gt and Lt, none for Exists and
    DoesNotExist."""

    @rule(
        message="In and NotIn require values, Gt and Lt exactly one, Exists and DoesNotExist none",
        cel="!has(self.operator) || (!has(self.values) || size(self.values) == 0 ? "
        "self.operator in ['Exists', 'DoesNotExist'] : "
        "self.operator in ['In', 'NotIn'] || (self.operator in ['Gt', 'Lt'] && size(self.values) == 1))",
    )
    def _values_fit_the_operator(self) -> bool:
        if not self.values:
            return self.operator in {"Exists", "DoesNotExist"}
        return self.operator in {"In", "NotIn"} or (self.operator in {"Gt", "Lt"} and len(self.values) == 1)


class NodeFieldRequirement(Part):
    """A requirement on the name of a node, which is the only field that Kubernetes supports here."""

    key: Annotated[str, Text(13, pattern=r"^metadata\.name$", expected="metadata.name")]
    """Name of the field, metadata.name."""

    operator: Literal["In", "NotIn"]
    """Whether the node must have this name (In) or must not (NotIn)."""

    values: Annotated[
        tuple[Annotated[ObjectName, Field(description="A name.")], ...],
        items(1, min_items=1, list_type="atomic"),
    ]
    """The name of the node."""


class NodeSelectorTerm(Part):
    """Requirements on a node, all of which must be met."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], items(16, list_type="atomic")] = ()
    """Requirements on the node's labels."""

    match_fields: Annotated[tuple[NodeFieldRequirement, ...], items(1, list_type="atomic")] = ()
    """A requirement on the node's name."""


class NodeSelector(Part):
    """The nodes that meet one of the terms."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], items(8, min_items=1, list_type="atomic")]
    """The terms."""


class PreferredNodes(Part):
    """Nodes that the pods prefer."""

    weight: Weight
    """How much the preference counts."""

    preference: NodeSelectorTerm
    """The nodes."""


class NodeAffinity(Part):
    """The nodes that the pods require or prefer."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Nodes that the pods require."""

    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], items(8, list_type="atomic")
    ] = ()
    """Nodes that the pods prefer: those with the largest sum of weights."""


class LabelRequirement(Part):
    """A requirement on one label."""

    key: LabelKey
    """Key of the label."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label is compared with values."""

    values: Values = ()
    """Values to compare with: at least one for In and NotIn, none for Exists and DoesNotExist."""

    @rule(
        message="In and NotIn require values, Exists and DoesNotExist none",
        cel="!has(self.operator) || "
        "(has(self.values) && size(self.values) > 0) == (self.operator in ['In', 'NotIn'])",
    )
    def _values_fit_the_operator(self) -> bool:
        return bool(self.values) == (self.operator in {"In", "NotIn"})


class LabelSelector(Part):
    """Selects objects by their labels; an empty selector selects all of them."""

    match_labels: Selector = {}
    """Labels that the objects must have."""

    match_expressions: Annotated[tuple[LabelRequirement, ...], items(16, list_type="atomic")] = ()
    """Requirements that the objects must meet."""


class PodAffinityTerm(Part):
    """Pods, and the part of the cluster that counts as the same place as theirs."""

    label_selector: LabelSelector | None = None
    """Labels of the pods. If absent, no pods."""

    namespaces: Annotated[
        tuple[Annotated[NamespaceName, Field(description="A namespace.")], ...], items(16, list_type="atomic")
    ] = ()
    """Namespaces of the pods. By default the one of this object."""

    namespace_selector: LabelSelector | None = None
    """Labels of further namespaces of the pods; an empty selector selects all namespaces."""

    topology_key: LabelKey
    """Label of nodes. Nodes with the same value are the same place, such as topology.kubernetes.io/zone."""


class PreferredPods(Part):
    """Pods that the pods prefer to be near to, or far from."""

    weight: Weight
    """How much the preference counts."""

    pod_affinity_term: PodAffinityTerm
    """The pods."""


class PodAffinity(Part):
    """Other pods that the pods must or prefer to be near to (podAffinity) or far from (podAntiAffinity)."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], items(8, list_type="atomic")
    ] = ()
    """What the pods require."""

    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredPods, ...], items(8, list_type="atomic")
    ] = ()
    """What the pods prefer."""


class Affinity(Part):
    """Affinity is what the pods require or prefer of nodes and of other pods, as in Kubernetes."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Scheduling(Part):
    """Scheduling says which nodes the pods run on."""

    node_selector: Selector = {}
    """Labels that a node must have."""

    tolerations: Annotated[tuple[Toleration, ...], items(32, list_type="atomic")] = ()
    """Taints of nodes that the pods tolerate."""

    affinity: Affinity | None = None

    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""

    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods."""

    spread: Literal["Preferred", "Required", "Off"] = "Preferred"
    """Whether the pods are spread over zones and nodes: if possible (Preferred), so that a pod that would be one
    too many stays pending (Required; nodes without the label topology.kubernetes.io/zone, and those whose taints
    the pods do not tolerate, get no pod and are not counted), or not (Off)."""
