package deploytest

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/monite-proxy/monite-proxy/"

type (
	stage struct {
		name, from   string
		instructions []instruction // those of the stage itself, without FROM
	}
	instruction struct{ name, args string }
)

// stages reads a Dockerfile as far as the rules need it: continuation lines joined, comments dropped, split at FROM.
func stages(content string) []stage {
	content = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(content, "")
	content = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(content, "")
	var all []stage
	for line := range strings.Lines(content) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "":
		case name == "FROM":
			words := strings.Fields(args)
			as := slices.Index(words, "AS")
			all = append(all, stage{name: words[as+1], from: strings.Join(words[:as], " ")})
		case len(all) > 0:
			last := &all[len(all)-1]
			last.instructions = append(last.instructions, instruction{name, strings.TrimSpace(args)})
		}
	}
	return all
}

// effective gives the last value of an instruction in the stage or in those it is built from.
func effective(all []stage, s stage, name string) string {
	for _, in := range slices.Backward(s.instructions) {
		if in.name == name {
			return in.args
		}
	}
	for _, parent := range all {
		if parent.name == s.from {
			return effective(all, parent, name)
		}
	}
	return ""
}

func problemsOfDockerfile(_ *testing.T, content string) []string {
	all := stages(content)
	problems := problemsOfBases(all)
	for _, binary := range []string{"monite-proxy", "monite-sim"} {
		target := map[string]string{"monite-proxy": "monite-proxy", "monite-sim": "sim"}[binary]
		i := slices.IndexFunc(all, func(s stage) bool { return s.name == target })
		if i < 0 {
			return append(problems, "no target "+target)
		}
		for _, p := range problemsOfTarget(all, all[i], binary) {
			problems = append(problems, target+": "+p)
		}
	}
	if last := all[len(all)-1].name; last != "monite-proxy" {
		problems = append(problems, "the default target is "+last)
	}
	return problems
}

func problemsOfBases(all []stage) []string {
	var problems []string
	for _, s := range all {
		if slices.ContainsFunc(all, func(o stage) bool { return o.name == s.from }) {
			continue
		}
		words := strings.Fields(s.from)
		problems = append(problems, problemOfImage(words[len(words)-1])...)
		if !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(words[len(words)-1]) {
			problems = append(problems, "base image "+words[len(words)-1]+" is not pinned by its digest")
		}
		if strings.Contains(s.from, "golang:") && words[0] != "--platform=$BUILDPLATFORM" {
			problems = append(problems, "builder runs on the target's platform, under emulation")
		}
	}
	secret := regexp.MustCompile(`(?i)secret|token|password`)
	for _, s := range all {
		for _, in := range s.instructions {
			if (in.name == "ARG" || in.name == "ENV") && secret.MatchString(in.args) {
				problems = append(problems, in.name+" "+in.args+" would stay in the image's history")
			}
		}
	}
	return problems
}

func problemsOfTarget(all []stage, s stage, binary string) []string {
	var problems []string
	if user := effective(all, s, "USER"); user != "65532:65532" {
		problems = append(problems, fmt.Sprintf("user %q is not numeric and unprivileged", user))
	}
	var argv []string
	if err := json.Unmarshal([]byte(effective(all, s, "ENTRYPOINT")), &argv); err != nil || !slices.Equal(argv, []string{"/" + binary}) {
		problems = append(problems, "ENTRYPOINT is not the binary in exec form")
	}
	_, test, _ := strings.Cut(effective(all, s, "HEALTHCHECK"), "CMD ")
	if err := json.Unmarshal([]byte(test), &argv); err != nil || len(argv) < 2 || argv[0] != "/"+binary {
		problems = append(problems, "HEALTHCHECK is not the binary in exec form")
	}
	copied := fmt.Sprintf("--from=build-%s /out/%s /%s", strings.TrimPrefix(binary, "monite-"), binary, binary)
	if binary == "monite-proxy" { // which holds the credentials: what may not be read may not be traced
		copied = strings.Replace(copied, " ", " --chmod=0711 ", 1)
	}
	for _, in := range s.instructions {
		if in.name == "COPY" && in.args != copied {
			problems = append(problems, "COPY "+in.args+", want "+copied)
		}
		if in.name == "RUN" || in.name == "ADD" || in.name == "CMD" {
			problems = append(problems, in.name+" in an image without a shell")
		}
	}
	label := effective(all, s, "LABEL")
	for _, key := range []string{"title", "description", "source", "licenses", "version", "revision"} {
		if !strings.Contains(label, "org.opencontainers.image."+key+"=") {
			problems = append(problems, "no label "+key)
		}
	}
	build := slices.IndexFunc(all, func(o stage) bool { return o.name == "build-"+strings.TrimPrefix(binary, "monite-") })
	return append(problems, problemsOfBuild(all, all[build], binary)...)
}

