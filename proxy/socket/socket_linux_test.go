//go:build linux && (amd64 || arm64) && !race

package socket

import "testing"

func TestNothingOfTheCallerIsKept(t *testing.T) {
	near, far := pair(t, "tcp")
	s := Of(near).(*stream)
	if _, err := s.Write([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write([]byte("answer"))
	if _, err := s.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if s.in.p != nil || len(s.out.p) > 0 {
		t.Error("a buffer is kept")
	}
}
