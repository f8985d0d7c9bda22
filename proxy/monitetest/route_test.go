package monitetest_test

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestUnpublishedPathsAndMethods(t *testing.T) {
	tests := []struct {
		name, method, target string
		status               int
		header, value        string
	}{
		{"root", "GET", "/", 404, "Content-Type", "application/json"},
		{"unknown resource", "GET", "/v1/unicorns", 404, "Content-Type", "application/json"},
		{"outside v1", "GET", "/v2/payables", 404, "", ""},
		{"below an item", "GET", "/v1/payables/" + nobody + "/unicorn", 404, "", ""},
		{"empty segment", "GET", "/v1//payables", 404, "", ""},
		{"wrong method", "PUT", "/v1/payables", 405, "Allow", "GET, POST"},
		{"head", "HEAD", "/v1/payables", 405, "Allow", "GET, POST"},
		{"wrong method at the token endpoint", "GET", "/v1/auth/token", 405, "Allow", "POST"},
	}
	b := start(t, monitetest.Config{})
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			answer := b.want(tc.status, tc.method, tc.target, "", nil)
			if tc.header != "" && answer.header.Get(tc.header) != tc.value {
				t.Errorf("%s = %q, want %q", tc.header, answer.header.Get(tc.header), tc.value)
			}
			if tc.method != "HEAD" && !strings.HasPrefix(answer.body, `{"error":{`) {
				t.Errorf("body = %s, want Monite's envelope", answer.body)
			}
		})
	}
}

func TestTrailingSlashRedirectsToRequestHost(t *testing.T) {
	b := start(t, monitetest.Config{})
	r := b.request("GET", "/v1/payables/?limit=1&b=%2F", "", nil)
	r.Host = "api.example:4711"
	answer, err := b.try(r)
	if err != nil || answer.status != 307 {
		t.Fatalf("= %d, %v, want 307", answer.status, err)
	}
	if got, want := answer.header.Get("Location"), "http://api.example:4711/v1/payables?limit=1&b=%2F"; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
}

func TestLiteralSegmentWinsOverParameter(t *testing.T) {
	b := start(t, monitetest.Config{})
	if got := b.want(200, "GET", "/v1/entity_users/me", "", b.as(monitetest.DemoViewerUserID, "")).json(t)["first_name"]; got != "Marco" {
		t.Errorf("me = %v, want Marco", got)
	}
}

// Every published operation answers something that Monite could answer; none
// fails inside.
func TestEveryOperationAnswers(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	user := b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID)
	for _, op := range monitetest.Operations() {
		method, template, _ := strings.Cut(op, " ")
		target := template
		for strings.Contains(target, "{") {
			before, rest, _ := strings.Cut(target, "{")
			name, after, _ := strings.Cut(rest, "}")
			id := nobody
			switch name {
			case "entity_id":
				id = monitetest.DemoLogisticsID
			case "counterpart_id":
				id = monitetest.DemoCounterpartID
			case "payable_id":
				id = monitetest.DemoPayableID
			}
			target = before + id + after
		}
		as := header
		if strings.Contains(template, "/entity_users/m") || op == "POST /v1/approval_policies" {
			as = user
		}
		body := ""
		if method != "GET" && method != "DELETE" {
			body = `{"name":"x"}`
		}
		answer := b.do(method, target, body, as)
		switch answer.status {
		case 200, 201, 202, 204, 404, 409:
		case 400, 422:
			if method == "GET" && !strings.Contains(answer.body, `"query"`) { // some lists want to know of what
				t.Errorf("%s = %d %s", op, answer.status, answer.body)
			}
		default:
			t.Errorf("%s = %d %s", op, answer.status, answer.body)
		}
	}
	if got := len(monitetest.Operations()); got != 386 {
		t.Errorf("operations = %d, want 386", got)
	}
}