func problemsOfBuild(all []stage, s stage, binary string) []string {
	var problems []string
	run := effective(all, s, "RUN")
	for _, want := range []string{
		"-trimpath", "-buildvcs=false", `GOOS="$TARGETOS"`, `GOARCH="$TARGETARCH"`, "-s -w",
		"-X main.version=$VERSION", "-X main.commit=$COMMIT", "-o /out/" + binary + " ./cmd/" + binary,
	} {
		if !strings.Contains(run, want) {
			problems = append(problems, "build of "+binary+" lacks "+want)
		}
	}
	// Declared in the stage itself: Podman and Buildah do not hand them down from a parent stage.
	for _, arg := range []string{"TARGETOS", "TARGETARCH", "VERSION=dev", "COMMIT=unknown"} {
		if !slices.Contains(s.instructions, instruction{"ARG", arg}) {
			problems = append(problems, "build of "+binary+" does not declare "+arg)
		}
	}
	if effective(all, s, "ENV") != "CGO_ENABLED=0" {
		problems = append(problems, "build of "+binary+" may need a C library at run time")
	}
	return problems
}

func TestDockerfile(t *testing.T) {
	testFile(t, "Dockerfile", problemsOfDockerfile, []breakage{
		{"USER 65532:65532", "USER nonroot", `user "nonroot" is not numeric`},
		{`ENTRYPOINT ["/monite-proxy"]`, "ENTRYPOINT /monite-proxy", "monite-proxy: ENTRYPOINT is not"},
		{`CMD ["/monite-proxy", "health"]`, "CMD /monite-proxy health", "monite-proxy: HEALTHCHECK is not"},
		{`CMD ["/monite-sim", "-health"`, `CMD ["-health"`, "sim: HEALTHCHECK is not"},
		{"EXPOSE 8080 8081", "RUN true", "RUN in an image without a shell"},
		{"static-debian12:nonroot@", "static-debian12@", "has no version"},
		{"static-debian12:nonroot@sha256:", "static-debian12:nonroot@sha256:x", "is not pinned by its digest"},
		{"--platform=$BUILDPLATFORM ", "", "under emulation"},
		{"ARG VERSION=dev", "ARG CLIENT_SECRET", "would stay in the image's history"},
		{"go build -trimpath", "go build", "build of monite-sim lacks -trimpath"},
		{"-X main.commit=$COMMIT", "", "lacks -X main.commit"},
		{"ARG TARGETARCH\n", "", "build of monite-sim does not declare TARGETARCH"},
		{"ENV CGO_ENABLED=0\n", "", "may need a C library"},
		{"COPY --from=build-proxy --chmod=0711 /out/monite-proxy", "COPY --from=build-sim --chmod=0711 /out/monite-sim", "want --from=build-proxy"},
		{`image.licenses="Apache-2.0"`, `image.x="y"`, "no label licenses"},
		{"FROM runtime AS monite-proxy", "FROM runtime AS proxy", "no target monite-proxy"},
		{`ENTRYPOINT ["/monite-proxy"]`, "ENTRYPOINT [\"/monite-proxy\"]\nFROM runtime AS other", "the default target is other"},
	})
}

// TestBuilderIsTheGoOfTheModule: GOTOOLCHAIN is local in the builder image, so an older Go could not build at all.
func TestBuilderIsTheGoOfTheModule(t *testing.T) {
	want := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))[1]
	got := regexp.MustCompile(`golang:([\d.]+)-`).FindStringSubmatch(read(t, "Dockerfile"))[1]
	if got != want {
		t.Errorf("builder has Go %s, go.mod says %s", got, want)
	}
}

// TestDockerignoreLetsTheImportsIn follows the imports of the two programs by folder: a new top-level folder that
// .dockerignore does not name would only show when somebody builds the image.
func TestDockerignoreLetsTheImportsIn(t *testing.T) {
	lines := strings.Split(read(t, ".dockerignore"), "\n")
	patterns := slices.DeleteFunc(lines, func(l string) bool { return l == "" || l[0] == '#' })
	if patterns[0] != "*" {
		t.Errorf("first pattern = %q, want * (an allow-list)", patterns[0])
	}
	for _, file := range []string{"!go.mod", "!go.sum"} {
		if !slices.Contains(patterns, file) {
			t.Errorf("no %s", file)
		}
	}
	seen := map[string]bool{"cmd": true}
	for queue := []string{"cmd"}; len(queue) > 0; queue = queue[1:] {
		if !slices.Contains(patterns, "!"+queue[0]) {
			t.Errorf("the programs need %s, no pattern lets it in", queue[0])
		}
		for _, dir := range importedFolders(t, queue[0]) {
			if !seen[dir] {
				seen[dir] = true
				queue = append(queue, dir)
			}
		}
	}
}

// importedFolders lists the top-level folders of this module that the non-test Go files under dir import.
func importedFolders(t *testing.T, dir string) []string {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if rest, ok := strings.CutPrefix(name, modulePath); ok {
				top, _, _ := strings.Cut(rest, "/")
				folders = append(folders, top)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}
