package clients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A client is a program that sends one operation to a base URL.
type client struct {
	name string
	// needs is what must be installed, as a check that costs little.
	needs func() bool
	run   func(ctx context.Context, base, operation string) (string, error)
}

// operations are those of the table. refused takes three seconds each.
var operations = []string{"get", "post", "upload", "refused", "redirect", "expect"}

// CLIENTS=1 installs what npm has and runs every operation; otherwise what is
// installed anyway posts: each cell starts a program twice.
var full = os.Getenv("CLIENTS") != ""

func installed(names ...string) func() bool {
	return func() bool {
		for _, name := range names {
			if _, err := exec.LookPath(name); err != nil {
				if _, err := os.Stat(name); err != nil {
					return false
				}
			}
		}
		return true
	}
}

func program(env []string, name string, args ...string) func(context.Context, string, string) (string, error) {
	return func(ctx context.Context, base, operation string) (string, error) {
		all := append([]string{}, args...)
		for i, arg := range all {
			all[i] = strings.NewReplacer("BASE", base, "OPERATION", operation).Replace(arg)
		}
		command := exec.CommandContext(ctx, name, all...)
		command.Env = append(os.Environ(), env...)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == notSupported {
			return "", errNotSupported
		}
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
		}
		return strings.TrimSpace(string(out)), nil
	}
}

// notSupported is the exit code of a program whose client cannot do an operation.
const notSupported = 77

var errNotSupported = errors.New("not supported")

// jars are Debian's, by what they are a part of.
const jars = "/usr/share/java/"

func table(t *testing.T) []client {
	all := []client{
		{"Go net/http", func() bool { return true }, goClient},
		{"curl", installed("curl"), program(nil, "sh", "programs/curl.sh", "BASE", "OPERATION")},
		{"wget", installed("wget"), program(nil, "sh", "programs/wget.sh", "BASE", "OPERATION")},
		{"Perl HTTP::Tiny", installed("perl"), program(nil, "perl", "programs/client.pl", "BASE", "OPERATION", "tiny")},
		{"Perl LWP", works("perl", "-MLWP::UserAgent", "-e1"), program(nil, "perl", "programs/client.pl", "BASE", "OPERATION", "lwp")},
		{"Ruby Net::HTTP", installed("ruby"), program(nil, "ruby", "programs/client.rb", "BASE", "OPERATION")},
		{"PHP curl", works("php", "-r", "curl_init();"), program(nil, "php", "programs/client.php", "BASE", "OPERATION")},
	}
	for _, library := range []string{"urllib", "requests", "httpx", "aiohttp"} {
		all = append(all, client{"Python " + library,
			works("/usr/bin/python3", "-c", "import urllib.request, "+strings.Replace(library, "urllib", "urllib.error", 1)),
			program(nil, "/usr/bin/python3", "programs/client.py", "BASE", "OPERATION", library)})
	}
	for _, library := range []string{"fetch", "http"} {
		all = append(all, client{"Node " + library, installed("node"), program(nil, "node", "programs/node.mjs", "BASE", "OPERATION", library)})
	}
	if full {
		modules := npmInstall(t)
		for _, library := range []string{"axios", "got", "undici"} {
			all = append(all, client{"Node " + library, func() bool { return modules != "" },
				program(nil, "node", filepath.Join(modules, "node.mjs"), "BASE", "OPERATION", library)})
		}
		all = append(all, javaClients(t)...)
	}
	return all
}

func works(name string, args ...string) func() bool {
	return func() bool { return exec.Command(name, args...).Run() == nil }
}

