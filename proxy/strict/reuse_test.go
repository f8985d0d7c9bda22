package strict

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// A field that is added to what is reused is spoilt here too.
func TestNothingIsLeftInARequestThatIsReused(t *testing.T) {
	r := new(request)
	wiretest.Spoil(r)
	r.head.method, r.answer.body = http.MethodGet, nil
	r.free()
	if left := wiretest.Left(r); !slices.Equal(left, []string{".answer.over.v"}) {
		t.Errorf("left: %v; only answer.over may be, so that whoever holds the ResponseWriter gets an error", left)
	}
	if err := r.answer.FlushError(); !errors.Is(err, errOver) {
		t.Errorf("a ResponseWriter that is held too long: %v", err)
	}
}

// The handler holds each request, so no other one can have its place in memory
// unless it is reused.
func TestOnlyReadsThatEndInOrderAreReused(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		again   bool // the connection goes on
		reused  bool
	}{
		"GET":                      {get("/"), true, true},
		"HEAD":                     {wiretest.Head("HEAD", "/") + "\r\n", true, true},
		"GET with a body":          {wiretest.Head("GET", "/", "Content-Length: 1") + "\r\nx", true, false},
		"POST":                     {post("/", "x", "Content-Length: 1"), true, false},
		"POST without a body":      {post("/", "", "Content-Length: 0"), true, false},
		"DELETE":                   {wiretest.Head("DELETE", "/") + "\r\n", true, false},
		"GET that panics":          {get("/panic"), false, false},
		"GET that is cut off":      {get("/cut"), false, false},
		"GET whose last one it is": {get("/", "Connection: close"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[*http.Request]int{}
			r := serve(t, func(w http.ResponseWriter, in *http.Request) {
				mu.Lock()
				seen[in]++
				mu.Unlock()
				switch in.URL.Path {
				case "/panic":
					panic("on purpose")
				case "/cut":
					w.Header().Set("Content-Length", "5")
					_, _ = io.WriteString(w, "two")
				}
			})
			const times = 50
			app := r.dial()
			for range times {
				app.Say(c.request)
				if c.again {
					method, _, _ := strings.Cut(c.request, " ")
					app.Want(method, 200, "")
					continue
				}
				_, _ = io.ReadAll(app.Reader)
				app = r.dial()
			}
			mu.Lock()
			defer mu.Unlock()
			// With -race a pool drops some on purpose.
			if reused := len(seen) < times; reused != c.reused {
				t.Errorf("%d requests had %d places", times, len(seen))
			}
		})
	}
}

func TestARequestFindsNothingOfALargerOneBefore(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %v %s %s %t %d %v %v %q %v",
			in.Method, in.URL, in.Header, in.Host, in.Proto, in.Close, in.ContentLength, in.TransferEncoding, in.Form, in.Pattern, w.Header())
		in.Header.Set("X-Handler", "was here")
		in.URL.RawQuery, in.Pattern, in.Form = "handler=here", "handler", map[string][]string{"handler": {"here"}}
		w.Header().Set("X-Handler", "was here")
	})
	const rest = `localhost HTTP/1.1 false 0 [] map[] "" map[]`
	app := r.dial()
	for range 20 {
		got := app.Gets(get("/large?a=b", "X-A: 1", "X-A: 2", "Accept: x", "Authorization: Bearer large"), 200,
			"GET /large?a=b map[Accept:[x] Authorization:[Bearer large] X-A:[1 2]] "+rest)
		if got.Header.Get("X-Handler") != "" {
			t.Fatal(got.Header)
		}
		app.Gets(get("/small"), 200, "GET /small map[] "+rest)
	}
}

// An idle connection gives its buffer to others. Requests come in pieces and several at
// once, so that a piece of one could be read as another's.
func TestConnectionsThatShareBuffersAreNotCrossed(t *testing.T) {
	r := serve(t, func(w http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		_, _ = fmt.Fprintf(w, "%s %s", in.URL.Path, body)
	})
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			app := r.dial()
			for range 50 {
				var text strings.Builder
				var want []string
				for i := range 1 + random.IntN(3) {
					body := strings.Repeat(fmt.Sprint(n), random.IntN(3000))
					path := fmt.Sprintf("/%d-%d", n, i)
					text.WriteString(post(path, body, fmt.Sprint("Content-Length: ", len(body))))
					want = append(want, path+" "+body)
				}
				for rest := text.String(); rest != ""; {
					piece := rest[:min(len(rest), 1+random.IntN(2500))]
					app.Say(piece)
					rest = rest[len(piece):]
				}
				for _, body := range want {
					app.Want("POST", 200, body)
				}
			}
		})
	}
	all.Wait()
}
