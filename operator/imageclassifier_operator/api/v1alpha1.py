"""The single definition of the API `imageclassifier.dev/v1alpha1`.

The CRD and its reference page are generated from it (`make generate`), and the operator validates with it. The
types of its fields are in `field_types.py`, the parts of `spec.scheduling` in `scheduling.py`, those of
`spec.ingress` and `spec.gateway` in `exposure.py`, `spec.networkPolicy` in `network_policy.py`. The docstring of a
class, or below a field, is the description in the CRD, and a field's default is the default in the CRD. A rule has
the CEL expression for the API server, and an equivalent check for the operator.

If an object has `default: {}`, the API server evaluates the object's CEL rules on `{}` too, before it sets the
defaults of the fields, and rejects the whole CRD if an expression fails. So the rules check with has() that a
field exists before they read it, even if the field has a default.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from imageclassifier_operator.api.declaration import (
    Column,
    Part,
    Rule,
    Text,
    integer,
    items,
    rule,
)
from imageclassifier_operator.api.exposure import Gateway, Ingress
from imageclassifier_operator.api.field_types import (
    Annotations,
    Bytes,
    CatalogueName,
    ConfigMapName,
    Cores,
    Digest,
    Generation,
    ImageReference,
    Interval,
    Labels,
    ModelUri,
    Network,
    ObjectName,
    OtlpEndpoint,
    Percent,
    RedisUrl,
    Region,
    Replicas,
    S3Endpoint,
    SecretName,
    Word,
    size_in_bytes,
)
from imageclassifier_operator.api.network_policy import NetworkPolicy
from imageclassifier_operator.api.quantity import parse_quantity
from imageclassifier_operator.api.scheduling import Scheduling
from imageclassifier_operator.api.secret_keys import SECRET_KEYS_BY_SCHEME

GROUP = "imageclassifier.dev"
VERSION = "v1alpha1"
KIND = "ImageClassifier"
PLURAL = "imageclassifiers"
SHORT_NAMES = ("ic", "icl")

SUBRESOURCES: Mapping[str, Any] = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}

SELECTABLE_FIELDS = (".spec.model.name",)
"""The fields that `kubectl get --field-selector` can select by; a server before 1.31 ignores them."""

_READY = '.status.conditions[?(@.type=="Ready")]'
PRINTER_COLUMNS = (
    Column("Ready", f"{_READY}.status", "Whether all replicas of the newest generation are ready."),
    Column("Reason", f"{_READY}.reason", "The reason for Ready, in one word."),
    Column("Model", ".status.model.name", "The name of the served model."),
    Column("Replicas", ".status.readySummary", "Ready and desired replicas."),
    Column("URL", ".status.url", "The URL of the Service inside the cluster."),
    Column("Age", ".metadata.creationTimestamp", type="date"),
    Column("Precision", ".status.model.precision", "The precision of the served model.", wide=True),
    Column("Revision", ".status.revisions.accepted", "The revision of the pod template.", wide=True),
    Column("Image", ".status.image", "The image of the server.", wide=True),
)

DEFAULT_PRECISION: Final = "FP32"

SERVER_BASE_BYTES = 160 * 1024**2
"""Memory of the server itself (interpreter, libraries, model, buffers); the runtime's tests check this limit."""

DECODE_BYTES_PER_PIXEL = 8
"""The peak memory for each pixel of an image that is decoded, in the format and colour mode that need the most."""


class SecretRef(Part):
    """A reference to a Secret of the same namespace."""

    name: SecretName
    """Name of the Secret."""


def _secret_name(secret: SecretRef | None) -> str | None:
    return None if secret is None else secret.name


class ConfigMapRef(Part):
    """A reference to a ConfigMap of the same namespace."""

    name: ConfigMapName
    """Name of the ConfigMap."""


class S3Store(Part):
    """Location of the bucket of an s3 uri. If absent, the bucket is at AWS."""

    endpoint: S3Endpoint | None = None
    """Endpoint of a store other than AWS, as http(s)://host or with :port. The bucket is then the first part of
    the path, unless addressing says otherwise."""

    region: Region = "us-east-1"
    """Region of the bucket; requests are signed for it."""

    addressing: Literal["Auto", "Path", "Virtual"] = "Auto"
    """Where requests have the bucket's name: in the path (Path), or in the host name (Virtual). Auto uses the host
    name for AWS and the path for an endpoint."""


