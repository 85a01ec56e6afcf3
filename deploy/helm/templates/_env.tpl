{{/* Settings of the gateway that `settings` may name. */}}
{{- define "unlearning.openSettings" -}}
soft_rows prompt_budget methods offset_layers offset_model offset_reference offset_slots offset_sets offset_rank
inverter_url inverter_model max_examples max_body_bytes vllm_plugins job_timeout_s job_retries policy_staleness_s
self_check_tolerance watch log_origin log_witnesses gate_max_leak gate_max_family_leak gate_min_kept gate_min_neighbours gate_min_recall
otlp_endpoint webhook_url verify_every_days
{{- end -}}

{{/* Those that the chart, the image or a Secret sets. */}}
{{- define "unlearning.ownSettings" -}}
model host port data_dir cache_dir redis_url gateway_url api_keys operator_token payload_key worker worker_device
drain_timeout_s inverter_key evidence_key webhook_secret
{{- end -}}

{{/* A value as text; numbers of values files are floats, and 4194304 would become 4.194304e+06. */}}
{{- define "unlearning.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- . | int64 -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* What gateway and worker must agree on: the model, the settings, Redis, the two secrets that both hold. */}}
{{- define "unlearning.sharedEnv" -}}
{{- with .Values.model }}
{{- if or .path .id }}
- name: UNLEARN_MODEL
  value: {{ .path | default .id | quote }}
{{- end }}
{{- if .hubToken.secret }}
- name: HF_TOKEN_PATH
  value: /run/secrets/hub/token
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: UNLEARN_{{ upper $name }}
  value: {{ include "unlearning.text" $value | quote }}
{{- end }}
{{- if include "unlearning.ownRedis" . }}
- name: REDIS_HOST
  value: {{ include "unlearning.redisName" . }}
- name: REDIS_PASSWORD_FILE
  value: /run/secrets/redis/password
{{- else }}
- name: REDIS_URL_FILE
  value: /run/secrets/redis/url
{{- end }}
- name: UNLEARN_OPERATOR_TOKEN_FILE
  value: /run/secrets/unlearning/operator-token
- name: UNLEARN_PAYLOAD_KEY_FILE
  value: /run/secrets/unlearning/payload-key
{{- end -}}
