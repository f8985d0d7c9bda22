package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// outcome is what a finished run has left.
type outcome struct {
	code           int
	stdout, stderr string
}

func runIt(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	dir := t.TempDir()
	stdout, stderr := create(t, filepath.Join(dir, "out")), create(t, filepath.Join(dir, "err"))
	code := run(process{args: args, env: env, stdin: os.Stdin, stdout: stdout, stderr: stderr})
	return outcome{code, content(t, stdout), content(t, stderr)}
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	wiretest.Must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := os.ReadFile(f.Name())
	wiretest.Must(t, err)
	return string(text)
}

func TestBadUsage(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		args []string
		says []string
	}{
		{"unknown flag", nil, []string{"-nonsense", "1"}, []string{"-nonsense"}},
		{"port", nil, []string{"-port", "70000"}, []string{"-port 70000"}},
		{"seed", []string{"MONITE_SIM_SEED=-1"}, nil, []string{"MONITE_SIM_SEED", "whole number"}},
		{"webhooks", []string{"MONITE_SIM_WEBHOOKS=maybe"}, nil, []string{"MONITE_SIM_WEBHOOKS", "true or false"}},
		{"no data", nil, []string{"-data", "testdata/none.json"}, []string{"testdata/none.json"}},
		{"data that is not JSON", nil, []string{"-data", "main.go"}, []string{"main.go"}},
		{"data that is wrong", nil, []string{"-data", "testdata/wrong.json"}, []string{"tags[0]", "payables[0]", "unicorns[0]"}},
		{"no number", nil, []string{"-rate-limit", "x"}, []string{"-rate-limit"}},
		{"command without --", nil, []string{"./monite-proxy"}, []string{`"./monite-proxy"`, "--"}},
		{"-- without command", nil, []string{"--"}, []string{"no command"}},
		{"address", nil, []string{"-listen", "8090"}, []string{"-listen", "host:port"}},
		{"status", nil, []string{"-expired-status", "403"}, []string{"-expired-status 403"}},
		{"lifetime", nil, []string{"-token-lifetime", "0"}, []string{"-token-lifetime"}},
		{"demo without a command", nil, []string{"-demo"}, []string{"-demo needs a command"}},
		{"health with command", nil, []string{"-health", "--", "true"}, []string{"-health"}},
		{"empty client", nil, []string{"-client-id", ""}, []string{"-client-id"}},
		{"variable", []string{"MONITE_SIM_LATENCY=soon"}, nil, []string{`MONITE_SIM_LATENCY="soon"`, "duration"}},
		{"all at once", []string{"MONITE_SIM_RATE_LIMIT=many"}, []string{"-latency", "-1s", "-token-lifetime", "-1s", "x"},
			[]string{"MONITE_SIM_RATE_LIMIT", "-latency", "-token-lifetime", `"x"`}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := runIt(t, tc.env, tc.args...)
			if got.code != 2 || got.stdout != "" {
				t.Errorf("code = %d, stdout = %q, want 2 and nothing", got.code, got.stdout)
			}
			for _, want := range append(tc.says, "monite-sim -h") {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr = %q, want it to contain %q", got.stderr, want)
				}
			}
		})
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		got := runIt(t, nil, flag)
		if got.code != 0 || !strings.Contains(got.stdout, monitetest.DemoEntityID) || strings.Contains(got.stdout, "%!") || got.stderr != "" {
			t.Errorf("%s: code = %d, stdout = %q, stderr = %q", flag, got.code, got.stdout, got.stderr)
		}
	}
}

func TestVariablesSetFlagsAndFlagsWin(t *testing.T) {
	opts, err := parseOptions([]string{"-latency", "2s", "--", "go", "test", "--", "-v"}, []string{
		"MONITE_SIM_LISTEN=:0", "MONITE_SIM_CLIENT_ID=me", "MONITE_SIM_CLIENT_SECRET=s", "MONITE_SIM_TOKEN_LIFETIME=90s",
		"MONITE_SIM_EXPIRED_STATUS=400", "MONITE_SIM_RATE_LIMIT=30", "MONITE_SIM_LATENCY=1s", "MONITE_SIM_DEMO=true",
		// A Kubernetes service of the name monite-sim puts this in the environment.
		"MONITE_SIM_PORT=tcp://10.0.0.1:8090", "MONITE_SIM_HEALTH=true",
	})
	wiretest.Must(t, err)
	got := opts.config
	if opts.listen != ":0" || got.ClientID != "me" || got.ClientSecret != "s" || got.TokenLifetime.String() != "1m30s" ||
		got.ExpiredStatus != 400 || got.RateLimit != 30 || got.Latency.String() != "2s" || !opts.demo || opts.health {
		t.Errorf("options = %+v", opts)
	}
	if want := []string{"go", "test", "--", "-v"}; !slices.Equal(opts.command, want) {
		t.Errorf("command = %q, want %q", opts.command, want)
	}
}