class Model(Part):
    """The model to serve.

    It is an entry of the operator's catalogue, by name, or a file or folder, by uri and sha256. If neither is
    given, the bundled model cifar10-mobilenet-v2 is served, which classifies ten everyday objects.
    """

    name: CatalogueName | None = None
    """Name of an entry of the model catalogue, such as mobilenet-v2. The catalogue is part of the operator's
    configuration. If it has no such entry, the condition Stalled lists the entries that it has."""

    uri: ModelUri | None = None
    """Address of a model, a file or a folder, without user or password. A folder ends in a slash and contains
    model.onnx and, if needed, labels.txt and preprocessor_config.json. One of http(s)://host/path,
    s3://bucket/key, hf://owner/repo@commit/path (the full commit hash; without path, the whole repository) and
    pvc://claim/path (a PersistentVolumeClaim in this namespace, mounted read-only; without path, the whole claim).
    Each pod fetches the model before it starts, in this namespace. Requires sha256."""

    sha256: Digest | None = None
    """Digest that the content of uri must have; other content is rejected. For a file, it is what sha256sum
    prints. For a folder, it is what this command prints, with those of the files that the folder has: sha256sum
    labels.txt model.int8.onnx model.onnx preprocessor_config.json quantization.json | sha256sum"""

    credentials_secret_ref: SecretRef | None = None
    """Secret in this namespace with the credentials of the source. Only the init container that fetches the model
    gets them, and only those of the uri's scheme. For s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and
    AWS_SESSION_TOKEN if there is one. For hf: HF_TOKEN. For http and https: HTTP_BEARER_TOKEN, or HTTP_USERNAME
    and HTTP_PASSWORD."""

    s3: S3Store | None = None

    precision: Literal["FP32", "INT8", "Auto"] = DEFAULT_PRECISION
    """Which graph of the model is served: the one in FP32 or the one in INT8. INT8 is an error if the model has no
    INT8 graph that was measured and accepted (see imageclassifier quantize). Auto uses INT8 if the model has it,
    else FP32, the same in every pod. status.model.precision shows which one is served."""

    @property
    def credentials_secret(self) -> str | None:
        """Return the name of the Secret with credentials."""
        return _secret_name(self.credentials_secret_ref)

    @rule(message="give either name or uri, not both", cel="!(has(self.name) && has(self.uri))")
    def _one_source(self) -> bool:
        return self.name is None or self.uri is None

    @rule(
        message="sha256 is required with uri; get it with sha256sum",
        cel="!has(self.uri) || has(self.sha256)",
    )
    def _digest_of_uri(self) -> bool:
        return self.uri is None or self.sha256 is not None

    @rule(
        message="sha256 requires uri; a catalogue entry has its own digest",
        cel="!has(self.sha256) || has(self.uri)",
    )
    def _digest_only_of_uri(self) -> bool:
        return self.sha256 is None or self.uri is not None

    @rule(
        message="credentialsSecretRef requires uri; a catalogue entry is read without credentials",
        cel="!has(self.credentialsSecretRef) || has(self.uri)",
    )
    def _credentials_only_of_uri(self) -> bool:
        return self.credentials_secret_ref is None or self.uri is not None

    @rule(
        message="credentialsSecretRef is not supported with a pvc:// uri; a claim is mounted without credentials",
        cel="!has(self.credentialsSecretRef) || !has(self.uri) || !self.uri.startsWith('pvc://')",
    )
    def _no_credentials_of_claims(self) -> bool:
        return self.credentials_secret_ref is None or self.uri is None or not self.uri.startswith("pvc://")

    @rule(
        message="s3 requires an s3:// uri",
        cel="!has(self.s3) || (has(self.uri) && self.uri.startsWith('s3://'))",
    )
    def _store_of_s3(self) -> bool:
        return self.s3 is None or (self.uri is not None and self.uri.startswith("s3://"))


