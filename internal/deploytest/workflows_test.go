package deploytest

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The parts of a GitHub workflow that the rules look at.
type workflow struct {
	On          yaml.Node
	Permissions *map[string]string
	Jobs        map[string]struct {
		Permissions    map[string]string
		TimeoutMinutes int `yaml:"timeout-minutes"`
		Steps          []struct {
			Uses string
			With map[string]any
		}
	}
}

// mayWrite says which jobs may write what; all others only read.
var mayWrite = map[string][]string{
	"binaries": {"contents", "id-token"},
	"images":   {"packages", "id-token"},
}

func problemsOfWorkflow(_ *testing.T, content string) []string {
	var w workflow
	if err := yaml.Unmarshal([]byte(content), &w); err != nil {
		return []string{err.Error()}
	}
	var problems []string
	// Its jobs hold secrets while they look at code of strangers.
	if regexp.MustCompile(`(?m)^\s*pull_request_target`).MatchString(content) {
		problems = append(problems, "runs on pull_request_target")
	}
	if w.Permissions == nil {
		problems = append(problems, "permissions are not stated, so they are whatever the repository's default is")
	} else {
		problems = append(problems, writes("the workflow", *w.Permissions, nil)...)
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`).FindAllStringSubmatch(content, -1) {
		if !regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(m[1]) {
			problems = append(problems, m[1]+" is not pinned by a commit, with its version behind it")
		}
	}
	for name, job := range w.Jobs {
		problems = append(problems, writes(name, job.Permissions, mayWrite[name])...)
		if job.TimeoutMinutes == 0 {
			problems = append(problems, name+" has no time limit")
		}
		for _, step := range job.Steps {
			if keep, said := step.With["persist-credentials"]; regexp.MustCompile(`^actions/checkout@`).MatchString(step.Uses) && (!said || keep != false) {
				problems = append(problems, name+": the checkout leaves its token in .git/config")
			}
		}
	}
	return problems
}

func writes(who string, permissions map[string]string, may []string) []string {
	var problems []string
	for _, scope := range slices.Sorted(maps.Keys(permissions)) {
		if permissions[scope] == "write" && !slices.Contains(may, scope) {
			problems = append(problems, fmt.Sprintf("%s may write %s", who, scope))
		}
	}
	return problems
}

func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("workflows = %q, %v; want at least 3", files, err)
	}
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		testFile(t, name, problemsOfWorkflow, nil)
	}
}

func TestWorkflowBreakagesAreFound(t *testing.T) {
	testFile(t, ".github/workflows/ci.yml", problemsOfWorkflow, []breakage{
		{"actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "actions/checkout@v5", "actions/checkout@v5 is not pinned"},
		{"dd907a8 # v5.0.0", "dd907a8", "is not pinned by a commit, with its version"},
		{"permissions:\n  contents: read\n", "", "permissions are not stated"},
		{"contents: read", "contents: write", "the workflow may write contents"},
		{"  pull_request:", "  pull_request_target:", "runs on pull_request_target"},
		{"    timeout-minutes: 60\n", "", "has no time limit"},
		{"persist-credentials: false", "fetch-depth: 1", "leaves its token"},
	})
	testFile(t, ".github/workflows/release.yml", problemsOfWorkflow, []breakage{
		{"packages: write", "actions: write", "images may write actions"},
	})
}
