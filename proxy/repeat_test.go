package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// remembering puts a journal behind the handler.
func remembering(changes ...func(*writes.Config)) func(*Config, *upstream.Transport) {
	return func(c *Config, _ *upstream.Transport) {
		config := writes.Config{Guard: 10 * time.Minute, KeyTTL: 24 * time.Hour, Patience: wiretest.Patience}
		for _, change := range changes {
			change(&config)
		}
		c.Journal = writes.New(config)
	}
}

// fates is an upstream that counts what it executes, and then does what it is told.
type fates struct {
	mu       sync.Mutex // guards next
	next     []func(*wiretest.Peer)
	executed atomic.Int64
	// overrides counts requests with a field that is the proxy's.
	overrides atomic.Int64
}

// script executes each whole write and meets the next fate; a good one if there is none.
func (f *fates) script(p *wiretest.Peer) {
	for {
		in, _, err := p.Request()
		if err != nil {
			return
		}
		if in.Header.Get(headerRepeat) != "" {
			f.overrides.Add(1)
		}
		if !isWrite(in.Method) {
			p.Say(answer(200, "application/json", `{"status":"read"}`))
			continue
		}
		n := f.executed.Add(1)
		f.mu.Lock()
		fate := func(p *wiretest.Peer) { p.Say(created(n)) }
		if len(f.next) > 0 {
			fate, f.next = f.next[0], f.next[1:]
		}
		f.mu.Unlock()
		fate(p)
	}
}

func created(n int64) string {
	body := fmt.Sprintf(`{"n":%d}`, n)
	return fmt.Sprintf("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nLocation: /v1/payables/%d\r\nEtag: \"%d\"\r\n"+
		"X-Request-Id: up-%d\r\nX-Other: %d\r\nContent-Length: %d\r\n\r\n%s", n, n, n, n, len(body), body)
}

func (f *fates) meet(all ...func(*wiretest.Peer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = append(f.next, all...)
}

func breaks(p *wiretest.Peer) { p.Cut(true) }

func says(status int) func(*wiretest.Peer) {
	return func(p *wiretest.Peer) { p.Say(answer(status, "application/json", "{}")) }
}

// onCue answers once it is told to.
func onCue(cue <-chan struct{}) func(*wiretest.Peer) {
	return func(p *wiretest.Peer) {
		<-cue
		p.Say(created(99))
	}
}

const payablePath = "/v1/payables/11111111-2222-3333-4444-555555555555"

const approvePath = payablePath + "/approve_payment_operation"

func newRepeatRig(t testing.TB, changes ...func(*Config, *upstream.Transport)) (*rig, *fates) {
	t.Helper()
	f := &fates{}
	o := wiretest.Listen(t, nil, f.script)
	r := newRig(t, o.URL, append([]func(*Config, *upstream.Transport){remembering()}, changes...)...)
	t.Cleanup(func() {
		if n := r.handler.config.Journal.Stats().Records; n > 1000 {
			t.Errorf("%d records", n)
		}
		wiretest.Eventually(t, "the end of the last write that is followed", func() bool { return r.handler.Followed() == 0 })
	})
	return r, f
}

func (f *fates) wants(t testing.TB, executed int64) {
	t.Helper()
	if got := f.executed.Load(); got != executed {
		t.Errorf("executed %d times, want %d", got, executed)
	}
}

// problemIn reads a response of the proxy.
func problemIn(t testing.TB, body string) (p problemBody) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	return p
}

func TestWriteThatBrokeIsNotSentAgain(t *testing.T) {
	r, f := newRepeatRig(t)
	f.meet(breaks)
	response, _ := r.do("POST", approvePath, "", "X-Request-Id", "first")
	if response.StatusCode != 502 || response.Header.Get(headerOutcome) != "unknown" || response.Header.Get(headerRetry) != "false" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
	for range 3 {
		response, body := r.do("POST", approvePath, "")
		p := problemIn(t, body)
		if response.StatusCode != 409 || p.Error.Type != "proxy_repeat_refused" || p.Error.Earlier == nil ||
			p.Error.Earlier.RequestID != "first" || p.Error.Earlier.At.IsZero() ||
			response.Header.Get(headerOutcome) != "unknown" || response.Header.Get(headerRetry) != "false" ||
			response.Header.Get("Retry-After") != "" || response.Close {
			t.Errorf("%d %v %s", response.StatusCode, response.Header, body)
		}
	}
	f.wants(t, 1)
	r.record()
	if record := r.record(); record.RepeatOf != "first" || record.Repeat != "refused" || record.Keyed {
		t.Errorf("the record is %+v", record)
	}
}

