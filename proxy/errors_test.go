package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

var allProblems = []*problem{
	&problemTarget, &problemHeader, &problemInvalidIdentity, &problemDuplicateIdentity, &problemBodyRead, &problemFraming, &problemExpectation,
	&problemCoding, &problemVersion, &problemAppToken, &problemEntity, &problemEntityUser, &problemBrowser, &problemRoute,
	&problemReadOnly, &problemUnknownIdentity, &problemMethod, &problemBodyTooLarge, &problemTargetTooLong, &problemHost,
	&problemHeaderTooLarge, &problemUpgrade, &problemInternal, &problemTokenRejected,
	&problemUserTokenRejected, &problemUpstreamUnreachable, &problemUpstreamName, &problemUpstreamCertificate, &problemUpstreamBroken,
	&problemTokenUnavailable, &problemTokenPaced, &problemOverloaded, &problemRateLimited, &problemDraining, &problemUpstreamTimeout,
	&problemKey, &problemRepeatID, &problemRepeat, &problemRepeatInProgress, &problemKeyInProgress, &problemResponseGone, &problemKeyReused,
	&problemKeyUnavailable,
	&problemNotForwarded, &problemRule, &problemIdentityReadOnly, &problemHandle, &problemGrant, &problemTokenRequest,
}

// contractTypes is the list of the contract, and what it does not name.
var contractTypes = map[string]int{
	"proxy_bad_request_target": 400, "proxy_invalid_identity": 400, "proxy_duplicate_identity": 400, "proxy_body_read": 400, "proxy_app_token": 401,
	"proxy_entity_not_allowed": 403, "proxy_entity_user_not_allowed": 403, "proxy_browser_refused": 403, "proxy_route_refused": 403,
	"proxy_read_only": 403, "proxy_unknown_identity": 403,
	"proxy_method_refused": 405, "proxy_body_too_large": 413, "proxy_target_too_long": 414, "proxy_host_not_allowed": 421,
	"proxy_header_too_large": 431, "proxy_upgrade_refused": 501,
	"proxy_token_rejected": 502, "proxy_upstream_unreachable": 502, "proxy_upstream_broken": 502, "proxy_token_unavailable": 503,
	"proxy_overloaded": 503, "proxy_draining": 503, "proxy_upstream_timeout": 504,
	"proxy_repeat_refused": 409, "proxy_idempotency_in_progress": 409, "proxy_idempotency_answer_gone": 409,
	"proxy_idempotency_key_reused": 422, "proxy_idempotency_unavailable": 503,
	"proxy_bad_header": 400, "proxy_internal_error": 500,
	"proxy_rate_limited": 503,
	"proxy_bad_framing":  400, "proxy_expectation_refused": 417, "proxy_coding_refused": 501, "proxy_version_refused": 505,
}

// The error types of RFC 9209 section 2.3.
var proxyStatusErrors = []string{
	"dns_timeout", "dns_error", "destination_not_found", "destination_unavailable", "destination_ip_prohibited", "destination_ip_unroutable",
	"connection_refused", "connection_terminated", "connection_timeout", "connection_read_timeout",
	"connection_write_timeout", "connection_limit_reached", "tls_protocol_error", "tls_certificate_error", "tls_alert_received",
	"http_request_error", "http_request_denied", "http_response_incomplete", "http_response_header_section_size",
	"http_response_timeout", "http_upgrade_failed", "http_protocol_error", "proxy_internal_response", "proxy_internal_error",
	"proxy_configuration_error", "proxy_loop_detected",
}

func TestProblemsAreThoseOfTheContract(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "problems.go", nil, 0)
	wiretest.Must(t, err)
	written := 0
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.CompositeLit); ok {
			if name, ok := literal.Type.(*ast.Ident); ok && name.Name == "problem" {
				written++
			}
		}
		return true
	})
	if written != len(allProblems) {
		t.Fatalf("problems.go has %d problems, this test knows %d", written, len(allProblems))
	}
	seen := map[string]bool{}
	for _, p := range allProblems {
		seen[p.kind] = true
		if want := contractTypes[p.kind]; p.status != want {
			t.Errorf("%s has status %d, want %d", p.kind, p.status, want)
		}
		for _, text := range []string{p.kind, p.message, p.hint, hintUnknown} {
			if text == "" || strings.Contains(strings.ToLower(text), "expired") || strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s: text %q", p.kind, text)
			}
		}
		if !slices.Contains(proxyStatusErrors, p.proxyStatus) {
			t.Errorf("%s: %s is no error type of RFC 9209", p.kind, p.proxyStatus)
		}
	}
	if len(seen) != len(contractTypes) {
		t.Errorf("%d types, want %d", len(seen), len(contractTypes))
	}
}

