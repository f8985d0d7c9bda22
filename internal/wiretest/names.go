package wiretest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a name server on port 53 of loopback. It knows one name, and has one
// trouble at most. A process asks it if its resolv.conf is mounted over.
type Names struct {
	Address string // of the server
	name    string // that it knows, with a dot at its end

	mu      sync.Mutex // guards all below
	trouble string
	v4, v6  net.IP // where the name leads
	asked   map[dnsmessage.Type]int
}

// nameServers counts them, so that each has an address of its own.
var nameServers atomic.Int64

// NewNames knows a name, at an IPv4 address. It skips the test if port 53 is not
// available.
func NewNames(t testing.TB, name, address string) *Names {
	t.Helper()
	n := &Names{name: name + ".", asked: map[dnsmessage.Type]int{}}
	n.Lead(address, "")
	var packets net.PacketConn
	var streams net.Listener
	for try := range 50 {
		n.Address = fmt.Sprintf("127.54.%d.%d", os.Getpid()%250+1, (int(nameServers.Add(1))+try)%250+1)
		var err error
		if packets, err = net.ListenPacket("udp", n.Address+":53"); err == nil {
			if streams, err = net.Listen("tcp", n.Address+":53"); err == nil {
				break
			}
			_ = packets.Close()
		}
		if try == 49 {
			t.Skip("NOT TESTED: no name server can listen on port 53 of loopback: ", err)
		}
	}
	var running sync.WaitGroup
	running.Go(func() {
		query := make([]byte, 1500)
		for {
			size, from, err := packets.ReadFrom(query)
			if err != nil {
				return
			}
			answer := n.answer(append([]byte(nil), query[:size]...), false)
			running.Go(func() {
				if n.now() == "slow" {
					time.Sleep(2 * time.Second)
				}
				if answer != nil {
					_, _ = packets.WriteTo(answer, from)
				}
			})
		}
	})
	running.Go(func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				var size [2]byte
				if _, err := io.ReadFull(conn, size[:]); err != nil {
					return
				}
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(conn, query); err != nil {
					return
				}
				answer := n.answer(query, true)
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) //nolint:gosec // short
			})
		}
	})
	t.Cleanup(func() { _, _ = packets.Close(), streams.Close(); running.Wait() })
	return n
}

func (n *Names) now() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trouble
}

// Trouble sets what happens from now on: nothing (""), silent, slow (two seconds),
// lossy (every other query), NXDOMAIN, SERVFAIL, FORMERR (to EDNS), truncated (but
// over TCP), AAAA silent, or search silent (below corp.test).
func (n *Names) Trouble(trouble string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trouble = trouble
	clear(n.asked)
}

// Lead leads the name to other addresses; "" is none.
func (n *Names) Lead(v4, v6 string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.v4, n.v6 = net.ParseIP(v4), net.ParseIP(v6)
}

func (n *Names) answer(query []byte, stream bool) []byte {
	var message dnsmessage.Message
	if message.Unpack(query) != nil || len(message.Questions) != 1 {
		return nil
	}
	question := message.Questions[0]
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[question.Type]++
	edns := len(message.Additionals) > 0
	message.Response, message.RecursionAvailable, message.Additionals = true, true, nil
	name := question.Name.String()
	switch {
	case n.trouble == "silent",
		n.trouble == "lossy" && n.asked[question.Type]%2 == 1,
		n.trouble == "AAAA silent" && question.Type == dnsmessage.TypeAAAA,
		n.trouble == "search silent" && strings.HasSuffix(name, ".corp.test."):
		return nil
	case n.trouble == "FORMERR" && edns:
		message.RCode = dnsmessage.RCodeFormatError
	case n.trouble == "SERVFAIL":
		message.RCode = dnsmessage.RCodeServerFailure
	case n.trouble == "NXDOMAIN", name != n.name:
		message.RCode = dnsmessage.RCodeNameError
	case n.trouble == "truncated" && !stream:
		message.Truncated = true
	case question.Type == dnsmessage.TypeA && n.v4 != nil:
		message.Answers = leadsTo(question, &dnsmessage.AResource{A: [4]byte(n.v4.To4())})
	case question.Type == dnsmessage.TypeAAAA && n.v6 != nil:
		message.Answers = leadsTo(question, &dnsmessage.AAAAResource{AAAA: [16]byte(n.v6.To16())})
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func leadsTo(question dnsmessage.Question, address dnsmessage.ResourceBody) []dnsmessage.Resource {
	return []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
		Body:   address,
	}}
}
