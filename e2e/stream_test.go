package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// simulateWith serves a simulator in which one path is answered by the test.
func simulateWith(t *testing.T, path string, handle http.HandlerFunc) (*monitetest.Simulator, string) {
	t.Helper()
	sim := monitetest.New(monitetest.Config{})
	mux := http.NewServeMux()
	mux.Handle("/", sim)
	mux.HandleFunc(path, handle)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return sim, server.URL
}

// Upstream sends the next piece only when the app has read the one before: an
// answer that is held back anywhere never ends.
func TestAnswerArrivesPieceByPiece(t *testing.T) {
	t.Parallel()
	const pieces = 20
	read := make(chan struct{})
	_, url := simulateWith(t, "/v1/payables", func(w http.ResponseWriter, r *http.Request) {
		for i := range pieces {
			_, _ = fmt.Fprintf(w, "piece %d\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-read:
			case <-r.Context().Done():
				return
			}
		}
	})
	s := start(t, defaultEnv(url)).ready()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	response, err := http.DefaultClient.Do(s.newRequest("GET", "/v1/payables", "", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for i := range pieces {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("piece %d", i) {
			t.Fatalf("line %d = %q, %v", i, lines.Text(), lines.Err())
		}
		read <- struct{}{}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the last piece: %q, %v", lines.Text(), lines.Err())
	}
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
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Data+"/v1/files", body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("answer = %d", response.StatusCode)
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

// 64 MiB each way, two at a time, pass through without being gathered.
func TestLargeBodiesPassAtFlatMemory(t *testing.T) {
	const size, atATime, limit = 64 << 20, 2, 16 << 20
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
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	before := s.peakMemory()

	for name, length := range map[string]int64{"upload with a length": size, "chunked upload": -1} {
		atOnce(atATime, func(int) {
			in := s.newRequest("POST", "/v1/files", "", "")
			in.Body, in.ContentLength, in.GetBody = io.NopCloser(pattern(size)), length, nil
			response, err := client.Do(in)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			got, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusCreated || string(got) != want {
				t.Errorf("%s: %d, digest %s, want %s", name, response.StatusCode, got, want)
			}
		})
		t.Logf("%d times %s of 64 MiB: peak memory %.1f MiB, %.1f before", atATime, name, mib(s.peakMemory()), mib(before))
	}
	atOnce(atATime, func(int) {
		response, err := client.Do(s.newRequest("GET", "/v1/files", "", ""))
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
	t.Logf("%d downloads of 64 MiB: peak memory %.1f MiB, %.1f before all", atATime, mib(s.peakMemory()), mib(before))
	if grown > limit {
		t.Errorf("the peak memory grew by %.1f MiB, want at most %.1f", mib(grown), mib(limit))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func TestMultipartUploadArrivesWhole(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	for _, size := range []int64{0, 1, 65535, 65536, 3 << 20} {
		var form bytes.Buffer
		parts := multipart.NewWriter(&form)
		_ = parts.WriteField("file_type", "payables")
		file, _ := parts.CreateFormFile("file", "rechnung.pdf")
		_, _ = io.Copy(file, pattern(size))
		_ = parts.Close()
		in := form.String()
		a := s.mustCall("POST", "/v1/files", in, "Content-Type", parts.FormDataContentType())
		var got struct {
			MD5  string `json:"md5"`
			Size int64  `json:"size"`
		}
		_ = json.Unmarshal([]byte(a.Body), &got)
		want := sum(md5.New(), pattern(size)) //nolint:gosec // see the import
		if a.Status != http.StatusCreated || got.MD5 != want || got.Size != size {
			t.Errorf("file of %d bytes: %d %s, want md5 %s", size, a.Status, a.Body, want)
		}
		seen, _ := sim.LastRequest()
		if whole := sha256.Sum256([]byte(in)); seen.BodySHA256 != hex.EncodeToString(whole[:]) || seen.ContentLength != int64(len(in)) {
			t.Errorf("file of %d bytes: upstream's body differs, or its length %d is not %d", size, seen.ContentLength, len(in))
		}
	}
}

// Upstream's redirect is absolute and would lead past the sidecar, to where the
// app has no token.
func TestRedirectLeadsBackToTheSidecar(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	a := s.mustCall("GET", "/v1/payables/?limit=2&status=draft", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)
	if got, want := a.Header.Get("Location"), "/v1/payables?limit=2&status=draft"; a.Status != http.StatusTemporaryRedirect || got != want {
		t.Errorf("answer = %d, Location %q, want 307 and %q", a.Status, got, want)
	}
	for _, method := range []string{"GET", "POST"} {
		body, path, want := "", "/v1/payables/?limit=2", http.StatusOK
		if method == "POST" { // 307 keeps the method and the body
			body, path, want = newCounterpart, "/v1/counterparts/", http.StatusCreated
		}
		response, err := http.DefaultClient.Do(s.newRequest(method, path, body, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want || response.Request.URL.Host != strings.TrimPrefix(s.Data, "http://") {
			t.Errorf("%s followed to %s: %d, want %d from the sidecar", method, response.Request.URL, response.StatusCode, want)
		}
	}
}

func TestPagingToTheEnd(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url).with("MONITE_ENTITY_ID", monitetest.DemoEntityID)).ready()
	page := func(query string) (ids []string, next string) {
		a := s.mustCall("GET", "/v1/payables?"+query, "")
		var body struct {
			Data []struct {
				ID string `json:"id"`
			} `json:"data"`
			Next string `json:"next_pagination_token"`
		}
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
			t.Fatalf("GET /v1/payables?%s = %d %s", query, a.Status, a.Body)
		}
		for _, one := range body.Data {
			ids = append(ids, one.ID)
		}
		return ids, body.Next
	}
	all, _ := page("limit=100")
	var paged []string
	pages := 0
	for ids, next := page("limit=2"); ; ids, next = page("pagination_token=" + next) {
		pages++
		paged = append(paged, ids...)
		if next == "" {
			break
		}
	}
	if pages < 3 || !slices.Equal(paged, all) {
		t.Errorf("%d pages gave %d payables, in one page there are %d: %v, %v", pages, len(paged), len(all), paged, all)
	}
}

// What the app writes is what upstream reads, byte for byte.
func TestTargetIsForwardedByteForByte(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	for _, target := range []string{
		"/v1/payables",
		"/v1/payables?",
		"/v1/payables?&&a&=&b==&",
		"/v1/payables?id__in=1&id__in=2&id__in=1",
		"/v1/payables?a=1;b=2&c=%zz&d=1",
		"/v1/payables?created_at__gte=2026-01-01T00:00:00+00:00&x=%2B%20+",
		"/v1/payables?q=%e2%82%ac&Q=%E2%82%AC&r=%C3%28",
		"/v1/payables?filter[status]=new&json={\"a\":[1]}&quote='\"<>|^`\\",
		"/v1/payables?next=https://example.com/../%2e%2e//x?y=?z",
		"/v1/payables?" + strings.Repeat("a=b&", 2000),
		"/v1/payables/%7Bid%7D/x%20y/(z)!*'@:$,~",
		"/v1/payables/" + strings.ToUpper(monitetest.DemoPayableID),
		"/v1/Payables/",
		"/v1/no_such_thing/a.b/c..d/...",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.Data, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target)
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil {
			t.Errorf("GET %s: %v", target, err)
		}
		status, _, _ := strings.Cut(string(answer), "\r\n")
		if seen, _ := sim.LastRequest(); seen.Target != target {
			t.Errorf("GET %s (answered %q): upstream saw %s", target, status, seen.Target)
		}
	}
}

// The main job, three times: as the partner, for an entity, as an entity user.
func TestAppCallsWithoutCredentials(t *testing.T) {
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
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}
