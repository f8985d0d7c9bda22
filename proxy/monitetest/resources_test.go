package monitetest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestDemoDataLooksLikeTheProduct(t *testing.T) {
	b := start(t, monitetest.Config{})
	partner := b.as("", "")
	totals := map[string]int{}
	for _, entity := range b.want(200, "GET", "/v1/entities", "", partner).data(t) {
		totals["entities"]++
		header := with(partner, "X-Monite-Entity-Id", entity["id"].(string))
		for _, kind := range []string{"entity_users", "counterparts", "payables", "receivables"} {
			for _, d := range b.want(200, "GET", "/v1/"+kind, "", header).data(t) {
				totals[kind]++
				if total, ok := d["total_amount"].(float64); ok && (kind == "payables" || d["type"] == "invoice") {
					if d["amount_paid"].(float64)+d["amount_due"].(float64) != total || d["currency"] != "EUR" {
						t.Errorf("%s %v: amounts do not add up: %v", kind, d["id"], d)
					}
					paid := d["amount_paid"].(float64)
					if (d["status"] == "paid") != (paid == total) || (d["status"] == "partially_paid") != (paid > 0 && paid < total) {
						t.Errorf("%s %v: %v paid of %v in the status %v", kind, d["id"], paid, total, d["status"])
					}
				}
			}
		}
	}
	want := map[string]int{"entities": 3, "entity_users": 6, "counterparts": 12, "payables": 40, "receivables": 42}
	if fmt.Sprint(totals) != fmt.Sprint(want) {
		t.Errorf("demo data = %v, want %v", totals, want)
	}
}

func TestCreateReadUpdateDelete(t *testing.T) {
	organization := `{"type":"organization","organization":{"legal_name":"New","is_vendor":true,"is_customer":false,
		"address":{"line1":"1","city":"Lyon","postal_code":"69001","country":"FR"}}}`
	tests := []struct{ kind, create, change, field string }{
		{"counterparts", organization, `{"organization":{},"tax_id":"FR1"}`, "tax_id"},
		{"payables", `{"description":"paper","total_amount":1250000}`, `{"description":"ink"}`, "description"},
		{"products", `{"name":"bread"}`, `{"name":"rye bread"}`, "name"},
		{"webhook_subscriptions", `{"object_type":"payable","url":"https://example.com/"}`, `{"url":"https://example.org/"}`, "url"},
		{"counterparts/" + monitetest.DemoCounterpartID + "/contacts",
			`{"first_name":"A","last_name":"B","address":{"line1":"1","city":"Lyon","postal_code":"69001","country":"FR"}}`, `{"first_name":"C"}`,
			"first_name"},
		{"payables/" + monitetest.DemoPayableID + "/line_items", `{"name":"flour"}`, `{"name":"butter"}`, "name"},
	}
	for _, tc := range tests {
		t.Run(tc.kind, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			before := len(b.want(200, "GET", "/v1/"+tc.kind, "", header).data(t))
			created := b.do("POST", "/v1/"+tc.kind, tc.create, header)
			if created.status/100 != 2 {
				t.Fatalf("create = %d %s", created.status, created.body)
			}
			item := "/v1/" + tc.kind + "/" + created.json(t)["id"].(string)
			b.want(200, "GET", item, "", header)
			b.want(200, "PATCH", item, tc.change, header)
			changed := b.want(200, "GET", item, "", header)
			if got, _ := changed.json(t)[tc.field].(string); got == "" || !strings.Contains(tc.change, got) {
				t.Errorf("after PATCH %s = %q, want what was sent in %s", tc.field, got, tc.change)
			}
			if got := len(b.want(200, "GET", "/v1/"+tc.kind, "", header).data(t)); got != before+1 {
				t.Errorf("list has %d, want %d", got, before+1)
			}
			b.want(204, "DELETE", item, "", header)
			b.want(404, "GET", item, "", header)
			b.want(404, "DELETE", item, "", header)
			if tc.kind != "webhook_subscriptions" { // the partner's, not the entity's
				other := with(header, "X-Monite-Entity-Id", otherEntity)
				if got := b.do("GET", item, "", other).status; got != 404 {
					t.Errorf("another entity sees it: %d", got)
				}
			}
		})
	}
}

