package strict

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// reading is what a handler was given.
type reading struct {
	Method, Target, Host, Proto string
	URL                         url.URL
	Fields                      string
	Length                      int64
	Coding                      []string
	Close                       bool
	Body                        string
	BodyErr                     bool
}

func readingOf(in *http.Request) reading {
	body, err := io.ReadAll(in.Body)
	fields := maps.Clone(in.Header)
	// net/http adds a field for HTTP/1.0's caches, which here nobody is.
	if values := fields["Pragma"]; len(values) > 0 && values[0] == "no-cache" && slices.Equal(fields["Cache-Control"], []string{"no-cache"}) {
		delete(fields, "Cache-Control")
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&text, "%q: %q\n", name, fields[name])
	}
	return reading{in.Method, in.RequestURI, in.Host, in.Proto, *in.URL, text.String(), in.ContentLength, in.TransferEncoding, in.Close,
		string(body), err != nil}
}

// readings are what a server makes of the bytes, and what it answers.
func readings(said []byte, server func(http.HandlerFunc) interface{ Serve(net.Listener) error }) (all []reading, answer string) {
	script := wiretest.NewScript(said)
	pipes := wiretest.NewPipes()
	go func() {
		_ = pipes.Offer(script)
		<-script.Over()
		_ = pipes.Close()
	}()
	var mu sync.Mutex
	_ = server(func(w http.ResponseWriter, in *http.Request) {
		r := readingOf(in)
		mu.Lock()
		all = append(all, r)
		mu.Unlock()
		w.Header().Set("Content-Length", "0")
	}).Serve(pipes)
	mu.Lock()
	defer mu.Unlock()
	return all, script.Written()
}

func ours(refused *[]Violation) func(http.HandlerFunc) interface{ Serve(net.Listener) error } {
	return func(handler http.HandlerFunc) interface{ Serve(net.Listener) error } {
		return &Server{Handler: handler, Refuse: func(w http.ResponseWriter, _ *http.Request, why Violation) {
			*refused = append(*refused, why)
			w.WriteHeader(http.StatusBadRequest)
		}}
	}
}

func theirs(handler http.HandlerFunc) interface{ Serve(net.Listener) error } {
	return &http.Server{Handler: handler, DisableGeneralOptionsHandler: true, MaxHeaderBytes: 1 << 20}
}

// checkSame fails if net/http reads otherwise what ours accepts.
func checkSame(t *testing.T, said []byte) (accepted int, refused []Violation) {
	t.Helper()
	mine, _ := readings(said, ours(&refused))
	reference, _ := readings(said, theirs)
	for i, got := range mine {
		if got.BodyErr { // the connection ends with it
			if i != len(mine)-1 || len(refused) > 0 {
				t.Errorf("a request follows a broken body in %q", said)
			}
			break
		}
		if i >= len(reference) {
			t.Fatalf("request %d is accepted, and not by net/http: %q", i, said)
		}
		if want := reference[i]; fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Fatalf("request %d of %q\nours     = %#v\nnet/http = %#v", i, said, got, want)
		}
		accepted++
	}
	return accepted, refused
}

// FuzzSameAsNetHTTP holds the promise of the package: what it accepts, net/http
// reads as the same request.
func FuzzSameAsNetHTTP(f *testing.F) {
	for _, c := range refusals() {
		f.Add([]byte(c.said))
	}
	for _, said := range acceptedHeads() {
		f.Add([]byte(said))
		f.Add([]byte(said + get("/next")))
	}
	for _, body := range chunkedBodies() {
		f.Add([]byte(post("/v1/x", body.said, "Transfer-Encoding: chunked") + get("/next")))
	}
	f.Fuzz(func(t *testing.T, said []byte) { checkSame(t, said) })
}
