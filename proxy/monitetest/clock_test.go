package monitetest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestMovedClockEndsTokensAndMakesInvoicesOverdue(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	item := "/v1/receivables/" + monitetest.DemoReceivableID
	b.want(200, "POST", item+"/issue", "", header)
	b.want(200, "POST", "/_sim/clock", `{"advance":"768h"}`, nil)
	b.want(401, "GET", item, "", header)
	if got := b.want(200, "GET", item, "", b.as("", monitetest.DemoEntityID)).json(t)["status"]; got != "overdue" {
		t.Errorf("status after 32 days = %v, want overdue", got)
	}
	to := b.sim.Now().Add(time.Hour).UTC().Truncate(time.Second)
	b.want(200, "POST", "/_sim/clock", `{"now":"`+to.Format(time.RFC3339)+`"}`, nil)
	if got := b.sim.Now().Sub(to); got < 0 || got > time.Minute {
		t.Errorf("now = %v, want %v", b.sim.Now(), to)
	}
	b.want(200, "POST", "/_sim/reset", "", nil)
	if got := time.Until(b.sim.Now()); got > time.Minute {
		t.Errorf("after the reset the clock is %v ahead", got)
	}
}

// The clock stops on its way: what happens carries the time at which it was due.
func TestRecurrenceIssuesByTheClock(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	first := b.sim.Now().AddDate(0, 0, 3).UTC()
	made := b.want(200, "POST", "/v1/recurrences", encode(map[string]any{
		"invoice_id": monitetest.DemoReceivableID, "start_date": first.Format(time.DateOnly), "frequency": "week", "interval": 4, "max_occurrences": 2,
		"automation_level": "issue",
	}), header).json(t)
	b.want(200, "POST", "/_sim/clock", `{"advance":"1200h"}`, nil) // 50 days
	header = b.as("", monitetest.DemoEntityID)
	recurrence := b.want(200, "GET", "/v1/recurrences/"+made["id"].(string), "", header).json(t)
	if recurrence["status"] != "completed" {
		t.Errorf("recurrence = %v, want it completed", recurrence)
	}
	for i, iteration := range recurrence["iterations"].([]any) {
		id, _ := iteration.(map[string]any)["issued_invoice_id"].(string)
		invoice := b.want(200, "GET", "/v1/receivables/"+id, "", header).json(t)
		issued := first.AddDate(0, 0, 28*i)
		for name, want := range map[string]string{
			"issue_date": issued.Format(time.DateOnly), "due_date": issued.AddDate(0, 0, 30).Format(time.DateOnly), "status": []string{"overdue", "issued"}[i],
		} {
			if got, _ := invoice[name].(string); !strings.HasPrefix(got, want) {
				t.Errorf("invoice %d: %s = %s, want %s", i, name, got, want)
			}
		}
		if invoice["document_id"] == nil || invoice["recurrence_id"] != made["id"] {
			t.Errorf("invoice = %v, want a number, and the recurrence's id", invoice)
		}
	}
}

func TestRemindersGoOutBeforeTheEndOfEachTerm(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	reminder := func(days int) any { return map[string]any{"days_before": days, "subject": "S", "body": "B"} }
	reminders := b.want(201, "POST", "/v1/payment_reminders", encode(map[string]any{
		"name": "Each", "term_1_reminder": reminder(2), "term_2_reminder": reminder(3), "term_final_reminder": reminder(4),
	}), header).json(t)
	terms := b.want(201, "POST", "/v1/payment_terms",
		`{"name":"T","term_1":{"discount":500,"number_of_days":10},"term_2":{"discount":200,"number_of_days":20},"term_final":{"number_of_days":30}}`, header).json(t)
	item := "/v1/receivables/" + monitetest.DemoReceivableID
	b.want(200, "PATCH", item, encode(map[string]any{"invoice": map[string]any{
		"payment_terms_id": terms["id"], "payment_reminder_id": reminders["id"],
	}}), header)
	b.want(200, "POST", item+"/issue", "", header)
	issued := b.sim.Now().UTC().Truncate(24 * time.Hour)
	b.sim.Advance(29 * 24 * time.Hour)
	header = b.as("", monitetest.DemoEntityID)
	var got []string
	for _, entry := range b.want(200, "GET", item+"/history", "", header).data(t) {
		if data, _ := entry["event_data"].(map[string]any); data["term"] != nil {
			at, _ := time.Parse(time.RFC3339, entry["timestamp"].(string))
			got = append(got, fmt.Sprint(data["term"], " on day ", int(at.Sub(issued).Hours())/24))
		}
	}
	if want := "[term_1 on day 8 term_2 on day 17 term_final on day 26]"; fmt.Sprint(got) != want {
		t.Errorf("reminders = %v, want %s", got, want)
	}
}

func TestSeedRepeatsIDsWhateverHappensMeanwhile(t *testing.T) {
	id := func(seed uint64, meanwhile time.Duration) any {
		b := start(t, monitetest.Config{Seed: seed})
		header := b.as("", monitetest.DemoEntityID)
		b.want(200, "POST", "/v1/receivables/"+monitetest.DemoReceivableID+"/send", `{"subject_text":"S","body_text":"B"}`, header)
		b.sim.Advance(meanwhile)
		return b.want(201, "POST", "/v1/tags", `{"name":"x"}`, header).json(t)["id"]
	}
	if soon, late := id(1, 0), id(1, 5*time.Second); soon != late {
		t.Errorf("id = %v before the mail was sent, %v after it", soon, late)
	}
	if a, b := id(1, 0), id(1<<32+1, 0); a == b {
		t.Errorf("seeds 1 and 2^32+1 both make %v", a)
	}
}