func TestEntitiesAreIsolated(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.want(404, "GET", "/v1/payables/"+monitetest.DemoPayableID, "", b.as("", otherEntity))
	b.want(404, "POST", "/v1/payables/"+monitetest.DemoPayableID+"/cancel", "", b.as("", otherEntity))
}

func TestPayableLife(t *testing.T) {
	tests := []struct {
		name    string
		actions string // separated by spaces; a trailing ! wants 409, ? wants 400
		status  string
	}{
		{"approved and paid", "submit_for_approval approve_payment_operation mark_as_paid", "paid"},
		{"paid is final", "approve_payment_operation mark_as_paid mark_as_paid! cancel! reopen!", "paid"},
		{"rejected and reopened", "submit_for_approval reject approve_payment_operation! reopen", "new"},
		{"canceled is final", "cancel submit_for_approval! cancel!", "canceled"},
		{"not approved, not paid", "mark_as_paid!", "new"},
		{"in parts", "approve_payment_operation mark_as_partially_paid mark_as_partially_paid? mark_as_paid", "paid"},
		{"validate keeps new", "validate", "new"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			payable := "/v1/payables/" + monitetest.DemoPayableID
			for action := range strings.FieldsSeq(tc.actions) {
				status, body := 200, ""
				if name, conflicts := strings.CutSuffix(action, "!"); conflicts {
					action, status = name, 409
				} else if name, bad := strings.CutSuffix(action, "?"); bad {
					action, status = name, 400
				}
				if action == "mark_as_partially_paid" {
					body = `{"amount_paid":100}`
				}
				b.want(status, "POST", payable+"/"+action, body, header)
			}
			if got := b.want(200, "GET", payable, "", header).json(t)["status"]; got != tc.status {
				t.Errorf("status = %v, want %s", got, tc.status)
			}
		})
	}
}

func TestPayableIsNewOnceComplete(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID)
	draft := b.want(200, "POST", "/v1/payables", `{"currency":"EUR"}`, header).json(t)
	if draft["status"] != "draft" || draft["was_created_by_user_id"] != monitetest.DemoEntityUserID {
		t.Errorf("created = %v, want a draft of the user", draft)
	}
	item := "/v1/payables/" + draft["id"].(string)
	b.want(409, "POST", item+"/submit_for_approval", "", header)
	if problems := b.want(200, "POST", item+"/validate", "", header).json(t)["validation_errors"].([]any); len(problems) != 4 {
		t.Errorf("validation errors = %v, want the four fields that are missing", problems)
	}
	b.want(200, "PATCH", item,
		`{"counterpart_id":"`+monitetest.DemoCounterpartID+`","document_id":"1","due_date":"2030-01-01","total_amount":1}`, header)
	b.want(200, "POST", item+"/validate", "", header)
	b.want(200, "POST", item+"/submit_for_approval", "", header)
	b.want(409, "PATCH", item, `{"description":"late"}`, header)
	b.want(409, "DELETE", item, "", header)
	whole := `{"counterpart_id":"` + monitetest.DemoCounterpartID + `","currency":"EUR","document_id":"1","due_date":"2030-01-01","total_amount":12000}`
	if got := b.want(200, "POST", "/v1/payables", whole, header).json(t); got["status"] != "new" || got["amount_due"] != 12000.0 {
		t.Errorf("created = %v, want it new and 12000 due", got)
	}
}

func TestRefusedChangeLeavesNoTrace(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	payable := "/v1/payables/" + monitetest.DemoPayableID
	before := b.want(200, "POST", payable+"/approve_payment_operation", "", header).body
	b.want(400, "POST", payable+"/mark_as_partially_paid", `{"amount_paid":99999999}`, header)
	b.want(422, "POST", payable+"/mark_as_partially_paid", `{"amount_paid":0.5}`, header)
	if after := b.want(200, "GET", payable, "", header).body; after != before {
		t.Errorf("after the refusal = %s, want %s", after, before)
	}
}

