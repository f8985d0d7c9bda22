package deploytest

import (
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// problemsOfRendered looks at the output of a tool that writes manifests: several documents, of which those with a
// sidecar must hold the rules, with the variables that ConfigMaps of the same output give them.
func problemsOfRendered(t *testing.T, content string) []string {
	t.Helper()
	var all []manifest
	settings := make(map[string]map[string]string) // name of a ConfigMap -> its data
	for decoder := yaml.NewDecoder(strings.NewReader(content)); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return []string{err.Error()}
		}
		all = append(all, m)
		settings[m.Metadata.Name] = m.Data
	}
	var problems []string
	sidecars := 0
	for _, m := range all {
		pod := m.pod()
		for _, containers := range [][]container{pod.InitContainers, pod.Containers} {
			for i := range containers {
				if containers[i].Name == "monite-proxy" {
					sidecars++
					containers[i].addFrom(settings)
				}
			}
		}
		if slices.ContainsFunc(slices.Concat(pod.InitContainers, pod.Containers), func(c container) bool { return c.Name == "monite-proxy" }) {
			for _, p := range problemsOfWorkload(t, m) {
				problems = append(problems, m.Kind+" "+m.Metadata.Name+": "+p)
			}
		}
	}
	if sidecars == 0 {
		problems = append(problems, "no sidecar in any of the documents")
	}
	return problems
}

// addFrom adds the variables of ConfigMaps, where the container does not set them itself.
func (c *container) addFrom(settings map[string]map[string]string) {
	set := c.env()
	for _, from := range c.EnvFrom {
		for name, value := range settings[from.ConfigMapRef.Name] {
			if _, own := set[name]; !own {
				c.Env = append(c.Env, struct{ Name, Value string }{name, value})
			}
		}
	}
}

// TestRendered reads the files that deploy/verify.sh had kustomize and helm write, named in RENDERED.
func TestRendered(t *testing.T) {
	files := strings.Fields(os.Getenv("RENDERED"))
	if len(files) == 0 {
		t.Skip("RENDERED names no files; deploy/verify.sh does")
	}
	for _, file := range files {
		content, err := readFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problemsOfRendered(t, content) {
			t.Errorf("%s: %s", file, p)
		}
	}
}

// gateway is what the Helm chart writes, as far as the rules look at it.
const gateway = `
kind: Deployment
metadata: {name: gateway}
spec:
  template:
    spec:
      enableServiceLinks: false
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 60
      securityContext: {fsGroup: 65532}
      containers:
        - name: monite-proxy
          image: monite-proxy:local
          env:
            - {name: MONITE_CLIENT_ID_FILE, value: /etc/monite/client_id}
            - {name: MONITE_CLIENT_SECRET_FILE, value: /etc/monite/client_secret}
            - {name: MONITE_APP_TOKEN_FILE, value: /etc/monite/app_token}
            - {name: MONITE_ALLOWED_HOSTS, value: gateway}
            - {name: MONITE_SHUTDOWN_DELAY, value: 5s}
            - {name: MONITE_ADMIN_ADDR, value: ":8081"}
            - {name: MONITE_LISTEN_ADDR, value: ":8080"}
            - {name: MONITE_ALLOW_REMOTE, value: "true"}
            - {name: GOMEMLIMIT, value: 110MiB}
          ports: [{name: http, containerPort: 8080}, {name: admin, containerPort: 8081}]
          startupProbe: {httpGet: {path: /startupz, port: admin}}
          livenessProbe: {httpGet: {path: /livez, port: admin}}
          readinessProbe: {httpGet: {path: /readyz, port: admin}}
          resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 192Mi}}
          terminationMessagePolicy: FallbackToLogsOnError
          securityContext:
            runAsNonRoot: true
            runAsUser: 65532
            runAsGroup: 65532
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
            seccompProfile: {type: RuntimeDefault}
          volumeMounts: [{name: credentials, mountPath: /etc/monite, readOnly: true}]
      volumes: [{name: credentials, secret: {secretName: s, defaultMode: 0440}}]
`

func TestGatewayRules(t *testing.T) {
	testContent(t, gateway, problemsOfRendered, []breakage{
		{"{name: MONITE_APP_TOKEN_FILE, value: /etc/monite/app_token}", "{name: MONITE_READ_ONLY, value: \"true\"}",
			"a gateway without MONITE_APP_TOKEN_FILE"},
		{"{name: MONITE_ALLOWED_HOSTS, value: gateway}", "{name: MONITE_READ_ONLY, value: \"true\"}", "a gateway without MONITE_ALLOWED_HOSTS"},
		{"{name: MONITE_SHUTDOWN_DELAY, value: 5s}", "{name: MONITE_READ_ONLY, value: \"true\"}", "ends before the nodes know it"},
		{"{name: MONITE_SHUTDOWN_DELAY, value: 5s}", "{name: MONITE_SHUTDOWN_DELAY, value: 31s}", "grace period 1m0s is too short"},
		{"name: http, containerPort: 8080", "name: http, containerPort: 8082", "the port http must be"},
		{"name: admin, containerPort: 8081", "name: admin, containerPort: 8083", "the only port must be admin"},
		{"runAsUser: 65532", "runAsUser: 0", "does not run as 65532"},
		{"- {name: GOMEMLIMIT,", "- {name: MONITE_REDIS_URL, value: \"rediss://user:password@cache\"}\n            - {name: GOMEMLIMIT,", "MONITE_REDIS_URL is a secret"},
	})
}

