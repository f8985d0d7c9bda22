package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func wantWatchEmpty(t *testing.T, w *watch) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first != nil || w.last != nil {
		t.Error("the watch holds requests that are over")
	}
}

func TestCancellationIsNoticedAtTheAgeOfPatience(t *testing.T) {
	// A request before it leaves the timer behind.
	for _, before := range []time.Duration{0, patience / 3, 2 * patience} {
		noticedAtTheAgeOfPatience(t, before)
	}
}

func noticedAtTheAgeOfPatience(t *testing.T, before time.Duration) {
	for _, after := range []time.Duration{1, time.Millisecond, patience - 1, patience, patience + 1, 10 * patience} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Transport{}
			pipes(tr, func(c net.Conn, br *bufio.Reader) {
				_, _ = http.ReadRequest(br)
				_, _ = io.WriteString(c, okEmpty)
				_, _ = io.Copy(io.Discard, br)
			})
			defer tr.CloseIdleConnections()
			mustDo(t, tr, pipeRequest("GET", nil, 0))
			time.Sleep(before)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(after, cancel)
			start := time.Now()
			_, err := tr.RoundTrip(pipeRequest("POST", nil, 0).WithContext(ctx))
			wantError(t, err, OpRead, Unknown)
			if d := time.Since(start); !errors.Is(err, context.Canceled) || d != max(after, patience) {
				t.Errorf("cancelled after %v: %v after %v", after, err, d)
			}
			wantWatchEmpty(t, &tr.watch)
		})
	}
}

// Requests begin, end and are cancelled in any order: each cancelled one is
// noticed in time.
func TestNoCancellationIsLostAmongManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		tr := &Transport{Origin: &url.URL{Scheme: "http", Host: "origin.test"}}
		tr.Dial = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			all.Go(func() {
				defer server.Close()
				for br := bufio.NewReader(server); ; {
					if _, err := http.ReadRequest(br); err != nil {
						return
					}
					time.Sleep(time.Duration(rand.IntN(5)) * patience / 2)
					if _, err := io.WriteString(server, okEmpty); err != nil {
						return
					}
				}
			})
			return client, nil
		}
		for range 400 {
			all.Go(func() {
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				after := time.Duration(rand.IntN(200)) * time.Millisecond
				time.AfterFunc(after, cancel)
				start := time.Now()
				_, err := tr.RoundTrip(pipeRequest("POST", nil, 0).WithContext(ctx))
				if d := time.Since(start); d > max(after, patience) || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled after %v: %v after %v", after, err, d)
				}
			})
		}
		time.Sleep(2 * time.Second)
		wantWatchEmpty(t, &tr.watch)
		if s := tr.Stats(); s.Open != s.Idle || s.Open == 0 {
			t.Errorf("Stats() = %+v, want some, all idle", s)
		}
		tr.CloseIdleConnections()
		all.Wait()
	})
}

// Cancellation, the watch and the end of the answer come at the same instant: a
// closing never reaches the connection's next request.
func TestCancellationAtTheEndNeverHurtsTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &Transport{}
		pipes(tr, func(c net.Conn, br *bufio.Reader) {
			for {
				req, err := http.ReadRequest(br)
				if err != nil {
					return
				}
				if req.Header.Get("Slow") != "" {
					time.Sleep(patience)
				}
				if _, err := io.WriteString(c, okBody(req.Header.Get("Nonce"))); err != nil {
					return
				}
			}
		})
		kept := 0
		for i := range 500 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(patience, cancel)
			slow := pipeRequest("POST", nil, 0).WithContext(ctx)
			slow.Header.Set("Slow", "1")
			_, _, err := do(tr, slow)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("request %d: %v", i, err)
			}
			if err == nil && tr.Stats().Idle == 1 {
				kept++
			}
			next := pipeRequest("POST", nil, 0)
			nonce := fmt.Sprint(i)
			next.Header.Set("Nonce", nonce)
			if _, body := mustDo(t, tr, next); body != nonce {
				t.Fatalf("answer to %q is %q", nonce, body)
			}
			cancel()
		}
		t.Logf("%d of 500 connections were kept", kept)
		tr.CloseIdleConnections()
	})
}

func TestCancelledExchangeNeverGivesItsConnectionBack(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	tr := transport(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := tr.RoundTrip(newRequest(ctx, o, "POST", "/", nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	cancel() // much younger than patience: nobody has noticed
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("body, err = %q, %v, want the answer that is here", body, err)
	}
	if s := tr.Stats(); s.Idle != 0 || s.Open != 0 {
		t.Errorf("Stats() = %+v, want the connection closed", s)
	}
	resp.Body.Close()
}
