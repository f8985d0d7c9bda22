package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// framingCase is one line of testdata/framing: what an app sends on one
// connection, and the statuses that must come back, in order, by listener.
// README there tells the format.
type framingCase struct {
	name, std, strict string
	raw               string
	halfClose         bool // the app closes its sending side after raw
}

func framingCases(t testing.TB) []framingCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "framing", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var all []framingCase
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		group := strings.TrimSuffix(filepath.Base(file), ".txt")
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSuffix(line, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			columns := strings.Split(line, "\t")
			if len(columns) != 4 {
				t.Fatalf("%s: %d columns in %.80q", file, len(columns), line)
			}
			raw, err := strconv.Unquote(columns[3])
			if err != nil {
				t.Fatalf("%s: %v in %.80q", file, err, line)
			}
			c := framingCase{name: group + ": " + columns[0], std: columns[1], strict: columns[2]}
			raw, c.halfClose = strings.CutSuffix(repeated(raw), "{{EOF}}")
			// The tag is as long as the lengths in the corpus say.
			c.raw = strings.ReplaceAll(raw, "ID", fmt.Sprintf("c%05d", len(all)))
			all = append(all, c)
		}
	}
	return all
}

// repeated expands {{text*n}}.
func repeated(raw string) string {
	for {
		before, rest, found := strings.Cut(raw, "{{")
		inner, after, closed := strings.Cut(rest, "}}")
		star := strings.LastIndexByte(inner, '*')
		if !found || !closed || star < 0 {
			return raw
		}
		n, err := strconv.Atoi(inner[star+1:])
		if err != nil {
			return raw
		}
		raw = before + strings.Repeat(inner[:star], n) + after
	}
}

// A verdict is a list of statuses; "-" is an end without an answer. For strict
// "a|b" leaves a choice.
func TestFramingCorpusHasAVerdictForEveryListener(t *testing.T) {
	cases := framingCases(t)
	names := map[string]bool{}
	refusedByStrict, laxStd := 0, 0
	for _, c := range cases {
		if names[c.name] {
			t.Errorf("%s: twice", c.name)
		}
		names[c.name] = true
		for _, verdict := range []string{c.std, strings.Split(c.strict, "|")[0], c.strict[strings.LastIndexByte(c.strict, '|')+1:]} {
			statuses := strings.Split(verdict, ",")
			for i, status := range statuses {
				if n, err := strconv.Atoi(status); verdict != "-" && (err != nil || n != 200 && (n < 400 || n > 599)) {
					t.Errorf("%s: verdict %q", c.name, verdict)
				} else if n >= 400 && i != len(statuses)-1 {
					t.Errorf("%s: verdict %q goes on after a refusal", c.name, verdict)
				}
			}
		}
		if strings.Count(c.strict, "200") > strings.Count(c.std, "200") && !strings.Contains(c.name, "CRLF before") &&
			!strings.Contains(c.name, "empty line") {
			t.Errorf("%s: strict %s is laxer than std %s", c.name, c.strict, c.std)
		}
		if c.strict != "200" && !strings.HasPrefix(c.strict, "200,200") {
			refusedByStrict++
			if strings.Count(c.std, "200") > strings.Count(c.strict, "200") {
				laxStd++
			}
		}
	}
	if len(cases) < 300 || refusedByStrict < 300 {
		t.Errorf("%d cases, %d of them refused: too few", len(cases), refusedByStrict)
	}
	t.Logf("%d cases; strict refuses %d, of which std takes %d", len(cases), refusedByStrict, laxStd)
}

// framingResult is what became of one case.
type framingResult struct {
	statuses []string
	bodies   []string // of the answers of upstream
	trouble  string
}

// play sends the case, reads every answer, and tells what is wrong with the
// connection: an answer after a refusal, a connection that goes on after one, or
// one on which the next request is answered with what is not its answer.
func (c *framingCase) play(addr string, most int) (result framingResult) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return framingResult{trouble: err.Error()}
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wiretest.Patience))
	_, _ = io.WriteString(conn, c.raw) // the proxy may have gone before its end
	if c.halfClose {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	br := bufio.NewReader(conn)
	method, _, _ := strings.Cut(c.raw, " ")
	for {
		status, body, ours, ended, err := readAnswer(br, method)
		switch {
		case err != nil:
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				result.trouble = "neither an answer nor an end"
			}
			if len(result.statuses) == 0 {
				result.statuses = []string{"-"}
			}
			return result
		case len(result.statuses) > 0 && result.statuses[len(result.statuses)-1] != "200":
			result.trouble = fmt.Sprintf("%d after a refusal", status)
			return result
		}
		result.statuses = append(result.statuses, strconv.Itoa(status))
		if !ours {
			result.bodies = append(result.bodies, body)
		}
		if status == http.StatusOK && len(result.statuses) == most && !ended && !c.halfClose {
			break
		}
	}
	// The connection goes on: the next request gets its own answer and no other.
	probe := fmt.Sprintf("/v1/probe/%p", c)
	_, _ = io.WriteString(conn, get(probe))
	if status, body, _, _, err := readAnswer(br, "GET"); err != nil || status != http.StatusOK || body != probe+" " {
		result.trouble = fmt.Sprintf("the next request on the connection got %d %.60q, %v", status, body, err)
	}
	return result
}

