package strict

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// What the app does once its request is under way, and whether it has the response.
func TestWhetherTheAppHasTheResponse(t *testing.T) {
	t.Parallel()
	wait := func(release chan<- struct{}) { release <- struct{}{} }
	for _, tt := range []struct {
		name  string
		field string
		act   func(a *wiretest.App, release chan<- struct{})
		want  bool
	}{
		{"it sends its next request", "", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			a.Want("POST", 201, "done")
			a.Say(get("/next"))
		}, true},
		{"it reads and closes", "", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			a.Want("POST", 201, "done")
			_ = a.Close()
		}, true},
		{"it reads and says that it is done", "", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			a.Want("POST", 201, "done")
			_ = a.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}, true},
		{"it closes with the response unread", "", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			_, _ = a.Read(make([]byte, 1)) // and no more
			_ = a.Close()
		}, false},
		{"it closes before there is a response", "", func(a *wiretest.App, release chan<- struct{}) {
			_ = a.Close()
			wait(release)
		}, false},
		{"it closes long before there is a response", "", func(a *wiretest.App, release chan<- struct{}) {
			_ = a.Close()
			time.Sleep(2 * parked)
			wait(release)
		}, false},
		{"it asks for an end, reads and closes", "Connection: close", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			a.Want("POST", 201, "done")
			a.Closed()
			_ = a.Close()
		}, true},
		{"it asks for an end and closes before there is a response", "Connection: close", func(a *wiretest.App, release chan<- struct{}) {
			_ = a.Close()
			wait(release)
		}, false},
		{"it asks for an end and stays", "Connection: close", func(a *wiretest.App, release chan<- struct{}) {
			wait(release)
			a.Want("POST", 201, "done")
		}, true},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				t.Parallel() // one waits as long as a connection lingers
				release, taken := make(chan struct{}), make(chan bool, 2)
				r := serveOn(t, listenOn(t, network), func(w http.ResponseWriter, in *http.Request) {
					if in.Method == http.MethodGet {
						return
					}
					w.(interface{ OnTaken(func(bool)) }).OnTaken(func(ok bool) { taken <- ok })
					<-release
					w.Header().Set("Content-Length", "4")
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, "done")
				})
				a := r.dial()
				fields := []string{"Content-Length: 0"}
				if tt.field != "" {
					fields = append(fields, tt.field)
				}
				a.Say(post("/", "", fields...))
				tt.act(a, release)
				select {
				case got := <-taken:
					if got != tt.want {
						t.Errorf("taken = %v, want %v", got, tt.want)
					}
				case <-time.After(wiretest.Patience):
					t.Fatal("nobody was told")
				}
				select {
				case <-taken:
					t.Error("it was told twice")
				default:
				}
			})
		}
	}
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

func listenOn(t *testing.T, network string) net.Listener {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	opened, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}
