{{/* Pods of the image run as its user. Takes (list context component values); values: .Values.gateway or .worker. */}}
{{- define "unlearning.podCommon" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "unlearning.fullname" $root }}
automountServiceAccountToken: false
# A Service called `redis`, `unlearn` or `vllm` in the namespace would come in as REDIS_PORT, UNLEARN_PORT, VLLM_PORT.
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "unlearning.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Takes .Values.gateway or .worker: its resources with its GPUs. */}}
{{- define "unlearning.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu.count -}}
{{- $resources = mergeOverwrite $resources (dict "limits" (dict .gpu.resource (int .gpu.count))) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Where a read-only image is written to: /tmp, /dev/shm, the cache (HOME, too), the data directory. */}}
{{- define "unlearning.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
- {name: cache, mountPath: /var/cache/unlearning-gateway}
- {name: data, mountPath: /var/lib/unlearning-gateway}
- {name: secrets, mountPath: /run/secrets/unlearning, readOnly: true}
- {name: redis, mountPath: /run/secrets/redis, readOnly: true}
{{- if .Values.model.hubToken.secret }}
- {name: hub-token, mountPath: /run/secrets/hub, readOnly: true}
{{- end }}
{{- with .Values.model }}
{{- if .claim }}
- name: model
  mountPath: {{ .path | quote }}
  {{- with .subPath }}
  subPath: {{ . | quote }}
  {{- end }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes (list context keys shmSize); keys: names under secret.keys that this pod may read, with their file. */}}
{{- define "unlearning.volumes" -}}
{{- $root := index . 0 -}}
{{- $secret := $root.Values.secret -}}
- name: tmp
  emptyDir: {}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ index . 2 }}}
- name: secrets
  secret:
    secretName: {{ $secret.name }}
    defaultMode: 0440
    items:
      {{- range $key, $file := index . 1 }}
      - {key: {{ index $secret.keys $key | quote }}, path: {{ $file }}}
      {{- end }}
- name: redis
  secret:
    {{- if include "unlearning.ownRedis" $root }}
    secretName: {{ $secret.name }}
    defaultMode: 0440
    items:
      - {key: {{ $secret.keys.redisPassword | quote }}, path: password}
    {{- else }}
    secretName: {{ $root.Values.redis.existing.secret }}
    defaultMode: 0440
    items:
      - {key: {{ $root.Values.redis.existing.key | quote }}, path: url}
    {{- end }}
{{- with $root.Values.model.hubToken }}
{{- if .secret }}
- name: hub-token
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: token}
{{- end }}
{{- end }}
{{- with $root.Values.model.claim }}
- name: model
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end -}}
