{{/*
monite-proxy.container: the sidecar as an item of your pod's initContainers. Give it the chart's own scope:

  initContainers:
    {{- include "monite-proxy.container" (index .Subcharts "monite-proxy") | nindent 4 }}
  volumes:
    {{- include "monite-proxy.volumes" (index .Subcharts "monite-proxy") | nindent 4 }}
*/}}
{{- define "monite-proxy.container" -}}
{{- include "monite-proxy.any" (dict "root" . "gateway" false) -}}
{{- end }}

{{/* monite-proxy.volumes: what the sidecar mounts, as items of your pod's volumes. */}}
{{- define "monite-proxy.volumes" -}}
- name: monite-credentials
  secret:
    secretName: {{ required "existingSecret: name the Secret with the credentials" .Values.existingSecret }}
    # Only monite-proxy mounts it. Readable without fsGroup, which would change the app's volumes too.
    defaultMode: 0444
    items:
      - key: {{ .Values.secretKeys.clientID }}
        path: client_id
      - key: {{ .Values.secretKeys.clientSecret }}
        path: client_secret
      {{- include "monite-proxy.redisItems" . | nindent 6 }}
- name: monite-no-token
  emptyDir:
    medium: Memory
    sizeLimit: 4Ki
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The variables that the chart sets itself: a second value would be a silent contradiction. */}}
{{- define "monite-proxy.settings" -}}
{{- $own := list "MONITE_CLIENT_ID_FILE" "MONITE_CLIENT_SECRET_FILE" "MONITE_APP_TOKEN_FILE" "MONITE_ADMIN_ADDR" "MONITE_ALLOW_REMOTE" "MONITE_REDIS_URL" "MONITE_REDIS_PASSWORD_FILE" "MONITE_REDIS_CA_FILE" -}}
{{- $secret := list "MONITE_CLIENT_ID" "MONITE_CLIENT_SECRET" "MONITE_APP_TOKEN" "MONITE_REDIS_PASSWORD" -}}
{{- if .gateway }}{{ $own = concat $own (list "MONITE_LISTEN_ADDR" "MONITE_ALLOWED_HOSTS" "MONITE_SHUTDOWN_DELAY") }}{{ end -}}
{{- range $name, $value := .root.Values.settings }}
{{- if has $name $own }}{{ fail (printf "settings.%s: the chart sets it itself" $name) }}{{ end }}
{{- if has $name $secret }}{{ fail (printf "settings.%s: a secret has no place in values; put it into the Secret that existingSecret names" $name) }}{{ end }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* The keys of the Secret that the shared store needs. */}}
{{- define "monite-proxy.redisItems" -}}
{{- with .Values.redis.passwordKey }}
- key: {{ . }}
  path: redis_password
{{- end }}
{{- with .Values.redis.caKey }}
- key: {{ . }}
  path: redis_ca
{{- end }}
{{- end }}

{{/* The ports of the shared store, as JSON: those of redis.url, and of the master behind Sentinels. */}}
{{- define "monite-proxy.redisPorts" -}}
{{- $ports := list -}}
{{- with .Values.redis -}}
{{- $sentinel := contains "+sentinel:" .url -}}
{{- if and .url (not (hasPrefix "unix:" .url)) -}}
{{- range splitList "," (regexReplaceAll "^[^:]*://([^@/]*@)?([^/]*).*$" .url "${2}") -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default (ternary "26379" "6379" $sentinel) | int) -}}
{{- end -}}
{{- if or $sentinel .port -}}{{- $ports = append $ports (.port | default 6379 | int) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end }}

{{- define "monite-proxy.any" -}}
{{- $ := .root -}}
{{- $admin := ternary "admin" "monite-admin" .gateway -}}
- name: monite-proxy
  image: {{ include "monite-proxy.image" $ }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  {{- if not .gateway }}
  restartPolicy: Always # this line makes it a sidecar
  {{- end }}
  env:
    {{- include "monite-proxy.settings" . | trim | nindent 4 }}
    - name: MONITE_CLIENT_ID_FILE
      value: /etc/monite/client_id
    - name: MONITE_CLIENT_SECRET_FILE
      value: /etc/monite/client_secret
    {{- with $.Values.redis.url }}
    - name: MONITE_REDIS_URL
      value: {{ . | quote }}
    {{- if $.Values.redis.passwordKey }}
    - name: MONITE_REDIS_PASSWORD_FILE
      value: /etc/monite/redis_password
    {{- end }}
    {{- if $.Values.redis.caKey }}
    - name: MONITE_REDIS_CA_FILE
      value: /etc/monite/redis_ca
    {{- end }}
    {{- end }}
    # The kubelet probes the pod's IP.
    - name: MONITE_ADMIN_ADDR
      value: ":8081"
    {{- if .gateway }}
    # Open to other pods, so it asks for a token and for one of its own names.
    - name: MONITE_LISTEN_ADDR
      value: ":8080"
    - name: MONITE_ALLOW_REMOTE
      value: "true"
    - name: MONITE_APP_TOKEN_FILE
      value: /etc/monite/app_token
    - name: MONITE_ALLOWED_HOSTS
      value: {{ include "monite-proxy.hosts" $ | quote }}
    - name: MONITE_SHUTDOWN_DELAY
      value: {{ $.Values.gateway.shutdownDelay | quote }}
    {{- end }}
    - name: GOMEMLIMIT
      value: {{ $.Values.goMemLimit | quote }}
    {{- with $.Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- if .gateway }}
    - name: http
      containerPort: 8080
    {{- end }}
    - name: {{ $admin }}
      containerPort: 8081
  startupProbe:
    httpGet:
      path: /startupz
      port: {{ $admin }}
    periodSeconds: 1
    timeoutSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet:
      path: /livez
      port: {{ $admin }}
    periodSeconds: 10
    timeoutSeconds: 2
    failureThreshold: 3
  readinessProbe:
    httpGet:
      path: /readyz
      port: {{ $admin }}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  resources:
    {{- toYaml $.Values.resources | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: monite-credentials
      mountPath: /etc/monite
      readOnly: true
    {{- if not .gateway }}
    # Where something is mounted already, Kubernetes mounts no service account token.
    - name: monite-no-token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- end }}
    {{- with $.Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
