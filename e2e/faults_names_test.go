package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// faultNames is a name server on loopback, which a sidecar sees as the only one
// in a mount namespace of its own.
type faultNames struct {
	resolv string // a resolv.conf

	mu      sync.Mutex // guards answers
	answers map[string]faultName
}

type faultName struct{ trouble, address, address6 string }

func newNames(t *testing.T) *faultNames {
	t.Helper()
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skip("unshare -m does not work here, so the sidecar cannot be given a name server of its own: ", err)
	}
	names := &faultNames{resolv: filepath.Join(t.TempDir(), "resolv.conf"), answers: map[string]faultName{}}
	var conn net.PacketConn
	var address string
	for try := range 50 {
		address = fmt.Sprintf("127.53.%d.%d", os.Getpid()%250+1, (int(faultCounter.Add(1))+try)%250+1)
		var err error
		if conn, err = net.ListenPacket("udp", address+":53"); err == nil {
			break
		}
		if try == 49 {
			t.Skip("no name server can listen on port 53 of loopback: ", err)
		}
	}
	writeFile(t, names.resolv, "nameserver "+address+"\noptions timeout:1 attempts:1\n")
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

// set has a name lead to an IPv4 address, or into trouble.
func (f *faultNames) set(name, trouble, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name+"."] = faultName{trouble: trouble, address: address}
}

// setIPv6 adds an IPv6 address.
func (f *faultNames) setIPv6(name, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.answers[name+"."]
	known.address6 = address
	f.answers[name+"."] = known
}

func (f *faultNames) answer(query []byte) []byte {
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

// start starts a sidecar that asks this server.
func (f *faultNames) start(t *testing.T, e env) *sidecar {
	t.Helper()
	const script = `mount --bind "$1" /etc/resolv.conf && shift && exec "$@"`
	return startUnder(t, e, "unshare", "-m", "sh", "-c", script, "sh", f.resolv)
}
