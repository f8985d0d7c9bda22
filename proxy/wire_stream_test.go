package proxy

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Upstream sends the next piece only when the app has seen the one before.
func TestAnswerStreamsPieceByPiece(t *testing.T) {
	seen := make(chan struct{})
	for _, length := range []string{"Transfer-Encoding: chunked", "Content-Length: 50"} {
		t.Run(length, func(t *testing.T) {
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				if _, _, err := p.Request(); err != nil {
					return
				}
				p.Say("HTTP/1.1 200 OK\r\n" + length + "\r\n\r\n")
				for i := range 5 {
					if piece := fmt.Sprintf("piece %03d\n", i); strings.HasPrefix(length, "T") {
						p.Say(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
					} else {
						p.Say(piece)
					}
					<-seen
				}
				if strings.HasPrefix(length, "T") {
					p.Say("0\r\n\r\n")
				}
			})
			r := newRig(t, o.URL)
			a := r.dial()
			a.Say(get("/v1/x"))
			response, err := http.ReadResponse(a.Reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(response.Body)
			for i := range 5 {
				if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("piece %03d\n", i) {
					t.Fatalf("%q, %v", line, err)
				}
				seen <- struct{}{}
			}
			if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
				t.Errorf("rest = %q, %v", rest, err)
			}
		})
	}
}

// The app sends the next piece only when upstream has seen the one before.
func TestBodyStreamsPieceByPiece(t *testing.T) {
	seen := make(chan string)
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		in, err := p.Head()
		if err != nil {
			return
		}
		piece := make([]byte, 9)
		for {
			if _, err := io.ReadFull(in.Body, piece); err != nil {
				break
			}
			seen <- string(piece)
		}
		p.Origin.Complete.Add(1)
		p.Say(okEmpty)
	})
	for _, framing := range []string{"chunked", "length"} {
		t.Run(framing, func(t *testing.T) {
			r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = 0 })
			a := r.dial()
			if framing == "chunked" {
				a.Say(head("POST", "/v1/x", "Transfer-Encoding: chunked") + "\r\n")
			} else {
				a.Say(head("POST", "/v1/x", "Content-Length: 45") + "\r\n")
			}
			for i := range 5 {
				piece := fmt.Sprintf("piece %03d", i)
				if framing == "chunked" {
					a.Say("9\r\n" + piece + "\r\n")
				} else {
					a.Say(piece)
				}
				if got := <-seen; got != piece {
					t.Fatalf("upstream saw %q, want %q", got, piece)
				}
			}
			if framing == "chunked" {
				a.Say("0\r\n\r\n")
			}
			a.WantStatus("POST", 200)
		})
	}
}

func TestAppGetsExactlyOneContinue(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Responding(func(in *http.Request, body string) string {
		return answer(200, "a/b", in.Header.Get("Expect")+body)
	}))
	for _, framing := range []string{"Content-Length: 3", "Transfer-Encoding: chunked"} {
		for _, limit := range []int64{0, 100} {
			r := newRig(t, o.URL, func(c *Config, _ *upstream.Transport) { c.ReplayBodyBytes = limit })
			a := r.dial()
			for range 2 {
				a.Say(head("POST", "/v1/x", "Expect: 100-continue", framing) + "\r\n")
				if line, err := a.Reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
					t.Fatalf("%s: first line %q, %v", framing, line, err)
				}
				if line, _ := a.Reader.ReadString('\n'); line != "\r\n" {
					t.Fatalf("%s: the 100 has %q", framing, line)
				}
				if strings.HasPrefix(framing, "T") {
					a.Say("3\r\nabc\r\n0\r\n\r\n")
				} else {
					a.Say("abc")
				}
				if response, body := a.WantStatus("POST", 200); body != "abc" {
					t.Errorf("%s: upstream saw Expect and body %q, %v", framing, body, response.Header)
				}
			}
		}
	}
}

// A refused request with Expect gets its answer, and no 100.
func TestRefusalComesInsteadOfContinue(t *testing.T) {
	t.Parallel()
	r := newRig(t, wiretest.Listen(t, nil, func(p *wiretest.Peer) { p.UntilCut() }).URL)
	a := r.dial()
	a.Say(head("POST", "/v1/auth/token", "Expect: 100-continue", "Content-Length: 3") + "\r\n")
	a.WantStatus("POST", http.StatusForbidden)
	a.Closed()
}

// Big bodies both ways, at once and by more than one app, in little memory.
func TestBigBodiesPassInLittleMemory(t *testing.T) {
	const size = 12 << 20
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		in, err := p.Head()
		if err != nil {
			return
		}
		hash := sha256.New()
		n, _ := io.Copy(hash, in.Body)
		p.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Sum: %d %x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", n, hash.Sum(nil), size))
		_, _ = io.Copy(p, io.LimitReader(pattern{}, size))
	})
	r := newRig(t, o.URL)
	hash := sha256.New()
	_, _ = io.Copy(hash, io.LimitReader(pattern{}, size))
	want := fmt.Sprintf("%d %x", size, hash.Sum(nil))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			in, _ := http.NewRequest("POST", r.url+"/v1/x", io.LimitReader(pattern{}, size))
			if i > 0 {
				in.ContentLength = size
			}
			response, err := r.client.Do(in)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			back := sha256.New()
			n, err := io.Copy(back, response.Body)
			if got := fmt.Sprintf("%d %x", n, back.Sum(nil)); got != want || response.Header.Get("X-Sum") != want || err != nil {
				t.Errorf("up %s, down %s, %v; want %s", response.Header.Get("X-Sum"), got, err, want)
			}
		})
	}
	all.Wait()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d MiB passed through %d KiB of new memory, want little", 6*size>>20, grown>>10)
	}
}

type pattern struct{}

var patternText = func() (block [64 << 10]byte) {
	for i := range block {
		block[i] = byte(i * 7)
	}
	return block
}()

func (pattern) Read(p []byte) (int, error) { return copy(p, patternText[:]), nil }
