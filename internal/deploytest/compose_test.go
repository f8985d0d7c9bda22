package deploytest

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The parts of docker-compose.yml that the rules look at.
type (
	composeFile struct {
		Services map[string]service
		Secrets  map[string]struct{ File string }
	}
	service struct {
		Image       string
		NetworkMode string                                `yaml:"network_mode"`
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Environment map[string]string
		Command     []string
		Ports       []string
		Profiles    []string
		Secrets     []string
		Healthcheck struct{ Test []string }
		StopGrace   string `yaml:"stop_grace_period"`
		User        string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		MemLimit    string   `yaml:"mem_limit"`
		PidsLimit   int      `yaml:"pids_limit"`
	}
)

func problemsOfCompose(t *testing.T, content string) []string {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal([]byte(content), &c); err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for name, s := range c.Services {
		for _, p := range problemsOfService(s) {
			problems = append(problems, name+": "+p)
		}
	}
	proxy, sim := c.Services["monite-proxy"], c.Services["monite-sim"]
	problems = append(problems, problemsOfNames(proxy.Environment)...)
	for name := range sim.Environment {
		if !slices.Contains(simVariables, name) {
			problems = append(problems, name+" is not a variable of monite-sim")
		}
	}
	grace := 10 * time.Second // the engine's default
	if proxy.StopGrace != "" {
		var err error
		if grace, err = time.ParseDuration(proxy.StopGrace); err != nil {
			problems = append(problems, err.Error())
		}
	}
	// Plain http is right for the simulator, and for nobody else: problemsOfWiring looks at the address.
	settings := problemsOfSettings(t, proxy.Environment, grace)
	problems = append(problems, slices.DeleteFunc(settings, func(p string) bool {
		return strings.HasPrefix(p, "MONITE_ALLOW_PLAINTEXT_UPSTREAM: the upstream is http://")
	})...)
	problems = append(problems, problemsOfMemory(proxy.Environment["GOMEMLIMIT"], proxy.MemLimit)...)
	problems = append(problems, problemsOfWiring(c)...)
	return append(problems, problemsOfComposeSecrets(c)...)
}

// problemsOfService holds what every service must have.
func problemsOfService(s service) []string {
	problems := problemOfImage(s.Image)
	if !s.ReadOnly {
		problems = append(problems, "root file system is writable")
	}
	if !slices.Equal(s.CapDrop, []string{"ALL"}) {
		problems = append(problems, "does not drop ALL capabilities")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		problems = append(problems, "can gain privileges")
	}
	if s.MemLimit == "" || s.PidsLimit == 0 {
		problems = append(problems, "lacks a memory or process limit")
	}
	// CMD-SHELL needs a shell, and our images have none.
	if test := s.Healthcheck.Test; len(test) > 0 && (test[0] != "CMD" || len(test) < 2 || !strings.HasPrefix(test[1], "/")) {
		problems = append(problems, fmt.Sprintf("health check %q is not in exec form", test))
	}
	return problems
}

// problemsOfWiring looks at who starts after whom, and who can reach whom.
func problemsOfWiring(c composeFile) []string {
	var problems []string
	app, proxy, sim := c.Services["app"], c.Services["monite-proxy"], c.Services["monite-sim"]
	if app.NetworkMode != "service:monite-proxy" {
		problems = append(problems, "app does not share the sidecar's loopback")
	}
	if !strings.Contains(strings.Join(app.Command, " "), "http://localhost:8080/v1/") {
		problems = append(problems, "app does not call the sidecar")
	}
	if app.DependsOn["monite-proxy"].Condition != "service_healthy" || proxy.DependsOn["monite-sim"].Condition != "service_healthy" {
		problems = append(problems, "start order does not wait for health")
	}
	if len(proxy.Healthcheck.Test) == 0 || len(sim.Healthcheck.Test) == 0 {
		problems = append(problems, "a service that is waited for has no health check")
	}
	for name, s := range c.Services {
		// Grafana is for looking at, from this machine.
		forLooking := name == "grafana" && len(s.Ports) == 1 && strings.HasPrefix(s.Ports[0], "127.0.0.1:")
		if len(s.Ports) > 0 && !forLooking {
			problems = append(problems, name+" publishes a port")
		}
		if s.NetworkMode != "" && name != "app" && name != "prometheus" {
			problems = append(problems, name+" has a place on the sidecar's loopback")
		}
		if (name == "grafana" || name == "prometheus") && !slices.Equal(s.Profiles, []string{"observability"}) {
			problems = append(problems, name+" runs without being asked for")
		}
	}
	if _, port, _ := strings.Cut(sim.Environment["MONITE_SIM_LISTEN"], ":"); proxy.Environment["MONITE_API_URL"] != "http://monite-sim:"+port {
		problems = append(problems, "upstream is not the simulator's listener")
	}
	return problems
}

