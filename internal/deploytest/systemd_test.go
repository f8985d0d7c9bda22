package deploytest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
)

// unit is a systemd unit: section.Key -> values in order.
type unit map[string][]string

func readUnit(content string) unit {
	u, section := unit{}, ""
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		} else if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

func (u unit) one(key string) string {
	if len(u[key]) != 1 {
		return ""
	}
	return u[key][0]
}

func problemsOfUnit(t *testing.T, content string) []string {
	t.Helper()
	u := readUnit(content)
	var problems []string
	env := make(map[string]string)
	for _, line := range u["Service.Environment"] {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	problems = append(problems, problemsOfNames(env)...)
	grace, err := time.ParseDuration(u.one("Service.TimeoutStopSec") + "s")
	if err != nil {
		problems = append(problems, "TimeoutStopSec: "+err.Error())
	}
	problems = append(problems, problemsOfSettings(t, env, grace)...)
	problems = append(problems, problemsOfMemory(env["GOMEMLIMIT"], u.one("Service.MemoryMax"))...)
	for _, name := range []string{"client_id", "client_secret"} {
		variable := "MONITE_" + strings.ToUpper(name) + "_FILE"
		if env[variable] != "%d/"+name || !slices.Contains(u["Service.LoadCredential"], name+":/etc/monite-proxy/"+name) {
			problems = append(problems, variable+" is not a credential that systemd loads")
		}
	}
	for key, want := range map[string]string{
		"Type": "notify", "ExecStart": "/usr/bin/monite-proxy", "Restart": "on-failure", "RestartPreventExitStatus": "2",
		"EnvironmentFile": "-/etc/monite-proxy/monite-proxy.env",
		"DynamicUser":     "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": "",
		"MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
	} {
		if values := u["Service."+key]; !slices.Equal(values, []string{want}) {
			problems = append(problems, key+" is not "+want)
		}
	}
	return problems
}

func TestSystemdService(t *testing.T) {
	testFile(t, "deploy/systemd/monite-proxy.service", problemsOfUnit, []breakage{
		{"TimeoutStopSec=35", "TimeoutStopSec=29", "grace period 29s is too short"},
		{"GOMEMLIMIT=110MiB", "GOMEMLIMIT=192MiB", "not below the memory limit"},
		{"MONITE_CLIENT_ID_FILE", "MONITE_CLIENT_FILE", "MONITE_CLIENT_FILE is not a variable"},
		{"%d/client_secret", "/etc/monite-proxy/client_secret", "MONITE_CLIENT_SECRET_FILE is not a credential"},
		{"LoadCredential=client_id", "#LoadCredential=client_id", "MONITE_CLIENT_ID_FILE is not a credential"},
		{"Type=notify", "Type=simple", "Type is not notify"},
		{"DynamicUser=yes", "User=root", "DynamicUser is not yes"},
		{"CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_SYS_ADMIN", "CapabilityBoundingSet is not "},
		{"ProtectSystem=strict", "ProtectSystem=full", "ProtectSystem is not strict"},
	})
}

// TestSystemdSocketIsTheDefaultListener: with another address the service would refuse the socket at its start.
func TestSystemdSocketIsTheDefaultListener(t *testing.T) {
	got := readUnit(read(t, "deploy/systemd/monite-proxy.socket"))["Socket.ListenStream"]
	m := regexp.MustCompile("(?m)^\\| `MONITE_LISTEN_ADDR` \\| `([^`]+)`").FindStringSubmatch(config.Table())
	if m == nil {
		t.Fatal("the table does not have MONITE_LISTEN_ADDR")
	}
	want := []string{strings.Replace(m[1], "localhost:", "127.0.0.1:", 1), strings.Replace(m[1], "localhost:", "[::1]:", 1)}
	if !slices.Equal(got, want) {
		t.Errorf("ListenStream = %v, want %v: the default of MONITE_LISTEN_ADDR is %s", got, want, m[1])
	}
}

// TestPackagedVariables: the file that the packages install is read by the service.
func TestPackagedVariables(t *testing.T) {
	env := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^#?(MONITE_\w+)=(.*)$`).FindAllStringSubmatch(read(t, "deploy/packages/monite-proxy.env"), -1) {
		env[m[1]] = m[2]
	}
	if len(env) == 0 {
		t.Fatal("no variables")
	}
	env["MONITE_CLIENT_ID_FILE"], env["MONITE_CLIENT_SECRET_FILE"] = "x", "x"
	for _, p := range slices.Concat(problemsOfNames(env), problemsOfSettings(t, env, time.Hour)) {
		t.Error(p)
	}
}
