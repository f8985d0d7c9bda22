package resources

import (
	"slices"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

func init() {
	behave(map[string]*kind{
		"payment_records": {object: "payment", fill: fillRecord, life: map[string]transition{
			"start_processing":  {from: []string{"created"}, to: "processing", event: "updated", more: noteRecord},
			"cancel":            {from: []string{"created", "processing"}, to: "canceled", event: "updated", more: noteRecord},
			"mark_as_succeeded": {from: []string{"created", "processing"}, to: "succeeded", event: "updated", more: noteRecord},
		}},
		"payment_links": {object: "payment_link", fill: fillLink, life: map[string]transition{
			"expire": {from: []string{"created"}, to: "expired"},
		}},
		"batch_payments": {object: "batch_payment", fill: fillBatch},
	}, map[string]handler{
		"POST payment_links":      func(c *call) (any, error) { return c.create(c.body) },
		"POST financing_invoices": pushInvoices,
		"POST batch_payments":     func(c *call) (any, error) { return c.create(c.body) },
		"GET payment_intents/{payment_intent_id}/history": func(c *call) (any, error) {
			d := c.rows().Get(c.id)
			return Doc{"data": []any{Doc{
				"id": schema.FixedUUID(c.id), "created_at": d["updated_at"], "updated_at": d["updated_at"], "payment_intent_id": c.id, "status": d["status"],
			}}}, nil
		},
	})
}

// fillRecord records a payment from outside, and pays the document if the
// money has come.
func fillRecord(c *call, d Doc) error {
	target := object(d["object"])
	kind, id := text(target["type"]), text(target["id"])
	document := c.at(kind + "s").Get(id)
	if document == nil {
		return c.unknown(kind, id, "body", "object", "id")
	}
	d["is_external"] = true
	status := text(first(d["status"], "succeeded"))
	d["status"] = status
	now := c.api.timestamp()
	d["history"] = []any{Doc{"status": status, "timestamp": now, "entity_user_id": c.actor()}}
	d["object"] = Doc{"id": id, "type": kind, "old_status": document["status"], "new_status": document["status"]}
	if status == "succeeded" {
		if d["paid_at"] == nil {
			d["paid_at"] = now
		}
		c.pay(d)
	}
	return nil
}

// pay lets the document of a payment record follow from the payment.
func (c *call) pay(record Doc) {
	target := object(record["object"])
	kind, id := text(target["type"]), text(target["id"])
	amount, from := number(record["amount"]), ""
	d, _ := c.update(c.at(kind+"s"), id, func(d Doc) error {
		from = text(d["status"])
		if !slices.Contains(kinds[kind+"s"].life["mark_as_paid"].from, from) {
			return nil
		}
		due := number(d["amount_due"])
		if amount >= due {
			record["overpaid_amount"] = amount - due
			payAll(d, text(record["paid_at"]))
			d["status"] = "paid"
			return nil
		}
		setPaid(d, number(d["amount_paid"])+amount)
		d["status"] = "partially_paid"
		return nil
	})
	if d == nil {
		return
	}
	record["object"] = Doc{"id": id, "type": kind, "old_status": from, "new_status": d["status"]}
	if kind == "receivable" {
		c.api.history(c.EntityID, "receivables", id, "payment_received", c.user(), Doc{"amount_paid": amount, "amount_due": d["amount_due"]})
	}
	if from != d["status"] {
		c.api.history(c.EntityID, kind+"s", id, "status_changed", c.user(), Doc{"old_status": from, "new_status": d["status"]})
		c.event(kind, text(d["status"]), d)
	}
}

// noteRecord adds the change of a record's status to its history, and pays the document
// once the money has come.
func noteRecord(c *call, d Doc) error {
	for _, name := range []string{"paid_at", "payment_intent_status"} {
		if c.body[name] != nil {
			d[name] = c.body[name]
		}
	}
	d["history"] = append(slices.Clone(asList(d["history"])), Doc{"status": d["status"], "timestamp": c.api.timestamp(), "entity_user_id": c.actor()})
	if d["status"] == "succeeded" {
		c.pay(d)
	}
	return nil
}

func asList(value any) []any {
	items, _ := value.([]any)
	return items
}

// fillLink makes a link with its payment intent.
func fillLink(c *call, d Doc) error {
	if target := object(d["object"]); target != nil {
		document := c.at(text(target["type"]) + "s").Get(text(target["id"]))
		if document == nil {
			return c.unknown(text(target["type"]), text(target["id"]), "body", "object", "id")
		}
		d["amount"], d["currency"] = document["amount_due"], document["currency"]
		d["payment_reference"] = first(d["payment_reference"], document["document_id"], "payment")
	}
	if d["expires_at"] == nil {
		d["expires_at"] = schema.Timestamp(c.api.now().AddDate(0, 0, 70))
	}
	id := text(d["id"])
	d["status"], d["payment_page_url"] = "created", "https://pay.monite-sim.invalid/"+id
	intent := c.api.newID("payment_intents")
	d["payment_intent_id"] = intent
	c.at("payment_intents").Add(c.complete(c.api.places["payment_intents/{payment_intent_id}"].methods["GET"].Response, Doc{
		"id": intent, "updated_at": c.api.timestamp(), "amount": first(d["amount"], 0), "currency": first(d["currency"], "EUR"), "status": "created",
		"payment_methods": d["payment_methods"], "recipient": d["recipient"], "payment_link_id": id, "object_id": object(d["object"])["id"],
		"payment_reference": d["payment_reference"], "object": d["object"],
	}))
	return nil
}

// fillBatch pays several payables, which takes the bank two seconds.
func fillBatch(c *call, d Doc) error {
	total, intents := 0, []any{}
	for i, sent := range list(d["payment_intents"]) {
		payable := c.at("payables").Get(text(object(sent["object"])["id"]))
		if payable == nil {
			return c.unknown("payable", text(object(sent["object"])["id"]), "body", "payment_intents", i, "object", "id")
		}
		intent := without(sent)
		intent["id"], intent["created_at"], intent["status"] = c.api.newID("payment_intents"), c.api.timestamp(), "created"
		intent["amount"], intent["currency"] = payable["amount_due"], payable["currency"]
		intent["payment_reference"] = first(sent["payment_reference"], payable["document_id"], "payment")
		total += number(payable["amount_due"])
		intents = append(intents, intent)
	}
	d["payment_intents"], d["total_amount"], d["status"] = intents, total, "created"
	id := text(d["id"])
	c.later(func(c *call) { c.settleBatch(id) })
	return nil
}

func (c *call) settleBatch(id string) {
	d, _ := c.update(c.at("batch_payments"), id, func(d Doc) error {
		intents := []any{}
		for _, intent := range list(d["payment_intents"]) {
			paid := without(intent)
			paid["status"] = "succeeded"
			intents = append(intents, paid)
		}
		d["payment_intents"], d["status"] = intents, "succeeded"
		return nil
	})
	for _, intent := range list(d["payment_intents"]) {
		c.pay(Doc{"amount": intent["amount"], "paid_at": c.api.timestamp(), "object": intent["object"]})
	}
	if d != nil {
		c.event("batch_payment", "status_updated", d)
	}
}

// pushInvoices offers documents for financing; they are then on the list.
func pushInvoices(c *call) (any, error) {
	var pushed []Doc
	for i, sent := range list(c.body["invoices"]) {
		id := text(sent["id"])
		document := c.at("payables").Get(id)
		if document == nil {
			document = c.at("receivables").Get(id)
		}
		if document == nil {
			return nil, c.unknown("invoice", id, "body", "invoices", i, "id")
		}
		d := without(document)
		d["invoice_id"], d["type"] = id, sent["type"]
		d["issue_date"] = first(document["issue_date"], document["issued_at"], c.api.today())
		d["due_date"] = first(document["due_date"], c.api.today())
		d["document_id"] = first(document["document_id"], "draft")
		delete(d, "status")
		pushed = append(pushed, c.complete(c.api.places["financing_invoices"].item, d))
	}
	for _, d := range pushed {
		c.at("financing_invoices").Add(d)
	}
	return Doc{}, nil
}
