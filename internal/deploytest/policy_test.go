package deploytest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// injectPolicy is the part of the admission policy that says which pods get the sidecar.
type injectPolicy struct {
	Spec struct {
		FailurePolicy    string `yaml:"failurePolicy"`
		MatchConstraints struct {
			ObjectSelector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			} `yaml:"objectSelector"`
		} `yaml:"matchConstraints"`
		MatchConditions []struct{ Name, Expression string } `yaml:"matchConditions"`
	}
}

func readInjectPolicy(t *testing.T, content string) injectPolicy {
	t.Helper()
	var p injectPolicy
	if err := yaml.Unmarshal([]byte(content), &p); err != nil { // the first document
		t.Fatal(err)
	}
	return p
}

// leftAlone are the fields of a pod with which the policy gives it no sidecar. The
// conditions are a list of fields that must not be true; each other form is a change
// that this test has to learn. deploy/verify.sh has the API server's own code evaluate them.
func (p injectPolicy) leftAlone() (fields []string, unknown []string) {
	form := regexp.MustCompile(`^!object\.spec\.\?(\w+)\.orValue\(false\)$`)
	for _, condition := range p.Spec.MatchConditions {
		if condition.Name == "none-yet" {
			continue // of the sidecar itself
		}
		for term := range strings.SplitSeq(condition.Expression, "&&") {
			if found := form.FindStringSubmatch(strings.TrimSpace(term)); found != nil {
				fields = append(fields, found[1])
			} else {
				unknown = append(unknown, term)
			}
		}
	}
	return fields, unknown
}

// TestPodsThatShareWithOthersGetNoSidecar: on the node's network its listener would be everybody's, and processes that see
// each other's can reach its memory.
func TestPodsThatShareWithOthersGetNoSidecar(t *testing.T) {
	const policy = "deploy/policy/inject.yaml"
	want := []string{"hostNetwork", "hostPID", "shareProcessNamespace"}
	left := func(content string) []string {
		fields, unknown := readInjectPolicy(t, content).leftAlone()
		if len(unknown) > 0 {
			t.Errorf("conditions that are not understood: %q", unknown)
		}
		slices.Sort(fields)
		return fields
	}
	content := read(t, policy)
	if got := left(content); !slices.Equal(got, want) {
		t.Errorf("pods with %q are left alone, want %q", got, want)
	}
	for _, field := range want { // the test sees what is missing
		if got := left(strings.ReplaceAll(content, "!object.spec.?"+field+".orValue(false)", "!object.spec.?other.orValue(false)")); slices.Equal(got, want) {
			t.Errorf("a policy without %s passes", field)
		}
	}
	if p := readInjectPolicy(t, content); p.Spec.FailurePolicy != "Fail" {
		t.Errorf("failurePolicy %s: a pod would start without its sidecar", p.Spec.FailurePolicy)
	}
}

// TestCredentialsGoWhereTheManifestSays: who may write the ConfigMap of an injected sidecar may not send the credentials
// elsewhere, nor open the sidecar to others. What the manifest sets itself wins over envFrom.
func TestCredentialsGoWhereTheManifestSays(t *testing.T) {
	pinned := map[string]string{
		"MONITE_API_URL": "", "MONITE_ALLOW_PLAINTEXT_UPSTREAM": "false", "MONITE_PROXY_FROM_ENV": "false", "MONITE_ALLOW_REMOTE": "false", "MONITE_VEND_ADDR": "",
	}
	for _, file := range []string{"deploy/policy/inject.yaml", "deploy/kustomize/component/sidecar.yaml", "deploy/kustomize/component/sidecar-cronjob.yaml"} {
		content := read(t, file)
		for name, value := range pinned {
			inYAML := regexp.MustCompile(`name: "?` + name + `"?,?\s+value: "?` + value + `"?(\}|\n)`)
			if !inYAML.MatchString(content) {
				t.Errorf("%s does not pin %s to %q", file, name, value)
			}
		}
	}
}

// TestAdminPortIsLeftToTheNamedNamespace: a policy that selects a pod closes what it does not name, so the app's own ports have
// to be in it, and the sidecar's admin port alone must not be open to everybody.
func TestAdminPortIsLeftToTheNamedNamespace(t *testing.T) {
	var policy struct {
		Spec struct {
			PodSelector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			} `yaml:"podSelector"`
			PolicyTypes []string `yaml:"policyTypes"`
			Ingress     []struct {
				From  []any
				Ports []struct {
					Protocol string
					Port     int
					EndPort  int `yaml:"endPort"`
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/policy/networkpolicy.yaml")), &policy); err != nil {
		t.Fatal(err)
	}
	injected := readInjectPolicy(t, read(t, "deploy/policy/inject.yaml")).Spec.MatchConstraints.ObjectSelector.MatchLabels
	if !maps.Equal(policy.Spec.PodSelector.MatchLabels, injected) || !slices.Equal(policy.Spec.PolicyTypes, []string{"Ingress"}) {
		t.Errorf("the policy selects %v for %v, want the pods that get the sidecar, %v, for Ingress", policy.Spec.PodSelector.MatchLabels, policy.Spec.PolicyTypes, injected)
	}
	open, named := map[int]bool{}, false // to everybody; to a namespace alone
	for _, rule := range policy.Spec.Ingress {
		named = named || len(rule.From) == 1 && len(rule.Ports) == 1 && rule.Ports[0].Port == 8081
		for _, p := range rule.Ports {
			for port := p.Port; len(rule.From) == 0 && p.Protocol == "TCP" && port <= max(p.Port, p.EndPort); port++ {
				open[port] = true
			}
		}
	}
	if !named {
		t.Error("nobody reaches port 8081, Prometheus included")
	}
	for port := 1; port < 1<<16; port++ {
		if open[port] != (port != 8081) {
			t.Errorf("port %d is open to everybody: %t", port, open[port])
		}
	}
}