// problemsOfComposeSecrets follows each _FILE variable to the file that is mounted there, and compares it with
// what the simulator accepts.
func problemsOfComposeSecrets(c composeFile) []string {
	var problems []string
	proxy, sim := c.Services["monite-proxy"], c.Services["monite-sim"]
	for _, name := range []string{"CLIENT_ID", "CLIENT_SECRET"} {
		path := proxy.Environment["MONITE_"+name+"_FILE"]
		secret := strings.TrimPrefix(path, "/run/secrets/")
		if secret == path || !slices.Contains(proxy.Secrets, secret) || c.Secrets[secret].File == "" {
			problems = append(problems, "MONITE_"+name+"_FILE is not a mounted secret")
			continue
		}
		value, err := readFile(filepath.Join(root, c.Secrets[secret].File))
		if err != nil {
			problems = append(problems, err.Error())
		}
		if strings.TrimSuffix(value, "\n") != sim.Environment["MONITE_SIM_"+name] {
			problems = append(problems, "simulator does not accept the demo "+name)
		}
	}
	for name, s := range c.Services {
		if name != "monite-proxy" && len(s.Secrets) > 0 {
			problems = append(problems, name+" has a secret mounted")
		}
	}
	return problems
}

func TestCompose(t *testing.T) {
	testFile(t, "docker-compose.yml", problemsOfCompose, []breakage{
		{"MONITE_DRAIN_TIMEOUT:", "MONITE_DRAIN_TIME:", "MONITE_DRAIN_TIME is not a variable of monite-proxy"},
		{"MONITE_SIM_TOKEN_LIFETIME:", "MONITE_SIM_LIFETIME:", "MONITE_SIM_LIFETIME is not a variable of monite-sim"},
		{"MONITE_DRAIN_TIMEOUT: 25s", "MONITE_LISTEN_ADDR: 0.0.0.0:8080", "MONITE_LISTEN_ADDR: want"},
		{"MONITE_DRAIN_TIMEOUT: 25s", "MONITE_DRAIN_TIMEOUT: 31s", "grace period 35s is too short"},
		{"    stop_grace_period: 35s\n", "", "grace period 10s is too short"},
		{"GOMEMLIMIT: 110MiB", "GOMEMLIMIT: 1GiB", "is not in MiB"},
		{"mem_limit: 192m", "mem_limit: 64m", "not below the memory limit"},
		{"curlimages/curl:8.16.0", "curlimages/curl", "has no version"},
		{"read_only: true", "read_only: false", "root file system is writable"},
		{"cap_drop: [ALL]", "cap_drop: []", "does not drop ALL"},
		{`security_opt: ["no-new-privileges:true"]`, "", "can gain privileges"},
		{"pids_limit: 32\n", "", "lacks a memory or process limit"},
		{`["CMD", "/monite-proxy", "health"]`, `["CMD-SHELL", "/monite-proxy health"]`, "is not in exec form"},
		{`["CMD", "/monite-sim", "-health", "-listen", "127.0.0.1:8090"]`, `[]`, "waited for has no health check"},
		{"network_mode: service:monite-proxy", "hostname: app", "does not share the sidecar's loopback"},
		{"http://localhost:8080/v1/entities?", "http://localhost:8080/entities?", "app does not call the sidecar"},
		{"condition: service_healthy", "condition: service_started", "start order does not wait"},
		{"    secrets: [monite_client_id, monite_client_secret]",
			"    secrets: [monite_client_id, monite_client_secret]\n    ports: [\"8080:8080\"]", "publishes a port"},
		{`ports: ["127.0.0.1:3000:3000"]`, `ports: ["3000:3000"]`, "grafana publishes a port"},
		{`ports: ["127.0.0.1:3000:3000"]`, "network_mode: service:monite-proxy", "grafana has a place on the sidecar's loopback"},
		{"profiles: [observability]", "profiles: []", "prometheus runs without being asked for"},
		{"MONITE_ALLOW_PLAINTEXT_UPSTREAM: \"true\"", "MONITE_READ_ONLY: \"true\"", "MONITE_API_URL: want"},
		{"http://monite-sim:8090", "http://api.example.com", "upstream is not the simulator's"},
		{"MONITE_CLIENT_ID_FILE: /run/secrets/monite_client_id", "MONITE_CLIENT_ID_FILE: /run/monite_client_id",
			"MONITE_CLIENT_ID_FILE is not a mounted secret"},
		{"secrets: [monite_client_id, monite_client_secret]", "secrets: [monite_client_id]", "MONITE_CLIENT_SECRET_FILE is not a mounted secret"},
		{"MONITE_SIM_CLIENT_SECRET: simulator", "MONITE_SIM_CLIENT_SECRET: s", "simulator does not accept the demo CLIENT_SECRET"},
		{"./deploy/compose/simulator_client_id", "./deploy/compose/client_id", "no such file"},
		{"    network_mode: service", "    secrets: [monite_client_id]\n    network_mode: service", "app has a secret mounted"},
	})
}

