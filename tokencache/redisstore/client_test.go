package redisstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// freePort is one that nobody listens on at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(wiretest.Nobody(t))
	return port
}

// leastRights is the line of docs/fleet.md.
const leastRights = "~monite-proxy:* resetchannels -@all +ping +select +evalsha +eval +time +getrange +get +set +del +pttl +pexpire +incr"

func TestLeastRightsAreEnough(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	acl := append([]any{"SETUSER", "monite-proxy", "on", ">p@ss:word"}, anyOf(strings.Fields(leastRights))...)
	do(t, on, "ACL", acl...)
	do(t, on, "ACL", "SETUSER", "default", "off")
	port := freePort(t)
	do(t, on, "CONFIG", "SET", "port", port)
	url := "redis://monite-proxy:p%40ss%3Aword@127.0.0.1:" + port
	one, other := storeOn(t, url), storeOn(t, url)
	share(t, one, "token")
	wantKind(t, other, tokencache.Question{}, tokencache.Found)
	a := wantKind(t, one, tokencache.Question{Grant: user(1)}, tokencache.Claimed)
	tell(t, one, a.Claim, tokencache.Outcome{Err: &tokencache.FetchError{Reason: tokencache.Rejected}})
	wantKind(t, other, tokencache.Question{Grant: user(1)}, tokencache.Busy)
	for name, want := range map[string]string{
		"redis://127.0.0.1:" + port:                      "NOAUTH",
		"redis://monite-proxy:wrong@127.0.0.1:" + port:   "WRONGPASS",
		"redis://monite-proxy:p%40ss%3Aword@127.0.0.1:1": "connect",
		"unix:" + socket + "2":                           "connect",
	} {
		began := time.Now()
		_, err := ask(t, storeOn(t, name), tokencache.Question{})
		if kindOf(err) != want || time.Since(began) > 900*ms {
			t.Errorf("%s: %v after %v, want %s", name, err, time.Since(began), want)
		}
	}
	do(t, on, "ACL", "SETUSER", "monite-proxy", "-set")
	_, err := ask(t, storeOn(t, url), tokencache.Question{Grant: user(2)})
	if word := kindOf(err); word != "NOPERM" && word != "ERR" {
		t.Errorf("without SET: %v", err)
	}
}

// A server that leaves out the reply to a login that fails while another reply is on its
// way (Redis from 7.2, Valkey) has each reply taken for the one before.
func TestNothingIsSentBeforeALogin(t *testing.T) {
	listener := wiretest.Loopback(t)
	first := make(chan string, 1)
	go func() {
		on, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = on.Close() }()
		buffer := make([]byte, 14)
		_, _ = io.ReadFull(on, buffer)
		first <- string(buffer)
		_, _ = io.WriteString(on, "-WRONGPASS no\r\n-ERR Protocol error: unauthenticated multibulk length\r\n")
	}()
	_, err := ask(t, storeOn(t, "redis://user:wrong@"+listener.Addr().String()), tokencache.Question{})
	if got := <-first; got != "*3\r\n$4\r\nAUTH\r\n" || kindOf(err) != "WRONGPASS" {
		t.Errorf("%q is sent first, and the error is %v, want AUTH and WRONGPASS", got, err)
	}
}

func anyOf(words []string) (all []any) {
	for _, word := range words {
		all = append(all, word)
	}
	return all
}

func TestDatabaseOfTheURL(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	port := freePort(t)
	do(t, on, "CONFIG", "SET", "port", port)
	share(t, storeOn(t, "redis://127.0.0.1:"+port+"/3"), "token")
	if n, _ := redis.Int(on.Do("DBSIZE")); n != 0 {
		t.Errorf("%d keys in database 0", n)
	}
	do(t, on, "SELECT", 3)
	if n, _ := redis.Int(on.Do("DBSIZE")); n == 0 {
		t.Error("no key in database 3")
	}
}

