package e2e

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// simulateWith serves a simulator in which one path is answered by the test.
func simulateWith(t *testing.T, path string, handle http.HandlerFunc) (*monitetest.Simulator, string) {
	t.Helper()
	return simulateBehind(t, monitetest.Config{}, func(sim http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", sim)
		mux.HandleFunc(path, handle)
		return mux
	})
}

// The same the other way: the app sends the next piece only when upstream has
// the one before.
func TestUploadArrivesPieceByPiece(t *testing.T) {
	t.Parallel()
	const pieces = 20
	seen := make(chan string, pieces)
	_, url := simulateWith(t, "/v1/files", func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			seen <- lines.Text()
		}
		w.WriteHeader(http.StatusCreated)
	})
	// The guard and the replay would wait for the first 64 KiB: by them a write is known again, or is small enough to be kept.
	s := start(t, defaultEnv(url).with("MONITE_REPEAT_GUARD", "0s", "MONITE_REPLAY_BODY_BYTES", "0")).ready()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body, pipe := io.Pipe()
	go func() {
		defer func() { _ = pipe.Close() }()
		for i := range pieces {
			want := fmt.Sprintf("piece %d", i)
			_, _ = io.WriteString(pipe, want+"\n")
			select {
			case got := <-seen:
				if got != want {
					t.Errorf("upstream read %q, want %q", got, want)
				}
			case <-ctx.Done():
				t.Errorf("upstream did not get %q", want)
				return
			}
		}
	}()
	a, err := exchange(http.DefaultTransport, newRequest(ctx, http.MethodPost, s.Data+"/v1/files", body))
	if err != nil || a.Status != http.StatusCreated {
		t.Errorf("answer = %d, %v", a.Status, err)
	}
}

// noise has a length that no buffer has: a piece that is lost, doubled or in
// the wrong place changes the sum.
var noise = func() []byte {
	block := make([]byte, 65521)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(block)
	return block
}()

// pattern is n bytes of noise, the same each time.
func pattern(n int64) io.Reader { return io.LimitReader(&repeated{}, n) }

type repeated struct{ at int }

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, noise[r.at:])
	r.at = (r.at + n) % len(noise)
	return n, nil
}

func sum(h hash.Hash, r io.Reader) string {
	if _, err := io.Copy(h, r); err != nil {
		return err.Error()
	}
	return hex.EncodeToString(h.Sum(nil))
}

func crc() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// 32 MiB each way, with LONG 64, two at a time, pass through without being gathered.
func TestLargeBodiesPassAtFlatMemory(t *testing.T) {
	t.Parallel()
	size := wiretest.Sized[int64](32<<20, 64<<20)
	const atATime, limit = 2, 16 << 20
	want := sum(crc(), pattern(size))
	_, url := simulateWith(t, "/v1/files", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.Copy(w, pattern(size))
			return
		}
		got := sum(crc(), r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, got)
	})
	s := start(t, defaultEnv(url).with("MONITE_MAX_BODY_BYTES", "134217728")).ready()
	s.mustCall("POST", "/v1/files", strings.Repeat("x", 1<<20))
	before := s.peakMemory()

	for name, length := range map[string]int64{"upload with a length": size, "chunked upload": -1} {
		atOnce(atATime, func(int) {
			in := s.newRequest("POST", "/v1/files", "", "")
			in.Body, in.ContentLength, in.GetBody = io.NopCloser(pattern(size)), length, nil
			if a, err := exchange(http.DefaultTransport, in); err != nil || a.Status != http.StatusCreated || a.Body != want {
				t.Errorf("%s: %d, digest %s, want %s, %v", name, a.Status, a.Body, want, err)
			}
		})
		t.Logf("%d times %s of %.0f MiB: peak memory %.1f MiB, %.1f before", atATime, name, mib(size), mib(s.peakMemory()), mib(before))
	}
	atOnce(atATime, func(int) {
		response, err := http.DefaultTransport.RoundTrip(s.newRequest("GET", "/v1/files", "", ""))
		if err != nil {
			t.Errorf("download: %v", err)
			return
		}
		got := sum(crc(), response.Body)
		_ = response.Body.Close()
		if got != want {
			t.Errorf("download: digest %s, want %s", got, want)
		}
	})
	grown := s.peakMemory() - before
	t.Logf("%d downloads of %.0f MiB: peak memory %.1f MiB, %.1f before all", atATime, mib(size), mib(s.peakMemory()), mib(before))
	if grown > limit {
		t.Errorf("the peak memory grew by %.1f MiB, want at most %.1f", mib(grown), mib(limit))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// The main job, three times: as the partner, for an entity, as an entity user.
func TestAppCallsWithoutCredentials(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()

	partner := s.mustCall("GET", "/v1/entities", "")
	entity := s.mustCall("GET", "/v1/payables?limit=3", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)
	user := s.mustCall("GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID)
	for name, a := range map[string]answer{"partner": partner, "entity": entity, "user": user} {
		if a.Status != http.StatusOK {
			t.Errorf("%s call = %d %s", name, a.Status, a.Body)
		}
	}
	if !strings.Contains(user.Body, monitetest.DemoEntityUserID) {
		t.Errorf("the user call did not act as the user: %s", user.Body)
	}
	if got := sim.Stats().Mints; got != 2 {
		t.Errorf("mints = %d, want 2: one per grant", got)
	}
	s.signal(syscall.SIGTERM)
	s.ends(0, 5*time.Second)
}
