package routes

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const id = "11111111-aaaa-4aaa-8aaa-111111111111"

func parse(t testing.TB, lines string) (rules []Rule) {
	t.Helper()
	if lines == "" {
		return nil
	}
	for line := range strings.SplitSeq(lines, ", ") {
		rule, err := ParseRule(line)
		if err != nil {
			t.Fatalf("ParseRule(%q) = %v", line, err)
		}
		rules = append(rules, rule)
	}
	return rules
}

// Each row: allow, deny, then requests that pass and requests that do not.
var ruleRows = []struct{ allow, deny, pass, refused string }{
	{"", "", "GET /v1/payables, DELETE /v1/payables/" + id + ", POST /v1/nothing, GET /", "TRACE /v1/payables, get /v1/payables"},
	{"GET payables", "", "GET /v1/payables, HEAD /v1/payables, GET /v1/payables/" + id + ", GET /v1/payables/" + id +
		"/history, GET /v1/payables/, GET /v1/Payables, GET /v1/payables/" + strings.ToUpper(id),
		"POST /v1/payables, DELETE /v1/payables/" + id + ", GET /v1/receivables, GET /v1/nothing, GET /v1/payables/" + id +
			"/nothing, GET /, GET /v1, GET /v1/payables_x, GET /v1/analytics/payables, GET /v1/payable"},
	{"HEAD payables", "", "HEAD /v1/payables", "GET /v1/payables"},
	{"* *", "", "GET /v1/payables, POST /v1/nothing",
		"GET /v1/pay%C3%A1bles, GET /v1/payables/Stra%C3%9Fe, GET /v1/%e2%84%aa, GET /v1/payables/%ff"},
	{"GET *", "", "GET /v1/payables, GET /v1/nothing, HEAD /x", "POST /v1/payables, POST /v1/nothing"},
	{"* other", "", "GET /v1/nothing, POST /v1/payables/x/y/z", "GET /v1/payables, GET /v1/payables/, GET /v1/PAYABLES"},
	{"* receivables, POST /v1/payables/{payable_id}/approve_payment_operation", "DELETE *",
		"GET /v1/receivables, PATCH /v1/receivables/" + id + ", POST /v1/payables/" + id + "/approve_payment_operation",
		"DELETE /v1/receivables/" + id + ", POST /v1/payables, POST /v1/payables/" + id + "/cancel, GET /v1/payables/" + id + "/approve_payment_operation"},
	{"", "* payables", "GET /v1/receivables, GET /v1/nothing, GET /v1/payables_x, GET /v1/analytics/payables, GET /v1/accounting/payables",
		"GET /v1/payables, POST /v1/payables/, GET /v1/PAYABLES, GET /v1/%70ayables, GET /v1/%50AYABLES/, GET /v1/payables%20, " +
			"GET /v1/payables+, GET /v1/payables., GET /V1/payables, GET /payables, GET /v2/payables, " +
			"DELETE /v1/payables/" + id + ", GET /v1/payables/" + id +
			"/nothing, GET /v1/payables/x/y/z, GET /%76%31/payables, GET /v1/payables/%41, GET /v1/payables/analytics"},
	{"", "GET payables", "POST /v1/payables, DELETE /v1/payables/" + id,
		"GET /v1/payables, HEAD /v1/payables, HEAD /v1/Payables, GET /v1/payables/x/nothing"},
	{"", "HEAD payables", "GET /v1/payables", "HEAD /v1/payables"},
	{"", "POST /v1/payables/{payable_id}/approve_payment_operation",
		"POST /v1/payables/" + id + "/cancel, POST /v1/payables, GET /v1/payables/" + id + "/approve_payment_operation",
		"POST /v1/payables/" + id + "/approve_payment_operation, POST /v1/payables/" + id + "/approve_payment_operation/, POST /v1/payables/" +
			id + "/Approve_Payment_Operation, POST /v1/payables/X/%61pprove_payment_operation, " +
			"POST /v1/payables/a.b/approve_payment_operation, POST /V1/payables/x/approve_payment_operation%20, " +
			"POST /v1/payables/x/approve_p%C3%A1yment_operation, POST /v1/payables/x/appro%CC%81ve_payment_operation"},
	{"", "GET /v1/payables/analytics", "GET /v1/payables/x, GET /v1/payables",
		"GET /v1/payables/analytics, GET /v1/payables/Analytics, GET /v1/payables/analytics/, HEAD /v1/payables/%61nalytics"},
	{"", "GET /v1/payables/{payable_id}", "GET /v1/payables/analytics, GET /v1/payables",
		"GET /v1/payables/x, GET /v1/payables/Analytics, GET /v1/payables/%61nalytics"},
	{"", "* other", "GET /v1/payables, GET /v1/payables/, GET /v1/payables/" + strings.ToUpper(id) +
		", GET /v1/payables/%41+b., GET /v1/payables/X/history/",
		"GET /v1/nothing, GET /, GET /v1, GET /v1/payables/x/y/z, POST /payables, GET /v1/Payables, GET /V1/payables, GET /v1/PAYABLES/, " +
			"GET /v1/%70ayables, GET /v1/payables., GET /v1/payables/x/History, GET /v1/payables/x/hist%C3%B3ry"},
	{"", "POST other", "GET /v1/Payables, POST /v1/payables/", "POST /v1/Payables, POST /v1/nothing"},
	{"* payables", "* other", "GET /v1/payables/, POST /v1/payables", "GET /v1/Payables, GET /v1/receivables"},
	{"GET payables", "* payables", "", "GET /v1/payables, POST /v1/payables, GET /v1/receivables"},
	{"GET /v1/payables", "", "GET /v1/payables, GET /v1/payables/", "GET /v1/payables/x, POST /v1/payables"},
}

