{{/* Short enough for a StatefulSet's name and its revision to fit a label. */}}
{{- define "unlearning.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "unlearning.redisName" -}}
{{ include "unlearning.fullname" . }}-redis
{{- end -}}

{{- define "unlearning.workerName" -}}
{{ include "unlearning.fullname" . }}-worker
{{- end -}}

{{/* Takes (list context component). What selectors match by: it never changes in the life of a release. */}}
{{- define "unlearning.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Takes (list context component). */}}
{{- define "unlearning.labels" -}}
{{- $root := index . 0 -}}
{{ include "unlearning.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "unlearning.image" -}}
{{- with .Values.image -}}
{{- .repository -}}
{{- if .tag }}:{{ .tag }}{{ end -}}
{{- if .digest }}@{{ .digest }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The gateway's port, as the image has it. */}}
{{- define "unlearning.port" -}}8000{{- end -}}

{{- define "unlearning.ownRedis" -}}
{{- if not .Values.redis.existing.secret }}true{{ end -}}
{{- end -}}
