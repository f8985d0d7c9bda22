package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CPU time of the sidecar's process per request, with the guard and without,
// interleaved on the same machine.
//
//	GUARD_COST=n  requests per batch; skipped if not set
func TestGuardCostsLittle(t *testing.T) {
	batch := int(envInt(t, "GUARD_COST", 0))
	if batch == 0 {
		t.Skip("set GUARD_COST=20000 to measure")
	}
	const body = `{"amount":1250,"currency":"EUR","counterpart_id":"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee","description":"an invoice of the usual size, with a text that somebody has written"}`
	upstream := plainOrigin(t)
	write := fmt.Sprintf("POST /v1/payables HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	read := "GET /v1/payables?limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n"
	sidecars := map[string]*sidecar{
		"on":  start(t, defaultEnv(upstream)).ready(),
		"off": start(t, defaultEnv(upstream).with("MONITE_REPEAT_GUARD", "0s", "MONITE_IDEMPOTENCY_TTL", "0s")).ready(),
	}
	for name, request := range map[string]string{"write": write, "read": read} {
		micros := map[string][]float64{}
		for range 9 {
			for guard, s := range sidecars {
				before := cpuTime(t, s)
				hammer(t, s, request, batch)
				micros[guard] = append(micros[guard], float64((cpuTime(t, s)-before).Microseconds())/float64(batch))
			}
		}
		median := func(guard string) float64 {
			slices.Sort(micros[guard])
			return micros[guard][len(micros[guard])/2]
		}
		on, off := median("on"), median("off")
		t.Logf("%s: %.2f µs of CPU with the guard, %.2f without: %.3f", name, on, off, on/off)
	}
}

// plainOrigin responds to everything at once.
func plainOrigin(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	const token = `{"access_token":"cost-token-0000000000000","expires_in":7200,"token_type":"Bearer"}`
	answer := "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-Request-Id: 0123456789abcdef\r\nContent-Length: 600\r\n\r\n" + strings.Repeat("x", 600)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 16<<10)
				for {
					n, err := conn.Read(buf) // a request comes in one piece
					if err != nil {
						return
					}
					if strings.HasPrefix(string(buf[:n]), "POST /v1/auth/token") {
						_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
						continue
					}
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// hammer sends request n times over one connection.
func hammer(t *testing.T, s *sidecar, request string, n int) {
	t.Helper()
	app := dialApp(s)
	defer app.hangUp()
	for range n {
		if got := app.exchange([]byte(request), false); got.status != 201 {
			t.Fatalf("status %d, %v, %s", got.status, got.err, got.body)
		}
	}
}

// cpuTime is what the sidecar's process has used, to the nanosecond.
func cpuTime(t *testing.T, s *sidecar) (total time.Duration) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", s.cmd.Process.Pid, task.Name()))
		if err != nil {
			continue
		}
		nanoseconds, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		total += time.Duration(nanoseconds)
	}
	return total
}