// problemsOfComponent looks at a workload with its settings, as a tool would write them.
func problemsOfComponent(t *testing.T, content string) []string {
	t.Helper()
	return problemsOfRendered(t, componentSettings+content)
}

const componentSettings = "kind: ConfigMap\nmetadata: {name: monite-proxy}\ndata: {MONITE_DRAIN_TIMEOUT: 25s}\n---\n"

func TestKustomizeComponent(t *testing.T) {
	const deployment = "deploy/kustomize/component/sidecar.yaml"
	testFile(t, deployment, problemsOfComponent, []breakage{
		{"emptyDir:\n            medium: Memory\n            sizeLimit: 4Ki", "configMap: {name: x}", "automountServiceAccountToken"},
		{"defaultMode: 0444", "defaultMode: 0400", "Secret must have mode"},
		{"enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks"},
		{"terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 29", "grace period 29s is too short"},
		{"port: monite-admin", "port: admin", "probe for /startupz"},
		{"name: monite-proxy\n          image", "name: other\n          image", "no sidecar"},
	})
	testFile(t, "deploy/kustomize/component/sidecar-cronjob.yaml", problemsOfComponent, []breakage{
		{"restartPolicy: Always", "tty: false", "CronJob any: native sidecar without"},
	})

	t.Run("a setting from the ConfigMap", func(t *testing.T) {
		bad := strings.Replace(componentSettings+read(t, deployment), "MONITE_DRAIN_TIMEOUT: 25s", "MONITE_DRAIN_TIMEOUT: 60s", 1)
		if got := problemsOfRendered(t, bad); len(got) != 1 || !strings.Contains(got[0], "grace period 1m0s is too short") {
			t.Errorf("problems = %q, want one: the grace period", got)
		}
	})
}

// TestPodsOfTheComponentAreEqual: kustomize has no way to say the same patch twice, at two depths.
func TestPodsOfTheComponentAreEqual(t *testing.T) {
	var deployment, cronJob map[string]any
	unmarshal(t, read(t, "deploy/kustomize/component/sidecar.yaml"), &deployment)
	unmarshal(t, read(t, "deploy/kustomize/component/sidecar-cronjob.yaml"), &cronJob)
	got := at(cronJob, "spec", "jobTemplate", "spec", "template")
	if want := at(deployment, "spec", "template"); want == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("template of the CronJob = %v, want that of the Deployment: %v", got, want)
	}
}

func unmarshal(t *testing.T, content string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(content), into); err != nil {
		t.Fatal(err)
	}
}

// at walks down a document; nil if there is no such place.
func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// TestSidecarsAreTheSameEverywhere: the copies differ in their settings and in the name of a port, not in how they are
// probed, limited and locked in.
func TestSidecarsAreTheSameEverywhere(t *testing.T) {
	sidecar := func(file string) container {
		var m manifest
		unmarshal(t, read(t, file), &m)
		pod := m.pod()
		all := slices.Concat(pod.InitContainers, pod.Containers)
		i := slices.IndexFunc(all, func(c container) bool { return c.Name == "monite-proxy" })
		if i < 0 {
			t.Fatalf("%s has no sidecar", file)
		}
		c := all[i]
		for _, p := range []*probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			p.HTTPGet.Port = "admin"
		}
		return container{Image: c.Image, StartupProbe: c.StartupProbe, LivenessProbe: c.LivenessProbe, ReadinessProbe: c.ReadinessProbe,
			Resources: c.Resources, SecurityContext: c.SecurityContext, TerminationMessagePolicy: c.TerminationMessagePolicy}
	}
	want := sidecar("deploy/kubernetes/native-sidecar.yaml")
	for _, file := range []string{
		"deploy/kubernetes/classic-sidecar.yaml", "deploy/kubernetes/job.yaml",
		"deploy/kustomize/component/sidecar.yaml", "deploy/kustomize/component/sidecar-cronjob.yaml",
	} {
		if got := sidecar(file); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sidecar = %+v, want that of native-sidecar.yaml: %+v", file, got, want)
		}
	}
}
