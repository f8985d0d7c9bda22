package deploytest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The parts of a workload that the rules look at.
type (
	manifest struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string // of a ConfigMap
		Spec     struct {
			podSpec     `yaml:",inline"` // of a Pod
			Template    struct{ Spec podSpec }
			JobTemplate struct {
				Spec struct {
					Template struct{ Spec podSpec }
				}
			} `yaml:"jobTemplate"`
		}
	}
	podSpec struct {
		EnableServiceLinks            *bool `yaml:"enableServiceLinks"`
		AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
		HostNetwork                   bool  `yaml:"hostNetwork"`
		HostPID                       bool  `yaml:"hostPID"`
		HostIPC                       bool  `yaml:"hostIPC"`
		ShareProcessNamespace         bool  `yaml:"shareProcessNamespace"`
		TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			FSGroup int `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		InitContainers []container `yaml:"initContainers"`
		Containers     []container
		Volumes        []struct {
			Name   string
			Secret *struct {
				SecretName  string `yaml:"secretName"`
				DefaultMode int    `yaml:"defaultMode"`
			}
			EmptyDir *struct{} `yaml:"emptyDir"`
		}
	}
	container struct {
		Name, Image   string
		RestartPolicy string `yaml:"restartPolicy"`
		Env           []struct{ Name, Value string }
		EnvFrom       []struct {
			ConfigMapRef struct{ Name string } `yaml:"configMapRef"`
		} `yaml:"envFrom"`
		Ports          []port
		StartupProbe   *probe `yaml:"startupProbe"`
		LivenessProbe  *probe `yaml:"livenessProbe"`
		ReadinessProbe *probe `yaml:"readinessProbe"`
		Lifecycle      struct {
			PostStart struct {
				Exec struct{ Command []string }
			} `yaml:"postStart"`
		}
		Resources struct {
			Requests, Limits map[string]string
		}
		SecurityContext struct {
			RunAsNonRoot             bool  `yaml:"runAsNonRoot"`
			RunAsUser                int   `yaml:"runAsUser"`
			RunAsGroup               int   `yaml:"runAsGroup"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			Capabilities             struct{ Drop []string }
			SeccompProfile           struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		TerminationMessagePolicy string  `yaml:"terminationMessagePolicy"`
		VolumeMounts             []mount `yaml:"volumeMounts"`
	}
	mount struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	}
	port struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		PeriodSeconds    int                         `yaml:"periodSeconds"`
		TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
		FailureThreshold int                         `yaml:"failureThreshold"`
	}
)

func (c container) env() map[string]string {
	m := make(map[string]string)
	for _, e := range c.Env {
		m[e.Name] = e.Value
	}
	return m
}

func problemsOfManifest(t *testing.T, content string) []string {
	t.Helper()
	var m manifest
	if err := yaml.Unmarshal([]byte(content), &m); err != nil {
		return []string{err.Error()}
	}
	return problemsOfWorkload(t, m)
}

func (m manifest) pod() podSpec {
	switch m.Kind {
	case "CronJob":
		return m.Spec.JobTemplate.Spec.Template.Spec
	case "Pod":
		return m.Spec.podSpec
	}
	return m.Spec.Template.Spec
}

func problemsOfWorkload(t *testing.T, m manifest) []string {
	t.Helper()
	pod := m.pod()
	problems := problemsOfPod(pod)
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, p := range problemsOfContainer(c) {
			problems = append(problems, c.Name+": "+p)
		}
	}

	isSidecar := func(c container) bool { return c.Name == "monite-proxy" }
	native := slices.IndexFunc(pod.InitContainers, isSidecar)
	classic := slices.IndexFunc(pod.Containers, isSidecar)
	switch {
	case native == 0 && classic < 0:
		if pod.InitContainers[0].RestartPolicy != "Always" {
			problems = append(problems, "native sidecar without restartPolicy Always never lets the app start")
		}
		return append(problems, problemsOfSidecar(t, pod, pod.InitContainers[0])...)
	case native < 0 && classic == 0 && len(pod.Containers) == 1 && m.Kind == "Deployment":
		return append(problems, problemsOfGateway(t, pod, pod.Containers[0])...)
	case native < 0 && classic == 0 && m.Kind != "Job" && m.Kind != "CronJob":
		return append(problems, problemsOfClassic(t, pod, pod.Containers[0])...)
	}
	return append(problems, fmt.Sprintf("want one monite-proxy, first in its list; in a %s it is at %d of initContainers and %d of containers",
		m.Kind, native, classic))
}