func TestWhatUpstreamSaysOfAWrite(t *testing.T) {
	for status, want := range map[int]struct{ repeat, outcome string }{
		200: {"sent", ""}, 201: {"sent", ""}, 400: {"sent", ""}, 403: {"sent", ""}, 404: {"sent", ""}, 409: {"sent", ""}, 422: {"sent", ""},
		401: {"sent", ""}, 429: {"sent", ""}, 501: {"sent", ""}, 503: {"sent", ""},
		500: {"refused", "unknown"}, 502: {"refused", "unknown"}, 504: {"refused", "unknown"}, 520: {"refused", "unknown"},
		524: {"refused", "unknown"}, 527: {"refused", "unknown"},
		505: {"sent", ""}, 507: {"refused", "unknown"}, 508: {"refused", "unknown"}, 511: {"refused", "unknown"}, 530: {"refused", "unknown"},
	} {
		r, f := newRepeatRig(t)
		f.meet(says(status), says(status)) // a 401 is replayed with another token
		response, _ := r.do("POST", approvePath, "")
		if response.StatusCode != status || response.Header.Get(headerOutcome) != want.outcome {
			t.Errorf("%d: %d, outcome %q", status, response.StatusCode, response.Header.Get(headerOutcome))
		}
		r.record()
		f.meet()
		r.do("POST", approvePath, "")
		if record := r.record(); record.Repeat != want.repeat {
			t.Errorf("%d: the repeat was %s", status, record.Repeat)
		}
	}
}

func TestKeyedWriteGetsTheSameResponseAgain(t *testing.T) {
	r, f := newRepeatRig(t)
	first, body := r.do("POST", "/v1/payables", "{}", headerKey, `"k1"`)
	for _, key := range []string{`"k1"`, "k1"} {
		again, text := r.do("POST", "/v1/payables", "{}", headerKey, key)
		if again.StatusCode != 201 || text != body || again.Header.Get(headerReplayed) != "true" {
			t.Errorf("%d %v %q", again.StatusCode, again.Header, text)
		}
		for _, name := range []string{"Content-Type", "Location", "Etag", "X-Monite-Proxy-Upstream-Request-Id"} {
			if again.Header.Get(name) != first.Header.Get(name) || first.Header.Get(name) == "" {
				t.Errorf("%s is %q, was %q", name, again.Header.Get(name), first.Header.Get(name))
			}
		}
		if again.Header.Get("X-Other") != "" {
			t.Error("a field is sent again that need not be kept")
		}
	}
	if first.Header.Get(headerReplayed) != "" {
		t.Error("the first response says that it is a second one")
	}
	a := r.dial() // net/http would not show how a name is spelt
	a.Say(head("POST", "/v1/payables", "Content-Length: 2", headerKey+": k1") + "\r\n{}")
	if head := a.Head(); !strings.Contains(head, "\r\nETag: ") {
		t.Errorf("no field is spelt ETag in the kept response: %q", head)
	}
	f.wants(t, 1)
	r.do("POST", "/v1/payables", "{}", headerKey, `"k2"`)
	f.wants(t, 2)
	for name, change := range map[string][3]string{"body": {"POST", "/v1/payables", "{ }"}, "target": {"POST", "/v1/payables?x", "{}"},
		"method": {"PATCH", "/v1/payables", "{}"}} {
		response, text := r.do(change[0], change[1], change[2], headerKey, "k1")
		if response.StatusCode != 422 || problemIn(t, text).Error.Type != "proxy_idempotency_key_reused" ||
			response.Header.Get(headerOutcome) != "not_sent" {
			t.Errorf("another %s: %d %s", name, response.StatusCode, text)
		}
	}
	f.wants(t, 2)
}

func TestKeyOfAnotherEntityIsAnotherKey(t *testing.T) {
	r, f := newRepeatRig(t)
	r.do("POST", "/v1/payables", "{}", headerKey, "k", "X-Monite-Entity-Id", entityA)
	r.do("POST", "/v1/payables", "{}", headerKey, "k", "X-Monite-Entity-Id", entityB)
	f.wants(t, 2)
}

