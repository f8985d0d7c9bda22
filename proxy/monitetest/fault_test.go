package monitetest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const approve = "/v1/payables/" + monitetest.DemoPayableID + "/approve_payment_operation"

// Whether a write is executed under a fault, and what the client sees.
func TestFaultsAroundAWrite(t *testing.T) {
	status := func(want int) func(reply, error) bool {
		return func(answer reply, err error) bool { return err == nil && answer.status == want }
	}
	reset := func(_ reply, err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	eof := func(_ reply, err error) bool { return errors.Is(err, io.EOF) }
	cut := func(answer reply, err error) bool {
		return answer.status == 200 && errors.Is(err, io.ErrUnexpectedEOF)
	}
	resetMidway := func(answer reply, err error) bool {
		return answer.status == 200 && reset(answer, err) || reset(answer, err)
	}
	tests := []struct {
		name     string
		fault    monitetest.Fault
		executed int
		sees     func(reply, error) bool
	}{
		{"answer before", monitetest.Fault{Status: 503}, 0, status(503)},
		{"answer after", monitetest.Fault{Status: 503, After: true}, 1, status(503)},
		{"html", monitetest.Fault{Effect: monitetest.EffectHTML}, 0, status(200)},
		{"delay", monitetest.Fault{Delay: 1}, 1, status(200)},
		{"delay after", monitetest.Fault{Delay: 1, After: true}, 1, status(200)},
		{"fin before", monitetest.Fault{Effect: monitetest.EffectFIN}, 0, eof},
		{"fin after", monitetest.Fault{Effect: monitetest.EffectFIN, After: true}, 1, eof},
		{"rst before", monitetest.Fault{Effect: monitetest.EffectRST}, 0, reset},
		{"rst after", monitetest.Fault{Effect: monitetest.EffectRST, After: true}, 1, reset},
		{"truncate", monitetest.Fault{Effect: monitetest.EffectTruncate}, 1, cut},
		{"truncate rst", monitetest.Fault{Effect: monitetest.EffectTruncateRST}, 1, resetMidway},
		{"broken chunk", monitetest.Fault{Effect: monitetest.EffectBrokenChunk}, 1, func(answer reply, err error) bool {
			return answer.status == 200 && err != nil && strings.Contains(err.Error(), "chunk")
		}},
		{"gzip", monitetest.Fault{Effect: monitetest.EffectGzip}, 1, func(answer reply, err error) bool {
			zip, zipErr := gzip.NewReader(strings.NewReader(answer.body))
			return err == nil && zipErr == nil && json.NewDecoder(zip).Decode(&map[string]any{}) == nil
		}},
		{"drip", monitetest.Fault{Effect: monitetest.EffectDrip, Delay: 1}, 1, status(200)},
		{"raw", monitetest.Fault{Effect: monitetest.EffectRaw, Body: "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi"}, 0,
			func(answer reply, err error) bool { return err == nil && answer.status == 299 && answer.body == "hi" }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			tc.fault.Times = 1
			b.sim.Inject(tc.fault)
			answer, err := b.try(b.request("POST", approve, "", with(header, "X-Sim-Nonce", "n")))
			if !tc.sees(answer, err) {
				t.Errorf("client sees %d %q, %v", answer.status, answer.body, err)
			}
			if got := b.sim.Stats().Executed["n"]; got != tc.executed {
				t.Errorf("executed = %d, want %d", got, tc.executed)
			}
			want := 409 - 209*(1-tc.executed) // approved already, or not yet
			b.want(want, "POST", approve, "", header)
		})
	}
}

