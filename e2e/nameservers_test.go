package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is one of those in the sidecar's resolv.conf. It knows one name,
// api.monite.test at 127.0.0.1, and has one trouble.
type nameServer struct {
	address string

	mu       sync.Mutex // guards all below
	trouble  string     // "": none
	address4 net.IP
	asked    map[dnsmessage.Type]int
}

func newNameServer(t *testing.T, trouble string) *nameServer {
	t.Helper()
	n := &nameServer{trouble: trouble, address4: net.IPv4(127, 0, 0, 1), asked: map[dnsmessage.Type]int{}}
	var packets net.PacketConn
	var streams net.Listener
	for try := range 50 {
		n.address = fmt.Sprintf("127.54.%d.%d", os.Getpid()%250+1, (int(faultCounter.Add(1))+try)%250+1)
		var err error
		if packets, err = net.ListenPacket("udp", n.address+":53"); err == nil {
			if streams, err = net.Listen("tcp", n.address+":53"); err == nil {
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

func (n *nameServer) now() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trouble
}

func (n *nameServer) set(trouble string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trouble = trouble
	clear(n.asked)
}

func (n *nameServer) answer(query []byte, stream bool) []byte {
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
	case n.trouble == "NXDOMAIN", name != "api.monite.test.":
		message.RCode = dnsmessage.RCodeNameError
	case n.trouble == "truncated" && !stream:
		message.Truncated = true
	case question.Type == dnsmessage.TypeA:
		message.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte(n.address4.To4())},
		}}
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// ownEtc makes a directory that the sidecar sees as /etc.
func ownEtc(t *testing.T, more string, servers ...*nameServer) string {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("NOT TESTED: only root with unshare -m can give the sidecar name servers of its own")
	}
	etc := t.TempDir()
	writeFile(t, filepath.Join(etc, "hosts"), "127.0.0.1 localhost\n")
	writeFile(t, filepath.Join(etc, "resolv.conf"), resolvConf(more, servers...))
	return etc
}

func resolvConf(more string, servers ...*nameServer) string {
	text := more
	for _, server := range servers {
		text += "nameserver " + server.address + "\n"
	}
	return text
}

func startIn(t *testing.T, etc string, e env) *sidecar {
	t.Helper()
	return startUnder(t, e, "unshare", "-m", "sh", "-c", `mount --bind "$1" /etc && shift && exec "$@"`, "sh", etc)
}

func TestNameServersInTroubleAtTheStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		troubles []string // of each name server
		conf     string
		within   time.Duration
	}{
		{"silent, then good", []string{"silent", ""}, "", 7 * time.Second},
		{"two silent, then good", []string{"silent", "silent", ""}, "", 13 * time.Second},
		{"slow", []string{"slow"}, "", 4 * time.Second},
		{"lossy", []string{"lossy"}, "", 7 * time.Second},
		{"two lossy", []string{"lossy", "lossy"}, "", 13 * time.Second},
		{"AAAA silent", []string{"AAAA silent"}, "", 2 * time.Second},
		{"AAAA silent on all of three", []string{"AAAA silent", "AAAA silent", "AAAA silent"}, "", 2 * time.Second},
		{"FORMERR, then good", []string{"FORMERR", ""}, "", 2 * time.Second},
		{"SERVFAIL, then good", []string{"SERVFAIL", ""}, "", 2 * time.Second},
		{"truncated", []string{"truncated"}, "", 2 * time.Second},
		{"a search list that is silent", []string{"search silent"}, "search a.corp.test b.corp.test\noptions ndots:5\n", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var servers []*nameServer
			for _, trouble := range tc.troubles {
				servers = append(servers, newNameServer(t, trouble))
			}
			etc := ownEtc(t, tc.conf, servers...)
			o := newOrigin(t, nil)
			began := time.Now()
			s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")).ready()
			if took := time.Since(began); took > tc.within {
				t.Errorf("ready after %v, want %v", took, tc.within)
			}
			o.cut(false)
			if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK {
				t.Errorf("status = %d, want 200: %s", a.Status, a.Body)
			}
		})
	}
}

func TestNameServersThatComeIntoTroubleLater(t *testing.T) {
	t.Parallel()
	for _, trouble := range []string{"silent", "slow", "lossy", "NXDOMAIN", "SERVFAIL", "FORMERR", "AAAA silent"} {
		t.Run(trouble, func(t *testing.T) {
			t.Parallel()
			first, second := newNameServer(t, ""), newNameServer(t, "")
			etc := ownEtc(t, "", first, second)
			o := newOrigin(t, nil)
			s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")).ready()
			s.mustCall("GET", "/v1/entities", "")
			time.Sleep(time.Second) // what was found just now would be used
			first.set(trouble)
			second.set(trouble)
			for _, method := range []string{"GET", "POST"} {
				o.cut(false)
				began := time.Now()
				if a := s.mustCall(method, "/v1/entities", ""); a.Status != http.StatusOK || time.Since(began) > time.Second {
					t.Errorf("%s: %d after %v: %s", method, a.Status, time.Since(began), a.Body)
				}
			}
			if said := strings.Contains(s.log.String(), "the addresses of an earlier lookup are used"); said != (trouble != "AAAA silent") {
				t.Errorf("said in the log: %v", said)
			}
		})
	}
}

func TestFORMERRIsNamedWithItsRemedy(t *testing.T) {
	t.Parallel()
	etc := ownEtc(t, "", newNameServer(t, "FORMERR"))
	o := newOrigin(t, nil)
	e := defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true")
	s := startIn(t, etc, e)
	s.waitFor("the remedy in the log", func() bool { return strings.Contains(s.log.String(), "GODEBUG=netedns0=0") })
	startIn(t, etc, e.with("GODEBUG", "netedns0=0")).ready()
}

// A VPN client puts a link in the place of resolv.conf. Landlock does not let us
// follow it: we go on with the name servers that we know, and say why.
func TestResolvConfBecomesALink(t *testing.T) {
	t.Parallel()
	needConfinement(t)
	server := newNameServer(t, "")
	etc, elsewhere := ownEtc(t, "", server), t.TempDir()
	o := newOrigin(t, nil)
	s := startIn(t, etc, defaultEnv(o.urlOf("api.monite.test")).with("MONITE_ALLOW_PLAINTEXT_UPSTREAM", "true", "MONITE_CONFINE", "require")).ready()
	s.mustCall("GET", "/v1/entities", "")
	writeFile(t, filepath.Join(elsewhere, "resolv.conf"), resolvConf("", server))
	link := filepath.Join(etc, "link")
	if err := os.Symlink(filepath.Join(elsewhere, "resolv.conf"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5100 * time.Millisecond) // package net looks at it every 5 s
	call := func() {
		t.Helper()
		o.cut(false)
		began := time.Now()
		if a := s.mustCall("GET", "/v1/entities", ""); a.Status != http.StatusOK || time.Since(began) > time.Second {
			t.Errorf("%d after %v: %s", a.Status, time.Since(began), a.Body)
		}
	}
	call()
	time.Sleep(1100 * time.Millisecond)
	server.set("SERVFAIL")
	call()
	s.waitFor("the cause in the log", func() bool { return strings.Contains(s.log.String(), "Landlock") })
}