func TestExitCodeIsTheCommands(t *testing.T) {
	tests := []struct {
		name    string
		command []string
		code    int
		says    string
	}{
		{"success", []string{"true"}, 0, ""},
		{"failure", []string{"sh", "-c", "exit 42"}, 42, ""},
		{"killed", []string{"sh", "-c", "kill -9 $$"}, 137, ""},
		{"not found", []string{"/no/such/command"}, 127, "/no/such/command"},
		{"not in the path", []string{"no-such-command-anywhere"}, 127, "no-such-command-anywhere"},
		{"not executable", []string{os.DevNull}, 126, os.DevNull},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := runIt(t, os.Environ(), append([]string{"-listen", "127.0.0.1:0", "--"}, tc.command...)...)
			if got.code != tc.code || !strings.Contains(got.stderr, tc.says) {
				t.Errorf("code = %d, stderr = %q, want %d and %q", got.code, got.stderr, tc.code, tc.says)
			}
		})
	}
}

func TestCommandIsPointedAtTheSimulator(t *testing.T) {
	print := `printf '%s\n' "$MONITE_CLIENT_ID" "$MONITE_CLIENT_SECRET" "$MONITE_CLIENT_ID_FILE$MONITE_CLIENT_SECRET_FILE" "$MONITE_ENTITY_ID" "$MONITE_ALLOWED_ENTITY_IDS" "$MONITE_ALLOWED_ENTITY_USER_IDS" "$MONITE_API_URL"`
	got := runIt(t, append(os.Environ(), "MONITE_CLIENT_ID=real", "MONITE_CLIENT_SECRET=real", "MONITE_CLIENT_ID_FILE=/real",
		"MONITE_CLIENT_SECRET_FILE=/real", "MONITE_ENTITY_ID=mine", "MONITE_ALLOWED_ENTITY_IDS=some", "MONITE_ALLOWED_ENTITY_USER_IDS="),
		"-listen", "127.0.0.1:0", "-client-secret", "other", "--", "sh", "-c", print)
	lines := strings.Split(got.stdout, "\n")
	want := []string{monitetest.DemoClientID, "other", "", "mine", "some", "*"}
	if len(lines) < 8 || !slices.Equal(lines[1:7], want) || !strings.Contains(lines[0], lines[7]+",") ||
		!strings.HasPrefix(lines[7], "http://127.0.0.1:") {
		t.Errorf("output = %q, want the address and %q", lines, want)
	}
}

