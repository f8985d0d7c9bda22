package deploytest

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// problemsOfGrafana wants what Grafana is given to be where docker-compose.yml puts it: the dashboards where they are
// mounted, and Prometheus in the network namespace that the address names.
func problemsOfGrafana(t *testing.T, content string) []string {
	t.Helper()
	var provisioning struct {
		Providers   []struct{ Options struct{ Path string } }
		Datasources []struct{ Type, URL string }
	}
	if err := yaml.Unmarshal([]byte(content), &provisioning); err != nil {
		return []string{err.Error()}
	}
	var compose struct {
		Services map[string]struct {
			NetworkMode string `yaml:"network_mode"`
			Volumes     []string
		}
	}
	unmarshal(t, read(t, "docker-compose.yml"), &compose)
	var problems []string
	for _, p := range provisioning.Providers {
		if mounts := strings.Join(compose.Services["grafana"].Volumes, " "); !strings.Contains(mounts, "./deploy/observability:"+p.Options.Path+":ro") {
			problems = append(problems, "nothing is mounted at "+p.Options.Path)
		}
	}
	for _, d := range provisioning.Datasources {
		host, isService := strings.CutPrefix(compose.Services["prometheus"].NetworkMode, "service:")
		if !isService || d.URL != "http://"+host+":9090" {
			problems = append(problems, "Prometheus is not at "+d.URL)
		}
	}
	if len(provisioning.Providers)+len(provisioning.Datasources) == 0 {
		problems = append(problems, "provisions nothing")
	}
	return problems
}

func TestGrafana(t *testing.T) {
	testFile(t, "deploy/compose/grafana/dashboards/monite-proxy.yaml", problemsOfGrafana, []breakage{
		{"path: /dashboards", "path: /dashboard", "nothing is mounted at /dashboard"},
		{"providers:", "provider:", "provisions nothing"},
	})
	testFile(t, "deploy/compose/grafana/datasources/prometheus.yaml", problemsOfGrafana, []breakage{
		{"http://monite-proxy:9090", "http://prometheus:9090", "Prometheus is not at"},
	})
}