class Policy(Part):
    """The largest change within a period."""

    type: Literal["Pods", "Percent"]
    """What value counts: Pods, or Percent of the current number."""

    value: Annotated[int, integer(1, 10_000)]
    """The largest change."""

    period_seconds: Annotated[int, integer(1, 1800)]
    """Length of the period in seconds."""


Window = Annotated[int, integer(0, 3600)]
Policies = Annotated[tuple[Policy, ...], items(8, min_items=1, list_type="atomic")]


class ScalingRules(Part):
    """How the number of pods may change in one direction."""

    stabilization_window_seconds: Window
    """Seconds of past recommendations that are taken into account, so that the number does not flap."""

    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Which policy applies: the one that allows the largest change (Max), the one that allows the smallest (Min),
    or none, so that nothing changes in this direction (Disabled)."""

    policies: Policies
    """Limits of the change within a period."""

    tolerance: Annotated[int, integer(0, 100)] | None = None
    """Percentage by which a metric may differ from its target before the number changes. By default the
    cluster's, usually 10. Needs Kubernetes 1.35; on an older version it is not applied, and the condition
    AutoscalingReady says so."""


class ScaleUp(ScalingRules):
    """How the number of pods may grow."""

    stabilization_window_seconds: Window = 0
    policies: Policies = (
        Policy(type="Percent", value=100, period_seconds=15),
        Policy(type="Pods", value=4, period_seconds=15),
    )


class ScaleDown(ScalingRules):
    """How the number of pods may shrink."""

    stabilization_window_seconds: Window = 300
    policies: Policies = (Policy(type="Percent", value=100, period_seconds=15),)


class Behavior(Part):
    """How fast the number of pods may change, in the terms of HorizontalPodAutoscaler.

    By default it grows immediately, by 100 percent or by 4 pods every 15 seconds, whichever is more, and shrinks
    after 300 seconds of lower load.
    """

    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


class Autoscaling(Part):
    """Autoscaling lets a HorizontalPodAutoscaler set the number of pods.

    It is off if absent, and on if present, even if empty ({}). Without any target, it aims at 70 percent of the
    CPU request.
    """

    min_replicas: Annotated[int, integer(1, 1000)] = 2
    """The smallest number of pods."""

    max_replicas: Annotated[int, integer(1, 1000)] = 10
    """The largest number of pods."""

    target_memory_utilization: Percent | None = None
    """Average memory use of the pods, in percent of their request. A server keeps most of its memory when its load
    falls, so this target can keep the number of pods high."""

    target_cpu_utilization: Percent | None = Field(
        validation_alias="targetCPUUtilization",
        default_factory=lambda given: 70 if given.get("target_memory_utilization") is None else None,
    )
    """Average CPU use of the pods, in percent of their request. The default is 70 if no target is given; with only
    a memory target, CPU is not considered."""

    behavior: Behavior = Behavior()

    @rule(
        message="minReplicas is more than maxReplicas; the defaults are 2 and 10",
        detail="minReplicas ({self.min_replicas}) is more than maxReplicas ({self.max_replicas}); "
        "the defaults are 2 and 10",
        cel="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
    )
    def _bounds_in_order(self) -> bool:
        return self.min_replicas <= self.max_replicas


_EPHEMERAL_STORAGE: Any = Field(
    default=None, validation_alias="ephemeral-storage", serialization_alias="ephemeral-storage"
)
"""A field with the name that the resource has in Kubernetes."""


class ResourceRequests(Part):
    """Resources that are reserved for each server."""

    cpu: Cores = "100m"
    """Cores, whole or in thousandths (2, 500m, "0.5"; quote a number with a point)."""

    memory: Bytes = "256Mi"
    """Bytes, usually with a suffix (512Mi, 1Gi, "1.5Gi")."""

    ephemeral_storage: Bytes | None = _EPHEMERAL_STORAGE
    """Disk of the node for the model, temporary files and logs, in bytes. If absent, it is the limit, or what the
    LimitRange of the namespace sets. Without both, nothing is reserved: the scheduler does not consider the disk,
    and a node that runs out of it evicts this pod before pods that use less than their request."""


class ResourceLimits(Part):
    """The most resources that each server gets."""

    cpu: Cores = "1"
    """Cores, whole or in thousandths (2, 500m, "0.5"; quote a number with a point). With less than one core, a
    server takes longer to start."""

    memory: Bytes = "512Mi"
    """Bytes, usually with a suffix (512Mi, 1Gi, "1.5Gi")."""

    ephemeral_storage: Bytes | None = _EPHEMERAL_STORAGE
    """Disk of the node for the model, temporary files and logs, in bytes. A pod that uses more is evicted. If
    absent, it is what the LimitRange of the namespace sets; without that, only the model (1Gi) and the temporary
    files (64Mi) are limited."""


def _request_within_limit(resource: str) -> Rule:
    """Return the rule that the request of a resource is at most its limit, if it has both.

    An invalid quantity does not break the rule: it is reported as a problem of its own field.
    """
    name = resource.replace("-", "_")
    request, limit = (f"self.{part}.{resource.replace('-', '__dash__')}" for part in ("requests", "limits"))
    cel = (
        f"!has(self.requests) || !has({request}) || !isQuantity(string({request})) || "
        f"!has(self.limits) || !has({limit}) || !isQuantity(string({limit})) || "
        f"quantity(string({request})).compareTo(quantity(string({limit}))) <= 0"
    )

    @rule(
        message=f"requests.{resource} is more than limits.{resource}",
        field=f"requests.{resource}",
        detail=f"{{self.requests.{name}}} is more than the limit, {{self.limits.{name}}}",
        cel=cel,
    )
    def within_limit(part: "Resources") -> bool:
        requested, maximum = getattr(part.requests, name), getattr(part.limits, name)
        return requested is None or maximum is None or parse_quantity(requested) <= parse_quantity(maximum)

    return within_limit


class Resources(Part):
    """Resources of each server.

    No request may be more than its limit, and the memory limit must hold the largest accepted image and the cache,
    see limits.
    """

    requests: ResourceRequests = ResourceRequests()
    limits: ResourceLimits = ResourceLimits()

    _cpu = _request_within_limit("cpu")
    _memory = _request_within_limit("memory")
    _ephemeral_storage = _request_within_limit("ephemeral-storage")


class Limits(Part):
    """Limits of one request.

    Decoding takes up to 8 bytes a pixel, so 160 MiB + maxImageBytes + 8 x maxImagePixels, and cache.maxBytes if
    there is a cache, must fit into the memory limit.
    """

    max_image_bytes: Annotated[int, size_in_bytes(1024, 1024**3)] = Field(default="10Mi", validate_default=True)
    """The largest request body that is read, in bytes (10Mi). Larger ones are rejected with 413."""

    max_image_pixels: Annotated[int, integer(1024, 200_000_000, openapi_format="int64")] = 25_000_000
    """The largest image that is decoded, width times height. Larger ones are rejected with 413."""

    max_queue_size: Annotated[int, integer(1, 10_000)] = 64
    """How many requests may wait. Further ones are rejected with 503."""


class Batching(Part):
    """Batching runs images of several requests through the model together.

    It is off by default: if one image keeps a core busy, batching gains nothing. It takes memory that the rule in
    limits does not include: for a MobileNetV2 of 224 pixels about 10 MiB for each image of a batch, for each
    thread and once more.
    """

    max_batch_size: Annotated[int, integer(1, 64)] = 1
    """The largest number of images that run through the model together; 1 means one by one. At most
    limits.maxQueueSize."""

    max_queue_delay_milliseconds: Annotated[int, integer(0, 1000)] = 2
    """How long a prepared image waits for other images that are still being prepared. A single image never
    waits."""


class RedisStore(Part):
    """Redis also caches results, for all servers of a model, and keeps them when servers are replaced.

    No request fails because of it: if Redis is unreachable or slow, the image is classified.
    """

    url: RedisUrl
    """Address, redis://host, or rediss://host for TLS, optionally with :port (default 6379) and /number of the
    database. User and password are in the Secret."""

    credentials_secret_ref: SecretRef | None = None
    """Secret in this namespace with the key password, and username if Redis has users. The servers get them;
    without the Secret, a new pod does not start."""

    ttl_seconds: Annotated[int, integer(1, 31_536_000)] = 86_400
    """How long Redis keeps a result."""

    @property
    def credentials_secret(self) -> str | None:
        """Return the name of the Secret with the user name and password."""
        return _secret_name(self.credentials_secret_ref)


class Cache(Part):
    """Cache keeps results, so that an image that was classified before needs no inference.

    Images are identified by a digest of their bytes. The cache is off if absent, and on if present, even if empty
    ({}).
    """

    max_bytes: Annotated[int, size_in_bytes(1024**2, 16 * 1024**3)] = Field(default="16Mi", validate_default=True)
    """Size of the cache in each server, in bytes (16Mi). A result takes about 0.4 KB and 4 bytes per class. The
    memory limit must include it, see limits."""

    redis: RedisStore | None = None


class Service(Part):
    """Service configures the Service that is the common address of all pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service, as in Kubernetes."""

    port: Annotated[int, integer(1, 65_535)] = 80
    """Port that clients connect to."""

    annotations: Annotations = {}
    """Annotations of the Service, such as those that a cloud's load balancer is configured by. Keys that begin
    with imageclassifier.dev/ are reserved for the operator."""

    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = None
    """Which pods get a client's connections, if there is a choice: those in its zone (PreferSameZone, or
    PreferClose, its older name), or those on its node (PreferSameNode). PreferSameZone needs Kubernetes 1.31,
    PreferSameNode 1.34; on an older version the field is not applied, and the condition Ready says so."""


class Monitoring(Part):
    """Monitoring configures whether and how Prometheus discovers the pods."""

    service_monitor: Literal["Auto", "Enabled", "Disabled"] = "Auto"
    """Whether to create a ServiceMonitor for the Prometheus operator: if the cluster has that kind (Auto), always
    (Enabled, and the condition MonitoringReady reports a missing kind), or never (Disabled)."""

    interval: Interval = "15s"
    """How often the metrics are scraped, in seconds, minutes or hours (15s, 1m)."""

    labels: Labels = {}
    """Additional labels of the ServiceMonitor, such as those that your Prometheus selects. Keys that begin with
    app.kubernetes.io/ are reserved for the operator."""


class Tracing(Part):
    """Tracing configures where the servers send traces of their requests. If absent, they send none."""

    endpoint: OtlpEndpoint = Field(validation_alias="otlpEndpoint")
    """Address of an OTLP receiver that supports HTTP, such as an OpenTelemetry collector: http(s)://host[:port],
    usually port 4318. /v1/traces is appended to it. If empty, no traces are sent."""

    sampling_percent: Annotated[int, integer(0, 100)] = 1
    """Percentage of the requests without a trace that are traced. Requests that come with a trace (traceparent)
    are traced if it says so."""

    headers_secret_ref: SecretRef | None = None
    """Secret in this namespace with headers for the receiver. Its key OTEL_EXPORTER_OTLP_HEADERS holds them as
    name=value,name=value, with values percent-encoded. Only the server gets it."""

    @property
    def headers_secret(self) -> str | None:
        """Return the name of the Secret with headers."""
        return _secret_name(self.headers_secret_ref)


class RateLimit(Part):
    """RateLimit limits the requests of each client to each pod, so three pods accept three times as many.

    A client is an entry of the Secret with the API keys or, without keys, an address. Requests above the limit are
    rejected with 429.
    """

    requests_per_second: Annotated[int, integer(1, 100_000)]
    """Requests per second of one client. A request with n images counts n times."""

    burst: Annotated[int, integer(1, 1_000_000)] | None = None
    """Burst size: requests of one client that may arrive at the same time. Defaults to one second's worth."""


