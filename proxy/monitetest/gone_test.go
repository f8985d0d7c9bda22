package monitetest

import (
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// A client that goes away in the middle of its body must not leave the request
// inside: the server could not be closed then.
func TestStallEndsWhenTheClientLeavesInTheMiddleOfItsBody(t *testing.T) {
	for name, fault := range map[string]Fault{
		"stall": {Path: "/v1/", After: true, Effect: EffectStall}, "hang": {Path: "/v1/", Effect: EffectHang},
		"hang after": {Path: "/v1/", After: true, Effect: EffectHang},
	} {
		t.Run(name, func(t *testing.T) {
			sim := New(Config{})
			sim.Inject(fault)
			server := httptest.NewServer(sim)
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "POST /v1/tags HTTP/1.1\r\nHost: x\r\nX-Monite-Version: 2024-05-25\r\nContent-Length: 100\r\n\r\n{\"name\"")
			left := make(chan struct{})
			time.AfterFunc(20*time.Millisecond, func() { // a reset, after its request was begun
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
				close(left)
			})
			<-left
			closed := make(chan struct{})
			go func() { server.Close(); close(closed) }()
			select {
			case <-closed:
			case <-time.After(10 * time.Second):
				t.Fatal("the server waits for a client that is gone")
			}
		})
	}
}