// neighbour is a good app on a connection of its own, over the same upstream
// connections, until over: each request gets its own answer.
func neighbour(t *testing.T, addr string, n int, over <-chan struct{}) (answered int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(wiretest.Patience))
	br := bufio.NewReader(conn)
	for {
		select {
		case <-over:
			return answered
		default:
		}
		target, body := fmt.Sprintf("/v1/neighbour/%d/%d", n, answered), fmt.Sprint("nonce-", n, "-", answered)
		_, _ = io.WriteString(conn, post(target, body))
		if status, got, _, _, err := readAnswer(br, "POST"); err != nil || status != http.StatusOK || got != target+" "+body {
			t.Errorf("%s: answer %d %q, %v", target, status, got, err)
			return answered
		}
		answered++
	}
}

func readAnswer(br *bufio.Reader, method string) (status int, body string, ours, ended bool, err error) {
	for {
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return 0, "", false, false, err
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return 0, "", false, false, fmt.Errorf("body of a %d: %w", response.StatusCode, err)
		}
		if response.StatusCode >= 200 {
			ours := response.Header.Get("Proxy-Status") != "" || response.StatusCode != http.StatusOK
			return response.StatusCode, string(text), ours, response.Close, nil
		}
	}
}

// verdict is what the corpus says of a listener of that kind: alternatives.
func (c *framingCase) verdict(kind string) []string {
	if kind == "std" {
		return []string{c.std}
	}
	return strings.Split(c.strict, "|")
}

// Every case, against both listeners: the statuses that the corpus says, as many
// requests upstream as answers of upstream, each framed anew and with one
// credential, and an end of the connection after every refusal.
func TestFramingCorpusNeverMakesTwoRequestsOfOne(t *testing.T) {
	for _, kind := range []string{"std", "strict"} {
		t.Run(kind, func(t *testing.T) { playFramingCorpus(t, kind) })
	}
}

func playFramingCorpus(t *testing.T, kind string) {
	cases := framingCases(t)
	o := newEchoOrigin(t)
	r := newRigOf(t, kind, o.URL, func(c *Config, _ *upstream.Transport) { c.Observe = nil })
	results := make([]framingResult, len(cases))
	next := make(chan int)
	var all sync.WaitGroup
	for range 48 { // most wait for the half second that net/http lingers
		all.Go(func() {
			for i := range next {
				most := 0
				for _, verdict := range cases[i].verdict(kind) {
					most = max(most, strings.Count(verdict, ",")+1)
				}
				results[i] = cases[i].play(r.addr, most)
			}
		})
	}
	var beside sync.WaitGroup
	over := make(chan struct{})
	good := make([]int, 4)
	for n := range good {
		beside.Go(func() { good[n] = neighbour(t, r.addr, n, over) })
	}
	for i := range cases {
		next <- i
	}
	close(next)
	all.Wait()
	close(over)
	beside.Wait()
	if slices.Min(good) == 0 {
		t.Errorf("good requests beside the cases: %v", good)
	}
	wiretest.Eventually(t, "every connection has ended", func() bool { return r.handler.InFlight() == 0 && r.open.Load() == 0 })
	// What was cut off is seen as such only when its connection ends.
	r.transport.CloseIdleConnections()

	o.mu.Lock()
	defer o.mu.Unlock()
	for _, complaint := range o.complaints {
		t.Errorf("upstream saw %s", complaint)
	}
	whole, partial := map[string][]string{}, map[string]int{}
	stray := 0
	for _, e := range o.seen {
		_, rest, found := strings.Cut(e.target, "/v1/")
		tag, _, _ := strings.Cut(strings.Split(rest, "?")[0], "/")
		switch {
		case !found || len(tag) < 6 && tag != "probe":
			t.Errorf("upstream saw %q, which no case sent", e.target)
		case tag == "probe" || tag == "neighbour":
		case e.whole:
			whole[tag[:6]] = append(whole[tag[:6]], e.target+" "+e.body)
		default:
			partial[tag[:6]]++
		}
	}
	sent, ahead := 0, 0
	for i, c := range cases {
		tag := fmt.Sprintf("c%05d", i)
		got := strings.Join(results[i].statuses, ",")
		if want := c.verdict(kind); !slices.Contains(want, got) || results[i].trouble != "" {
			t.Errorf("%s: statuses %s, want %s; %s\n%.200q", c.name, got, want, results[i].trouble, c.raw)
		}
		// Answers come in the order of the requests: what upstream saw is what was
		// answered, no more, no less, and nothing of one request became another.
		if !slices.Equal(whole[tag], results[i].bodies) {
			t.Errorf("%s: upstream saw %.200q, the app got the answers %.200q", c.name, whole[tag], results[i].bodies)
		}
		if refused := !strings.HasSuffix(got, "200"); partial[tag] > 1 || partial[tag] == 1 && !refused {
			t.Errorf("%s: %d requests upstream without an end, statuses %s", c.name, partial[tag], got)
		}
		if strings.Count(c.std, "200") > strings.Count(c.strict, "200") && strings.Contains(strings.Join(whole[tag], " "), "/canary") {
			ahead++ // only a problem if something in front of the proxy reads otherwise
		}
		sent += len(whole[tag])
		stray += partial[tag]
	}
	t.Logf("%d cases: %d sent upstream, %d cut off visibly; in %d the listener takes the second half for a request of its own; "+
		"%v good requests beside", len(cases), sent, stray, ahead, good)
}

