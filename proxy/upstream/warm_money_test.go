package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Writes with pauses between them, so that many go out on a connection that was made
// ahead, to an upstream that closes at the worst moments: connections that nobody has
// used yet, after its tickets or with them unread; in the middle of a request, of a
// response, and between two. Each write is executed at most once, never if the error
// says NotSent, and each response is the one to its own write.
//
//	WARM_WRITES=n  400 if not set, or 20,000 with LONG
func TestConnectionsMadeAheadSendEachWriteOnce(t *testing.T) { sendEachOnce(t, false) }

// The same for reads, writes and mints that share a few connections, so that most dials
// serve another request than the one that began them.
func TestSharedConnectionsSendEachRequestOnce(t *testing.T) { sendEachOnce(t, true) }

func sendEachOnce(t *testing.T, shared bool) {
	t.Parallel()
	writes := wiretest.Number(t, "WARM_WRITES", wiretest.Sized(400, 20_000))
	var mu sync.Mutex
	executed := map[string]int{}
	// Another certificate to ask for makes the server send its tickets behind our
	// Finished, where they stay unread until the first request.
	late := ca().Server()
	late.ClientAuth = tls.RequestClientCert
	o := wiretest.Listen(t, late, func(p *wiretest.Peer) {
		if rand.IntN(3) > 0 {
			_ = p.Conn.(*tls.Conn).Handshake()
		}
		for {
			var cut *time.Timer
			if d := rand.IntN(1200); d < 600 { // unused, or just as a request comes
				cut = time.AfterFunc(time.Duration(d)*time.Millisecond, func() { closeSomehow(p) })
			}
			in, body, err := p.Request()
			if cut != nil {
				cut.Stop()
			}
			if err != nil {
				return
			}
			nonce := in.Header.Get("Nonce")
			mu.Lock()
			executed[nonce]++
			mu.Unlock()
			response := okBody(nonce + body)
			switch rand.IntN(12) {
			case 0: // executed, and no word of it
				closeSomehow(p)
				return
			case 1:
				p.Say(response[:rand.IntN(len(response))])
				closeSomehow(p)
				return
			case 2:
				p.Say(strings.Replace(response, "\r\n", "\r\nConnection: close\r\n", 1))
				closeSomehow(p)
				return
			case 3: // what nobody asked for
				p.Say(response + okBody("stray"))
			default:
				p.Say(response)
			}
		}
	})
	var good, unsent, unknown, ahead atomic.Int64
	var all sync.WaitGroup
	const workers = 16
	var tr *Transport
	for worker := range workers {
		if tr == nil || !shared {
			tr = transport(t, o, trusting, func(tr *Transport) {
				tr.KeepWarm, tr.IdleTimeout, tr.MaxConnAge = time.Minute, 400*time.Millisecond, 700*time.Millisecond
				if shared {
					tr.MaxConns, tr.Reserve = 10, 2
				}
			})
		}
		tr := tr
		all.Go(func() {
			// A busy machine makes connections so slowly that most are closed unused: it takes more writes.
			for i := 0; i < writes/workers || good.Load() < int64(writes/3) && i < 10*writes/workers; i++ {
				nonce, want := fmt.Sprintf("nonce-%d-%d|", worker, i), "body"
				req, trip := newRequest(t.Context(), o, http.MethodPost, "/", mem(want), 4), tr.RoundTrip
				switch pause := rand.IntN(500); {
				case !shared:
					time.Sleep(time.Duration(pause) * time.Millisecond)
				case pause < 300:
					time.Sleep(time.Duration(pause) * time.Millisecond / 4)
					req, want = get(t, o), ""
				case pause < 350:
					trip = tr.Reserved().RoundTrip
				}
				want = nonce + want
				req.Header.Set("Nonce", nonce)
				resp, err := trip(req)
				said := ""
				if err == nil {
					var text []byte
					text, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					said = string(text)
				}
				mu.Lock()
				times := executed[nonce]
				mu.Unlock()
				var broken *Error
				switch {
				case times > 1:
					t.Errorf("%s was executed %d times", nonce, times)
				case err == nil && (said != want || times != 1):
					t.Errorf("%s was executed %d times, and its response is %q", nonce, times, said)
				case err == nil:
					good.Add(1)
				case !strings.HasPrefix(want, said):
					t.Errorf("%s: the response begins with %q", nonce, said)
				case errors.As(err, &broken) && broken.Outcome == NotSent:
					unsent.Add(1)
				default:
					unknown.Add(1)
				}
				// What was said not to be sent must not come later either.
				if broken != nil && broken.Outcome == NotSent {
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						if executed[nonce] > 0 {
							t.Errorf("%s was executed, and %v", nonce, err)
						}
					}()
				}
			}
			_, used, _ := tr.MadeAhead()
			ahead.Add(int64(used)) // of a shared one often, but only 0 counts
		})
	}
	all.Wait()
	t.Logf("%d writes: %d good, %d unknown, %d not sent; %d on a connection made ahead, %d connections",
		writes, good.Load(), unknown.Load(), unsent.Load(), ahead.Load(), o.Accepted.Load())
	if ahead.Load() == 0 || good.Load() < int64(writes/3) {
		t.Error("the test has lost its point")
	}
}

// closeSomehow ends upstream's side: with close_notify, with a bare FIN, with a reset.
func closeSomehow(p *wiretest.Peer) {
	switch rand.IntN(3) {
	case 0:
		_ = p.Conn.Close()
	case 1:
		p.Cut(false)
	default:
		p.Cut(true)
	}
}
