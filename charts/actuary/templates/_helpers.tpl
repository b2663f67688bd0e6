{{- define "actuary.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "actuary.labels" -}}
app.kubernetes.io/name: actuary
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "actuary.selector" -}}
app.kubernetes.io/name: actuary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "actuary.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "actuary.workerImage" -}}
{{ .Values.worker.image.repository }}:{{ .Values.worker.image.tag | default .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "actuary.storeSecret" -}}
{{- if .Values.minio.enabled }}{{ include "actuary.name" . }}-minio{{ else }}{{ required "store.existingSecret: expected the name of a Secret with access_key and secret_key, or minio.enabled" .Values.store.existingSecret }}{{ end -}}
{{- end -}}

{{- define "actuary.storeEndpoint" -}}
{{- if .Values.minio.enabled }}http://{{ include "actuary.name" . }}-minio:9000{{ else }}{{ required "store.endpoint: expected the URL of an S3 server, or minio.enabled" .Values.store.endpoint }}{{ end -}}
{{- end -}}

{{- define "actuary.databaseSecret" -}}
{{- if .Values.postgresql.enabled }}{{ include "actuary.name" . }}-postgresql{{ else }}{{ required "database.existingSecret: expected the name of a Secret with the key url, or postgresql.enabled" .Values.database.existingSecret }}{{ end -}}
{{- end -}}

{{/* A password that stays what it is when the release is upgraded. */}}
{{- define "actuary.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .secret -}}
{{- if and $found (index $found.data .key) -}}{{ index $found.data .key | b64dec }}{{- else -}}{{ randAlphaNum 32 }}{{- end -}}
{{- end -}}

{{/* What every container of the project may do: nothing. */}}
{{- define "actuary.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "actuary.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}