class Security(Part):
    """Security configures which requests are accepted, and at which rate.

    Requests for health, readiness and metrics are always accepted, without a key and without a limit.
    """

    api_keys_secret_ref: SecretRef | None = None
    """Secret in this namespace with the API keys. If given, every request needs one. Each entry of the Secret is
    one client; its value is a key of 16 to 256 characters, or several, one per line. A change of the Secret
    applies without a restart of the servers."""

    rate_limit: RateLimit | None = None

    trusted_proxies: Annotated[tuple[Network, ...], items(64, list_type="set")] = ()
    """Networks (10.0.0.0/8, fd00::/8) of proxies whose X-Forwarded-For and Forwarded headers are trusted to name
    the client. A network of all addresses, such as 0.0.0.0/0, is rejected."""

    @property
    def api_keys_secret(self) -> str | None:
        """Return the name of the Secret with the API keys."""
        return _secret_name(self.api_keys_secret_ref)


class Rollout(Part):
    """Rollout configures how pods are replaced when their template changes."""

    max_surge: Replicas = 1
    """How many pods may exist above the desired number."""

    max_unavailable: Replicas = 0
    """How many of the desired pods may be unavailable."""

    drain_seconds: Annotated[int, integer(0, 600)] = 10
    """Seconds a pod keeps serving after SIGTERM, while endpoints are removed."""

    @rule(
        message="maxSurge and maxUnavailable are both 0, so no pod could ever be replaced",
        cel="!has(self.maxSurge) || !has(self.maxUnavailable) || self.maxSurge > 0 || self.maxUnavailable > 0",
    )
    def _can_replace_a_pod(self) -> bool:
        return self.max_surge > 0 or self.max_unavailable > 0