func send(op upstream.Op, outcome upstream.Outcome, timeout bool, err error) error {
	return &upstream.Error{Op: op, Outcome: outcome, Timeout: timeout, Err: err}
}

func TestClassify(t *testing.T) {
	noToken := func(grant tokencache.GrantType, reason tokencache.Reason, retry time.Duration) error {
		return &tokencache.Error{GrantType: grant, Reason: reason, RetryAfter: retry, Cause: &tokencache.FetchError{Reason: reason}}
	}
	sent, replayed, refused := call{record: Record{Sent: true}}, call{record: Record{Sent: true, Replay: "401"}},
		call{record: Record{Sent: true}, rejected: true}
	const cc, eu, not, unknown = tokencache.ClientCredentials, tokencache.EntityUser, upstream.NotSent, upstream.Unknown
	reset, refusedDial := syscall.ECONNRESET, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for i, c := range []struct {
		err     error
		state   call
		want    *problem
		outcome Outcome
		retry   string
	}{
		{noToken(cc, tokencache.Rejected, 0), call{}, &problemTokenRejected, NotSent, ""},
		{noToken(eu, tokencache.Rejected, 0), call{}, &problemUserTokenRejected, NotSent, ""},
		{noToken(cc, tokencache.Throttled, 1500*time.Millisecond), call{}, &problemTokenUnavailable, NotSent, "2"},
		{noToken(eu, tokencache.Throttled, time.Minute), call{}, &problemTokenUnavailable, NotSent, "60"},
		{noToken(cc, tokencache.Unavailable, time.Second), call{}, &problemTokenUnavailable, NotSent, "1"},
		{noToken(cc, tokencache.Malformed, time.Millisecond), call{}, &problemTokenUnavailable, NotSent, "1"},
		{noToken(cc, tokencache.TimedOut, time.Second), call{}, &problemTokenUnavailable, NotSent, "1"},
		{noToken(eu, tokencache.Full, time.Second), call{}, &problemTokenUnavailable, NotSent, "1"},
		{tokencache.ErrClosed, call{}, &problemDraining, NotSent, "1"},
		{errors.Join(errors.New("x"), tokencache.ErrClosed), call{}, &problemDraining, NotSent, "1"},
		// Trouble with the second token, after the first was refused.
		{noToken(cc, tokencache.Rejected, 0), refused, &problemTokenRejected, Rejected, ""},
		{noToken(eu, tokencache.Rejected, 0), refused, &problemUserTokenRejected, Rejected, ""},
		{noToken(cc, tokencache.Unavailable, time.Second), refused, &problemTokenUnavailable, Rejected, "1"},
		{tokencache.ErrClosed, refused, &problemDraining, Rejected, "1"},
		{send(upstream.OpDial, not, false, refusedDial), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpDial, not, true, os.ErrDeadlineExceeded), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpDial, not, false, &net.DNSError{Err: "no such host"}), sent, &problemUpstreamName, NotSent, ""},
		{send(upstream.OpDial, not, false, &net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}), sent, &problemUpstreamName, NotSent, ""},
		{send(upstream.OpTLS, not, false, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), sent,
			&problemUpstreamCertificate, NotSent, ""},
		{send(upstream.OpTLS, not, false, errors.New("handshake failure")), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpProxy, not, false, errors.New("407")), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpRequest, not, false, errors.New("field")), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpConnLimit, not, true, os.ErrDeadlineExceeded), sent, &problemOverloaded, NotSent, "1"},
		{send(upstream.OpWrite, not, false, reset), sent, &problemUpstreamUnreachable, NotSent, ""},
		{send(upstream.OpWrite, unknown, false, reset), sent, &problemUpstreamBroken, Unknown, ""},
		{send(upstream.OpWrite, unknown, true, os.ErrDeadlineExceeded), sent, &problemUpstreamTimeout, Unknown, ""},
		{send(upstream.OpBody, unknown, false, io.ErrUnexpectedEOF), sent, &problemBodyRead, Unknown, ""},
		{send(upstream.OpBody, unknown, true, os.ErrDeadlineExceeded), sent, &problemBodyRead, Unknown, ""},
		{send(upstream.OpRead, unknown, false, io.ErrUnexpectedEOF), sent, &problemUpstreamBroken, Unknown, ""},
		{send(upstream.OpRead, unknown, false, reset), sent, &problemUpstreamBroken, Unknown, ""},
		{send(upstream.OpRead, unknown, true, os.ErrDeadlineExceeded), sent, &problemUpstreamTimeout, Unknown, ""},
		// The second attempt never left: the first was refused, nothing happened.
		{send(upstream.OpDial, not, false, refusedDial), replayed, &problemUpstreamUnreachable, Rejected, ""},
		{send(upstream.OpRead, unknown, false, reset), replayed, &problemUpstreamBroken, Unknown, ""},
		{send(upstream.OpConnLimit, not, true, os.ErrDeadlineExceeded), replayed, &problemOverloaded, Rejected, "1"},
		{errors.New("panic"), call{}, &problemInternal, NotSent, ""}, {errors.New("panic"), sent, &problemInternal, Unknown, ""},
		{context.DeadlineExceeded, call{}, &problemInternal, NotSent, ""},
		{&failed{problem: &problemBodyTooLarge, outcome: Unknown}, sent, &problemBodyTooLarge, Unknown, ""},
		{send(upstream.OpBody, unknown, false, &failed{problem: &problemBodyRead, outcome: Unknown}), sent, &problemBodyRead, Unknown, ""},
	} {
		w := httptest.NewRecorder()
		at := c.state
		at.w, at.in, at.record.RequestID = w, httptest.NewRequest("GET", "/", nil), "id-1"
		f := at.classify(c.err)
		if f.problem != c.want || f.outcome != c.outcome {
			t.Errorf("%d: classify(%v) = %s %s, want %s %s", i, c.err, f.kind, f.outcome, c.want.kind, c.outcome)
		}
		at.refuse(f)
		if got := w.Header().Get("Retry-After"); got != c.retry {
			t.Errorf("%d: Retry-After = %q, want %q", i, got, c.retry)
		}
		checkOurs(t, w.Result(), w.Body.String(), c.want, c.outcome, "id-1")
	}
}