func TestBadKeysAreRefused(t *testing.T) {
	r, f := newRepeatRig(t)
	for _, key := range []string{"", `""`, `"a`, "é", strings.Repeat("k", 256)} {
		response, text := r.do("POST", "/v1/payables", "{}", headerKey, key)
		if response.StatusCode != 400 || problemIn(t, text).Error.Type != "proxy_bad_header" {
			t.Errorf("%q: %d %s", key, response.StatusCode, text)
		}
		if response, _ := r.do("GET", "/v1/payables", "", headerKey, key); response.StatusCode != 200 {
			t.Errorf("%q on a read: %d", key, response.StatusCode)
		}
	}
	response, _ := r.do("POST", "/v1/payables", "{}", headerKey, "a", headerKey, "b")
	if response.StatusCode != 400 {
		t.Errorf("two keys: %d", response.StatusCode)
	}
	f.wants(t, 0)
}

func TestUnknownWriteIsSentAgainOnPurpose(t *testing.T) {
	r, f := newRepeatRig(t)
	f.meet(breaks)
	r.do("POST", approvePath, "", "X-Request-Id", "first")
	if response, _ := r.do("POST", approvePath, "", headerRepeat, "another"); response.StatusCode != 409 {
		t.Errorf("another id: %d", response.StatusCode)
	}
	if response, _ := r.do("POST", approvePath, "", headerRepeat, "two words"); response.StatusCode != 400 {
		t.Errorf("no id: %d", response.StatusCode)
	}
	if response, _ := r.do("POST", approvePath, "", headerRepeat, "first"); response.StatusCode != 201 {
		t.Errorf("on purpose: %d", response.StatusCode)
	}
	f.wants(t, 2)
	if f.overrides.Load() != 0 {
		t.Error("the override went upstream")
	}
}

func TestReadOfTheResourceLetsTheRepeatPass(t *testing.T) {
	// The 30 s are the journal's, whose tests have them; here it is told at all.
	r, f := newRepeatRig(t)
	f.meet(breaks)
	r.do("POST", approvePath, "")
	r.do("GET", payablePath, "")
	if response, _ := r.do("POST", approvePath, ""); response.StatusCode != 409 {
		t.Errorf("a read at once: %d", response.StatusCode)
	}
	f.wants(t, 1)
}

func TestEqualWritesThatAreMeantAreSent(t *testing.T) {
	t.Parallel()
	r, f := newRepeatRig(t)
	one, each := wiretest.Sized(60, 200), wiretest.Sized(15, 50)
	for range one {
		if response, _ := r.do("POST", "/v1/tags", `{"name":"a"}`); response.StatusCode != 201 {
			t.Fatalf("status %d", response.StatusCode)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range each {
				r.do("POST", "/v1/tags", `{"name":"a"}`)
			}
		})
	}
	all.Wait()
	f.wants(t, int64(one+8*each))
}

// The app went away; upstream's answer came later. The repeat gets it.
func TestAbandonedWriteIsFollowedAndItsRepeatGetsTheResponse(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]string{{}, {headerKey + ": k"}} {
		cue := make(chan struct{})
		audit := &wiretest.Buffer{}
		r, f := newRepeatRig(t, func(c *Config, _ *upstream.Transport) { c.Audit = zerolog.New(audit) })
		release := sync.OnceFunc(func() { close(cue) })
		t.Cleanup(release)
		f.meet(onCue(cue))
		a := r.dial()
		a.Say(head("POST", approvePath, append(fields, "X-Request-Id: first", "Content-Length: 0")...) + "\r\n")
		wiretest.Eventually(t, "the write arrives", func() bool { return f.executed.Load() == 1 })
		_ = a.Close()
		wiretest.Eventually(t, "the write is followed", func() bool { return r.handler.Followed() == 1 })

		b := r.dial()
		b.Say(head("POST", approvePath, append(fields, "Content-Length: 0")...) + "\r\n")
		time.AfterFunc(50*time.Millisecond, release)
		response, text := b.WantStatus("POST", 201)
		if text != `{"n":99}` || response.Header.Get(headerReplayed) != "true" {
			t.Errorf("%v %q", response.Header, text)
		}
		f.wants(t, 1)
		wiretest.Eventually(t, "both audit lines are written", func() bool { return strings.Count(audit.String(), "\n") == 2 })
		lines := auditLines(t, audit.String())
		if lines[0]["request_id"] != "first" {
			lines[0], lines[1] = lines[1], lines[0]
		}
		if first := lines[0]; first["request_id"] != "first" || first["status"] != 201.0 || first["delivered"] != false || first["outcome"] != "answered" {
			t.Errorf("the first line is %v", first)
		}
		if second := lines[1]; second["repeat_of"] != "first" || second["status"] != 201.0 || second["delivered"] != true {
			t.Errorf("the second line is %v", second)
		}
	}
}