// problemsOfOverride looks at real.yml: it may hold no value of its own, and nothing of the simulator may stay.
func problemsOfOverride(_ *testing.T, content string) []string {
	var c struct {
		Services map[string]map[string]yaml.Node
		Secrets  map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(content), &c); err != nil {
		return []string{err.Error()}
	}
	var environment map[string]yaml.Node
	node := c.Services["monite-proxy"]["environment"]
	if err := node.Decode(&environment); err != nil {
		return []string{err.Error()}
	}
	var problems []string
	for _, name := range []string{"MONITE_API_URL", "MONITE_ALLOW_PLAINTEXT_UPSTREAM"} {
		if environment[name].Tag != "!reset" {
			problems = append(problems, name+" of the simulator is not reset")
		}
		delete(environment, name)
	}
	plain := make(map[string]string)
	for name, value := range environment {
		plain[name] = value.Value
	}
	problems = append(problems, problemsOfNames(plain)...)
	for name, s := range c.Secrets {
		if !strings.HasPrefix(s.File, "${MONITE_CLIENT_") || !strings.Contains(s.File, ":?") {
			problems = append(problems, name+" does not come from a path that must be given")
		}
	}
	if len(c.Secrets) != 2 {
		problems = append(problems, fmt.Sprintf("%d secrets, want 2", len(c.Secrets)))
	}
	return problems
}

func TestRealOverride(t *testing.T) {
	testFile(t, "deploy/compose/real.yml", problemsOfOverride, []breakage{
		{"MONITE_API_URL: !reset null", "MONITE_ENTITY_USER_ID: x", "MONITE_API_URL of the simulator is not reset"},
		{"MONITE_ALLOW_PLAINTEXT_UPSTREAM: !reset null", `MONITE_ALLOW_PLAINTEXT_UPSTREAM: "true"`,
			"MONITE_ALLOW_PLAINTEXT_UPSTREAM of the simulator"},
		{"MONITE_ENTITY_ID:", "MONITE_ENTITY:", "MONITE_ENTITY is not a variable"},
		{"${MONITE_CLIENT_ID_FILE:?", "${MONITE_CLIENT_ID_FILE:-./", "monite_client_id does not come from a path"},
		{"  monite_client_id:\n    file: ", "  # ", "1 secrets, want 2"},
	})
}

// TestEnvExampleNamesWhatIsAsked keeps .env.example and real.yml together.
func TestEnvExampleNamesWhatIsAsked(t *testing.T) {
	asked := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(read(t, "deploy/compose/real.yml"), -1) {
		asked[m[1]] = true
	}
	// Docker Compose asks for these two itself.
	asked["COMPOSE_FILE"], asked["COMPOSE_PATH_SEPARATOR"] = true, true
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=`).FindAllStringSubmatch(read(t, ".env.example"), -1) {
		named[m[1]] = true
	}
	if !maps.Equal(named, asked) {
		t.Errorf(".env.example names %v, real.yml asks for %v", slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(asked)))
	}
}