func problemsOfPod(pod podSpec) []string {
	var problems []string
	isFalse := func(b *bool) bool { return b != nil && !*b }
	if !isFalse(pod.EnableServiceLinks) {
		problems = append(problems, "enableServiceLinks is not false")
	}
	if !isFalse(pod.AutomountServiceAccountToken) && !pod.hidesTokenFromSidecar() {
		problems = append(problems, "automountServiceAccountToken is not false")
	}
	if pod.HostNetwork {
		problems = append(problems, "hostNetwork opens the data listener to the whole node")
	}
	if pod.ShareProcessNamespace || pod.HostPID || pod.HostIPC {
		problems = append(problems, "a shared process namespace shows the sidecar's memory to others")
	}
	return problems
}

// hidesTokenFromSidecar: where an injected sidecar must leave the app its token, it covers the place with something
// empty. Kubernetes then mounts no token there.
func (p podSpec) hidesTokenFromSidecar() bool {
	empty := make(map[string]bool) // volume name -> holds nothing
	for _, v := range p.Volumes {
		empty[v.Name] = v.EmptyDir != nil
	}
	return slices.ContainsFunc(slices.Concat(p.InitContainers, p.Containers), func(c container) bool {
		return c.Name == "monite-proxy" && slices.ContainsFunc(c.VolumeMounts, func(m mount) bool {
			return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" && empty[m.Name]
		})
	})
}

// problemsOfContainer holds what every container of ours must have, the example app included.
func problemsOfContainer(c container) []string {
	problems := problemOfImage(c.Image)
	sc := c.SecurityContext
	if !sc.RunAsNonRoot || sc.RunAsUser != 65532 || sc.RunAsGroup != 65532 {
		problems = append(problems, "does not run as 65532:65532")
	}
	if !sc.ReadOnlyRootFilesystem {
		problems = append(problems, "root file system is writable")
	}
	if sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation {
		problems = append(problems, "privilege escalation is allowed")
	}
	if !slices.Equal(sc.Capabilities.Drop, []string{"ALL"}) {
		problems = append(problems, "does not drop ALL capabilities")
	}
	if sc.SeccompProfile.Type != "RuntimeDefault" {
		problems = append(problems, "seccomp profile is not RuntimeDefault")
	}
	r := c.Resources
	if r.Requests["cpu"] == "" || r.Requests["memory"] == "" || r.Limits["memory"] == "" {
		problems = append(problems, "lacks requests or a memory limit")
	}
	if c.TerminationMessagePolicy != "FallbackToLogsOnError" {
		problems = append(problems, "terminationMessagePolicy is not FallbackToLogsOnError")
	}
	return problems
}

func problemsOfSidecar(t *testing.T, pod podSpec, c container) []string {
	t.Helper()
	env := c.env()
	problems := problemsOfNames(env)
	grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second
	problems = append(problems, problemsOfSettings(t, env, grace)...)
	problems = append(problems, problemsOfMemory(env["GOMEMLIMIT"], c.Resources.Limits["memory"])...)
	problems = append(problems, problemsOfProbes(c)...)
	return append(problems, problemsOfCredentials(pod, c)...)
}

// adminPortNames: injected sidecars take the second, because a pod of somebody else may have an "admin" of its own.
var adminPortNames = []string{"admin", "monite-admin"}

func problemsOfProbes(c container) []string {
	var problems []string
	// The kubelet comes by the pod's IP, so an address on loopback would never answer it.
	i := slices.IndexFunc(c.Ports, func(p port) bool {
		return slices.Contains(adminPortNames, p.Name) && c.env()["MONITE_ADMIN_ADDR"] == fmt.Sprintf(":%d", p.ContainerPort)
	})
	if i < 0 || len(c.Ports) != 1 {
		return append(problems, "the only port must be admin, the one in MONITE_ADMIN_ADDR")
	}
	for path, p := range map[string]*probe{"/startupz": c.StartupProbe, "/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p == nil || p.HTTPGet.Path != path || p.HTTPGet.Port != c.Ports[i].Name {
			problems = append(problems, "probe for "+path+" on port admin is missing")
		}
	}
	return problems
}