_CREDENTIAL_VARIABLES = list(dict.fromkeys(key for keys in SECRET_KEYS_BY_SCHEME.values() for key in keys))
"""They come from `spec.model.credentialsSecretRef`; a pod with the same variable twice is rejected."""


class Variable(Part):
    """An environment variable."""

    name: Annotated[
        str,
        Text(
            253,
            min_length=1,
            pattern="^[A-Za-z_][A-Za-z0-9_]*$",
            expected="the name of a variable, of letters, digits and '_'",
        ),
    ]
    """Name of the variable."""

    value: Annotated[str, Text(4096)] = ""
    """Value of the variable. $(NAME) is replaced by the value of a variable before it, as in a pod."""

    @rule(
        message="variables that begin with IMAGECLASSIFIER_ or OTEL_, and the credentials of a model's source, "
        "are reserved for the operator; use the other fields of the spec",
        field="name",
        cel="!has(self.name) || (!self.name.startsWith('IMAGECLASSIFIER_') && !self.name.startsWith('OTEL_') && "
        f"!(self.name in {_CREDENTIAL_VARIABLES}))",
    )
    def _not_reserved(self) -> bool:
        return not self.name.startswith(("IMAGECLASSIFIER_", "OTEL_")) and self.name not in _CREDENTIAL_VARIABLES


