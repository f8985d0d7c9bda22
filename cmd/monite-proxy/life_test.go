package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/named"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// failing is a server that serves nobody and fails when it may.
type failing struct{ may func() }

func (f failing) Serve(net.Listener) error {
	f.may()
	return errors.New("failed on purpose")
}

func (f failing) Shutdown(context.Context) error { return nil }
func (f failing) Close() error                   { return nil }

// onMessage calls do at the first line of the log that has text.
type onMessage struct {
	text string
	do   func()
}

func (m onMessage) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(m.text)) {
		m.do()
	}
	return len(line), nil
}

// All listeners fail together, as they do when descriptors run out. One failure
// ends the process; nobody reads of the others, and none may wait for that: the
// end waits for all who serve.
func TestEndDoesNotWaitForFailuresThatNobodyReads(t *testing.T) {
	for _, name := range []string{"MONITE_LISTEN_ADDR", "MONITE_ADMIN_ADDR", "MONITE_VEND_ADDR"} {
		t.Setenv(name, "127.0.0.1:0")
	}
	t.Setenv("MONITE_ALLOWED_ENTITY_USER_IDS", "*")
	t.Setenv("MONITE_SHUTDOWN_DELAY", "1s") // in it the others fail, before the drain stops them
	s, file, socket := newTestSidecar(t)
	var more strings.Builder
	for _, name := range []string{"a", "b", "c", "d"} {
		more.WriteString("  - {name: " + name + ", grant_type: client_credentials, listen_addr: \"unix:" + filepath.Join(filepath.Dir(socket),
			name) + "\"}\n")
	}
	wiretest.Must(t, os.WriteFile(file, []byte("identities:\n"+more.String()), 0o600))
	var first sync.WaitGroup // the failures of named listeners
	first.Add(4)
	s.named = named.New(named.Config{
		Settings: s.cfg, Log: zerolog.Nop(), SetPolicy: s.handler.SetPolicy, Options: s.appOptions, Reloaded: func(bool) {},
		NewServer: func(string) listen.Server { return failing{first.Done} },
	})
	if !s.named.Reload() {
		t.Fatal("the identities were not taken over")
	}
	wiretest.Must(t, s.listen())
	begun := make(chan struct{}) // the end has: run reads no more
	s.log = zerolog.New(onMessage{"listener failed", sync.OnceFunc(func() { close(begun) })})
	for _, e := range []*endpoint{&s.data, &s.admin, &s.vend} {
		e.server = failing{func() {
			<-begun
			first.Wait() // they have left as many failures as there is room for
		}}
	}
	wiretest.Returns(t, "the end", func() {
		if code := s.run(make(chan os.Signal), make(chan os.Signal)); code != exitFailure {
			t.Errorf("exit code = %d, want %d", code, exitFailure)
		}
	})
}