// npmInstall puts the libraries of npm beside a copy of the program; "" if npm
// cannot.
func npmInstall(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "node.mjs"} {
		text, err := os.ReadFile(filepath.Join("programs", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("npm", "install", "--silent", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("npm install: %v: %s", err, out)
		return ""
	}
	return dir
}

func javaClients(t *testing.T) (all []client) {
	dir := t.TempDir()
	compile := func(class string, jars ...string) (path string, ok bool) {
		path = strings.Join(append([]string{dir}, jars...), ":")
		for _, jar := range jars {
			if _, err := os.Stat(jar); err != nil {
				return path, false
			}
		}
		out, err := exec.Command("javac", "-nowarn", "-d", dir, "-cp", path, "-sourcepath", "programs", "programs/"+class+".java").CombinedOutput()
		if err != nil {
			t.Logf("javac %s: %v: %s", class, err, out)
		}
		return path, err == nil
	}
	for _, c := range []struct {
		name, class, library string
		jars                 []string
	}{
		{"JDK HttpClient", "Client", "jdk", nil},
		{"JDK HttpURLConnection", "Client", "urlconnection", nil},
		{"Apache HttpClient 5", "Apache", "Apache",
			[]string{jars + "httpclient5.jar", jars + "httpcore5.jar", jars + "httpcore5-h2.jar", jars + "slf4j-api.jar"}},
		{"Apache HttpClient 4", "Apache4", "Apache4",
			[]string{jars + "httpclient.jar", jars + "httpcore.jar", jars + "commons-logging.jar", jars + "commons-codec.jar"}},
		{"OkHttp", "Ok", "Ok", []string{jars + "okhttp.jar", jars + "okio.jar"}},
	} {
		path, ok := compile(c.class, c.jars...)
		all = append(all, client{c.name, func() bool { return ok }, program(nil, "java", "-cp", path, "Client", "BASE", "OPERATION", c.library)})
	}
	return all
}

func goClient(ctx context.Context, base, operation string) (string, error) {
	var in *http.Request
	var err error
	switch operation {
	case "get":
		in, err = http.NewRequestWithContext(ctx, "GET", base+"/payables?limit=2", nil)
	case "redirect":
		in, err = http.NewRequestWithContext(ctx, "GET", base+"/redirect", nil)
	case "post", "expect":
		in, err = http.NewRequestWithContext(ctx, "POST", base+"/payables", strings.NewReader(`{"a":1}`))
	case "upload":
		in, err = http.NewRequestWithContext(ctx, "POST", base+"/files", bytes.NewReader(make([]byte, 1<<20)))
	case "refused":
		in, err = http.NewRequestWithContext(ctx, "POST", base+"/refused", &slowBody{left: 30})
	default:
		return "", errNotSupported
	}
	if err != nil {
		return "", err
	}
	if operation == "expect" {
		in.Header.Set("Expect", "100-continue")
	}
	transport := &http.Transport{ExpectContinueTimeout: 5 * time.Second}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(in)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %x", response.StatusCode, sha256.Sum256(body)), err
}

// slowBody gives 64 KiB each 100 ms.
type slowBody struct{ left int }

func (s *slowBody) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	time.Sleep(100 * time.Millisecond)
	return min(len(p), 65536), nil
}

// sidecar starts the built binary in front of the origin.
func sidecar(t *testing.T, upstreamPort string) (port string) {
	t.Helper()
	binary := filepath.Join(os.Getenv("E2E_BINARIES"), "monite-proxy")
	if os.Getenv("E2E_BINARIES") == "" { // where make has built it
		binary = filepath.Join(t.TempDir(), "monite-proxy")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/monite-proxy")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v: %s", err, out)
		}
	}
	port, admin := freePort(t), freePort(t)
	var log bytes.Buffer
	command := exec.Command(binary)
	command.Env = []string{
		"MONITE_CLIENT_ID=id", "MONITE_CLIENT_SECRET=secret", "MONITE_API_URL=http://127.0.0.1:" + upstreamPort,
		"MONITE_LISTEN_ADDR=localhost:" + port, "MONITE_ADMIN_ADDR=localhost:" + admin, "MONITE_LISTENER=" + os.Getenv("MONITE_LISTENER"),
	}
	command.Stderr = &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the sidecar's log:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if response, err := http.Get("http://127.0.0.1:" + admin + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return port
			}
		}
	}
	t.Fatalf("the sidecar is not ready: %s", log.String())
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

// Every client gets through the sidecar what it gets from upstream directly, by the
// name localhost, and by the address that it may try first.
func TestClientsGetWhatTheyGetDirectly(t *testing.T) {
	direct, through := origin(t, false), sidecar(t, origin(t, true))
	var shown strings.Builder
	w := tabwriter.NewWriter(&shown, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "client\t%s\t::1\n", strings.Join(operations, "\t"))
	cells := 0
	for _, c := range table(t) {
		if only := os.Getenv("CLIENT"); only != "" && !strings.Contains(c.name, only) {
			continue
		}
		if !c.needs() {
			_, _ = fmt.Fprintf(w, "%s\tnot installed\n", c.name)
			continue
		}
		row := []string{c.name}
		for _, operation := range append(operations, "::1") {
			host := "localhost"
			if operation == "::1" {
				if !hasIPv6() {
					row = append(row, "no IPv6")
					continue
				}
				host, operation = "[::1]", "get"
			}
			if !full && c.name != "Go net/http" && operation != "post" {
				row = append(row, "")
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			want, wantErr := c.run(ctx, "http://"+host+":"+direct+"/v1", operation)
			got, gotErr := c.run(ctx, "http://"+host+":"+through+"/v1", operation)
			cancel()
			switch {
			case errors.Is(wantErr, errNotSupported):
				row = append(row, "-")
				continue
			case wantErr != nil && gotErr != nil:
				row = append(row, "fails directly, too")
			case got != want || gotErr != nil:
				t.Errorf("%s, %s, %s: got %q (%v), directly %q (%v)", c.name, operation, host, got, gotErr, want, wantErr)
				row = append(row, "DIFFERS")
			default:
				status, _, _ := strings.Cut(got, " ")
				row = append(row, status)
			}
			cells++
			t.Log(c.name, operation, host, row[len(row)-1])
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	t.Logf("%d cells\n%s", cells, shown.String())
}

func hasIPv6() bool {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}