func TestFollowedWriteHoldsNoBody(t *testing.T) {
	r, f := newRepeatRig(t)
	cue := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(cue) }))
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what is pooled goes with the second
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc) //nolint:gosec // no heap is that large
	}
	const writes, size = 50, 60 << 10
	before := heap()
	for n := range writes {
		f.meet(onCue(cue))
		a := r.dial()
		a.Say(post(approvePath, fmt.Sprintf("%0*d", size, n)))
		wiretest.Eventually(t, "the write arrives", func() bool { return f.executed.Load() == int64(n+1) })
		_ = a.Close()
	}
	wiretest.Eventually(t, "the writes are followed", func() bool { return r.handler.Followed() == writes && r.handler.InFlight() == 0 })
	if each := (heap() - before) / writes; each > size {
		t.Errorf("each holds %d bytes", each)
	}
}

// An app that has ended only its side may still read. A repeat of its write is not sent
// now, and the app must not be told that sending it again is safe.
func TestRepeatThatEndsItsSideIsToldOfTheEarlierWrite(t *testing.T) {
	t.Parallel()
	cue := make(chan struct{})
	r, f := newRepeatRig(t)
	f.meet(onCue(cue))
	first, second := r.dial(), r.dial()
	first.Say(head("POST", approvePath, "X-Request-Id: first", "Content-Length: 0") + "\r\n")
	wiretest.Eventually(t, "the write arrives", func() bool { return f.executed.Load() == 1 })
	second.Say(head("POST", approvePath, "Content-Length: 0") + "\r\n")
	wiretest.Eventually(t, "the repeat arrives", func() bool { return r.handler.InFlight() == 2 })
	_ = second.Conn.(interface{ CloseWrite() error }).CloseWrite()
	close(cue)
	first.WantStatus("POST", 201)
	f.wants(t, 1)
	response, text, err := second.Response("POST")
	if err != nil {
		return // after a moment it counts as gone
	}
	if p := problemIn(t, text); response.StatusCode != 409 || response.Header.Get(headerOutcome) != "unknown" || p.Error.Earlier == nil || p.Error.Earlier.RequestID != "first" {
		t.Errorf("%d %v %s", response.StatusCode, response.Header, text)
	}
}

