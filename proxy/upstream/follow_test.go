package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// followableRequest is a write whose round trip can be followed.
func followableRequest(ctx context.Context, o *wiretest.Origin, body io.ReadCloser, length int64) *http.Request {
	return newRequest(context.WithValue(ctx, Followable{}, true), o, "POST", "/", body, length)
}

// gaveUp makes a round trip that ends before the response, and returns what can
// be followed of it.
func gaveUp(t *testing.T, tr *Transport, req *http.Request) *Error {
	t.Helper()
	resp, err := tr.RoundTrip(req) //nolint:bodyclose // none is expected
	if resp != nil {
		t.Fatal("a response came")
	}
	return wantError(t, err, OpRead, Unknown)
}

func follows(t *testing.T, rest *Rest, want string) {
	t.Helper()
	if rest == nil {
		t.Fatal("there is nothing to follow")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	resp, err := rest.Follow(ctx)
	wiretest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != want {
		t.Errorf("the body is %q, %v, want %q", body, err, want)
	}
}

// later answers once it is told to.
func later(answer string) (script func(*wiretest.Peer), release func()) {
	now := make(chan struct{})
	return func(p *wiretest.Peer) {
		for {
			if _, _, err := p.Request(); err != nil {
				return
			}
			<-now
			p.Say(answer)
		}
	}, func() { close(now) }
}

func TestWriteOfACancelledRequestIsFollowed(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(testing.TB) *tls.Config{"plain": func(testing.TB) *tls.Config { return nil },
		"tls": func(testing.TB) *tls.Config { return ca().Server() }} {
		for _, body := range []string{"", "small", strings.Repeat("large ", 50_000)} {
			for _, after := range []time.Duration{time.Millisecond, 2 * patience} {
				script, release := later(okBody("done"))
				o := wiretest.Listen(t, config(t), script)
				tr := transport(t, o, trusting)
				ctx, cancel := context.WithCancel(t.Context())
				req := followableRequest(ctx, o, nil, 0)
				if len(body) > 100 {
					req = followableRequest(ctx, o, stream(body), int64(len(body)))
				} else if body != "" {
					req = followableRequest(ctx, o, mem(body), int64(len(body)))
				}
				go func() {
					wiretest.Eventually(t, "the request is executed", func() bool { return o.Complete.Load() == 1 })
					time.AfterFunc(after, cancel)
				}()
				failed := gaveUp(t, tr, req)
				if !errors.Is(failed, context.Canceled) || failed.Timeout {
					t.Errorf("%s, %d bytes: %v", name, len(body), failed)
				}
				time.AfterFunc(patience, release)
				follows(t, failed.Rest, "done")
				if o.Complete.Load() != 1 || o.Accepted.Load() != 1 {
					t.Errorf("executed %d times on %d connections", o.Complete.Load(), o.Accepted.Load())
				}
			}
		}
	}
}

func TestWriteWhoseResponseIsLateIsFollowed(t *testing.T) {
	script, release := later(okBody("done"))
	o := wiretest.Listen(t, nil, script)
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 50 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	failed := gaveUp(t, tr, followableRequest(ctx, o, nil, 0))
	if !failed.Timeout {
		t.Errorf("%v is no timeout", failed)
	}
	time.AfterFunc(50*time.Millisecond, release)
	time.AfterFunc(10*time.Millisecond, cancel) // the app leaves meanwhile
	follows(t, failed.Rest, "done")
}

// Part of the head has come, and is not lost.
func TestHalfAHeadIsFollowed(t *testing.T) {
	t.Parallel()
	for cut := range len(okBody("done")) - len("\r\ndone") {
		more := make(chan struct{})
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			if _, _, err := p.Request(); err != nil {
				return
			}
			p.Say("HTTP/1.1 103 Early Hints\r\n\r\n")
			p.Say(okBody("done")[:cut])
			<-more
			p.Say(okBody("done")[cut:])
			p.UntilCut()
		})
		tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
		failed := gaveUp(t, tr, followableRequest(t.Context(), o, nil, 0))
		close(more)
		follows(t, failed.Rest, "done")
		tr.CloseIdleConnections()
	}
}

func TestFollowedConnectionIsUsedAgain(t *testing.T) {
	script, release := later(okBody("done"))
	o := wiretest.Listen(t, nil, script)
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
	failed := gaveUp(t, tr, followableRequest(t.Context(), o, nil, 0))
	release()
	follows(t, failed.Rest, "done")
	mustDo(t, tr, get(t, o))
	if o.Accepted.Load() != 1 {
		t.Errorf("%d connections", o.Accepted.Load())
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	script, release := later("")
	defer release()
	o := wiretest.Listen(t, nil, script)
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
	failed := gaveUp(t, tr, followableRequest(t.Context(), o, nil, 0))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	resp, err := failed.Rest.Follow(ctx) //nolint:bodyclose // none is expected
	if resp != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestFollowedConnectionMayBreak(t *testing.T) {
	now := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		<-now
		p.Cut(true)
	})
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
	failed := gaveUp(t, tr, followableRequest(t.Context(), o, nil, 0))
	close(now)
	_, err := failed.Rest.Follow(t.Context()) //nolint:bodyclose // none is expected
	wantError(t, err, OpRead, Unknown)
}

func TestDroppedRestClosesItsConnection(t *testing.T) {
	gone := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.UntilCut()
		close(gone)
	})
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
	gaveUp(t, tr, followableRequest(t.Context(), o, nil, 0)).Rest.Drop()
	<-gone
}

// What was not sent whole must look cut off, also to an upstream that waits.
func TestHalfARequestIsNeverFollowed(t *testing.T) {
	half, gone := make(chan struct{}), make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _ = http.ReadRequest(p.Reader)
		_, _ = io.ReadFull(p.Reader, make([]byte, 4))
		close(half)
		p.UntilCut()
		close(gone)
	})
	tr := transport(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write([]byte("half"))
		<-half
		cancel() // while the body stands still: nothing else says that this is half a request
		<-gone
		_ = w.CloseWithError(errors.New("the app has left"))
	}()
	_, err := tr.RoundTrip(followableRequest(ctx, o, r, 8)) //nolint:bodyclose // none is expected
	failed := &Error{}
	if !errors.As(err, &failed) || failed.Rest != nil || failed.Outcome != Unknown {
		t.Errorf("%v, to follow: %v", err, failed.Rest)
	}
	if failed.Rest != nil {
		failed.Rest.Drop()
	}
	<-gone
}

func TestOthersAreNotFollowed(t *testing.T) {
	script, release := later("")
	defer release()
	o := wiretest.Listen(t, nil, script)
	tr := transport(t, o, func(tr *Transport) { tr.ResponseHeaderTimeout = 30 * time.Millisecond })
	if failed := gaveUp(t, tr, get(t, o)); failed.Rest != nil {
		t.Error("a read can be followed")
	}
}

// Once the response has begun its reader decides: the end of the context changes
// nothing.
func TestBodyOfAFollowableWriteOutlivesItsContext(t *testing.T) {
	more := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.Say("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndo")
		<-more
		p.Say("ne")
	})
	tr := transport(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := tr.RoundTrip(followableRequest(ctx, o, nil, 0))
	wiretest.Must(t, err)
	defer resp.Body.Close()
	cancel()
	time.AfterFunc(patience, func() { close(more) })
	if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}
