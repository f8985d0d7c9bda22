package deploytest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// root is the top of the repository, seen from this folder.
const root = "../.."

// proxyVariables are the variables that monite-proxy reads, from its own table.
var proxyVariables = regexp.MustCompile(`MONITE_\w+`).FindAllString(
	strings.Join(regexp.MustCompile("(?m)^\\| `MONITE_\\w+`").FindAllString(config.Table(), -1), "\n"), -1)

// simVariables are the variables that monite-sim reads: its flags, in capitals.
var simVariables = strings.Fields(`
	MONITE_SIM_LISTEN MONITE_SIM_CLIENT_ID MONITE_SIM_CLIENT_SECRET MONITE_SIM_TOKEN_LIFETIME
	MONITE_SIM_EXPIRED_STATUS MONITE_SIM_RATE_LIMIT MONITE_SIM_LATENCY MONITE_SIM_DEMO`)

// graceMargin lies between the end of a full drain and the kill.
const graceMargin = 5 * time.Second

// hasPassword finds the password in the URL of a shared store.
var hasPassword = regexp.MustCompile(`://[^/]*:[^/@]*@`)

// problemsOfNames looks at the names of one sidecar's variables.
func problemsOfNames(env map[string]string) []string {
	var problems []string
	for name := range env {
		if !strings.HasPrefix(name, "MONITE_") {
			continue
		}
		// Kubernetes makes such names up for every Service, so ours must never look like them.
		if strings.HasSuffix(name, "_PORT") || strings.HasSuffix(name, "_HOST") {
			problems = append(problems, name+" looks like a Kubernetes service link")
		}
		if !slices.Contains(proxyVariables, name) {
			problems = append(problems, name+" is not a variable of monite-proxy")
		}
		if slices.Contains(proxyVariables, name+"_FILE") && !(name == "MONITE_REDIS_URL" && !hasPassword.MatchString(env[name])) {
			problems = append(problems, name+" is a secret in the environment, use "+name+"_FILE")
		}
		if name == "MONITE_ALLOW_REMOTE" && env[name] != "false" {
			problems = append(problems, name+" opens the data listener to others")
		}
	}
	return problems
}

// problemsOfSettings reads one sidecar's variables as monite-proxy itself does at its start. Whatever it would refuse
// or warn of is a problem, and so is a platform that kills it, after grace, while it still drains.
func problemsOfSettings(t *testing.T, env map[string]string, grace time.Duration) []string {
	t.Helper()
	for _, name := range proxyVariables {
		t.Setenv(name, "") // empty is unset: the files are judged, not the machine
	}
	secrets := t.TempDir()
	bundle := wiretest.CertPEM(wiretest.SelfSigned())
	for name, value := range env {
		if strings.HasSuffix(name, "_FILE") {
			value = filepath.Join(secrets, name) // the path as written exists in the container only
			text := []byte("made-up-for-" + name + "\n")
			if strings.HasSuffix(name, "_CA_FILE") {
				text = bundle
			}
			if err := os.WriteFile(value, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(name, value)
	}
	cfg, err := config.Load()
	if err != nil {
		return strings.Split(err.Error(), "\n")
	}
	problems := cfg.Warnings
	if need := cfg.ShutdownDelay + cfg.DrainTimeout + graceMargin; grace < need {
		problems = append(problems, fmt.Sprintf("grace period %v is too short for delay %v + drain %v + margin %v",
			grace, cfg.ShutdownDelay, cfg.DrainTimeout, graceMargin))
	}
	return problems
}

// problemsOfMemory compares Go's soft limit with the hard one; both in MiB.
func problemsOfMemory(soft, hard string) []string {
	var s, h int
	if _, err := fmt.Sscanf(soft, "%dMiB", &s); err != nil {
		return []string{fmt.Sprintf("GOMEMLIMIT %q is not in MiB", soft)}
	}
	if _, err := fmt.Sscanf(strings.ToLower(hard), "%dm", &h); err != nil {
		return []string{fmt.Sprintf("memory limit %q is not in MiB", hard)}
	}
	if s >= h {
		return []string{fmt.Sprintf("GOMEMLIMIT %d MiB is not below the memory limit %d MiB", s, h)}
	}
	return nil
}

// problemOfImage wants a version: an image that changes under a running deployment is nobody's choice.
func problemOfImage(image string) []string {
	name, _, _ := strings.Cut(image, "@") // the tag is for people, beside a digest too
	_, tag, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if !ok || tag == "latest" {
		return []string{"image " + image + " has no version"}
	}
	return nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := readFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func readFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(b), err
}

// breakage is a small change to good content: new replaces the first old. want is a word of
// the problem that it must cause.
type breakage struct{ old, new, want string }

// testFile expects no problem in the file as it stands, and one in each breakage of it.
func testFile(t *testing.T, file string, problemsOf func(t *testing.T, content string) []string, breakages []breakage) {
	t.Helper()
	t.Run(file, func(t *testing.T) { testContent(t, read(t, file), problemsOf, breakages) })
}

func testContent(t *testing.T, good string, problemsOf func(t *testing.T, content string) []string, breakages []breakage) {
	t.Helper()
	for _, p := range problemsOf(t, good) {
		t.Error(p)
	}
	for _, b := range breakages {
		t.Run(b.want, func(t *testing.T) {
			bad := strings.Replace(good, b.old, b.new, 1)
			if bad == good {
				t.Fatalf("%q is no longer there", b.old)
			}
			problems := problemsOf(t, bad)
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, b.want) }) {
				t.Errorf("with %q for %q: problems = %q, want one with %q", b.new, b.old, problems, b.want)
			}
		})
	}
}
