package monitetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"
)

// hook is an app's webhook endpoint. It answers what it is told to.
type hook struct {
	*httptest.Server
	mu       sync.Mutex // guards all below
	secrets  map[string]string
	actions  []string
	unsigned int
	refuse   int // that many are answered 500 first
}

func newHook(t *testing.T) *hook {
	h := &hook{secrets: map[string]string{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.receive))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var event struct {
		Action         string `json:"action"`
		SubscriptionID string `json:"webhook_subscription_id"`
	}
	_ = json.Unmarshal(body, &event)
	signature := r.Header.Get("Monite-Signature")
	seconds, _, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",")
	var at int64
	_, _ = fmt.Sscan(seconds, &at)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse > 0 {
		h.refuse--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if signature != resources.Sign(h.secrets[event.SubscriptionID], time.Unix(at, 0), body) {
		h.unsigned++
	}
	h.actions = append(h.actions, event.Action)
}

// got waits until n webhooks have come and returns their actions.
func (h *hook) got(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		h.mu.Lock()
		actions := slices.Clone(h.actions)
		h.mu.Unlock()
		if len(actions) >= n {
			return actions
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d webhooks have come, want %d: %v", len(actions), n, actions)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// subscribe asks for the events of a type. Somebody delivers until the test
// ends.
func (b *bench) subscribe(h *hook, object string) map[string]any {
	b.Helper()
	made := b.want(201, "POST", "/v1/webhook_subscriptions", encode(map[string]any{"object_type": object, "url": h.URL}), b.as("", "")).json(b.T)
	h.mu.Lock()
	h.secrets[made["id"].(string)] = made["secret"].(string)
	h.mu.Unlock()
	return made
}

func (b *bench) deliver() {
	ctx, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { b.sim.DeliverWebhooks(ctx) })
	b.Cleanup(func() { stop(); tasks.Wait() })
	time.Sleep(20 * time.Millisecond) // until it has begun
}

// story is one user's view of one document.
type story struct {
	*bench
	header map[string]string
	item   string
}

// is checks fields of the document.
func (s *story) is(step string, want map[string]any) {
	s.Helper()
	got := s.want(200, "GET", s.item, "", s.header).json(s.T)
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			s.Errorf("%s: %s = %v, want %v", step, name, got[name], value)
		}
	}
}

// history returns the document's history, each entry in a word or two.
func (s *story) history() (entries []string) {
	s.Helper()
	for _, entry := range s.want(200, "GET", s.item+"/history", "", s.header).data(s.T) {
		text := entry["event_type"].(string)
		if data, _ := entry["event_data"].(map[string]any); data["new_status"] != nil {
			text = data["new_status"].(string)
		}
		entries = append(entries, text)
	}
	return entries
}

func (s *story) wantHistory(want ...string) {
	s.Helper()
	if got := s.history(); !slices.Equal(got, want) {
		s.Errorf("history = %v, want %v", got, want)
	}
}

