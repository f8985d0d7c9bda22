package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// app is a client of a simulator, in memory.
type app struct {
	t             testing.TB
	d             *document
	sim           *monitetest.Simulator
	partner, user string
}

func newApp(t testing.TB, d *document) *app {
	t.Helper()
	a := &app{t: t, d: d, sim: monitetest.New(monitetest.Config{StreamInterval: -1, Seed: 1, KeepRequests: -1})}
	a.partner, a.user = a.mint(""), a.mint(monitetest.DemoEntityUserID)
	a.sim.Snapshot("start")
	return a
}

func (a *app) mint(user string) string {
	body := map[string]any{"client_id": monitetest.DemoClientID, "client_secret": monitetest.DemoClientSecret, "grant_type": "client_credentials"}
	if user != "" {
		body["grant_type"], body["entity_user_id"] = "entity_user", user
	}
	text, _ := json.Marshal(body)
	reply := a.send("POST", "/auth/token", "application/json", text, "")
	var fields struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(reply.Body.Bytes(), &fields); err != nil || fields.AccessToken == "" {
		a.t.Fatalf("mint: %d %s", reply.Code, reply.Body)
	}
	return fields.AccessToken
}

func (a *app) send(method, target, mediaType string, body []byte, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/v1"+target, bytes.NewReader(body))
	r.Header.Set("X-Monite-Version", "2024-05-25")
	if token != "" {
		r.Header.Set("X-Monite-Entity-Id", monitetest.DemoEntityID)
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	w := httptest.NewRecorder()
	a.sim.ServeHTTP(w, r)
	return w
}

// tokenFor is the partner's token, or that of a user where one is wanted.
func (a *app) tokenFor(op operation) string {
	if strings.HasPrefix(op.path, "/entity_users/m") || op.String() == "POST /approval_policies" {
		return a.user
	}
	return a.partner
}

// must sends JSON and returns the response's fields.
func (a *app) must(method, target, body string) map[string]any {
	a.t.Helper()
	reply := a.send(method, target, "application/json", []byte(body), a.partner)
	if reply.Code/100 != 2 {
		a.t.Fatalf("%s %s = %d %s", method, target, reply.Code, reply.Body)
	}
	var fields map[string]any
	_ = json.Unmarshal(reply.Body.Bytes(), &fields)
	return fields
}

// idsAt lists the ids of a collection.
func (a *app) idsAt(path string) (ids []string) {
	query := "?limit=100"
	if path == "/comments" {
		query = "?object_type=payable&object_id=" + a.commented()
	}
	if path == "/accounting_synced_records" {
		query = "?object_type=product"
	}
	reply := a.send("GET", path+query, "", nil, a.partner)
	if reply.Code != 200 {
		reply = a.send("GET", path, "", nil, a.partner)
	}
	var list struct{ Data []map[string]any }
	_ = json.Unmarshal(reply.Body.Bytes(), &list)
	for _, d := range list.Data {
		if id, ok := d["id"].(string); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// commented returns a payable that has a comment.
func (a *app) commented() string {
	a.must("POST", "/comments", `{"object_type":"payable","object_id":"`+monitetest.DemoPayableID+`","text":"Please check."}`)
	return monitetest.DemoPayableID
}

// places is where a client finds the ids that bodies want.
var places = map[string]string{
	"counterpart_id": "/counterparts", "project_id": "/projects", "product_id": "/products", "measure_unit_id": "/measure_units", "role_id": "/roles",
	"user_id": "/entity_users", "reply_to_entity_user_id": "/entity_users", "entity_user_id": "/entity_users", "tag_id": "/tags",
	"payment_terms_id": "/payment_terms", "entity_bank_account_id": "/bank_accounts", "payer_bank_account_id": "/bank_accounts",
	"overdue_reminder_id": "/overdue_reminders", "payment_reminder_id": "/payment_reminders", "purchase_order_id": "/payable_purchase_orders",
	"ledger_account_id": "/ledger_accounts", "custom_vat_rate_id": "/custom_vat_rates", "accounting_tax_rate_id": "/accounting_tax_rates",
	"vat_rate_id": "/vat_rates", "mailbox_domain_id": "/mailbox_domains", "invoice_id": "/receivables",
	"entity_vat_id_id": "/entities/" + monitetest.DemoEntityID + "/vat_ids", "object_id": "/payables", "based_on": "/receivables",
	"entity_id": "/entities", "id": "/payables",
	"counterpart_address_id": "C/addresses", "counterpart_billing_address_id": "C/addresses", "counterpart_shipping_address_id": "C/addresses",
	"default_billing_address_id": "C/addresses", "default_shipping_address_id": "C/addresses", "address_id": "C/addresses",
	"counterpart_vat_id_id": "C/vat_ids", "counterpart_bank_account_id": "C/bank_accounts", "contact_id": "C/contacts",
	"counterpart_einvoicing_credentials_id": "C/einvoicing_credentials",
}

func (a *app) id(name string) string {
	switch name {
	case "counterpart_id":
		return monitetest.DemoCounterpartID
	case "entity_id":
		return monitetest.DemoEntityID
	}
	place := places[name]
	if below, ok := strings.CutPrefix(place, "C/"); ok {
		place = "/counterparts/" + monitetest.DemoCounterpartID + "/" + below
	}
	if place == "" {
		return ""
	}
	if ids := a.idsAt(place); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// targets returns the paths of an operation with ids that exist.
func (a *app) targets(op operation) []string {
	paths := []string{""}
	for _, segment := range strings.Split(op.path[1:], "/") {
		if !strings.HasPrefix(segment, "{") {
			for i := range paths {
				paths[i] += "/" + segment
			}
			continue
		}
		var next []string
		for _, path := range paths {
			ids := a.idsAt(path)
			switch path {
			case "/entities":
				ids = []string{monitetest.DemoEntityID}
			case "/payment_links":
				ids = []string{a.must("POST", path, paymentLink)["id"].(string)}
			case "/batch_payments":
				ids = []string{a.must("POST", path, a.batch())["id"].(string)}
			}
			for _, id := range ids {
				next = append(next, path+"/"+id)
			}
		}
		paths = next
	}
	return paths
}

const paymentLink = `{"payment_methods":["sepa_credit"],"recipient":{"id":"` + monitetest.DemoEntityID +
	`","type":"entity"},"amount":1000,"currency":"EUR","payment_reference":"R1"}`

func (a *app) batch() string {
	return `{"payer_bank_account_id":"` + a.idsAt("/bank_accounts")[0] + `","payment_method":"us_ach","payment_intents":[{"object":{"id":"` +
		monitetest.DemoPayableID + `","type":"payable"},"recipient":{"id":"` + monitetest.DemoCounterpartID + `","type":"counterpart"}}]}`
}

// prepare brings the state about that an operation needs.
func (a *app) prepare(op operation) {
	switch op.String() {
	case "POST /receivables/{receivable_id}/accept", "POST /receivables/{receivable_id}/decline":
		id := a.must("POST", "/receivables", a.quote())["id"].(string)
		a.must("POST", "/receivables/"+id+"/issue", "")
	case "GET /receivables/{receivable_id}/mails/{mail_id}":
		a.must("POST", "/receivables/"+monitetest.DemoReceivableID+"/send", `{"subject_text":"S","body_text":"B"}`)
	case "POST /payables/{payable_id}/cancel_ocr":
		a.upload("/payables/upload_from_file")
	case "POST /payable_credit_notes/{credit_note_id}/cancel_ocr":
		a.upload("/payable_credit_notes/upload_from_file")
	}
	if strings.Contains(op.path, "/processes") {
		policy := `{"name":"P","script":[{"call":"ApprovalRequests.request_approval_by_users","params":{"user_ids":["` +
			monitetest.DemoEntityUserID + `"],"required_approval_count":1}}]}`
		if reply := a.send("POST", "/approval_policies", "application/json", []byte(policy), a.user); reply.Code != 201 {
			a.t.Fatal(reply.Body)
		}
		a.must("POST", "/payables/"+monitetest.DemoPayableID+"/submit_for_approval", "")
	}
}

func (a *app) quote() string {
	return `{"type":"quote","counterpart_id":"` + monitetest.DemoCounterpartID + `","counterpart_billing_address_id":"` + a.id("counterpart_billing_address_id") +
		`","currency":"EUR","line_items":[{"quantity":2,"product_id":"` + a.id("product_id") + `"}]}`
}

func (a *app) upload(path string) {
	mediaType, body := form(map[string]any{"file": "%PDF-1.4"})
	if reply := a.send("POST", path, mediaType, body, a.partner); reply.Code/100 != 2 {
		a.t.Fatalf("%s = %d %s", path, reply.Code, reply.Body)
	}
}

func form(fields map[string]any) (mediaType string, body []byte) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for name, value := range fields {
		if name == "file" {
			part, _ := w.CreateFormFile("file", "bill.pdf")
			_, _ = fmt.Fprint(part, value)
			continue
		}
		_ = w.WriteField(name, fmt.Sprint(value))
	}
	_ = w.Close()
	return w.FormDataContentType(), buf.Bytes()
}
