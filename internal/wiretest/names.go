package wiretest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a name server on loopback, port 53: a resolv.conf that is mounted over
// the system's in a mount namespace makes it the only one of a process.
type Names struct {
	ResolvConf string // file

	mu      sync.Mutex // guards answers
	answers map[string]nameAnswer
}

// nameServers counts them, so that each has an address of its own.
var nameServers atomic.Int64

type nameAnswer struct{ trouble, address, address6 string }

// NewNames skips the test where no process can be given a name server of its own.
func NewNames(t testing.TB) *Names {
	t.Helper()
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skip("unshare -m does not work here, so no process can be given a name server of its own: ", err)
	}
	names := &Names{ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), answers: map[string]nameAnswer{}}
	var conn net.PacketConn
	var address string
	for try := range 50 {
		address = fmt.Sprintf("127.53.%d.%d", os.Getpid()%250+1, (int(nameServers.Add(1))+try)%250+1)
		var err error
		if conn, err = net.ListenPacket("udp", address+":53"); err == nil {
			break
		}
		if try == 49 {
			t.Skip("no name server can listen on port 53 of loopback: ", err)
		}
	}
	if err := os.WriteFile(names.ResolvConf, []byte("nameserver "+address+"\noptions timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := names.answer(query[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() { _ = conn.Close(); running.Wait() })
	return names
}

// Set has a name lead to an IPv4 address, or into trouble.
func (f *Names) Set(name, trouble, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name+"."] = nameAnswer{trouble: trouble, address: address}
}

// SetIPv6 adds an IPv6 address.
func (f *Names) SetIPv6(name, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.answers[name+"."]
	known.address6 = address
	f.answers[name+"."] = known
}

func (f *Names) answer(query []byte) []byte {
	var message dnsmessage.Message
	if message.Unpack(query) != nil || len(message.Questions) != 1 {
		return nil
	}
	question := message.Questions[0]
	f.mu.Lock()
	known, ok := f.answers[question.Name.String()]
	f.mu.Unlock()
	message.Response, message.RecursionAvailable, message.Additionals = true, true, nil
	switch {
	case known.trouble == "silence":
		return nil
	case known.trouble == "servfail":
		message.RCode = dnsmessage.RCodeServerFailure
	case !ok, known.trouble == "nxdomain":
		message.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeAAAA && known.address6 != "":
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AAAAResource{AAAA: [16]byte(net.ParseIP(known.address6).To16())},
		}}
	case question.Type == dnsmessage.TypeA:
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(known.address).To4())},
		}}
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	return packed
}