// A bill comes by mail, is read, approved by policy and paid in two parts.
func TestStoryOfABill(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	b.deliver()
	b.subscribe(h, "payable")
	b.subscribe(h, "approval_request")
	partner, giulia := b.as("", monitetest.DemoEntityID), b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID)

	domain := b.want(201, "POST", "/v1/mailbox_domains", `{"domain":"bills.aurora.example"}`, partner).json(t)
	b.want(200, "POST", "/v1/mailbox_domains/"+domain["id"].(string)+"/verify", "", partner)
	mailbox := b.want(201, "POST", "/v1/mailboxes", encode(map[string]any{
		"mailbox_domain_id": domain["id"], "mailbox_name": "in", "related_object_type": "payable",
	}), partner).json(t)
	if mailbox["mailbox_full_address"] != "in@bills.aurora.example" {
		t.Errorf("mailbox = %v", mailbox)
	}
	policy := `{"name":"Over 100","trigger":"{invoice.amount >= 10000}","script":[{"if":{"all":[{"call":"ApprovalRequests.request_approval_by_users",
		"params":{"user_ids":["` + monitetest.DemoEntityUserID + `"],"required_approval_count":1}}]},"then":["{Payables.approve(invoice.id)}"]}]}`
	b.want(201, "POST", "/v1/approval_policies", policy, giulia)

	mail := `{"to":"in@bills.aurora.example","from":"fatture@mulino-rossi.example","file_name":"r42.pdf","bill":{"document_id":"R-42","total_amount":24000,"subtotal":20000,"tax_amount":4000}}`
	id := b.want(200, "POST", "/_sim/mail", mail, nil).json(t)["payable_id"].(string)
	s := &story{b, giulia, "/v1/payables/" + id}
	s.is("it has come", map[string]any{"status": "draft", "ocr_status": "processing", "payable_origin": "email",
		"sender": "fatture@mulino-rossi.example"})
	b.sim.Advance(3 * time.Second)
	s.is("it was read", map[string]any{
		"status": "new", "ocr_status": "success", "document_id": "R-42", "total_amount": 24000, "amount_due": 24000,
		"counterpart_id": monitetest.DemoCounterpartID,
	})

	b.want(200, "POST", s.item+"/submit_for_approval", "", giulia)
	s.is("it waits for approval", map[string]any{"status": "approve_in_progress"})
	requests := b.want(200, "GET", "/v1/approval_requests?object_id="+id, "", giulia).data(t)
	if len(requests) != 1 || requests[0]["status"] != "waiting" {
		t.Fatalf("approval requests = %v, want one that waits", requests)
	}
	request := "/v1/approval_requests/" + requests[0]["id"].(string)
	b.want(200, "POST", request+"/approve", "", giulia)
	b.want(409, "POST", request+"/approve", "", giulia)
	s.is("it is approved", map[string]any{"status": "waiting_to_be_paid", "amount_due": 24000})

	pay := func(amount int) map[string]any {
		return b.want(201, "POST", "/v1/payment_records", encode(map[string]any{
			"amount": amount, "currency": "EUR", "object": map[string]any{"id": id, "type": "payable"},
		}), giulia).json(t)
	}
	if record := pay(9000); fmt.Sprint(record["object"]) != fmt.Sprintf("map[id:%s new_status:partially_paid old_status:waiting_to_be_paid type:payable]", id) {
		t.Errorf("record = %v", record)
	}
	s.is("it is partly paid", map[string]any{"status": "partially_paid", "amount_paid": 9000, "amount_due": 15000})
	if record := pay(16000); record["overpaid_amount"] != 1000.0 {
		t.Errorf("record = %v, want 1000 too much", record)
	}
	s.is("it is paid", map[string]any{"status": "paid", "amount_paid": 24000, "amount_due": 0})

	s.wantHistory("payable_created", "payable_updated", "new", "approve_in_progress", "waiting_to_be_paid", "partially_paid", "paid")
	want := []string{
		"payable.created", "payable.created_from_mail", "payable.ocr_finished", "payable.submitted_for_approval", "approval_request.created",
		"approval_request.approved", "payable.approved", "payable.partially_paid", "payable.paid",
	}
	if got := h.got(t, len(want)); !slices.Equal(got, want) || h.unsigned != 0 {
		t.Errorf("webhooks = %v, %d of them badly signed, want %v", got, h.unsigned, want)
	}
	var events []string
	for _, event := range b.want(200, "GET", "/v1/events?object_type=payable&limit=100", "", partner).data(t) {
		if event["object"].(map[string]any)["id"] == id {
			events = append(events, event["action"].(string))
		}
	}
	if got := slices.DeleteFunc(want, func(action string) bool { return strings.HasPrefix(action, "approval") }); !slices.Equal(events, got) {
		t.Errorf("events = %v, want %v", events, got)
	}
	for _, w := range b.sim.Ledger() {
		if w.Executed > 1 {
			t.Errorf("executed %d times: %+v", w.Executed, w)
		}
	}
}

