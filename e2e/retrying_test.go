package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// repeater is a client that repeats: a real one, or the pattern of one.
type repeater struct {
	name string
	// off is how often it has one POST executed without the guard, when the connection
	// breaks and when upstream responds with 502; 0: whatever it is.
	off [2]int
	run func(t *testing.T, url string)
}

// habit repeats as the client of this name does, faster.
type habit struct {
	tries int
	// again says after which status it repeats; 0 is a lost connection.
	again func(status int) bool
	// limit is that of one attempt.
	limit time.Duration
}

func statuses(all ...int) func(int) bool {
	return func(status int) bool { return slices.Contains(all, status) }
}

func fives(also ...int) func(int) bool {
	return func(status int) bool { return status >= 500 || slices.Contains(also, status) }
}

// repeaters are the patterns of clients, as their sources and documentation have
// them: any method, on these statuses (0: a lost connection), so many tries.
var repeaters = []repeater{
	{"Monite node client", [2]int{3, 3}, habit{3, fives(408, 429), 0}.run},
	{"Fern Python", [2]int{3, 3}, habit{3, fives(408, 409, 429), 0}.run},
	{".NET standard resilience handler", [2]int{4, 4}, habit{4, fives(0, 408, 429), 400 * time.Millisecond}.run},
	{"Spring Retry, any exception", [2]int{3, 3}, habit{3, func(status int) bool { return status >= 400 || status == 0 }, 0}.run},
	{"Apache HttpClient 5, 429 and 503", [2]int{1, 1}, habit{2, statuses(429, 503), 0}.run},
	{"Apache HttpClient 5, any failure", [2]int{4, 4}, habit{4, fives(0), 0}.run},
	{"a queue that delivers again", [2]int{5, 5}, habit{5, func(status int) bool { return status >= 300 || status == 0 }, 0}.run},
}

// run sends one POST until the habit is content.
func (p habit) run(t *testing.T, url string) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: p.limit}
	for try := 1; ; try++ {
		status := 0
		in, _ := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader("{}"))
		if response, err := client.Do(in); err == nil {
			status = response.StatusCode
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		if try == p.tries || !p.again(status) {
			return
		}
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
}

// program runs another program, with the URL behind its arguments.
func program(dir string, args ...string) func(*testing.T, string) {
	return func(t *testing.T, url string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], append(args[1:], url)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput() // that it gives up is what is tested
		t.Logf("%s: %s", strings.Join(args, " "), strings.TrimSpace(string(out)))
	}
}

// realRepeaters are the clients themselves, where they can be had.
func realRepeaters(t *testing.T) (all []repeater) {
	if curl, err := exec.LookPath("curl"); err == nil {
		all = append(all, repeater{"curl --retry 2 --retry-all-errors", [2]int{3, 3},
			program(".", curl, "-sS", "--retry", "2", "--retry-all-errors", "--retry-delay", "1", "-X", "POST", "-d", "{}")})
	}
	if os.Getenv("E2E_RETRYING") == "" {
		t.Log("set E2E_RETRYING=1 for the clients that must be fetched")
		return all
	}
	binary := filepath.Join(t.TempDir(), "retrying")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "retrying"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	all = append(all,
		repeater{"hashicorp/go-retryablehttp", [2]int{5, 5}, program(".", binary, "retryablehttp")},
		repeater{"resty", [2]int{4, 4}, program(".", binary, "resty")})
	node, err := exec.LookPath("node")
	if err != nil {
		return all
	}
	if _, err := os.Stat("retrying/node_modules/openai"); err != nil {
		npm := exec.Command("npm", "ci", "--no-audit", "--no-fund")
		npm.Dir = "retrying"
		if out, err := npm.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	return append(all,
		repeater{"axios-retry, as told by its condition", [2]int{0, 0}, program("retrying", node, "clients.mjs", "axios-retry-5xx")},
		repeater{"axios-retry, retryable errors", [2]int{0, 0}, program("retrying", node, "clients.mjs", "axios-retry")},
		repeater{"Stainless (openai)", [2]int{1, 3}, // it is told not to, where the response is ours
			program("retrying", node, "clients.mjs", "stainless")})
}

// executions is an upstream that executes every write, and then fails the first
// one of each path as the path says.
type executions struct {
	mu   sync.Mutex // guards the counts
	each map[string]int
}

func (e *executions) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	_, _ = io.Copy(io.Discard, in.Body)
	if in.URL.Path == "/v1/auth/token" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"retrying-token-000000000","expires_in":7200,"token_type":"Bearer"}`)
		return
	}
	e.mu.Lock()
	e.each[in.URL.Path]++
	e.mu.Unlock()
	switch {
	case strings.Contains(in.URL.Path, "/break"):
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	case strings.Contains(in.URL.Path, "/bad"):
		w.WriteHeader(http.StatusBadGateway)
	case strings.Contains(in.URL.Path, "/late"):
		time.Sleep(700 * time.Millisecond)
		w.WriteHeader(http.StatusCreated)
	}
}

func (e *executions) of(prefix string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for path, count := range e.each {
		if strings.HasPrefix(path, prefix) {
			n += count
		}
	}
	return n
}

// Clients that repeat, real ones and patterns: one POST is executed once.
//
//	E2E_RETRYING=1  the clients that must be fetched as well
func TestClientsThatRepeatExecuteOnce(t *testing.T) {
	all := slices.Concat(repeaters, realRepeaters(t))
	table := map[string]map[string][3]int{}
	troubles := [3]string{"break", "bad", "late"}
	for guard, pairs := range map[string][]string{"on": {}, "off": {"MONITE_REPEAT_GUARD", "0s"}} {
		upstream := &executions{each: map[string]int{}}
		server := httptest.NewServer(upstream)
		t.Cleanup(server.Close)
		s := start(t, defaultEnv(server.URL).with(pairs...)).ready()
		path := func(client, trouble int) string { return fmt.Sprintf("/v1/payables/%d/%s", client, troubles[trouble]) }
		var running sync.WaitGroup
		for i, client := range all {
			for k := range troubles {
				running.Go(func() { client.run(t, s.Data+path(i, k)) })
			}
		}
		running.Wait()
		for i, client := range all {
			if table[client.name] == nil {
				table[client.name] = map[string][3]int{}
			}
			table[client.name][guard] = [3]int{upstream.of(path(i, 0)), upstream.of(path(i, 1)), upstream.of(path(i, 2))}
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-42s %-28s %s\n", "executions of one POST", "guard on: broke, 502, late", "off")
	for _, client := range all {
		on, off := table[client.name]["on"], table[client.name]["off"]
		fmt.Fprintf(&text, "%-42s %-28s %v\n", client.name, fmt.Sprint(on), off)
		if on != [3]int{1, 1, 1} {
			t.Errorf("%s: executions with the guard are %v", client.name, on)
		}
		for k, want := range client.off {
			if want > 0 && off[k] != want {
				t.Errorf("%s, %s: %d executions without the guard, want %d: is it still that client?", client.name, troubles[k], off[k], want)
			}
		}
	}
	t.Logf("\n%s", text.String())
}