class Runtime(Part):
    """Runtime is the image that the pods run, and what is added to them."""

    image: ImageReference | None = None
    """Image of the model server. By default the one that the operator is configured with."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled. By default as the operator is configured."""

    image_pull_secrets: Annotated[tuple[SecretRef, ...], items(16, list_type="map", keys=("name",))] = ()
    """Secrets in this namespace with the credentials of the registry."""

    service_account_name: ObjectName | None = None
    """An existing ServiceAccount in this namespace that the pods run as. By default they have one of their own,
    without rights. The pods mount no token."""

    service_account_annotations: Annotations = {}
    """Annotations of the pods' own ServiceAccount, such as those of a cloud's workload identity."""

    pod_labels: Labels = {}
    """Additional labels of the pods. Keys that begin with app.kubernetes.io/ are reserved for the operator."""

    pod_annotations: Annotations = {}
    """Annotations of the pods. Keys that begin with imageclassifier.dev/ are reserved for the operator."""

    env: Annotated[tuple[Variable, ...], items(64, list_type="map", keys=("name",))] = ()
    """Additional environment variables of the server and of the step that fetches the model, such as HTTPS_PROXY,
    HTTP_PROXY and NO_PROXY, which apply to the model's source and to the receiver of traces. Variables that begin
    with IMAGECLASSIFIER_ or OTEL_, and the credentials of a model's source, are reserved for the operator."""

    ca_config_map_ref: ConfigMapRef | None = None
    """ConfigMap in this namespace with the certificates of CAs, in PEM, in keys that end in .crt or .pem. They are
    trusted in addition to the well-known ones for the model's source, Redis, the receiver of traces, and proxies.
    By default the ConfigMap that the operator is configured with. New pods use a changed ConfigMap; those that run
    keep what they have read."""

    @property
    def ca_config_map(self) -> str | None:
        """Return the name of the ConfigMap with CA certificates."""
        return None if self.ca_config_map_ref is None else self.ca_config_map_ref.name

    host_users: Annotated[bool, Field(strict=True)] | None = None
    """Whether the pods use the user namespace of the node, as in a PodSpec. If false, they have a separate one,
    whose users have no rights on the node. Needs Kubernetes 1.33; on an older version the field is not applied,
    and the condition Ready says so. Also needs nodes that support it (Linux 6.3, and containerd 2.0 or CRI-O
    1.25); on other nodes the pods do not start."""

    @rule(
        message="serviceAccountAnnotations requires the pods' own ServiceAccount; annotate the one that "
        "serviceAccountName names",
        cel="!has(self.serviceAccountName) || !has(self.serviceAccountAnnotations) || "
        "size(self.serviceAccountAnnotations) == 0",
    )
    def _annotates_its_own_account(self) -> bool:
        return self.service_account_name is None or not self.service_account_annotations


