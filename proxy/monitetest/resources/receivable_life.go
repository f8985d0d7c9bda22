package resources

import (
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// receivableTransitions are Monite's life of an invoice, of a quote (accept,
// decline) and of a credit note (issue).
var receivableTransitions = map[string]transition{
	"issue":                  {[]string{"draft"}, "issued", "issued"},
	"cancel":                 {[]string{"issued", "overdue"}, "canceled", "canceled"},
	"mark_as_paid":           {[]string{"issued", "overdue", "partially_paid"}, "paid", "paid"},
	"mark_as_partially_paid": {[]string{"issued", "overdue", "partially_paid"}, "partially_paid", "partially_paid"},
	"mark_as_uncollectible":  {[]string{"issued", "overdue", "partially_paid"}, "uncollectible", "uncollectible"},
	"accept":                 {[]string{"issued"}, "accepted", "accepted"},
	"decline":                {[]string{"issued"}, "declined", "declined"},
}

func init() {
	const item = "POST receivables/{receivable_id}/"
	behave(nil, map[string]handler{
		item + "issue":                  func(c *call) (any, error) { return c.issueReceivable(c.id) },
		item + "cancel":                 moveInvoice("cancel", nil),
		item + "mark_as_uncollectible":  moveInvoice("mark_as_uncollectible", keepComment),
		item + "accept":                 moveQuote("accept"),
		item + "decline":                moveQuote("decline"),
		item + "mark_as_paid":           payInvoice,
		item + "mark_as_partially_paid": payInvoicePartly,
	})
}

// moveReceivable changes the status of a document of one of the types.
func (c *call) moveReceivable(id, action string, types []string, more func(d Doc) error) (Doc, error) {
	return c.move("receivable", id, action, receivableTransitions, types, more)
}

func moveInvoice(action string, more func(c *call, d Doc)) handler {
	return func(c *call) (any, error) {
		return c.moveReceivable(c.id, action, []string{"invoice"}, func(d Doc) error {
			if more != nil {
				more(c, d)
			}
			return nil
		})
	}
}

func moveQuote(action string) handler {
	return func(c *call) (any, error) {
		if _, err := c.moveReceivable(c.id, action, []string{"quote"}, func(d Doc) error { keepComment(c, d); return nil }); err != nil {
			return nil, err
		}
		return Doc{"success": true}, nil
	}
}

func keepComment(c *call, d Doc) {
	if comment := c.body["comment"]; comment != nil {
		d["comment"] = comment
	}
}

// issueReceivable gives a draft its number and dates. A credit note lowers
// what its invoice costs.
func (c *call) issueReceivable(id string) (Doc, error) {
	now := c.api.now()
	c.beginNumbers(text(c.at("receivables").Get(id)["type"]))
	d, err := c.moveReceivable(id, "issue", []string{"invoice", "quote", "credit_note"}, func(d Doc) error {
		d["issue_date"] = schema.Timestamp(now)
		if d["document_id"] == nil {
			d["document_id"] = c.takeNumber(text(d["type"]))
		}
		d["file_url"], d["original_file_url"] = fileURL("receivables/"+id+".pdf"), fileURL("receivables/"+id+".pdf")
		switch d["type"] {
		case "invoice":
			d["due_date"] = day(now.AddDate(0, 0, termDays(d)))
		case "quote":
			d["due_date"] = first(d["expiry_date"], day(now.AddDate(0, 0, 30)))
			d["expiry_date"] = d["due_date"]
		}
		return nil
	})
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

// termDays is the term of payment: 30 days unless agreed.
func termDays(d Doc) int {
	final := object(object(d["payment_terms"])["term_final"])
	if days, is := final["number_of_days"].(int); is {
		return days
	}
	return 30
}

func payInvoice(c *call) (any, error) {
	paid := 0
	d, err := c.moveReceivable(c.id, "mark_as_paid", []string{"invoice"}, func(d Doc) error {
		paid = number(d["amount_due"])
		payAll(d, text(first(c.body["paid_at"], c.api.timestamp())))
		keepComment(c, d)
		return nil
	})
	return c.received(d, err, paid)
}

func payInvoicePartly(c *call) (any, error) {
	paid := 0
	d, err := c.moveReceivable(c.id, "mark_as_partially_paid", []string{"invoice"}, func(d Doc) error {
		before := number(d["amount_paid"])
		keepComment(c, d)
		if err := c.payPartly(d, number(c.body["amount_paid"])); err != nil {
			return err
		}
		paid = number(d["amount_paid"]) - before
		return nil
	})
	return c.received(d, err, paid)
}

// received adds the payment to the history.
func (c *call) received(d Doc, err error, paid int) (any, error) {
	if err != nil {
		return nil, err
	}
	data := Doc{"amount_paid": paid, "amount_due": d["amount_due"]}
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