// Of many that pay at the same time, one finds it payable.
func TestConcurrentPaymentsPayOnce(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	payable := "/v1/payables/" + monitetest.DemoPayableID
	b.want(200, "POST", payable+"/approve_payment_operation", "", header)
	b.sim.ResetStats()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { b.do("POST", payable+"/mark_as_paid", "", with(header, "X-Sim-Nonce", "pay")) })
	}
	wg.Wait()
	stats := b.sim.Stats()
	if stats.Executed["pay"] != 1 || stats.Answers["200"] != 1 || stats.Answers["409"] != 19 || stats.Replays != 19 {
		t.Errorf("stats = %+v, want 1 executed, 1 x 200, 19 x 409, 19 replays", stats)
	}
}

func TestReceivableLife(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	item := "/v1/receivables/" + monitetest.DemoReceivableID
	b.want(409, "POST", item+"/cancel", "", header)
	issued := b.want(200, "POST", item+"/issue", "", header).json(t)
	if issued["status"] != "issued" || issued["issue_date"] == nil || issued["document_id"] == nil {
		t.Errorf("issued = %v, want number and date", issued)
	}
	b.want(409, "POST", item+"/issue", "", header)
	b.want(409, "PATCH", item, `{"invoice":{"memo":"x"}}`, header)
	clone := b.want(201, "POST", item+"/clone", "", header).json(t)
	if clone["status"] != "draft" || clone["id"] == monitetest.DemoReceivableID {
		t.Errorf("clone = %v, want a draft of its own", clone)
	}
	b.want(204, "POST", item+"/cancel", "", header)
	b.want(409, "POST", item+"/mark_as_paid", "", header)
	if link := b.want(200, "GET", item+"/pdf_link", "", header).json(t)["file_url"]; link == nil {
		t.Error("no file_url")
	}
}

func TestReceivableIsCreatedFromLines(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.want(422, "POST", "/v1/receivables", `{"type":"invoice"}`, header)
	address := b.want(200, "GET", "/v1/counterparts/"+monitetest.DemoCounterpartID, "", header).json(t)["default_billing_address_id"].(string)
	body := `{"type":"invoice","counterpart_id":"` + monitetest.DemoCounterpartID + `","counterpart_billing_address_id":"` + address + `",
		"currency":"EUR","line_items":[{"quantity":3,"product":{"name":"bread","price":{"value":450,"currency":"EUR"}}}]}`
	created := b.want(201, "POST", "/v1/receivables", body, header).json(t)
	if created["status"] != "draft" || created["total_amount"] != 1350.0 || created["counterpart_name"] != "Mulino Rossi S.p.A." {
		t.Errorf("created = %v, want a draft over 1350 for Mulino Rossi", created)
	}
	b.want(404, "POST", "/v1/receivables", strings.Replace(body, monitetest.DemoCounterpartID, nobody, 1), header)
	b.want(404, "POST", "/v1/receivables", strings.Replace(body, address, nobody, 1), header)
}

func TestNothingBelowUnknownParents(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	writes := b.sim.Stats().Writes
	b.want(404, "GET", "/v1/counterparts/"+nobody+"/contacts", "", header)
	b.want(422, "POST", "/v1/counterparts/"+nobody+"/contacts", "{}", header)
	b.want(404, "POST", "/v1/counterparts/"+nobody+"/vat_ids", `{"value":"IT1"}`, header)
	b.want(404, "POST", "/v1/approval_requests/"+nobody+"/approve", "", header)
	b.want(422, "GET", "/v1/payables/seven", "", header)
	if got := b.sim.Stats().Writes; got != writes {
		t.Errorf("writes = %d, want %d", got, writes)
	}
}

// Monite's JavaScript client speaks 2023-09-01, which had other fields.
func TestOlderVersionMayHaveFieldsOfItsOwn(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	body := `{"name":"bread","price":{"currency":"EUR","value":5,"old":1},"older":2}`
	b.want(422, "POST", "/v1/products", body, header)
	made := b.want(201, "POST", "/v1/products", body, with(header, "X-Monite-Version", "2023-09-01"))
	if strings.Contains(made.body, "old") {
		t.Errorf("product = %s, want it without the old fields", made.body)
	}
	b.want(422, "POST", "/v1/products", `{"name":7}`, with(header, "X-Monite-Version", "2023-09-01"))
}

