package resources

import (
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// receivableLife is Monite's life of an invoice, of a quote (accept, decline) and of a
// credit note (issue).
var receivableLife = map[string]transition{
	"issue":  {from: []string{"draft"}, to: "issued", event: "issued", types: []string{"invoice", "quote", "credit_note"}, more: (*call).fillIssued},
	"cancel": {from: []string{"issued", "overdue"}, to: "canceled", event: "canceled", types: []string{"invoice"}},
	"mark_as_paid": {
		from: openInvoice, to: "paid", event: "paid", types: []string{"invoice"}, then: received,
		more: func(c *call, d Doc) error {
			payAll(d, text(first(c.body["paid_at"], c.api.timestamp())))
			return keepComment(c, d)
		},
	},
	"mark_as_partially_paid": {
		from: openInvoice, to: "partially_paid", event: "partially_paid", types: []string{"invoice"}, then: received,
		more: func(c *call, d Doc) error {
			_ = keepComment(c, d)
			return c.payPartly(d)
		},
	},
	"mark_as_uncollectible": {from: openInvoice, to: "uncollectible", event: "uncollectible", types: []string{"invoice"}, more: keepComment},
	"accept":                {from: []string{"issued"}, to: "accepted", event: "accepted", types: []string{"quote"}, more: keepComment, then: answered},
	"decline":               {from: []string{"issued"}, to: "declined", event: "declined", types: []string{"quote"}, more: keepComment, then: answered},
}

// openInvoice are the statuses in which money is still to come.
var openInvoice = []string{"issued", "overdue", "partially_paid"}

func answered(*call, Doc, Doc) (any, error) { return Doc{"success": true}, nil }

// issueReceivable gives a draft its number and dates. A credit note lowers
// what its invoice costs.
func (c *call) issueReceivable(id string) (Doc, error) {
	c.beginNumbers(text(c.at("receivables").Get(id)["type"]))
	_, d, err := c.move("receivables", c.at("receivables"), id, "issue")
	if err != nil || d["type"] != "credit_note" {
		return d, err
	}
	_, err = c.update(c.at("receivables"), text(d["based_on"]), func(invoice Doc) error {
		invoice["_credited"] = number(invoice["_credited"]) + number(d["total_amount"])
		ids := slices.Clone(texts(object(invoice["related_documents"])["credit_note_ids"]))
		invoice["related_documents"] = Doc{"credit_note_ids": append(ids, id)}
		addTotals(invoice)
		return nil
	})
	return d, err
}

func (c *call) fillIssued(d Doc) error {
	now := c.api.now()
	d["issue_date"] = schema.Timestamp(now)
	if d["document_id"] == nil {
		d["document_id"] = c.takeNumber(text(d["type"]))
	}
	d["file_url"] = fileURL("receivables/" + text(d["id"]) + ".pdf")
	d["original_file_url"] = d["file_url"]
	switch d["type"] {
	case "invoice":
		d["due_date"] = day(now.AddDate(0, 0, termDays(d)))
	case "quote":
		d["due_date"] = first(d["expiry_date"], day(now.AddDate(0, 0, 30)))
		d["expiry_date"] = d["due_date"]
	}
	return nil
}

// termDays is the term of payment: 30 days unless agreed.
func termDays(d Doc) int {
	final := object(object(d["payment_terms"])["term_final"])
	if days, is := final["number_of_days"].(int); is {
		return days
	}
	return 30
}

// received adds the payment to the history.
func received(c *call, before, d Doc) (any, error) {
	data := Doc{"amount_paid": number(d["amount_paid"]) - number(before["amount_paid"]), "amount_due": d["amount_due"]}
	if comment := c.body["comment"]; comment != nil {
		data["comment"] = comment
	}
	c.api.history(c.EntityID, "receivables", text(d["id"]), "payment_received", c.user(), data)
	return d, nil
}

// fallDue makes what was due before the day overdue, and quotes expired.
func (a *API) fallDue(entityID string, today time.Time) {
	rows := a.Store().At(entityID, "receivables")
	for _, d := range rows.All() {
		due := text(d["due_date"])
		if due == "" || due >= day(today) || d["status"] != "issued" {
			continue
		}
		to := map[string]string{"invoice": "overdue", "quote": "expired"}[text(d["type"])]
		if to == "" {
			continue
		}
		changed, _ := rows.Update(text(d["id"]), func(d Doc) error {
			d["status"], d["updated_at"] = to, a.timestamp()
			return nil
		})
		if changed != nil {
			a.history(entityID, "receivables", text(d["id"]), "status_changed", nil, Doc{"old_status": "issued", "new_status": to})
			a.event(entityID, "receivable", to, changed)
		}
	}
}