// problemsOfCredentials follows each _FILE variable to the Secret that is mounted there.
func problemsOfCredentials(pod podSpec, sidecar container) []string {
	var problems []string
	secrets := make(map[string]bool) // volume name -> holds a Secret
	for _, v := range pod.Volumes {
		secrets[v.Name] = v.Secret != nil
		// Injected sidecars leave fsGroup alone, because it changes the app's volumes as well.
		byGroup := v.Secret != nil && v.Secret.DefaultMode == 0o440 && pod.SecurityContext.FSGroup == sidecar.SecurityContext.RunAsGroup
		byAll := v.Secret != nil && v.Secret.DefaultMode == 0o444 && pod.SecurityContext.FSGroup == 0
		if v.Secret != nil && !byGroup && !byAll {
			problems = append(problems, "Secret must have mode 0440 and the sidecar's group as fsGroup, or 0444 and no fsGroup")
		}
	}
	for _, name := range []string{"MONITE_CLIENT_ID_FILE", "MONITE_CLIENT_SECRET_FILE"} {
		mounted := false
		for _, m := range sidecar.VolumeMounts {
			mounted = mounted || secrets[m.Name] && m.ReadOnly && m.SubPath == "" && m.MountPath == filepath.Dir(sidecar.env()[name])
		}
		if !mounted {
			problems = append(problems, name+" is not in a Secret mounted read-only and whole")
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		mountsSecret := slices.ContainsFunc(c.VolumeMounts, func(m mount) bool { return secrets[m.Name] })
		if c.Name != sidecar.Name && mountsSecret {
			problems = append(problems, c.Name+" mounts the sidecar's Secret")
		}
	}
	return problems
}

// problemsOfClassic: what the kubelet does for a native sidecar, an ordinary container must do itself.
func problemsOfClassic(t *testing.T, pod podSpec, c container) []string {
	t.Helper()
	problems := problemsOfSidecar(t, pod, c)
	if cmd := c.Lifecycle.PostStart.Exec.Command; len(cmd) < 2 || cmd[0] != "/monite-proxy" || cmd[1] != "wait" {
		problems = append(problems, "no postStart hook holds the app back")
	}
	if delay, err := time.ParseDuration(c.env()["MONITE_SHUTDOWN_DELAY"]); err != nil || delay <= 0 {
		problems = append(problems, "MONITE_SHUTDOWN_DELAY does not outlive the app")
	}
	return problems
}

// problemsOfGateway: alone in its pod it serves others, and must then ask them who they are.
func problemsOfGateway(t *testing.T, pod podSpec, c container) []string {
	t.Helper()
	var problems []string
	env := c.env()
	for _, name := range []string{"MONITE_APP_TOKEN_FILE", "MONITE_ALLOWED_HOSTS"} {
		if env[name] == "" {
			problems = append(problems, "a gateway without "+name)
		}
	}
	if env["MONITE_SHUTDOWN_DELAY"] == "" {
		problems = append(problems, "a gateway without MONITE_SHUTDOWN_DELAY ends before the nodes know it")
	}
	// That it is open is the point, and the token is there. The data port is checked by its name alone.
	i := slices.IndexFunc(c.Ports, func(p port) bool { return p.Name == "http" })
	if i < 0 || env["MONITE_LISTEN_ADDR"] != fmt.Sprintf(":%d", c.Ports[i].ContainerPort) {
		return append(problems, "the port http must be the one in MONITE_LISTEN_ADDR")
	}
	c.Ports = slices.Delete(slices.Clone(c.Ports), i, i+1)
	return append(problems, slices.DeleteFunc(problemsOfSidecar(t, pod, c), func(p string) bool {
		return p == "MONITE_ALLOW_REMOTE opens the data listener to others" ||
			p == "MONITE_ALLOW_REMOTE: the data listener is open to other hosts; MONITE_APP_TOKEN travels in the clear"
	})...)
}

func TestManifests(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "deploy/kubernetes/*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("manifests = %q, %v; want at least 3", files, err)
	}
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		testFile(t, name, problemsOfManifest, nil)
	}
}

