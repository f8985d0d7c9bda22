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

func TestSocketThatWaitsHoldsNoBuffer(t *testing.T) {
	near, far := pair(t, "tcp")
	s := Of(near).(*stream)
	s.in.try = func(fd uintptr) bool {
		if s.in.read(fd) {
			return true
		}
		if s.in.p != nil {
			t.Error("a buffer is held")
		}
		_, _ = far.Write([]byte("hello")) // not before it has found nothing
		return false
	}
	if p, n, err := ReadLate(s); string(p[:n]) != "hello" || err != nil || s.in.p != nil {
		t.Errorf("read %q, %v, a buffer is held: %v", p[:n], err, s.in.p != nil)
	}
}
