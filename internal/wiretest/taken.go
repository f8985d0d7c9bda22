package wiretest

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ending says what an app does once its POST is under way, and whether it then has
// the response.
type ending struct {
	name  string
	field string
	act   func(a *App, release func())
	want  bool
	// noticed: the response waits until the server knows that the app has gone.
	noticed bool
}

var endings = []ending{
	{"it sends its next request", "", func(a *App, release func()) {
		release()
		a.Want("POST", 201, "done")
		a.Say(Get("/next"))
	}, true, false},
	{"it reads and closes", "", func(a *App, release func()) {
		release()
		a.Want("POST", 201, "done")
		_ = a.Close()
	}, true, false},
	{"it reads and says that it is done", "", func(a *App, release func()) {
		release()
		a.Want("POST", 201, "done")
		_ = a.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}, true, false},
	{"it says that it is done and reads", "", func(a *App, release func()) {
		_ = a.Conn.(interface{ CloseWrite() error }).CloseWrite()
		release()
		a.Want("POST", 201, "done")
	}, true, false},
	{"it closes with the response unread", "", func(a *App, release func()) {
		release()
		leaveUnread(a)
	}, false, false},
	{"it closes before there is a response", "", func(a *App, release func()) {
		_ = a.Close()
		release()
	}, false, false},
	{"it closes long before there is a response", "", func(a *App, release func()) {
		_ = a.Close()
		release()
	}, false, true},
	{"it asks for an end, reads and closes", "Connection: close", func(a *App, release func()) {
		release()
		a.Want("POST", 201, "done")
		a.Closed()
		_ = a.Close()
	}, true, false},
	{"it asks for an end and closes with the response unread", "Connection: close", func(a *App, release func()) {
		release()
		leaveUnread(a)
	}, false, false},
	{"it asks for an end and closes before there is a response", "Connection: close", func(a *App, release func()) {
		_ = a.Close()
		release()
	}, false, false},
	{stays, "Connection: close", func(a *App, release func()) {
		release()
		a.Want("POST", 201, "done")
	}, true, false},
}

// stays is the ending that takes as long as a server waits for the app's end.
const stays = "it asks for an end and stays"

// Taken is for a server that tells whether an app has taken its response. serve
// serves until the test ends; onTaken is called in the handler, with what is to be
// called.
func Taken(t *testing.T, serve func(*testing.T, net.Listener, http.HandlerFunc), onTaken func(http.ResponseWriter, *http.Request, func(bool))) {
	ca := NewAuthority()
	for _, network := range []string{"tcp", "unix", "tls"} {
		for _, tt := range endings {
			if tt.name == stays && network != "tcp" {
				continue
			}
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				on, dial := listenOn(t, ca, network)
				release, taken := make(chan struct{}), make(chan bool, 2)
				serve(t, on, func(w http.ResponseWriter, in *http.Request) {
					if in.Method == http.MethodGet {
						return
					}
					onTaken(w, in, func(ok bool) { taken <- ok })
					if <-release; tt.noticed {
						<-in.Context().Done()
					}
					w.Header().Set("Content-Length", "4")
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, "done")
				})
				a := dial()
				fields := []string{"Content-Length: 0"}
				if tt.field != "" {
					fields = append(fields, tt.field)
				}
				a.Say(Head("POST", "/", fields...) + "\r\n")
				tt.act(a, func() { release <- struct{}{} })
				tells(t, taken, tt.want)
			})
		}
	}
}

// TakenAhead is Taken for an app that sends two requests at once, and goes with the
// responses unread: that the second one begins says nothing of the first response.
func TakenAhead(t *testing.T, serve func(*testing.T, net.Listener, http.HandlerFunc), onTaken func(http.ResponseWriter, *http.Request, func(bool))) {
	on, dial := listenOn(t, nil, "tcp")
	taken := make(chan bool, 2)
	serve(t, on, func(w http.ResponseWriter, in *http.Request) { onTaken(w, in, func(ok bool) { taken <- ok }) })
	a := dial()
	a.Say(strings.Repeat(Head("POST", "/", "Content-Length: 0")+"\r\n", 2))
	leaveUnread(a)
	for range 2 {
		select {
		case ok := <-taken:
			if ok {
				t.Error("taken = true")
			}
		case <-time.After(2 * Patience):
			t.Fatal("nobody was told")
		}
	}
}

func tells(t *testing.T, taken <-chan bool, want bool) {
	select {
	case got := <-taken:
		if got != want {
			t.Errorf("taken = %v, want %v", got, want)
		}
	case <-time.After(2 * Patience):
		t.Fatal("nobody was told")
	}
	select {
	case <-taken:
		t.Error("it was told twice")
	default:
	}
}

// listenOn opens a listener, and returns how an app connects to it.
func listenOn(t *testing.T, ca *Authority, network string) (on net.Listener, dial func() *App) {
	t.Helper()
	under, at := network, "127.0.0.1:0"
	switch network {
	case "unix":
		at = filepath.Join(t.TempDir(), "s")
	case "tls":
		under = "tcp"
	}
	on, err := net.Listen(under, at)
	if err != nil {
		t.Fatal(err)
	}
	addr := on.Addr().String()
	if network != "tls" {
		return on, func() *App { return Dial(t, under, addr) }
	}
	config := ca.Server()
	config.SessionTicketsDisabled = true // nothing comes before the response
	return tls.NewListener(on, config), func() *App {
		plain := Dial(t, under, addr)
		return NewApp(t, tls.Client(plain.Conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS13}))
	}
}

// leaveUnread waits for the beginning of the response, and closes.
func leaveUnread(a *App) {
	conn := a.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_, _ = conn.Read(make([]byte, 1)) // and no more
	_ = conn.Close()
}