// echoed is one request as the origin of the framing tests saw it.
type echoed struct {
	target, body string
	whole        bool
}

// echoOrigin reads every request by a strict reading of its own, complains of
// what is not canonical, and answers with what it saw.
type echoOrigin struct {
	*wiretest.Origin
	mu         sync.Mutex // guards the next two
	seen       []echoed
	complaints []string
}

func newEchoOrigin(t testing.TB) *echoOrigin {
	e := &echoOrigin{}
	e.Origin = wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			target, body, err := canonicalRequest(p.Reader)
			if target == "" && errors.Is(err, io.EOF) {
				return
			}
			var odd *notCanonical
			e.mu.Lock()
			e.seen = append(e.seen, echoed{target, body, err == nil})
			if errors.As(err, &odd) {
				e.complaints = append(e.complaints, odd.Error())
			}
			e.mu.Unlock()
			if err != nil {
				return
			}
			p.Say(answer(200, "text/plain", target+" "+body))
		}
	})
	return e
}

type notCanonical struct{ what string }

func (n *notCanonical) Error() string { return n.what }

// canonicalRequest reads one request and accepts one way to write it: CRLF, one
// Host, one Authorization, one entity, one framing field, plain chunks without
// extensions or trailers. It shares nothing with net/http.
func canonicalRequest(br *bufio.Reader) (target, body string, err error) {
	odd := func(format string, values ...any) error { return &notCanonical{fmt.Sprintf(format, values...)} }
	line := func() (string, error) {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		text, found := strings.CutSuffix(text, "\r\n")
		if !found || strings.ContainsAny(text, "\r\x00") {
			return "", odd("line %q", text)
		}
		return text, nil
	}
	first, err := line()
	if err != nil {
		return "", "", err
	}
	words := strings.Split(first, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || !methodAllowed(words[0]) || !strings.HasPrefix(words[1], "/") {
		return first, "", odd("request line %q", first)
	}
	target = words[1]
	count := map[string]int{}
	length, chunked := 0, false
	for {
		field, err := line()
		if err != nil {
			return target, "", err
		}
		if field == "" {
			break
		}
		name, value, found := strings.Cut(field, ": ")
		if !found || name == "" || strings.ContainsAny(name, " \t:") {
			return target, "", odd("field %q", field)
		}
		plain := strings.NewReplacer("_", "-", ".", "-", "~", "-").Replace(strings.ToLower(name))
		count[plain]++
		switch plain {
		case "authorization":
			if !strings.HasPrefix(value, "Bearer tok-") {
				return target, "", odd("a credential that is not ours")
			}
		case "x-monite-entity-id":
			if value != entityA && value != entityB {
				return target, "", odd("entity %q", value)
			}
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || strconv.Itoa(length) != value || length < 0 {
				return target, "", odd("Content-Length %q", value)
			}
		case "transfer-encoding":
			if chunked = value == "chunked"; !chunked {
				return target, "", odd("Transfer-Encoding %q", value)
			}
		case "connection", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "http2-settings", "proxy-authorization", "cookie",
			"x-monite-entity-user-id", "x-monite-identity", "origin":
			return target, "", odd("field %q", name)
		}
	}
	for _, name := range []string{"host", "authorization", "x-monite-entity-id", "x-monite-version", "x-request-id"} {
		if count[name] != 1 {
			return target, "", odd("%s: %d times", name, count[name])
		}
	}
	if count["content-length"]+count["transfer-encoding"] > 1 {
		return target, "", odd("framed %d and %d times", count["content-length"], count["transfer-encoding"])
	}
	if !chunked {
		content := make([]byte, length)
		n, err := io.ReadFull(br, content)
		return target, string(content[:n]), err
	}
	var content strings.Builder
	for {
		text, err := line()
		if err != nil {
			return target, content.String(), err
		}
		size, err := strconv.ParseUint(text, 16, 32)
		if err != nil || strconv.FormatUint(size, 16) != text {
			return target, content.String(), odd("chunk size %q", text)
		}
		if _, err := io.CopyN(&content, br, int64(size)); err != nil {
			return target, content.String(), err
		}
		if end, err := line(); err != nil {
			return target, content.String(), err
		} else if end != "" {
			return target, content.String(), odd("after a chunk: %q", end)
		}
		if size == 0 {
			return target, content.String(), nil
		}
	}
}
