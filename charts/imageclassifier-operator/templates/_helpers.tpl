{{- define "imageclassifier-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "imageclassifier-operator.fullname" -}}
{{- $name := include "imageclassifier-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The models of the catalogue, without those that are set to null. */}}
{{- define "imageclassifier-operator.catalogue" -}}
{{- $models := dict }}
{{- range $name, $model := .Values.catalogue }}
{{- if $model }}
{{- $_ := set $models $name $model }}
{{- end }}
{{- end }}
{{- toYaml $models }}
{{- end }}

{{- define "imageclassifier-operator.catalogueName" -}}
{{- printf "%s-catalogue" (include "imageclassifier-operator.fullname" . | trimSuffix "-operator") }}
{{- end }}

{{- define "imageclassifier-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "imageclassifier-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "imageclassifier-operator.labels" -}}
{{ include "imageclassifier-operator.selectorLabels" . }}
app.kubernetes.io/part-of: imageclassifier
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The reference of an image: pass a list of the image's values and the root context. */}}
{{- define "imageclassifier-operator.image" -}}
{{- $image := index . 0 }}
{{- $root := index . 1 }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "imageclassifier-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "imageclassifier-operator.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- /* Where `helm test` creates its ImageClassifier: a namespace that the operator watches. */}}
{{- define "imageclassifier-operator.testNamespace" -}}
{{- if or (empty .Values.namespaces) (has .Release.Namespace .Values.namespaces) }}
{{- .Release.Namespace }}
{{- else }}
{{- first .Values.namespaces }}
{{- end }}
{{- end }}

{{- define "imageclassifier-operator.hasDisruptionBudget" -}}
{{- $enabled := .Values.podDisruptionBudget.enabled }}
{{- ternary (gt (int .Values.replicas) 1) $enabled (kindIs "invalid" $enabled) }}
{{- end }}