// advised are the problems whose hint may tell of the request.
var advised = map[*problem]bool{&problemTarget: true, &problemNotForwarded: true, &problemEntity: true, &problemRule: true,
	&problemIdentityReadOnly: true}

// checkOurs checks an answer made by the proxy, to the byte where it matters.
func checkOurs(t *testing.T, response *http.Response, body string, p *problem, outcome Outcome, id string) {
	t.Helper()
	checkOurHeader(t, response, p, outcome)
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	var envelope struct {
		Error     struct{ Type, Message, Hint string }
		RequestID string `json:"request_id"`
	}
	if err := decoder.Decode(&envelope); err != nil || decoder.More() {
		t.Fatalf("%s: %v in %q", p.kind, err, body)
	}
	hint := p.hint
	if outcome == Unknown {
		hint += " " + hintUnknown
	}
	if e := envelope.Error; advised[p] && e.Hint != "" {
		hint = e.Hint // it tells of the request (TestHintsSayWhatToChange)
	}
	if e := envelope.Error; e.Type != p.kind || e.Message != p.message || e.Hint != hint || id != "" && envelope.RequestID != id ||
		envelope.RequestID == "" {
		t.Errorf("%s: answer = %s", p.kind, body)
	}
	if got := response.Header.Get("X-Request-Id"); got != "" && got != envelope.RequestID {
		t.Errorf("%s: X-Request-Id = %s, request_id = %s", p.kind, got, envelope.RequestID)
	}
	if got := response.Header.Get("Content-Length"); got != strconv.Itoa(len(body)) {
		t.Errorf("%s: Content-Length = %s of %d", p.kind, got, len(body))
	}
}

func checkOurHeader(t *testing.T, response *http.Response, p *problem, outcome Outcome) {
	t.Helper()
	want := map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Proxy-Status": "monite-proxy; error=" + p.proxyStatus, "X-Monite-Proxy-Outcome": string(outcome),
	}
	if p.status == http.StatusMethodNotAllowed {
		want["Allow"] = allowedMethods
	}
	if response.StatusCode != p.status {
		t.Errorf("%s: status = %d, want %d", p.kind, response.StatusCode, p.status)
	}
	for name, value := range want {
		if got := response.Header[name]; !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %s = %q, want %q", p.kind, name, got, value)
		}
	}
	for name := range response.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s is granted", p.kind, name)
		}
	}
}

