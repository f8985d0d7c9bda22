package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// answer is all that a message means.
type answer struct {
	status, proto string
	code          int
	header        http.Header
	trailer       http.Header
	length        int64
	coding        []string
	closing       bool
	body          string
	used          int // bytes of the stream up to its end
	keep          bool
}

var errOracle = errors.New("refused")

// oracleHeadLimit is low enough for a fuzzer to reach.
const oracleHeadLimit = 20 << 10

// netHTTPReads is http.ReadResponse's reading of raw, with the rules that this
// package always had on top: interim answers, no 101, no other major version,
// and the lines that cost a connection.
func netHTTPReads(raw []byte, req *http.Request) (a answer, err error) {
	stream := bytes.NewReader(raw)
	limited := &io.LimitedReader{R: stream, N: oracleHeadLimit}
	br := bufio.NewReaderSize(limited, readBuffer)
	for range maxInterim + 1 {
		left := limited.N
		doubtful := oracleDoubts(raw[len(raw)-stream.Len()-br.Buffered():])
		resp, err := http.ReadResponse(br, req)
		if err != nil || resp.ProtoMajor != 1 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols || left <= 0 &&
			br.Buffered() == 0 {
			return a, errOracle
		}
		if resp.StatusCode < 200 {
			continue
		}
		limited.N = math.MaxInt64
		body, err := io.ReadAll(resp.Body)
		a = answer{
			resp.Status, resp.Proto, resp.StatusCode, resp.Header, resp.Trailer, resp.ContentLength, resp.TransferEncoding, resp.Close,
			string(body), len(raw) - stream.Len() - br.Buffered(), !doubtful && !resp.Close && resp.ProtoMinor > 0,
		}
		return a, err
	}
	return a, errOracle
}

// oracleDoubts is a plain reading of the rules by which a head costs a
// connection.
func oracleDoubts(stream []byte) (doubtful bool) {
	framing, pos := 0, 0
	for {
		n := bytes.IndexByte(stream[pos:], '\n')
		if n < 0 {
			return true
		}
		line, crlf := strings.CutSuffix(string(stream[pos:pos+n]), "\r")
		pos += n + 1
		doubtful = doubtful || !crlf
		if line == "" {
			return doubtful || framing > 1 || pos > readBuffer
		}
		name, _, _ := strings.Cut(line, ":")
		doubtful = doubtful || line[0] == ' ' || line[0] == '\t' || pos > n+1 && strings.Contains(name, " ")
		if strings.EqualFold(name, "content-length") || strings.EqualFold(name, "transfer-encoding") {
			framing++
		}
	}
}

// dripping is a Script that gives step bytes at a time.
type dripping struct {
	*wiretest.Script
	step int
}

func (c *dripping) Read(p []byte) (int, error) { return c.Script.Read(p[:min(len(p), c.step)]) }

func upstreamReads(t *testing.T, raw []byte, req *http.Request, step, size int) (answer, error) {
	nc := &dripping{wiretest.NewScript(raw), step}
	tr := &Transport{
		Origin: &url.URL{Scheme: "http", Host: "origin.test"}, MaxResponseHeaderBytes: oracleHeadLimit,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
	}
	defer tr.CloseIdleConnections()
	tr.once.Do(tr.setup)
	x := &exchange{t: tr, req: req, ctx: req.Context()}
	resp, failed := x.run()
	if failed != nil {
		return answer{}, failed
	}
	var body []byte
	var err error
	for piece := make([]byte, size); err == nil; {
		var n int
		n, err = resp.Body.Read(piece)
		body = append(body, piece[:n]...)
	}
	if resp.Body == http.NoBody || err == io.EOF {
		err = nil
	}
	used := len(raw) - nc.Left() - len(x.c.buffered())
	// What has not been received yet is for the look into the socket to find.
	if idle := tr.Stats().Idle == 1; idle != (err == nil && x.keep && len(x.c.buffered()) == 0 && x.c.readErr == nil) {
		t.Errorf("idle = %v with keep %v, %d bytes left over, errors %v, %v", idle, x.keep, len(x.c.buffered()), err, x.c.readErr)
	}
	return answer{
		resp.Status, resp.Proto, resp.StatusCode, resp.Header, resp.Trailer, resp.ContentLength, resp.TransferEncoding, resp.Close,
		string(body), used, x.keep,
	}, err
}

