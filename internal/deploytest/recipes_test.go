package deploytest

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// Variables of the clients themselves.
var clientVariables = []string{"MONITE_BASE_URL", "MONITE_TOKEN", "MONITE_ENTITY"}

func unknownVariables(content string) (unknown []string) {
	for _, name := range regexp.MustCompile(`MONITE_[A-Z_]+`).FindAllString(content, -1) {
		if !slices.Contains(proxyVariables, name) && !slices.Contains(clientVariables, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func TestRecipesNameKnownVariables(t *testing.T) {
	files := 0
	err := filepath.WalkDir(filepath.Join(root, "deploy/recipes"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := readFile(path)
		for _, name := range unknownVariables(content) {
			t.Errorf("%s: %s is not a variable of monite-proxy", path, name)
		}
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("%d files, %v", files, err)
	}
	if got := unknownVariables("MONITE_ENTITY_ID MONITE_DRAIN"); !slices.Equal(got, []string{"MONITE_DRAIN"}) {
		t.Errorf("unknownVariables = %q", got)
	}
}

// TestECSTaskGivesTimeToDrain: the platform's limit, in seconds, is stated per container.
func TestECSTaskGivesTimeToDrain(t *testing.T) {
	var task struct {
		ContainerDefinitions []struct {
			Name        string
			StopTimeout int
			Environment []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/recipes/ecs/task-definition.json")), &task); err != nil {
		t.Fatal(err)
	}
	var need, grace time.Duration
	for _, c := range task.ContainerDefinitions {
		if c.Name != "monite-proxy" {
			continue
		}
		grace = time.Duration(c.StopTimeout) * time.Second
		for _, e := range c.Environment {
			if e.Name == "MONITE_SHUTDOWN_DELAY" || e.Name == "MONITE_DRAIN_TIMEOUT" {
				d, err := time.ParseDuration(e.Value)
				if err != nil {
					t.Error(err)
				}
				need += d
			}
		}
	}
	if need == 0 || grace < need+graceMargin {
		t.Errorf("stopTimeout %v, want at least %v", grace, need+graceMargin)
	}
}
