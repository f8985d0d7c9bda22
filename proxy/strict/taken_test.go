package strict

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestWhetherTheAppHasTheResponse(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T, on net.Listener, handler http.HandlerFunc) { serveOn(t, on, handler) }
	onTaken := func(w http.ResponseWriter, _ *http.Request, taken func(bool)) { w.(*answer).OnTaken(taken) }
	wiretest.Taken(t, serve, onTaken)
	wiretest.TakenAhead(t, serve, onTaken)
}

func TestCutOffResponseIsNotTaken(t *testing.T) {
	taken := make(chan bool, 1)
	r := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(interface{ OnTaken(func(bool)) }).OnTaken(func(ok bool) { taken <- ok })
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "do")
		panic(http.ErrAbortHandler)
	})
	a := r.dial()
	a.Say(post("/", "", "Content-Length: 0"))
	if <-taken {
		t.Error("taken = true")
	}
}