// stricter reports whether a message has something that http.ReadResponse takes
// and parseHead or chunks name in their comments as refused.
func stricter(raw []byte, want answer) bool {
	var lines [][]byte
	for line := range bytes.Lines(raw[:want.used]) {
		lines = append(lines, line)
		if bytes.HasPrefix(line, []byte("HTTP/1.")) && !plainEach(bytes.TrimRight(line, "\r\n")) ||
			bytes.Contains(line, []byte("\r\r\n")) { // in the reason
			return true
		}
	}
	if len(lines) > maxFields || want.used > maxExcess {
		return true
	}
	for _, line := range slices.Backward(lines) { // the trailer
		line, crlf := bytes.CutSuffix(line, []byte("\r\n"))
		if crlf && len(bytes.TrimLeft(bytes.TrimRight(line, " \t"), "0")) == 0 && len(line) > 0 {
			return false
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		if !crlf || bytes.ContainsAny(name, " \t") {
			return len(want.coding) > 0
		}
	}
	return false
}

// attacks are answers that parsers have been known to disagree on.
func attacks() []string {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n"
	var all []string
	for _, fields := range []string{
		"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 05\r\n", "Content-Length: 5, 5\r\n", "Content-Length: +5\r\n",
		"Content-Length: -5\r\n", "Content-Length: 0x5\r\n", "Content-Length: 5_0\r\n", "Content-Length: 5 5\r\n", "Content-Length:\r\n",
		"Content-Length: \t5\t \r\n",
		"Content-Length: 9223372036854775807\r\n", "Content-Length: 9223372036854775808\r\n", "Content-Length: 18446744073709551621\r\n",
		"Content-Length : 5\r\n",
		"Content-Length: 5\r\n 0\r\n", "Content-Length:\r\n 5\r\n", "cOnTeNt-LeNgTh: 5\r\n", "Content_Length: 5\r\n", "Content-Length: 5\x00\r\n",
		"\vContent-Length: 5\r\n", " Content-Length: 5\r\n",
		chunked, chunked + chunked, chunked + "Content-Length: 5\r\n", "Transfer-Encoding: CHUNKED\r\n", "Transfer-Encoding: chun\u212aed\r\n",
		"Transfer-Encoding: chunked, identity\r\n",
		"Transfer-Encoding: identity\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n",
		"Transfer-Encoding: \vchunked\r\n", "Transfer-Encoding : chunked\r\n", "Transfer-Encoding:\tchunked\t\r\n",
		"Connection: close\r\n", "Connection: x, CLOSE\r\nContent-Length: 5\r\n",
		"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 5\r\n", "Connection: closed\r\nContent-Length: 5\r\n",
		"X: a\r\n b\r\n\t c\r\nX: d\r\n", "X: a\r\n \r\n", "X:\r\n \r\n a\r\n", "X: a\r\n\x01b\r\n", "X: a\rb\r\n", "X: a\r\r\n",
		"X: a\nY: b\r\n", "no colon\r\n", ": a\r\n", "X\t: a\r\n", "X Y : a\r\n", "X\u00fc: a\r\n", "X: \u00fc\x80\xff\r\n", "X: a\x7f\r\n",
		"x-a-b-: c\r\nX--a: b\r\n1a: b\r\n", "Set-Cookie: a\r\nset-cookie: b\r\nSET-COOKIE: c\r\n", "Pragma: no-cache\r\n",
		"Pragma: no-cache\r\nCache-Control: private\r\n",
		"Trailer: X-T, y\r\n" + chunked, "Trailer: Content-Length\r\n" + chunked, "Trailer: X-T\r\nContent-Length: 5\r\n", "Trailer: ,\r\n" + chunked,
		"X: " + strings.Repeat("a", readBuffer) + "\r\n", "X: " + strings.Repeat("a", oracleHeadLimit) + "\r\n",
		strings.Repeat("A: b\r\n", maxFields), strings.Repeat("A: b\r\n", maxFields+1),
	} {
		for _, body := range []string{"hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\nX-T: 1\r\n\r\n" + ok + "\r\n"} {
			all = append(all, ok+fields+"\r\n"+body)
		}
	}
	for _, status := range []string{
		"HTTP/1.1 200\r\n", "HTTP/1.1 200 \r\n", "HTTP/1.1  200  OK  \r\n", "HTTP/1.1\t200 OK\r\n", "HTTP/1.1 200OK\r\n", "HTTP/1.1 0200 OK\r\n",
		"HTTP/1.1 +20 OK\r\n", "HTTP/1.1 -20 OK\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 099 OK\r\n", "HTTP/1.1 1000\r\n",
		"HTTP/1.7 200 OK\r\n", "HTTP/1.10 200 OK\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/0.9 200 OK\r\n", "http/1.1 200 OK\r\n",
		" HTTP/1.1 200 OK\r\n", "\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 O\x00K\r\n", "HTTP/1.1 200 O\rK\r\n",
		"HTTP/1.1 200 \u00fc\r\n", "ICY 200 OK\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", "HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\n", "HTTP/1.0 200 OK\r\n" + chunked,
		"HTTP/1.1 204 No Content\r\n", "HTTP/1.1 204 No Content\r\n" + chunked, "HTTP/1.1 304 Not Modified\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n", "HTTP/1.1 799 Odd\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ok, "HTTP/1.1 103 Early Hints\r\n\r\n" + ok,
		"HTTP/1.1 103 Early Hints\nContent-Length: 5\r\n\r\n" + ok, "HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\n" + ok,
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17) + ok,
	} {
		all = append(all, status+"\r\nhello", status+"Content-Length: 5\r\n\r\nhello", status+"Content-Length: 5\r\n\r\nhello"+okBody("evil"))
	}
	for _, body := range []string{
		"0\r\n\r\n", "0\r\n\r\nstray", "00000000000000000\r\n\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n",
		"00000000000000005\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n",
		"5\r\nhello0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n", "5\r\nhel",
		"5;a=b\r\nhello\r\n0;c\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5 \t\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
		"5;a\nb\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5\r\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
		"-5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", ";\r\nhello\r\n0\r\n\r\n", "\r\n0\r\n\r\n",
		"5;" + strings.Repeat("a", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n",
		strings.Repeat("1;"+strings.Repeat("a", 500)+"\r\nx\r\n", 60) + "0\r\n\r\n", strings.Repeat("1\r\nx\r\n", 3000) + "0\r\n\r\n",
		"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n", "8000000000000005\r\nhello\r\n0\r\n\r\n",
		"10000000000000005\r\nhello\r\n0\r\n\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
		"0\r\nX: y\r\n\r\n", "0\r\nX: y\r\nx: z\r\n\r\nstray", "0\r\nX: y\n\r\n", "0\r\nX: y\r\n z\r\n\r\n", "0\r\nX : y\r\n\r\n",
		"0\r\nno colon\r\n\r\n", "0\r\n\nX: y\r\n\r\n", "0\r\nX: \x00\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: y\n\n" + okBody("evil"),
		"0\r\nContent-Length: 5\r\n\r\n", "0\r\nX: " + strings.Repeat("a", readBuffer) + "\r\n\r\n",
		"0\r\nX: " + strings.Repeat("a", readBuffer-7) + "\r\n\r\n",
	} {
		all = append(all, ok+chunked+"\r\n"+body, ok+chunked+"Trailer: X\r\n\r\n5\r\nhello\r\n"+body)
	}
	return all
}

// sameAsNetHTTP: what is accepted means what net/http takes it to mean, and is
// never more than net/http accepts.
func sameAsNetHTTP(t *testing.T, raw []byte, method string, step, size int) {
	req := pipeRequest(method, nil, 0)
	want, wantErr := netHTTPReads(bytes.Clone(raw), req)
	got, err := upstreamReads(t, bytes.Clone(raw), req, step, size)
	switch {
	case err != nil && wantErr == nil:
		if !stricter(raw, want) {
			t.Fatalf("refused: %v; net/http reads %+v", err, want)
		}
	case err == nil && wantErr != nil:
		t.Fatalf("read %+v; net/http refuses: %v", got, wantErr)
	case err != nil:
		if got.code != 0 && !strings.HasPrefix(want.body, got.body) {
			t.Fatalf("read %q before %v, net/http reads %q", got.body, err, want.body)
		}
	default:
		if got.closing && want.header["Connection"] == nil {
			delete(got.header, "Connection") // see closes
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("read     %+v\nnet/http %+v", got, want)
		}
		for name, values := range got.header {
			if len(values) == 1 && cap(values) > 1 {
				t.Fatalf("%s: an append runs into another field", name)
			}
		}
	}
}

func TestAnswerSameAsNetHTTP(t *testing.T) {
	type cut struct{ step, size int }
	cuts := wiretest.Sized([]cut{{1, 64 << 10}, {7, 3}, {1 << 20, 3}, {1 << 20, 64 << 10}},
		[]cut{{1, 3}, {1, 64 << 10}, {7, 3}, {7, 64 << 10}, {1 << 20, 3}, {1 << 20, 64 << 10}})
	for _, raw := range attacks() {
		t.Run("", func(t *testing.T) {
			last := ""
			defer func() {
				if t.Failed() {
					t.Logf("%s: %.300q", last, raw)
				}
			}()
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for _, cut := range cuts {
					last = fmt.Sprintf("%s, %d at a time", method, cut.step)
					sameAsNetHTTP(t, []byte(raw), method, cut.step, cut.size)
				}
			}
		})
	}
}

// FuzzAnswerSameAsNetHTTP: go test -fuzz AnswerSame ./proxy/upstream
func FuzzAnswerSameAsNetHTTP(f *testing.F) {
	for i, raw := range slices.Concat(attacks(), []string{okEmpty, okBody("hello"), okBody("hello") + okBody("stray")}) {
		f.Add([]byte(raw), i%7 == 0, uint16(1<<(i%14)), uint16(1<<(i*5%14)))
	}
	f.Fuzz(func(t *testing.T, raw []byte, head bool, step, size uint16) {
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		sameAsNetHTTP(t, raw, method, int(step)+1, int(size)+1)
	})
}