func TestAnalyticsGroupByTheDaysThatPeriodsBeginWith(t *testing.T) {
	b := start(t, monitetest.Config{Data: map[string]map[string][]map[string]any{
		"partner": {"entities": {{"id": monitetest.DemoEntityID, "type": "organization", "organization": map[string]any{"legal_name": "Own"}}}},
		monitetest.DemoEntityID: {"payables": {
			{"id": nobody, "status": "new", "issued_at": "2026-08-19", "total_amount": 100},
			{"id": monitetest.DemoPayableID, "status": "paid", "issued_at": "2026-08-31", "total_amount": 20},
		}},
	}})
	header := b.as("", monitetest.DemoEntityID)
	tests := map[string]string{
		"daily": "2026-08-19 100 2026-08-31 20", "weekly": "2026-08-17 100 2026-08-31 20", "monthly": "2026-08-01 120", "quarterly": "2026-07-01 120",
		"yearly": "2026-01-01 120",
	}
	for breakdown, want := range tests {
		t.Run(breakdown, func(t *testing.T) {
			query := "metric=total_amount&aggregation_function=summary&dimension=issued_at&date_dimension_breakdown=" + breakdown
			var got []string
			for _, point := range b.want(200, "GET", "/v1/analytics/payables?"+query, "", header).data(t) {
				got = append(got, fmt.Sprint(point["dimension_value"], " ", point["metric_value"]))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("points = %v, want %s", got, want)
			}
		})
	}
}

// What was paid stays paid when the price falls afterwards.
func TestCreditNotesNeverMakeTheAmountDueNegative(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	amounts := func(item string) string {
		d := b.want(200, "GET", item, "", header).json(t)
		return fmt.Sprint(d["amount_paid"], " paid, ", d["amount_due"], " due of ", d["total_amount_with_credit_notes"])
	}
	invoice := "/v1/receivables/" + monitetest.DemoReceivableID
	b.want(200, "POST", invoice+"/issue", "", header)
	b.want(200, "POST", invoice+"/mark_as_partially_paid", `{"amount_paid":1000}`, header)
	note := b.want(201, "POST", "/v1/receivables", `{"type":"credit_note","based_on":"`+monitetest.DemoReceivableID+`"}`, header).json(t)
	b.want(200, "POST", "/v1/receivables/"+note["id"].(string)+"/issue", "", header)
	for range 2 {
		if got, want := amounts(invoice), "1000 paid, 0 due of 0"; got != want {
			t.Errorf("invoice: %s, want %s", got, want)
		}
		b.do("POST", invoice+"/mark_as_paid", "", header)
	}

	bill := b.want(200, "POST", "/v1/payables", `{"document_id":"1","total_amount":500,"currency":"EUR"}`, header).json(t)["id"].(string)
	credit := b.want(201, "POST", "/v1/payable_credit_notes",
		encode(map[string]any{"document_id": "C", "based_on": bill, "total_amount": 200, "currency": "EUR", "issued_at": "2026-01-01"}), header).json(t)
	b.want(200, "POST", "/v1/payable_credit_notes/"+credit["id"].(string)+"/approve", "", header)
	b.want(200, "PATCH", "/v1/payables/"+bill, `{"description":"changed"}`, header)
	if got, want := amounts("/v1/payables/"+bill), "0 paid, 300 due of 300"; got != want {
		t.Errorf("bill: %s, want %s", got, want)
	}
}

func TestVerifiedDomainIsAWrite(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	domain := b.want(201, "POST", "/v1/mailbox_domains", `{"domain":"bills.example.com"}`, header).json(t)["id"].(string)
	b.want(200, "POST", "/v1/mailbox_domains/"+domain+"/verify", "", header)
	if writes := b.sim.Stats().Writes; writes != 2 {
		t.Errorf("writes = %d, want 2: both changed the state", writes)
	}
}
