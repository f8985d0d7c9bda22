package wiretest

import (
	"bytes"
	"flag"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Patience is the time for which a test waits for what should happen at once.
const Patience = 15 * time.Second

// ManyAtOnce lets more of the tests that call t.Parallel run at once than there
// are processors, for a package whose tests wait more than they work. TestMain
// calls it; -parallel wins.
func ManyAtOnce(perProcessor int) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(perProcessor * runtime.GOMAXPROCS(0)))
	}
}

// Long reports whether LONG asks for the full size of what is shorter in each run:
// make long.
var Long = os.Getenv("LONG") != ""

// Sized is short in each run of the tests, and long if LONG asks for it.
func Sized[T any](short, long T) T {
	if Long {
		return long
	}
	return short
}

// Number is the size of a loop: what the variable says, or the usual one.
func Number(t testing.TB, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s = %q, want a number from 1", variable, text)
	}
	return n
}

// Must ends the test if there is an error.
func Must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// Eventually waits until done reports true: for what another goroutine, another
// process or the kernel does, where no bubble can help. It asks after each sixteenth of
// the time that it has waited, because each question may cost what it waits for.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); {
		waited := time.Since(began)
		if waited > Patience {
			t.Fatalf("gave up waiting for %s", what)
		}
		<-time.After(min(max(waited/16, 2*time.Millisecond), 100*time.Millisecond))
	}
}

// Buffer is a log that is read while it is written.
type Buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Shorten keeps the last keep bytes of a text that is more than twice as long.
func (b *Buffer) Shorten(keep int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.text.Len(); n > 2*keep {
		b.text.Next(n - keep)
	}
}

// Returns waits until do has returned.
func Returns(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(Patience):
		t.Fatalf("%s does not return", what)
	}
}