func TestServesUntilSignalAndFreesPort(t *testing.T) {
	reader, writer, err := os.Pipe()
	wiretest.Must(t, err)
	defer reader.Close()
	signals, code := make(chan os.Signal, 1), make(chan int, 1)
	go func() {
		code <- run(process{args: []string{"-listen", "127.0.0.1:0"}, signals: signals, stdout: writer, stderr: os.Stderr})
		writer.Close()
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	wiretest.Must(t, err)
	_, rest, _ := strings.Cut(line, "http://")
	address, _, _ := strings.Cut(rest, ",")
	healthCode := func() int { return runIt(t, nil, "-health", "-listen", address).code }
	if got := healthCode(); got != 0 {
		t.Errorf("-health = %d, want 0", got)
	}
	if taken := runIt(t, nil, "-listen", address); taken.code != 1 || !strings.Contains(taken.stderr, "address already in use") {
		t.Errorf("second simulator on the port = %+v, want code 1", taken)
	}
	signals <- os.Interrupt
	if got := <-code; got != 0 {
		t.Errorf("code = %d, want 0", got)
	}
	if got := healthCode(); got != 1 {
		t.Errorf("-health after the end = %d, want 1", got)
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}

// A test harness asks for a free port, and reads where the simulator is.
func TestAddressOfAFreePortIsPrintedAsJSON(t *testing.T) {
	got := runIt(t, os.Environ(), "-port", "0", "-data", "testdata/own.json", "-seed", "7", "--", "sh", "-c",
		`curl -sS "$MONITE_API_URL/_sim/state"`)
	line, rest, _ := strings.Cut(got.stdout, "\n")
	var where struct {
		URL        string `json:"url"`
		APIURL     string `json:"api_url"`
		ControlURL string `json:"control_url"`
	}
	if err := json.Unmarshal([]byte(line), &where); err != nil {
		t.Fatalf("first line = %q: %v", line, err)
	}
	if !strings.HasPrefix(where.URL, "http://127.0.0.1:") || where.APIURL != where.URL+"/v1" || where.ControlURL != where.URL+"/_sim" {
		t.Errorf("address = %+v", where)
	}
	if !strings.Contains(rest, "Own tag") || strings.Contains(rest, monitetest.DemoEntityID) {
		t.Errorf("state = %s, want the data of the file and no demo data", rest)
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		":8090": "127.0.0.1:8090", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "[::1]:1": "[::1]:1", "sim:8090": "sim:8090",
	} {
		if got := reachable(address); got != want {
			t.Errorf("reachable(%q) = %q, want %q", address, got, want)
		}
	}
}

// The lines are run as they are printed, by a shell, against a stand-in for
// the sidecar that adds what the sidecar adds. The shell says that it is ready.
func TestDemoLinesWorkAsPrinted(t *testing.T) {
	for _, tool := range []string{"curl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	sim := monitetest.New(monitetest.Config{})
	side := newStandIn(t, sim)
	script := `python3 -c 'import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1\nX_MONITE_BASE_URL='$SIDE'/v1", os.environ["NOTIFY_SOCKET"])'
		for i in $(seq 5000); do grep -q 'Ctrl-C' "$OUT" && break; done; grep '^ curl' "$OUT" | while read -r line; do
		printf '%s\n' "$line" >> "$OUT.ran"; eval "$line -f" >> "$OUT.answers" || exit 3; done`
	dir := t.TempDir()
	out := create(t, filepath.Join(dir, "out"))
	code := run(process{
		args: []string{"-listen", "127.0.0.1:0", "-demo", "--", "sh", "-c", script},
		env:  append(os.Environ(), "OUT="+out.Name(), "SIDE="+side.URL, "MONITE_APP_TOKEN=app"), stdin: os.Stdin, stdout: out, stderr: os.Stderr,
	})
	answers, _ := os.ReadFile(out.Name() + ".answers")
	ran, _ := os.ReadFile(out.Name() + ".ran")
	if code != 0 || strings.Count(string(ran), "\n") != 5 {
		t.Fatalf("code = %d, lines that ran:\n%s\nanswers: %s", code, ran, answers)
	}
	for _, want := range []string{"Panificio Aurora", `"next_pagination_token":"`, `"first_name":"Giulia"`, `"status":"new"`, `"status":"done"`} {
		if !strings.Contains(string(answers), want) {
			t.Errorf("answers = %s, want %s", answers, want)
		}
	}
	if strings.Contains(content(t, out), "=app") {
		t.Error("the app token was printed")
	}
}

// Another program may have the port of the sidecar, which then ends.
func TestDemoIsForTheCommandAlone(t *testing.T) {
	for name, command := range map[string]string{
		"it ends":                "true",
		"it fails":               "exit 1",
		"it is not ready":        `python3 -c 'import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"STATUS=waiting", os.environ["NOTIFY_SOCKET"])'`,
		"it does not name a URL": `python3 -c 'import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])'`,
	} {
		if got := runIt(t, os.Environ(), "-listen", "127.0.0.1:0", "-demo", "--", "sh", "-c", command); strings.Contains(got.stdout, "curl") {
			t.Errorf("%s: %+v, want no curl lines", name, got)
		}
	}
}

// The sidecar may have other addresses than the usual ones: the doctor of the last
// line has to look at this one, and at no stranger.
func TestDemoSendsTheDoctorToTheSidecarsAddresses(t *testing.T) {
	t.Setenv("MONITE_LISTEN_ADDR", "localhost:1234")
	t.Setenv("MONITE_ADMIN_ADDR", "unix:/tmp/a b")
	text := demoText("http://localhost:1234/v1", "http://127.0.0.1:8090", false)
	if want := " MONITE_LISTEN_ADDR='localhost:1234' MONITE_ADMIN_ADDR='unix:/tmp/a b' MONITE_API_URL="; !strings.Contains(text, want) {
		t.Errorf("the lines lack %q:\n%s", want, text)
	}
}