// Each hint says in one sentence what to set to what, and for whom.
func TestHintsSayWhatToChange(t *testing.T) {
	rule := func(text string) routes.Rule {
		parsed, err := routes.ParseRule(text)
		wiretest.Must(t, err)
		return parsed
	}
	r := newRig(t, wiretest.Listen(t, nil, wiretest.Answering(okEmpty)).URL, func(c *Config, _ *upstream.Transport) {
		partner := tokencache.Grant{Type: tokencache.ClientCredentials}
		c.Policy.Named = []identity.Named{
			{Name: "billing", Grant: partner, EntityID: entityA, Entities: idSet{entityA: true}, PathPrefix: "/as/billing", ByName: true,
				Rules: routes.Compile([]routes.Rule{rule("GET payables"), rule("* receivables")}, []routes.Rule{rule("DELETE *")})},
			{Name: "reports", Grant: partner, PathPrefix: "/as/reports", ReadOnly: true, ByName: true},
			{Name: "expired-accounts", Grant: partner, PathPrefix: "/as/old", ReadOnly: true},
		}
	})
	for _, row := range []struct {
		method, path string
		fields       []string
		status       int
		wants        []string
	}{
		{"GET", "/v1/payables", []string{identity.HeaderEntity, userB}, 403, []string{"MONITE_ENTITY_ID", "MONITE_ALLOWED_ENTITY_IDS"}},
		{"GET", "/as/billing/v1/payables", []string{identity.HeaderEntity, entityB}, 403, []string{"allowed_entity_ids", "billing"}},
		{"POST", "/as/billing/v1/payables", nil, 403, []string{"billing", "POST /v1/payables", "No allow rule"}},
		{"DELETE", "/as/billing/v1/receivables/" + entityA, nil, 403, []string{"billing", "DELETE /v1/receivables/{receivable_id}", `"DELETE *"`}},
		{"GET", "/v1/payables", []string{identity.HeaderName, "billing", identity.HeaderEntity, entityB}, 403, []string{"billing"}},
		{"POST", "/as/reports/v1/payables", nil, 403, []string{"reports", "read_only: false"}},
		{"POST", "/as/old/v1/payables", nil, 403, []string{"read_only: false"}},
		{"GET", "/payables", nil, 403, []string{"/v1", "http://localhost:8080/v1"}},
		{"GET", "/as/billing/payables", nil, 403, []string{"/as/billing/v1"}},
		{"GET", "/v1/M%C3%BCller", nil, 400, []string{"%C3", "offset 5"}},
		{"GET", "/v1", nil, 403, []string{"/v1"}},
		{"GET", "/graphql", nil, 403, []string{"/v1"}},
		{"POST", "/openid/connect/token", nil, 403, []string{"/v1"}},
		{"GET", "/v10/payables", nil, 403, []string{"/v1"}},
		{"GET", "/V1/payables", nil, 403, []string{"/v1"}},
		{"GET", "//v1/payables", nil, 400, []string{"Two slashes"}},
		{"GET", "/v1%2fpayables", nil, 400, []string{"%2F"}},
	} {
		response, body := r.do(row.method, row.path, "", row.fields...)
		for _, want := range row.wants {
			if response.StatusCode != row.status || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), want) {
				t.Errorf("%s %s: %d %s, want %d and %q", row.method, row.path, response.StatusCode, body, row.status, want)
			}
		}
		if strings.Contains(body, "expired") {
			t.Errorf("%s %s: %s", row.method, row.path, body)
		}
	}
	for _, id := range []string{"my-expired-request", "EXPIRED"} {
		if response, body := r.do("GET", "/payables", "", "X-Request-Id", id); saysExpired(body) || response.Header.Get("X-Request-Id") != id {
			t.Errorf("%s: %s", id, body)
		}
	}
}

// It is the entity of Monite's successor: no allow-list has seen it.
func TestOrganizationIdNeverReachesUpstream(t *testing.T) {
	for _, name := range []string{"X-Organization-Id", "x_organization_id", "X.Organization.Id", "X-Organization-Id-", "x-ORGANIZATION-id"} {
		in := &http.Request{Method: "GET", RequestURI: "/v1/x", Header: http.Header{}}
		in.Header[http.CanonicalHeaderKey(name)] = []string{"canary"}
		for field, values := range rewritten(in, entityA).Header {
			if strings.Contains(strings.Join(values, ""), "canary") {
				t.Errorf("%s reaches upstream as %s", name, field)
			}
		}
	}
}