class Disruption(Part):
    """Disruption bounds how many pods a drain of nodes may stop at the same time, by a PodDisruptionBudget.

    There is one if more than one pod is possible: with replicas, or autoscaling.maxReplicas, above 1.
    """

    budget: Literal["Auto", "Disabled"] = "Auto"
    """Whether there is a PodDisruptionBudget: if more than one pod is possible (Auto), or never (Disabled).
    Disable it if the pods have a budget of yours: Kubernetes cannot evict a pod that two budgets select."""

    max_unavailable: Annotated[int, integer(1, 1000)] = 1
    """How many pods may be unavailable because of drains. Pods that are not ready may always be evicted."""


class ImageClassifierSpec(Part):
    """Spec is the desired state. An empty spec is valid."""

    model: Model = Model()

    replicas: Replicas = 1
    """Number of pods if autoscaling is absent. With autoscaling, the HorizontalPodAutoscaler sets the number of
    pods, and this field is kept but not used."""

    autoscaling: Autoscaling | None = None
    resources: Resources = Resources()
    limits: Limits = Limits()
    batching: Batching = Batching()
    cache: Cache | None = None
    runtime: Runtime = Runtime()
    scheduling: Scheduling = Scheduling()
    disruption: Disruption = Disruption()
    service: Service = Service()
    ingress: Ingress | None = None
    gateway: Gateway | None = None
    network_policy: NetworkPolicy | None = None
    monitoring: Monitoring = Monitoring()
    tracing: Tracing | None = None
    security: Security = Security()
    rollout: Rollout = Rollout()

    upgrade: Literal["Operator", "Manual"] = "Operator"
    """Who may replace the pods after an upgrade of the operator that changes their template: the operator, which
    goes through all objects a few at a time (Operator), or only you (Manual), by a change of the spec or by the
    annotation imageclassifier.dev/adopt, with the name in status.revisions.candidate as its value."""

    paused: Annotated[bool, Field(strict=True)] = False
    """Whether the operator stops writing to the Deployment, the Service and all other objects of this one. The
    status stays up to date, and Ready says what is not applied."""

    @field_validator("tracing")
    @classmethod
    def _off_if_empty(cls, tracing: Tracing | None) -> Tracing | None:
        return tracing if tracing is not None and tracing.endpoint else None

    @rule(
        message="batching.maxBatchSize is more than limits.maxQueueSize, so no batch would ever be full",
        field="batching.maxBatchSize",
        detail="{self.batching.max_batch_size} is more than spec.limits.maxQueueSize "
        "({self.limits.max_queue_size}), so no batch would ever be full; lower it or raise maxQueueSize",
        cel="!has(self.batching) || !has(self.batching.maxBatchSize) || !has(self.limits) || "
        "!has(self.limits.maxQueueSize) || self.batching.maxBatchSize <= self.limits.maxQueueSize",
    )
    def _batch_fits_into_the_queue(self) -> bool:
        return self.batching.max_batch_size <= self.limits.max_queue_size

    @property
    def needed_memory(self) -> int:
        """Return the bytes that the server needs, including the largest image that it accepts and the cache."""
        decoding = self.limits.max_image_bytes + DECODE_BYTES_PER_PIXEL * self.limits.max_image_pixels
        return SERVER_BASE_BYTES + decoding + (0 if self.cache is None else self.cache.max_bytes)

    @property
    def needed_mebibytes(self) -> int:
        """Return `needed_memory` in MiB, rounded up."""
        return -(-self.needed_memory // 1024**2)

    @property
    def cache_in_message(self) -> tuple[str, str]:
        """Return the two texts about the cache for the error below; they are empty without a cache."""
        return ("", "") if self.cache is None else (", alongside the cache,", ", or spec.cache.maxBytes")

    @rule(
        message="the memory limit is less than the largest image and the cache need",
        field="limits",
        detail="the largest image{self.cache_in_message[0]} needs {self.needed_mebibytes} MiB of memory, "
        "spec.resources.limits.memory is {self.resources.limits.memory}; raise it to {self.needed_mebibytes}Mi "
        "or lower maxImagePixels or maxImageBytes{self.cache_in_message[1]}",
        reads=("resources.limits.memory", "limits.maxImageBytes", "limits.maxImagePixels", "cache.maxBytes"),
    )
    def _image_fits_into_memory(self) -> bool:
        return self.needed_memory <= int(parse_quantity(self.resources.limits.memory))


class Condition(Part):
    """A condition states that something is true, is false, or is not known."""

    type: Annotated[str, Text(316, min_length=1, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    """What the condition is about, in CamelCase."""

    status: Literal["True", "False", "Unknown"]
    """Whether the condition is true."""

    observed_generation: Generation | None = None
    """The generation of the spec that this condition is about."""

    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status of the condition last changed."""

    reason: Word
    """The reason, in one word in CamelCase."""

    message: Annotated[str, Text(32_768)]
    """The reason in words, and what to do about it."""


class ModelStatus(Part):
    """The served model, as reported by the pods."""

    name: Annotated[str, Text(253)] | None = None
    """Name of the model, from the catalogue or from the uri."""

    sha256: Annotated[str, Text(64)] | None = None
    """Digest of the model."""

    precision: Annotated[str, Text(32)] | None = None
    """Precision of the served graph, such as FP32."""

    classes: Annotated[int, integer(0)] | None = None
    """Number of classes of the model."""


class RevisionsStatus(Part):
    """The revisions of the pod template, as names of ControllerRevisions."""

    accepted: Annotated[str, Text(253)] | None = None
    """The revision that the Deployment has."""

    candidate: Annotated[str, Text(253)] | None = None
    """The revision that the operator would create now, if it is another one. The message of Ready says what it
    waits for."""

    ready: Annotated[str, Text(253)] | None = None
    """The last revision with which the object was Ready."""


class ImageClassifierStatus(Part):
    """Status is the most recently observed state. Only the operator writes it."""

    observed_generation: Generation | None = None
    """The generation of the spec that this status is about."""

    conditions: Annotated[tuple[Condition, ...], items(32, list_type="map", keys=("type",))] | None = None
    """Conditions of the object. Ready is the summary; Available, Progressing, Stalled (True only when user action
    is required) and Contested (True while others set fields of children back) give details; AutoscalingReady,
    MonitoringReady, IngressReady and GatewayReady report the optional parts."""

    replicas: Annotated[int, integer(0)] | None = None
    """The number of pods."""

    ready_replicas: Annotated[int, integer(0)] | None = None
    """The number of pods that are ready."""

    ready_summary: Annotated[str, Text(32)] | None = None
    """Ready and desired pods, such as 2/2."""

    selector: Annotated[str, Text(1024)] | None = None
    """The label selector of the pods, for kubectl scale and autoscalers."""

    url: Annotated[str, Text(1024)] | None = None
    """The URL of the Service inside the cluster."""

    image: Annotated[str, Text(1024)] | None = None
    """The image of the server."""

    model: ModelStatus | None = None
    revisions: RevisionsStatus | None = None


class Resource(Part):
    """ImageClassifier is a fleet of servers that classify images with one model, behind one Service.

    An object with an empty spec serves the model that comes with the operator.
    """

    spec: ImageClassifierSpec = ImageClassifierSpec()
    status: ImageClassifierStatus | None = None