func TestWriteThatTookTooLongIsFollowed(t *testing.T) {
	cue := make(chan struct{})
	audit := &wiretest.Buffer{}
	r, f := newRepeatRig(t, func(c *Config, tr *upstream.Transport) {
		c.Audit, tr.ResponseHeaderTimeout = zerolog.New(audit), 100*time.Millisecond
	})
	f.meet(onCue(cue))
	response, text := r.do("POST", approvePath, "", "X-Request-Id", "first")
	if response.StatusCode != 504 || response.Header.Get(headerOutcome) != "unknown" {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	close(cue)
	if response, text = r.do("POST", approvePath, ""); response.StatusCode != 201 || text != `{"n":99}` {
		t.Errorf("the repeat: %d %s", response.StatusCode, text)
	}
	f.wants(t, 1)
	if first := auditLines(t, audit.String())[0]; first["status"] != 201.0 || first["delivered"] != false || first["error_type"] != nil {
		t.Errorf("the line is %v", first)
	}
}

func TestFollowedWriteMayBreakAndIsUnknown(t *testing.T) {
	cue := make(chan struct{})
	r, f := newRepeatRig(t, func(_ *Config, tr *upstream.Transport) { tr.ResponseHeaderTimeout = 100 * time.Millisecond })
	f.meet(func(p *wiretest.Peer) { <-cue; p.Cut(true) })
	r.do("POST", approvePath, "")
	close(cue)
	response, text := r.do("POST", approvePath, "")
	if p := problemIn(t, text); response.StatusCode != 409 || p.Error.Earlier == nil || p.Error.Earlier.Status != 0 {
		t.Errorf("the repeat: %d %s", response.StatusCode, text)
	}
	f.wants(t, 1)
}

// What an app sends before it has a response does not show that it has it.
func TestRequestThatIsSentAheadIsNoSignOfDelivery(t *testing.T) {
	for _, listener := range []string{"strict", "std"} {
		for name, next := range map[string]string{"a read": get("/v1/payables"), "a write": post("/v1/tags", "{}")} {
			f := &fates{}
			r := newRigOf(t, listener, wiretest.Listen(t, nil, f.script).URL, remembering())
			a := r.dial()
			a.Say(head("POST", approvePath, "Content-Length: 0") + "\r\n" + next)
			_, _ = a.Read(make([]byte, 1))
			_ = a.Close()
			response, text := r.do("POST", approvePath, "")
			if text != `{"n":1}` || response.Header.Get(headerReplayed) != "true" {
				t.Errorf("%s, %s: %d %v %q", listener, name, response.StatusCode, response.Header, text)
			}
		}
	}
}

// The app has closed with the response unread, or before it came.
func TestResponseThatNobodyReadIsGivenToTheRepeat(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(r *rig, a *wiretest.App, cue chan struct{}){
		"unread": func(_ *rig, a *wiretest.App, cue chan struct{}) {
			close(cue)
			_, _ = a.Read(make([]byte, 1))
			_ = a.Close()
		},
		"before": func(_ *rig, a *wiretest.App, cue chan struct{}) { _ = a.Close(); close(cue) },
		"long before": func(r *rig, a *wiretest.App, cue chan struct{}) {
			_ = a.Close()
			r.record() // that it has gone is known
			close(cue)
		},
	} {
		for i := range 10 {
			cue := make(chan struct{})
			r, f := newRepeatRig(t)
			f.meet(onCue(cue))
			a := r.dial()
			a.Say(head("POST", approvePath, "Content-Length: 0") + "\r\n")
			wiretest.Eventually(t, "the write arrives", func() bool { return f.executed.Load() == 1 })
			leave(r, a, cue)
			response, text := r.gets(head("POST", approvePath, "Content-Length: 0")+"\r\n", 201)
			if text != `{"n":99}` || f.executed.Load() != 1 {
				t.Fatalf("%s, %d: %v %q, executed %d times", name, i, response.Header, text, f.executed.Load())
			}
			if name == "long before" && i > 1 {
				break
			}
		}
	}
}

func TestLargeResponseIsNotKept(t *testing.T) {
	large := answer(201, "text/plain", strings.Repeat("x", 300<<10))
	r, f := newRepeatRig(t)
	f.meet(func(p *wiretest.Peer) { p.Say(large) })
	r.do("POST", "/v1/payables", "{}", headerKey, "k")
	response, text := r.do("POST", "/v1/payables", "{}", headerKey, "k")
	if p := problemIn(t, text); response.StatusCode != 409 || p.Error.Type != "proxy_idempotency_answer_gone" || p.Error.Earlier.Status != 201 {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	f.wants(t, 1)
}

func TestBodyCutByTheAppLeavesNoRecord(t *testing.T) {
	r, f := newRepeatRig(t, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 10 })
	body := strings.Repeat("x", 200<<10)
	a := r.dial()
	a.Say(head("POST", "/v1/files", fmt.Sprintf("Content-Length: %d", len(body))) + "\r\n" + body[:100<<10])
	time.Sleep(50 * time.Millisecond)
	_ = a.Close()
	r.record()
	f.wants(t, 0)
	if response, _ := r.do("POST", "/v1/files", body); response.StatusCode != 201 {
		t.Errorf("the repeat: %d", response.StatusCode)
	}
	f.wants(t, 1)
}

func TestStreamedWritesAreRecognised(t *testing.T) {
	body := strings.Repeat("x", 200<<10)
	for _, chunked := range []bool{false, true} {
		r, f := newRepeatRig(t)
		f.meet(breaks)
		send := func(text string) int {
			in, _ := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/files", io.MultiReader(strings.NewReader(text)))
			if !chunked {
				in.ContentLength = int64(len(text))
			}
			response, err := r.client.Do(in)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			return response.StatusCode
		}
		if first, second, other := send(body), send(body), send("y"+body[1:]); first != 502 || second != 409 || other != 201 {
			t.Errorf("chunked %v: %d, %d, another %d", chunked, first, second, other)
		}
		f.wants(t, 2)
	}
}

func TestWriteThatWasNotSentIsFree(t *testing.T) {
	r, f := newRepeatRig(t)
	r.tokens.fail = func(n int) error {
		if n == 1 {
			return fmt.Errorf("no token")
		}
		return nil
	}
	if response, _ := r.do("POST", approvePath, ""); response.StatusCode < 500 {
		t.Errorf("the first: %d", response.StatusCode)
	}
	if response, _ := r.do("POST", approvePath, ""); response.StatusCode != 201 {
		t.Errorf("the second: %d", response.StatusCode)
	}
	f.wants(t, 1)
}

func TestOffIsAsBefore(t *testing.T) {
	r, f := newRepeatRig(t, remembering(func(c *writes.Config) { c.Guard, c.KeyTTL = 0, 0 }))
	f.meet(breaks, breaks)
	r.do("POST", approvePath, "", headerKey, `"not a key`)
	r.do("POST", approvePath, "")
	r.do("POST", approvePath, "")
	f.wants(t, 3)
}

func TestFollowingIsFinishedBeforeTheEnd(t *testing.T) {
	cue := make(chan struct{})
	r, f := newRepeatRig(t)
	f.meet(onCue(cue))
	a := r.dial()
	a.Say(head("POST", approvePath, "Content-Length: 0") + "\r\n")
	wiretest.Eventually(t, "the write arrives", func() bool { return f.executed.Load() == 1 })
	_ = a.Close()
	wiretest.Eventually(t, "the write is followed", func() bool { return r.handler.Followed() == 1 })
	time.AfterFunc(50*time.Millisecond, func() { close(cue) })
	if !r.handler.FinishFollowing(t.Context()) {
		t.Error("a write was cut off")
	}
}

// panicking panics once a request was sent.
type panicking struct{ next http.RoundTripper }

func (p panicking) RoundTrip(out *http.Request) (*http.Response, error) {
	response, err := p.next.RoundTrip(out)
	if err == nil && out.Header.Get("X-Panic") != "" {
		_ = response.Body.Close()
		panic("a fault of ours")
	}
	return response, err
}

func TestPanicLeavesTheWriteUnknown(t *testing.T) {
	r, f := newRepeatRig(t, func(c *Config, _ *upstream.Transport) { c.Upstream = panicking{c.Upstream} })
	if response, _ := r.do("POST", approvePath, "", "X-Panic", "1"); response.StatusCode != 500 {
		t.Errorf("the first: %d", response.StatusCode)
	}
	if response, _ := r.do("POST", approvePath, ""); response.StatusCode != 409 {
		t.Errorf("the repeat: %d", response.StatusCode)
	}
	f.wants(t, 1)
}

// Where a body ends is no news to whoever reads it in one piece with its end, and a
// surprise to whoever does not. Both have read the same body.
func TestLengthOfABodyDoesNotDependOnHowItArrives(t *testing.T) {
	for _, kept := range []int{0, 1024, writes.HeadBytes - 1, writes.HeadBytes, 2 * writes.HeadBytes} {
		for _, size := range []int{1, writes.HeadBytes - 1, writes.HeadBytes, writes.HeadBytes + 1, writes.HeadBytes + 2, 2*writes.HeadBytes + 1} {
			var seen []string
			for _, early := range []bool{true, false} {
				var from io.Reader = strings.NewReader(strings.Repeat("z", size))
				if early {
					from = iotest.DataErrReader(from)
				}
				s := &streamedBody{body: from, control: http.NewResponseController(noDeadlines{}), left: 1 << 20}
				if kept > 0 {
					if _, err := s.look(kept + 1); err != nil {
						t.Fatal(err)
					}
				}
				length, head, err := (&requestBody{stream: s, length: -1}).look(writes.HeadBytes)
				if err != nil || len(head) != min(size, writes.HeadBytes) {
					t.Errorf("%d bytes to look at, %v", len(head), err)
				}
				seen = append(seen, fmt.Sprint(length))
			}
			if seen[0] != seen[1] {
				t.Errorf("%d bytes, %d kept: the length is %s with the end, %s without", size, kept, seen[0], seen[1])
			}
		}
	}
}

// noDeadlines is a response writer of which only the deadlines are used.
type noDeadlines struct{ http.ResponseWriter }

// The table of docs/at-most-once.md and docs/errors.md, of every status.
func TestOutcomeOfEachStatusOfUpstream(t *testing.T) {
	for status := 200; status < 600; status++ {
		want := executed
		switch {
		case slices.Contains([]int{401, 429, 501, 503, 505}, status):
			want = notExecuted
		case status >= 500:
			want = doubtful
		}
		if got := verdictOn(status); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}

func TestReplayedResponseSaysItsLength(t *testing.T) {
	r, f := newRepeatRig(t)
	first, _ := r.do("POST", "/v1/payables", "{}", headerKey, "k")
	again, _ := r.do("POST", "/v1/payables", "{}", headerKey, "k")
	if again.Header.Get(headerReplayed) != "true" || again.ContentLength != first.ContentLength || first.ContentLength <= 0 {
		t.Errorf("the length is %d, was %d: %v", again.ContentLength, first.ContentLength, again.Header)
	}
	f.wants(t, 1)
}
