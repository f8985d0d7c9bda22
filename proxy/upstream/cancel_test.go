package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

var errGone = errors.New("app is gone")

// wantCancelled checks the error, and that nothing stays open.
func wantCancelled(t *testing.T, tr *Transport, err error, op Op, outcome Outcome) {
	t.Helper()
	e := wantError(t, err, op, outcome)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errGone) || e.Timeout {
		t.Errorf("err = %v, Timeout %v, want context.Canceled with its cause", e, e.Timeout)
	}
	wiretest.Eventually(t, "connection is closed", func() bool { return tr.Stats().Open == 0 })
}

func TestCancelBeforeStart(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	tr := transport(t, o)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	body := stream("x")
	_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", body, 1))
	wantCancelled(t, tr, err, OpConnLimit, NotSent)
	if n := body.closed.Load(); n != 1 {
		t.Errorf("body closed %d times, want 1", n)
	}
}

func TestCancelDuringDial(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okEmpty))
	ctx, cancel := context.WithCancelCause(t.Context())
	tr := transport(t, o, func(tr *Transport) {
		tr.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			cancel(errGone)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	wantCancelled(t, tr, err, OpDial, NotSent)
}

// The dial takes no notice, and its connection comes all the same.
func TestCancelledRequestIsNotSentWhenItsConnectionComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		far(tr)
		slow := tr.dialer.dial
		tr.dialer.dial = func(_ context.Context, network, addr string) (net.Conn, error) {
			return slow(context.Background(), network, addr)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := tr.RoundTrip(pipeRequest(http.MethodPost, nil, 0).WithContext(ctx))
		defer tr.CloseIdleConnections()
		wantError(t, err, OpConnLimit, NotSent)
		wantAtRest(t, tr, 1)
	})
}

func TestCancelDuringHandshake(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _ = p.Reader.ReadByte()
		cancel(errGone)
		p.UntilCut()
	})
	o.URL.Scheme = "https"
	tr := transport(t, o)
	_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	wantCancelled(t, tr, err, OpTLS, NotSent)
}

func TestCancelWhileWaitingForAnswer(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := make(chan struct{})
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		cancel(errGone)
		p.UntilCut()
		close(gone)
	})
	tr := transport(t, o)
	_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	wantCancelled(t, tr, err, OpRead, Unknown)
	<-gone
}

func TestCancelDuringUpload(t *testing.T) {
	for name, body := range map[string]interface {
		io.ReadCloser
	}{"writing": &endless{}, "reading": &blockedBody{closed: make(chan struct{})}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				_, _ = http.ReadRequest(p.Reader)
				cancel(errGone)
				if name == "reading" {
					p.UntilCut()
				}
				// "writing": the window fills, and stays full until the end
				<-ctx.Done()
				p.UntilCut()
			})
			tr := transport(t, o)
			_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", body, -1))
			e := wantError(t, err, err.(*Error).Op, Unknown)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want context.Canceled", e)
			}
			if b, ok := body.(*blockedBody); ok {
				<-b.closed
			}
		})
	}
}

// blockedBody blocks in Read until Close.
type blockedBody struct{ closed chan struct{} }

func (b *blockedBody) Read([]byte) (int, error) { <-b.closed; return 0, io.ErrClosedPipe }
func (b *blockedBody) Close() error             { close(b.closed); return nil }

func TestCancelWhileReadingBody(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.Say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello")
		p.UntilCut()
	})
	tr := transport(t, o)
	ctx, cancel := context.WithCancelCause(t.Context())
	resp, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	wiretest.Must(t, err)
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel(errGone)
	_, err = resp.Body.Read(make([]byte, 1))
	wantCancelled(t, tr, err, OpRead, Unknown)
	resp.Body.Close()
}

func TestCloseUnblocksRead(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _, _ = p.Request()
		p.Say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
		p.UntilCut()
	})
	tr := transport(t, o)
	resp, err := tr.RoundTrip(get(t, o))
	wiretest.Must(t, err)
	done := make(chan error)
	go func() {
		_, err := resp.Body.Read(make([]byte, 1))
		done <- err
	}()
	resp.Body.Close()
	wantError(t, <-done, OpRead, Unknown)
}

// Cancelling after the end must not hurt the connection, which by then serves
// another request.
func TestCancelAfterEndLeavesConnectionAlone(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	tr := transport(t, o)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		mustDo(t, tr, newRequest(ctx, o, "POST", "/", nil, 0))
		cancel()
	}
	if got := o.Accepted.Load(); got != 1 {
		t.Errorf("connections = %d, want 1", got)
	}
}

func TestContextDeadlineIsATimeout(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { _, _, _ = p.Request(); p.UntilCut() })
	tr := transport(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	if e := wantError(t, err, OpRead, Unknown); !e.Timeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, Timeout %v, want a time-out", e, e.Timeout)
	}
}

func TestAbortEndsWhatIsUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name, says string // by upstream, before it hangs
		followable bool
	}{
		{"before the head", "", false},
		{"a write that could be followed", "", true},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tr *Transport
			o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
				_, _, _ = p.Request()
				if p.Say(tt.says); tt.says == "" {
					tr.Abort()
				}
				p.UntilCut()
			})
			tr = transport(t, o)
			ctx := context.WithValue(t.Context(), Followable{}, tt.followable)
			resp, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
			if tt.says != "" {
				wiretest.Must(t, err)
				tr.Abort()
				if _, err = io.ReadAll(resp.Body); err == nil {
					t.Error("the body ended well")
				}
				_ = resp.Body.Close()
			} else if e := wantError(t, err, OpRead, Unknown); e.Timeout || e.Rest != nil {
				t.Errorf("err = %+v, want neither a timeout nor a rest", e)
			}
			_, err = tr.RoundTrip(newRequest(t.Context(), o, "POST", "/", nil, 0))
			wantError(t, err, OpDial, NotSent)
		})
	}
}