func TestPasswordIsAskedAtEachNewConnection(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	do(t, on, "CONFIG", "SET", "requirepass", "first")
	var password atomic.Pointer[string]
	set := func(p string) { password.Store(&p) }
	set("first")
	s := storeOn(t, "unix:"+socket, func(c *Config) { c.Password = func() secret.String { return secret.New(*password.Load()) } })
	share(t, s, "token")
	do(t, on, "CONFIG", "SET", "requirepass", "second")
	set("second")
	do(t, on, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") // as a cloud does when it ends sessions
	wantKind(t, s, tokencache.Question{}, tokencache.Found)
}

// A server that was restarted has closed what idles here; that is no failure.
func TestConnectionThatEndedIdleIsNoFailure(t *testing.T) {
	socket := realServer(t)
	s := storeOn(t, "unix:"+socket)
	share(t, s, "token")
	on := direct(t, socket)
	for range 3 {
		do(t, on, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		wantKind(t, s, tokencache.Question{}, tokencache.Found)
	}
	do(t, on, "SCRIPT", "FLUSH")
	wantKind(t, s, tokencache.Question{}, tokencache.Found)
}

func TestConnectionsAreFewAndEnd(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	s := storeOn(t, "unix:"+socket)
	share(t, s, "token")
	done := make(chan error)
	for range 50 {
		go func() {
			_, err := ask(t, s, tokencache.Question{})
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	c := s.server.(*client)
	if list, _ := redis.String(on.Do("CLIENT", "LIST")); strings.Count(list, "id=") > 1+maxConns || len(c.idle) > maxConns {
		t.Errorf("connections:\n%s", list)
	}
	for _, idle := range append([]*conn(nil), c.idle...) {
		c.expire(idle) // what the timer does
	}
	if len(c.idle) != 0 {
		t.Errorf("%d connections are kept", len(c.idle))
	}
}

// A stopped server costs a caller what the budget says, and nobody else anything.
func TestDeadlinesHold(t *testing.T) {
	listener := wiretest.Loopback(t) // takes connections and says nothing
	for _, url := range []string{"redis://" + listener.Addr().String(), "rediss://" + listener.Addr().String(),
		"redis+sentinel://" + listener.Addr().String() + "/m"} {
		c := clientOf(t, url)
		ctx, cancel := context.WithTimeout(t.Context(), 50*ms)
		began := time.Now()
		_, err := c.run(ctx, askScript, []string{"k"})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took < 45*ms || took > 500*ms {
			t.Errorf("%s: %v after %v, want a timeout after 50 ms", url, err, took)
		}
		cancel()
	}
}

func TestHostThatIsDownLeavesTheOthersTime(t *testing.T) {
	socket := realServer(t)
	port := freePort(t)
	do(t, direct(t, socket), "CONFIG", "SET", "port", port)
	share(t, storeOn(t, "redis://127.0.0.1:1,127.0.0.1:"+port), "token")
}

// A redirect is a way to make us connect elsewhere.
func TestRedirectLeadsToKnownPortsOnlyAndOnce(t *testing.T) {
	elsewhere := wiretest.Loopback(t)
	var connected atomic.Int64
	go func() {
		for {
			on, err := elsewhere.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			_ = on.Close()
		}
	}()
	for _, to := range []string{elsewhere.Addr().String(), "x", ":1", "127.0.0.1:99999", "127.0.0.1:", ""} {
		c := clientOf(t, "redis://"+hostileServer(t, "+PONG\r\n-MOVED 1 "+to+"\r\n"))
		if _, err := c.run(t.Context(), askScript, []string{"k"}); err == nil || connected.Load() != 0 {
			t.Errorf("MOVED to %q: %v, %d connections there", to, err, connected.Load())
		}
	}
	// For ever to itself: once.
	port := freePort(t)
	self := "127.0.0.1:" + port
	listener, err := net.Listen("tcp", self)
	if err != nil {
		t.Skip("the port was taken meanwhile")
	}
	defer func() { _ = listener.Close() }()
	var seen atomic.Int64
	go func() {
		for {
			on, err := listener.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			go func() {
				defer func() { _ = on.Close() }()
				_, _ = on.Read(make([]byte, 16<<10))
				_, _ = fmt.Fprintf(on, "+PONG\r\n-MOVED 1 %s\r\n", self)
				_, _ = on.Read(make([]byte, 1))
			}()
		}
	}()
	c := clientOf(t, "redis://"+self)
	if _, err := c.run(t.Context(), askScript, []string{"k"}); kindOf(err) != "MOVED" || seen.Load() != 2 {
		t.Errorf("%v after %d connections, want MOVED after 2", err, seen.Load())
	}
}

func TestTLS(t *testing.T) {
	ca, dir, port := wiretest.NewAuthority(), t.TempDir(), freePort(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	wiretest.WritePair(t, cert, key, ca.Issue())
	realServer(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	url := "rediss://127.0.0.1:" + port
	share(t, storeOn(t, url, func(c *Config) { c.RootCAs = ca.Pool() }), "token")
	wantKind(t, storeOn(t, url, func(c *Config) { c.RootCAs = ca.Pool() }), tokencache.Question{}, tokencache.Found)
	_, err := ask(t, storeOn(t, url, func(c *Config) { c.RootCAs = x509.NewCertPool() }), tokencache.Question{})
	if kindOf(err) != "tls" {
		t.Errorf("a certificate of nobody's: %v, want tls", err)
	}
	if _, err := ask(t, storeOn(t, "redis://127.0.0.1:"+port), tokencache.Question{}); err == nil {
		t.Error("without TLS it answers")
	}
}