func TestFaultMatching(t *testing.T) {
	tests := []struct {
		name  string
		fault monitetest.Fault
		want  string // statuses of GET payables, GET payables, GET entities, POST payables, token
	}{
		{"everything but the token", monitetest.Fault{}, "503 503 503 503 200"},
		{"token", monitetest.Fault{Path: "token"}, "200 200 200 200 503"},
		{"method", monitetest.Fault{Method: "POST"}, "200 200 200 503 200"},
		{"prefix", monitetest.Fault{Path: "/v1/pay"}, "503 503 200 503 200"},
		{"root is everything", monitetest.Fault{Path: "/"}, "503 503 503 503 503"},
		{"times", monitetest.Fault{Times: 1}, "503 200 200 200 200"},
		{"skip", monitetest.Fault{Skip: 1, Times: 2}, "200 503 503 200 200"},
		{"nonce", monitetest.Fault{Nonce: "second"}, "200 503 200 200 200"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			tc.fault.Status = 503
			b.sim.Inject(tc.fault)
			got := fmt.Sprint(
				b.do("GET", "/v1/payables", "", header).status,
				b.do("GET", "/v1/payables?sim_nonce=second", "", header).status,
				b.do("GET", "/v1/entities", "", header).status,
				b.do("POST", "/v1/payables", "{}", header).status,
				b.do("POST", "/v1/auth/token", mintBody(""), nil).status,
			)
			if got != tc.want {
				t.Errorf("statuses = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestFaultAnswerIsSentAsGiven(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.sim.Inject(monitetest.Fault{Path: "token", Status: 429, Header: map[string]string{"Retry-After": "7", "Content-Type": "text/plain"},
		Body: "slow down"})
	answer := b.want(429, "POST", "/v1/auth/token", mintBody(""), nil)
	if answer.header.Get("Retry-After") != "7" || answer.header.Get("Content-Type") != "text/plain" || answer.body != "slow down" {
		t.Errorf("answer = %v", answer)
	}
	if stats := b.sim.Stats(); stats.Mints != 0 || stats.FailedMints != 1 || stats.Requests["POST /v1/auth/token"] != 1 {
		t.Errorf("stats = %+v, want one failed mint", stats)
	}
	b.sim.ClearFaults()
	b.token("")
}

func TestTokenAnswersGoneWrong(t *testing.T) {
	tests := []struct {
		name   string
		fault  monitetest.Fault
		says   string
		usable bool
	}{
		{"expires_in 0", monitetest.Fault{Effect: monitetest.EffectTokenExpiresIn, Value: "0"}, `"expires_in":0}`, true},
		{"expires_in -1", monitetest.Fault{Effect: monitetest.EffectTokenExpiresIn, Value: "-1"}, `"expires_in":-1}`, true},
		{"expires_in text", monitetest.Fault{Effect: monitetest.EffectTokenExpiresIn, Value: `"3600"`}, `"expires_in":"3600"}`, true},
		{"expires_in huge", monitetest.Fault{Effect: monitetest.EffectTokenExpiresIn, Value: "1e300"}, `"expires_in":1e300}`, true},
		{"expires_in missing", monitetest.Fault{Effect: monitetest.EffectTokenExpiresIn}, `"token_type":"Bearer"}`, true},
		{"duplicate keys", monitetest.Fault{Effect: monitetest.EffectTokenDuplicateKeys}, `"token_type":"Basic","access_token"`, true},
		{"CR LF", monitetest.Fault{Effect: monitetest.EffectTokenCRLF}, `\r\nX-Injected: yes"`, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			tc.fault.Path, tc.fault.Times = "token", 1
			b.sim.Inject(tc.fault)
			answer := b.want(200, "POST", "/v1/auth/token", mintBody(""), nil)
			if !strings.Contains(answer.body, tc.says) {
				t.Errorf("body = %s, want it to contain %s", answer.body, tc.says)
			}
			if tc.usable {
				b.want(200, "GET", "/v1/entities", "", map[string]string{"Authorization": "Bearer " + answer.json(t)["access_token"].(string)})
			}
			if got := b.sim.Stats().Mints; got != 1 {
				t.Errorf("mints = %d, want 1", got)
			}
		})
	}
}

func TestEndlessAnswerGoesOnUntilClientLeaves(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.sim.Inject(monitetest.Fault{Path: "token", Effect: monitetest.EffectEndless})
	response, err := client.Do(b.request("POST", "/v1/auth/token", mintBody(""), nil))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyN(io.Discard, response.Body, 4<<20)
	response.Body.Close()
	if n != 4<<20 || err != nil {
		t.Errorf("read %d, %v, want 4 MiB and more to come", n, err)
	}
}

func TestHangAndStallEndWhenClientLeaves(t *testing.T) {
	for _, effect := range []monitetest.Effect{monitetest.EffectHang, monitetest.EffectStall} {
		t.Run(string(effect), func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			b.sim.Inject(monitetest.Fault{Effect: effect})
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.request("POST", "/v1/payables", "{}", header).Write(conn); err != nil {
				t.Fatal(err)
			}
			if effect == monitetest.EffectStall {
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || response.StatusCode != 200 {
					t.Fatalf("head of a stalled answer: %v, %v", response, err)
				}
			}
			if effect == monitetest.EffectHang {
				wiretest.Eventually(t, "the record", func() bool { r, ok := b.sim.LastRequest(); return ok && r.Method == "POST" })
			}
			if r, _ := b.sim.LastRequest(); r.Done {
				t.Error("the request is done already")
			}
			conn.Close()
			wiretest.Eventually(t, "the record", func() bool { r, _ := b.sim.LastRequest(); return r.Done })
		})
	}
}

func TestDelayTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := inMemory{monitetest.New(monitetest.Config{Latency: time.Second})}
		token := m.mint(mintBody(""))
		m.sim.Inject(monitetest.Fault{Delay: monitetest.Duration(5 * time.Second)})
		began := time.Now()
		if got := m.get(token).Code; got != 200 || time.Since(began) != 6*time.Second {
			t.Errorf("= %d after %v, want 200 after 6s", got, time.Since(began))
		}
	})
}

func TestFaultBeforeLeavesBodyUnread(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.sim.Inject(monitetest.Fault{Status: 401})
	b.want(401, "POST", "/v1/payables", strings.Repeat(" ", 1000)+"{}", nil)
	if r, _ := b.sim.LastRequest(); r.BodyRead || r.BodyLength != 0 || r.ContentLength != 1002 {
		t.Errorf("record = %+v, want an unread body of 1002", r)
	}
}

func TestSenselessFaultPanics(t *testing.T) {
	for _, fault := range []monitetest.Fault{
		{}, {Effect: "explode"}, {Status: 99}, {Status: 503, Times: -1}, {Status: 503, Path: "payables"},
		{Effect: monitetest.EffectDrip}, {Effect: monitetest.EffectTokenExpiresIn, Value: "x y"},
	} {
		t.Run(encode(fault), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			monitetest.New(monitetest.Config{}).Inject(fault)
		})
	}
}

func TestUnreadBodyDoesNotTurnFINIntoRST(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.sim.Inject(monitetest.Fault{Effect: monitetest.EffectFIN})
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := bytes.Repeat([]byte("x"), 100_000)
	fmt.Fprintf(conn, "POST /v1/payables HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read = %d, %v, want a clean end", n, err)
	}
}
