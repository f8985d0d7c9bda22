package doctor

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// nameServersThat starts a name server for each behaviour and returns their
// addresses.
func nameServersThat(t *testing.T, behaviours []string) (addresses []string) {
	t.Helper()
	for _, behaviour := range behaviours {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		wiretest.Must(t, err)
		addresses = append(addresses, conn.LocalAddr().String())
		if behaviour == "gone" {
			_ = conn.Close()
			continue
		}
		t.Cleanup(func() { _ = conn.Close() })
		go serveNames(conn, behaviour)
	}
	return addresses
}

func serveNames(conn net.PacketConn, behaviour string) {
	buffer, seen := make([]byte, 4096), 0
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		seen++
		if behaviour == "loses the first of each" && seen <= 2 {
			continue
		}
		if response := respond(buffer[:n], behaviour); response != nil {
			_, _ = conn.WriteTo(response, from)
		}
	}
}

func respond(query []byte, behaviour string) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	_ = p.SkipAllQuestions()
	_ = p.SkipAllAnswers()
	_ = p.SkipAllAuthorities()
	additional, _ := p.AllAdditionals()
	header.Response = true
	answers := question.Type == dnsmessage.TypeA
	switch behaviour {
	case "silent":
		return nil
	case "AAAA silent":
		if question.Type == dnsmessage.TypeAAAA {
			return nil
		}
	case "no EDNS0":
		if len(additional) > 0 {
			header.RCode, answers = dnsmessage.RCodeFormatError, false
		}
	case "drops EDNS0":
		if len(additional) > 0 {
			return nil
		}
	case "EDNS0 is NOTIMP":
		if len(additional) > 0 {
			header.RCode, answers = dnsmessage.RCodeNotImplemented, false
		}
	case "NXDOMAIN":
		header.RCode, answers = dnsmessage.RCodeNameError, false
	case "REFUSED":
		header.RCode, answers = dnsmessage.RCodeRefused, false
	case "SERVFAIL":
		header.RCode, answers = dnsmessage.RCodeServerFailure, false
	case "empty":
		answers = false
	case "garbage":
		return []byte("HTTP/1.1 400 Bad Request\r\n\r\n")
	}
	b := dnsmessage.NewBuilder(nil, header)
	_ = b.StartQuestions()
	_ = b.Question(question)
	_ = b.StartAnswers()
	if answers {
		_ = b.AResource(dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60},
			dnsmessage.AResource{A: [4]byte{203, 0, 113, 7}})
	}
	response, _ := b.Finish()
	return response
}

// runningSidecar stands for the sidecar that runs on this host.
type runningSidecar struct {
	stranger      bool              // another program has the port
	notReady      string            // a line of /readyz
	settings      map[string]string // other values than those of the command
	app           http.HandlerFunc  // what an app gets; nil: 200
	noAdmin       bool
	noData, stale bool // only the admin listener responds; its identities are those of before
	// adminStranger: another program has the admin port.
	adminStranger bool
	unknown       int // writes
	metrics       string
	probes        []string // request ids of what was refused
}

func (r *runningSidecar) start(t *testing.T, cfg *config.Config) {
	t.Helper()
	if !r.noData {
		r.listen(t, cfg.Listen.Address, r.serveApp)
	}
	admin := "127.0.0.1:1"
	if !r.noAdmin {
		admin = r.listen(t, cfg.Admin.Address, func(w http.ResponseWriter, in *http.Request) { r.serveAdmin(w, in, cfg) })
	}
	t.Setenv("MONITE_ADMIN_ADDR", admin)
}

func (r *runningSidecar) listen(t *testing.T, address string, handler http.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	wiretest.Must(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().String()
}

func (r *runningSidecar) serveApp(w http.ResponseWriter, in *http.Request) {
	if r.stranger {
		_, _ = io.WriteString(w, "welcome")
		return
	}
	if in.URL.Path == "/v1/auth/token" {
		r.probes = append(r.probes, in.Header.Get("X-Request-Id"))
		refuse(w, http.StatusForbidden, "proxy_route_refused", "http_request_denied")
		return
	}
	if r.app != nil {
		r.app(w, in)
		return
	}
	_, _ = io.WriteString(w, `{"data":[]}`)
}

func refuse(w http.ResponseWriter, status int, kind, proxyStatus string) {
	w.Header().Set("Proxy-Status", "monite-proxy; error="+proxyStatus)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":{"type":"`+kind+`","message":"no"}}`)
}

func (r *runningSidecar) serveAdmin(w http.ResponseWriter, in *http.Request, cfg *config.Config) {
	if r.adminStranger {
		_, _ = io.WriteString(w, "welcome")
		return
	}
	if strings.HasPrefix(in.URL.Path, "/readyz") {
		if r.notReady != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "[+] configuration ok\n[-] "+r.notReady+"\n")
			return
		}
		_, _ = io.WriteString(w, "[+] configuration ok\nok\n")
		return
	}
	if in.URL.Path == "/metrics" {
		_, _ = io.WriteString(w, r.metrics)
		return
	}
	var all []map[string]string
	for _, setting := range cfg.Redacted() {
		value := setting.Value
		if other, is := r.settings[setting.Name]; is {
			value = other
		}
		all = append(all, map[string]string{"name": setting.Name, "value": value})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"configuration": all, "unknown_writes_total": r.unknown,
		"named_identities": map[string]bool{"stale": r.stale}})
}

func identitiesFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "identities.yaml")
	wiretest.Must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// lacks returns the first of the texts that is not there.
func lacks(text string, wants ...string) string {
	for _, want := range wants {
		if !strings.Contains(text, want) {
			return want
		}
	}
	return ""
}
