package deploytest

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestAdminPortIsLeftToTheNamedNamespace: a policy that selects a pod closes what it does not name, so the app's own ports have
// to be in it, and the sidecar's admin port alone must not be open to everybody.
func TestAdminPortIsLeftToTheNamedNamespace(t *testing.T) {
	var policy struct {
		Spec struct {
			Ingress []struct {
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
	open := map[int]bool{} // to everybody
	for _, rule := range policy.Spec.Ingress {
		for _, p := range rule.Ports {
			for port := p.Port; len(rule.From) == 0 && p.Protocol == "TCP" && port <= max(p.Port, p.EndPort); port++ {
				open[port] = true
			}
		}
	}
	for port := 1; port < 1<<16; port++ {
		if open[port] != (port != 8081) {
			t.Errorf("port %d is open to everybody: %t", port, open[port])
		}
	}
}