func TestRules(t *testing.T) {
	n := 0
	for _, row := range ruleRows {
		rules := Compile(parse(t, row.allow), parse(t, row.deny))
		for want, requests := range map[bool]string{true: row.pass, false: row.refused} {
			for request := range strings.SplitSeq(requests, ", ") {
				method, path, ok := strings.Cut(request, " ")
				if !ok {
					continue
				}
				n++
				if got := rules.Permits(method, path, Find(path)); got != want {
					t.Errorf("allow %q deny %q: Permits(%s) = %v, want %v", row.allow, row.deny, request, got, want)
				}
			}
		}
	}
	t.Logf("%d requests", n)
}

func TestRulesThatAreRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": errForm, "GET": errForm, "GET ": errForm, " payables": errMethod, "GET  payables": errForm, "GET payables ": errForm,
		"GET\tpayables": errForm, "GET payables receivables": errForm,
		"get payables": errMethod, "OPTIONS payables": errMethod, "** payables": errMethod, "GET,POST payables": errMethod,
		"GET payable": ErrTarget, "GET Payables": ErrTarget, "GET /v1/payables/{id}": ErrTarget, "GET /payables": ErrTarget,
		"GET /v1/payables/": ErrTarget, "GET **": ErrTarget, "GET {payable_id}": ErrTarget, "GET Other": ErrTarget,
	} {
		if _, err := ParseRule(text); !errors.Is(err, want) {
			t.Errorf("ParseRule(%q) = %v, want %v", text, err, want)
		}
	}
}

// Whatever is done to the spelling of a published path, a rule that denies the
// path denies it, and so does one that denies what is not published.
func FuzzDenyHoldsInEverySpelling(f *testing.F) {
	for i := range 8 {
		f.Add(uint16(i*37), uint64(0x9e3779b97f4a7c15)<<i, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, index uint16, spelling uint64, slash bool) {
		route := Published[int(index)%len(Published)]
		path := ""
		for segment := range strings.SplitSeq(route.Template[1:], "/") {
			path += "/"
			for _, c := range []byte(segment) {
				switch spelling = spelling>>2 | spelling<<62; {
				case strings.HasPrefix(segment, "{"):
					path += "X"
				case spelling&3 == 1:
					path += strings.ToUpper(string(c))
				case spelling&3 == 2:
					path += fmt.Sprintf("%%%02x", c)
				default:
					path += string(c)
				}
			}
		}
		if slash {
			path += "/"
		}
		rule := Rule{"POST", route.Template}
		if Compile(nil, []Rule{rule}).Permits("POST", path, Find(path)) {
			t.Errorf("%s passes a rule that denies %s", path, route.Template)
		}
		asPublished := Find(strings.TrimSuffix(path, "/")) != Other
		if got := Compile(nil, []Rule{{"*", unpublished}}).Permits("POST", path, Find(path)); got != asPublished {
			t.Errorf("deny other: Permits(POST %s) = %v, want %v", path, got, asPublished)
		}
	})
}
