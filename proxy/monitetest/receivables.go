package monitetest

import (
	"fmt"
	"net/http"
	"time"
)

// receivableTransitions are Monite's life of an invoice, and of a quote
// (accept, decline).
var receivableTransitions = map[string]transition{
	"issue":                  {[]string{"draft"}, "issued"},
	"cancel":                 {[]string{"issued", "overdue"}, "canceled"},
	"mark_as_paid":           {[]string{"issued", "overdue", "partially_paid"}, "paid"},
	"mark_as_partially_paid": {[]string{"issued", "overdue", "partially_paid"}, "partially_paid"},
	"mark_as_uncollectible":  {[]string{"issued", "overdue", "partially_paid"}, "uncollectible"},
	"accept":                 {[]string{"issued"}, "accepted"},
	"decline":                {[]string{"issued"}, "declined"},
}

func receivableHandlers() handlerTable {
	table := handlerTable{
		"POST /v1/receivables":                         createReceivable,
		"POST /v1/receivables/{receivable_id}/clone":   cloneReceivable,
		"PATCH /v1/receivables/{receivable_id}":        changeReceivable,
		"DELETE /v1/receivables/{receivable_id}":       func(c *call) *answer { return c.removeOpen("receivables") },
		"GET /v1/receivables/{receivable_id}/pdf_link": pdfLink,
	}
	for action := range receivableTransitions {
		table["POST /v1/receivables/{receivable_id}/"+action] = move("receivables", action)
	}
	table["POST /v1/receivables/{receivable_id}/mark_as_partially_paid"] = payPartly("receivables")
	return table
}

// issue gives a draft its number and dates.
func issue(d doc, now time.Time) {
	id, _ := d["id"].(string)
	d["issue_date"], d["document_id"] = dateOnly(now), "INV-"+now.UTC().Format("2006")+"-"+id[:6]
	if d["due_date"] == nil {
		d["due_date"] = dateOnly(now.AddDate(0, 0, 30))
	}
}

func createReceivable(c *call) *answer {
	fields, refusal := c.readJSON("type", "counterpart_id", "counterpart_billing_address_id", "currency", "line_items")
	if refusal != nil {
		return refusal
	}
	data := c.s.data.Load()
	counterpartID, _ := fields["counterpart_id"].(string)
	counterpart := data.at(c.entityID, "counterparts").get(counterpartID)
	if counterpart == nil {
		return failure(http.StatusBadRequest, "bad_request", "The counterpart does not exist")
	}
	if kind := fields["type"]; kind != "invoice" && kind != "quote" && kind != "credit_note" {
		return invalid(problem{[]string{"body", "type"}, "No match for discriminator 'type'", "value_error.discriminated_union"})
	}
	fields["counterpart_type"] = counterpart["type"]
	fields["counterpart_name"] = partyName(counterpart)
	fields["status"] = "draft"
	fields["entity_user_id"] = nil
	if c.token.entityUserID != "" {
		fields["entity_user_id"] = c.token.entityUserID
	}
	fillEntity(fields, data.at("", "entities").get(c.entityID))
	total := 0.0
	for _, item := range list(fields["line_items"]) {
		quantity, _ := item["quantity"].(float64)
		total += quantity * float64(unitPrice(item))
	}
	setTotals(fields, int(total), 0)
	return c.create(data.at(c.entityID, "receivables"), fields)
}

// unitPrice finds the price where a line item carries its product inline.
func unitPrice(item doc) int {
	product, _ := item["product"].(doc)
	price, _ := product["price"].(doc)
	return number(price["value"])
}

func setTotals(d doc, net, vat int) {
	d["subtotal"], d["total_vat_amount"], d["total_amount"] = net, vat, net+vat
	d["total_amount_with_credit_notes"], d["amount_paid"] = net+vat, 0
	d["amount_due"], d["amount_to_pay"] = net+vat, net+vat
}

func fillEntity(d, entity doc) {
	d["entity"] = doc{"type": "organization", "name": partyName(entity), "email": entity["email"], "tax_id": entity["tax_id"]}
	d["entity_address"] = entity["address"]
	d["file_language"], d["original_file_language"] = "en", "en"
	d["related_documents"] = doc{}
}

func partyName(party doc) string {
	if organization, ok := party["organization"].(doc); ok {
		name, _ := organization["legal_name"].(string)
		return name
	}
	individual, _ := party["individual"].(doc)
	return fmt.Sprint(individual["first_name"], " ", individual["last_name"])
}

func cloneReceivable(c *call) *answer {
	rows := c.s.data.Load().at(c.entityID, "receivables")
	original := rows.get(c.params[0])
	if original == nil {
		return notFound("receivable")
	}
	clone := without(original, "document_id", "issue_date", "due_date", "paid_at")
	clone["status"] = "draft"
	setTotals(clone, number(original["subtotal"]), number(original["total_vat_amount"]))
	return c.create(rows, clone)
}

func changeReceivable(c *call) *answer {
	rows := c.s.data.Load().at(c.entityID, "receivables")
	return c.change(rows, c.params[0], "receivable", func(d doc) *answer { return open(d, "receivables", "update") })
}

// pdfLink points outside the API, as Monite's does: the file needs no token.
func pdfLink(c *call) *answer {
	if c.s.data.Load().at(c.entityID, "receivables").get(c.params[0]) == nil {
		return notFound("receivable")
	}
	return jsonAnswer(c.op.Success, doc{"file_url": fileURL("receivables/" + c.params[0] + ".pdf"), "original_file_url": nil})
}