// An invoice is made of products, issued, sent, partly paid, reminded of and
// paid.
func TestStoryOfAnInvoice(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	b.deliver()
	b.subscribe(h, "receivable")
	header := b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID)
	product := b.want(201, "POST", "/v1/products", `{"name":"Panettone","price":{"currency":"EUR","value":1250}}`, header).json(t)
	reminder := b.want(201, "POST", "/v1/overdue_reminders", `{"name":"Gentle","terms":[{"days_after":5,"subject":"S","body":"B"}]}`, header).json(t)
	customer := b.want(200, "GET", "/v1/counterparts?is_customer=true", "", header).data(t)[0]
	rate := ""
	for _, r := range b.want(200, "GET", "/v1/vat_rates", "", header).data(t) {
		if r["value"] == 1000.0 {
			rate = r["id"].(string)
		}
	}
	next := b.want(200, "GET", "/v1/entities/"+monitetest.DemoEntityID+"/settings/next_document_numbers", "", header).json(t)["invoice"].(float64)

	made := b.want(201, "POST", "/v1/receivables", encode(map[string]any{
		"type": "invoice", "currency": "EUR", "counterpart_id": customer["id"], "counterpart_billing_address_id": customer["default_billing_address_id"],
		"overdue_reminder_id": reminder["id"], "discount": map[string]any{"type": "percentage", "amount": 1000},
		"line_items": []any{
			map[string]any{"quantity": 8, "product_id": product["id"], "vat_rate_id": rate},
			map[string]any{"quantity": 1.5, "product": map[string]any{"name": "Delivery", "price": map[string]any{"currency": "EUR", "value": 2000}}},
		},
	}), header).json(t)
	s := &story{b, header, "/v1/receivables/" + made["id"].(string)}
	// 8 x 12.50 + 1.5 x 20.00 = 130.00; 10 % off = 117.00; 10 % VAT on 90.00.
	s.is("it is a draft", map[string]any{
		"status": "draft", "subtotal": 13000, "discounted_subtotal": 11700, "total_vat_amount": 900, "total_amount": 12600, "amount_due": 12600,
		"document_id": nil,
	})
	b.want(200, "POST", s.item+"/issue", "", header)
	s.is("it is issued", map[string]any{
		"status": "issued", "document_id": fmt.Sprintf("INV-%05.0f", next), "due_date": b.sim.Now().AddDate(0, 0, 30).UTC().Format(time.DateOnly),
	})

	sent := b.want(200, "POST", s.item+"/send", `{"subject_text":"Invoice","body_text":"Attached"}`, header).json(t)
	mail := s.item + "/mails/" + sent["mail_id"].(string)
	if got := b.want(200, "GET", mail, "", header).json(t)["status"]; got != "pending" {
		t.Errorf("mail = %v, want it pending", got)
	}
	b.sim.Advance(2 * time.Second)
	if got := b.want(200, "GET", mail, "", header).json(t)["status"]; got != "sent" {
		t.Errorf("mail = %v, want it sent", got)
	}

	b.want(400, "POST", s.item+"/mark_as_partially_paid", `{"amount_paid":12600}`, header)
	b.want(200, "POST", s.item+"/mark_as_partially_paid", `{"amount_paid":2600}`, header)
	s.is("it is partly paid", map[string]any{"status": "partially_paid", "amount_paid": 2600, "amount_due": 10000})

	b.sim.Advance(36 * 24 * time.Hour)
	b.sim.Advance(2 * time.Second)
	header = b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID) // the token has ended
	s.header = header
	if mails := b.want(200, "GET", s.item+"/mails", "", header).data(t); len(mails) != 2 || mails[1]["status"] != "sent" {
		t.Errorf("mails = %v, want the invoice and a reminder, both sent", mails)
	}
	b.want(200, "POST", s.item+"/mark_as_paid", `{"comment":"by card"}`, header)
	s.is("it is paid", map[string]any{"status": "paid", "amount_paid": 12600, "amount_due": 0, "comment": "by card"})

	s.wantHistory("receivable_created", "issued", "mail_sent", "partially_paid", "payment_received", "overdue_reminder_mail_sent", "paid",
		"payment_received")
	want := []string{
		"receivable.created", "receivable.issued", "receivable.mail_sent", "receivable.partially_paid", "receivable.overdue_reminder_mail_sent",
		"receivable.paid",
	}
	wiretest.Eventually(t, "the story", func() bool { return slices.Contains(h.got(t, 0), want[len(want)-1]) })
	got := h.got(t, 0)
	got = slices.DeleteFunc(got, func(action string) bool { return action == "receivable.overdue" || action == "receivable.expired" }) // the demo's own
	if !slices.Equal(got, want) || h.unsigned != 0 {
		t.Errorf("webhooks = %v, %d of them badly signed, want %v", got, h.unsigned, want)
	}
}