func TestManifestBreakagesAreFound(t *testing.T) {
	const classic = "deploy/kubernetes/classic-sidecar.yaml"
	testFile(t, "deploy/kubernetes/native-sidecar.yaml", problemsOfManifest, []breakage{
		{"- name: MONITE_ENVIRONMENT", "- name: MONITE_ENVIROMENT", "MONITE_ENVIROMENT is not a variable"},
		{"- name: MONITE_ENVIRONMENT", "- name: MONITE_API_HOST", "looks like a Kubernetes service link"},
		{"- name: MONITE_ENVIRONMENT", "- name: MONITE_CLIENT_SECRET", "is a secret in the environment"},
		{"- name: MONITE_ENVIRONMENT", "- name: MONITE_ALLOW_REMOTE", "opens the data listener to others"},
		{"- name: MONITE_ENVIRONMENT", "- name: MONITE_LISTEN_ADDR", "MONITE_LISTEN_ADDR: want"},
		{"- name: MONITE_ENVIRONMENT\n              value: sandbox", "- name: MONITE_API_URL\n              value: http://x",
			"MONITE_API_URL: want"},
		{"value: sandbox", "value: prod", "MONITE_ENVIRONMENT: want"},
		{"- name: MONITE_ENVIRONMENT\n              value: sandbox", "- name: MONITE_ALLOWED_ENTITY_IDS\n              value: \"*\"",
			"may name any entity"},
		{"enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks is not false"},
		{"automountServiceAccountToken: false", "subdomain: x", "automountServiceAccountToken is not false"},
		{"enableServiceLinks: false", "hostNetwork: true", "hostNetwork opens"},
		{"enableServiceLinks: false", "shareProcessNamespace: true", "shared process namespace"},
		{"image: monite-proxy:local", "image: monite-proxy", "has no version"},
		{"image: monite-proxy:local", "image: example.org:5000/monite-proxy:latest", "latest has no version"},
		{"runAsUser: 65532", "runAsUser: 0", "does not run as 65532"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "root file system is writable"},
		{"allowPrivilegeEscalation: false", "privileged: false", "privilege escalation is allowed"},
		{"drop: [ALL]", "drop: [NET_RAW]", "does not drop ALL"},
		{"            seccompProfile:\n              type: RuntimeDefault", "            seccompProfile:\n              type: Unconfined",
			"seccomp profile"},
		{"            limits:\n              memory: 192Mi", "            limits: {}", "lacks requests or a memory limit"},
		{"FallbackToLogsOnError", "File", "terminationMessagePolicy"},
		{"restartPolicy: Always", "tty: false", "without restartPolicy Always"},
		{"name: monite-proxy\n", "name: other\n", "want one monite-proxy"},
		{"terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 29", "grace period 29s is too short"},
		{"value: 25s", "value: 25", "MONITE_DRAIN_TIMEOUT: want"},
		{"value: 110MiB", "value: 192MiB", "not below the memory limit"},
		{`value: ":8081"`, `value: "127.0.0.1:8081"`, "the only port must be admin"},
		{"containerPort: 8081", "containerPort: 8080", "the only port must be admin"},
		{"path: /startupz", "path: /readyz", "probe for /startupz"},
		{"path: /livez\n              port: admin", "path: /livez\n              port: 8081", "probe for /livez"},
		{"readinessProbe:", "x:", "probe for /readyz"},
		{"defaultMode: 0440", "defaultMode: 0400", "mode 0440"},
		{"fsGroup: 65532", "fsGroup: 1", "sidecar's group as fsGroup"},
		{"value: /etc/monite/client_id", "value: /etc/client_id", "MONITE_CLIENT_ID_FILE is not in a Secret"},
		{"readOnly: true", "subPath: client_id", "MONITE_CLIENT_SECRET_FILE is not in a Secret"},
		{"        - name: app\n", "        - name: app\n          volumeMounts: [{name: monite-credentials, mountPath: /x}]\n",
			"app mounts the sidecar's Secret"},
	})
	testFile(t, classic, problemsOfManifest, []breakage{
		{`["/monite-proxy", "wait", "-timeout", "60s"]`, `["/monite-proxy", "version"]`, "no postStart hook"},
		{"value: 20s", "value: 0s", "MONITE_SHUTDOWN_DELAY does not outlive"},
		{"value: 20s", "value: 40s", "grace period 1m0s is too short"},
	})
	testFile(t, "deploy/kubernetes/job.yaml", problemsOfManifest, []breakage{
		{"initContainers:", "containers:", "already defined"},
	})

	t.Run("job with an ordinary sidecar", func(t *testing.T) {
		bad := strings.Replace(read(t, classic), "kind: Deployment", "kind: Job", 1)
		want := "want one monite-proxy, first in its list; in a Job it is at -1 of initContainers and 0 of containers"
		if got := problemsOfManifest(t, bad); !slices.Contains(got, want) {
			t.Errorf("problems = %q, want %q: the Job would never complete", got, want)
		}
	})
}