func TestSnapshotBringsTheStateBack(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.want(200, "POST", "/_sim/snapshots", `{"name":"start"}`, nil)
	payable := "/v1/payables/" + monitetest.DemoPayableID
	for range 2 {
		b.want(204, "DELETE", payable, "", header)
		b.want(404, "GET", payable, "", header)
		b.want(200, "POST", "/_sim/snapshots/start/restore", "", nil)
		b.want(200, "GET", payable, "", header)
	}
}

func TestExportedStateCanBeTheDataOfAnother(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.want(201, "POST", "/v1/tags", `{"name":"mine"}`, header)
	b.want(200, "GET", "/v1/comments?object_type=payable&object_id="+monitetest.DemoPayableID, "", header)
	exported := b.want(200, "GET", "/_sim/state", "", nil).body
	data, err := monitetest.ParseData([]byte(exported))
	if err != nil {
		t.Fatal(err)
	}
	other := start(t, monitetest.Config{Data: data})
	if again := other.want(200, "GET", "/_sim/state", "", nil).body; len(again) < len(exported) {
		t.Errorf("state = %d bytes, want at least the %d that were exported", len(again), len(exported))
	}
	if got := other.want(200, "GET", "/v1/tags", "", other.as("", monitetest.DemoEntityID)).body; !strings.Contains(got, `"mine"`) {
		t.Errorf("tags = %s", got)
	}
	for _, bad := range []string{`[]`, `{"partner":[]}`, `{"partner":{"entities":{}}}`, `{"partner":{"entities":[1]}}`, `{`, `null`, `{} {}`} {
		if _, err := monitetest.ParseData([]byte(bad)); err == nil {
			t.Errorf("ParseData(%s) has no error", bad)
		}
	}
}

func TestSeedRepeatsIDs(t *testing.T) {
	id := func(seed uint64) any {
		b := start(t, monitetest.Config{Seed: seed})
		return b.want(201, "POST", "/v1/tags", `{"name":"x"}`, b.as("", monitetest.DemoEntityID)).json(t)["id"]
	}
	if a, b, c := id(1), id(1), id(2); a != b || a == c {
		t.Errorf("ids = %v, %v for seed 1, %v for seed 2", a, b, c)
	}
}

func TestLedgerKnowsWritesWithoutNonce(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.sim.Inject(monitetest.Fault{Method: "POST", Path: "/v1/payables", After: true, Status: 502, Times: 1})
	for _, status := range []int{502, 200} {
		b.want(status, "POST", "/v1/payables", `{"document_id":"1"}`, header)
	}
	b.want(200, "POST", "/v1/payables", `{"document_id":"2"}`, header)
	b.want(422, "POST", "/v1/payables", `{"document_id":3}`, header)
	var got []string
	for _, w := range b.sim.Ledger() {
		got = append(got, fmt.Sprint(w.Route, " arrived ", w.Arrived, " executed ", w.Executed, " ", w.Statuses))
	}
	want := []string{
		"POST /v1/payables arrived 2 executed 2 [502 200]", "POST /v1/payables arrived 1 executed 1 [200]", "POST /v1/payables arrived 1 executed 0 [422]",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ledger = %q, want %q", got, want)
	}
}

func TestPageShowsWhatIsWrong(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.want(422, "POST", "/v1/products", `{"name":"<b>","prize":1}`, header)
	b.want(404, "GET", "/v1/payable", "", header)
	b.sim.Inject(monitetest.Fault{Path: "/v1/tags", After: true, Effect: monitetest.EffectRST, Times: 2})
	for range 2 {
		_, _ = b.try(b.request("POST", "/v1/tags", `{"name":"x"}`, with(header, "X-Sim-Nonce", "again")))
		header = with(header, "X-Sim-Nonce", "again")
	}
	page := b.want(200, "GET", "/_sim/", "", nil)
	for _, want := range []string{"body.prize", "extra fields not permitted", "not a published operation", "POST /v1/products", "payables",
		monitetest.DemoEntityID} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page.body, "<b>") {
		t.Error("the page shows markup of a request")
	}
}

func TestUnknownOperationNamesItsNeighbours(t *testing.T) {
	tests := []struct{ method, path, near string }{
		{"GET", "/v1/payable", "GET /v1/payables"},
		{"POST", "/v1/payables/" + nobody + "/mark_paid", "POST /v1/payables/{payable_id}/mark_as_paid"},
		{"GET", "/payables", "The base URL ends in /v1"},
		{"GET", "/v1/counterpart/" + nobody + "/address", "GET /v1/counterparts/{counterpart_id}/addresses"},
	}
	b := start(t, monitetest.Config{})
	for _, tc := range tests {
		t.Run(tc.path, func(t *testing.T) {
			var refused struct{ Error struct{ Message string } }
			_ = json.Unmarshal([]byte(b.want(404, tc.method, tc.path, "", nil).body), &refused)
			if !strings.Contains(refused.Error.Message, tc.near) || !strings.Contains(refused.Error.Message, tc.method+" "+tc.path) {
				t.Errorf("message = %s, want it to name %s", refused.Error.Message, tc.near)
			}
		})
	}
}
