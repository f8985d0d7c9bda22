package resources

import (
	"slices"
	"strings"
)

// creditLife is the life of a supplier's credit note.
var creditLife = map[string]transition{
	"submit_for_approval": {from: []string{"draft", "new"}, to: "submitted_for_approval", event: "submitted_for_approval"},
	"approve":             {from: []string{"draft", "new", "submitted_for_approval"}, to: "approved", event: "approved", then: applyCredit},
	"reject":              {from: []string{"new", "submitted_for_approval"}, to: "rejected", event: "rejected"},
	"cancel":              {from: []string{"draft", "new", "submitted_for_approval", "approved"}, to: "canceled", event: "canceled"},
}

func init() {
	behave(map[string]*kind{
		"payable_credit_notes":    {object: "payables_credit_note", life: creditLife, fill: fillCreditNote, changed: changedCreditNote},
		"payable_purchase_orders": {object: "payables_purchase_order", fill: fillOrder, changed: addCompanies},
		"delivery_notes": {object: "delivery_note", fill: fillDelivery, life: map[string]transition{
			"cancel":            {from: []string{"created"}, to: "canceled", event: "canceled"},
			"mark_as_delivered": {from: []string{"created"}, to: "delivered", event: "delivered"},
		}},
		"receipts": {object: "receipt"},
	}, map[string]handler{
		"GET payable_credit_notes/{credit_note_id}/validate": func(c *call) (any, error) { return Doc{"id": c.id, "validation_errors": []any{}}, nil },
		"POST payable_credit_notes/validations/reset":        resetView("payable_credit_notes/validations"),
		"POST payables/validations/reset":                    resetView("payables/validations"),
	})
}

func resetView(path string) handler {
	return func(c *call) (any, error) {
		settings := c.data.At(c.owner, "_views")
		_, _ = settings.Remove(path, nil)
		c.path = path
		return c.view(settings, nil), nil
	}
}

func fillCreditNote(c *call, d Doc) error {
	if d["status"] == nil {
		d["status"], d["origin"], d["source_of_data"] = "new", "upload", "user_specified"
	}
	return changedCreditNote(c, d)
}

func changedCreditNote(c *call, d Doc) error {
	c.tagged(d)
	if d["total_amount"] == nil && d["subtotal"] != nil {
		d["total_amount"] = number(d["subtotal"]) + number(d["tax_amount"])
	}
	return nil
}

// applyCredit lowers what the bill of an approved note costs.
func applyCredit(c *call, _, note Doc) (any, error) {
	_, err := c.update(c.at("payables"), text(note["based_on"]), func(p Doc) error {
		p["credit_notes"] = append(slices.Clone(asList(p["credit_notes"])), Doc{
			"id": note["id"], "status": note["status"], "document_id": note["document_id"], "total_amount": note["total_amount"], "issued_at": note["issued_at"],
		})
		setOwed(p, owed(p)-number(note["total_amount"]))
		return nil
	})
	return note, err
}

func fillOrder(c *call, d Doc) error {
	d["status"], d["document_id"] = "draft", c.takeNumber("purchase_order")
	return addCompanies(c, d)
}

// addCompanies adds both companies' data to an order or a delivery note.
func addCompanies(c *call, d Doc) error {
	counterpart := c.at("counterparts").Get(text(d["counterpart_id"]))
	party := without(object(first(counterpart["organization"], counterpart["individual"])))
	for _, name := range []string{"id", "created_at", "updated_at", "type", "organization", "individual"} {
		if counterpart[name] != nil {
			party[name] = counterpart[name]
		}
	}
	party["counterpart_type"], party["name"] = counterpart["type"], partyName(counterpart)
	address := first(d["counterpart_address_id"], counterpart["default_billing_address_id"])
	d["counterpart_address"] = c.at("counterparts/" + text(counterpart["id"]) + "/addresses").Get(text(address))
	addSeller(d, c.entity())
	seller := object(d["entity"])
	for _, name := range []string{"id", "created_at", "updated_at", "organization", "individual"} {
		if value := c.entity()[name]; value != nil {
			seller[name] = value
		}
	}
	d["counterpart"], d["entity"] = c.fitted("counterpart", party), c.fitted("entity", seller)
	return nil
}

// fitted is the part of a value that orders or delivery notes have under a name.
func (c *call) fitted(name string, value any) any {
	kind, _, _ := strings.Cut(c.template(), "/")
	fitted, _ := c.maker(c.id).Project(c.api.places[kind].item.Property(name).Schema, value)
	return fitted
}

func fillDelivery(c *call, d Doc) error {
	d["status"] = "created"
	if d["document_id"] == nil {
		d["document_id"] = c.takeNumber("delivery_note")
	}
	if source := c.at("receivables").Get(text(d["based_on"])); source != nil {
		d["counterpart_id"], d["based_on_document_id"] = source["counterpart_id"], source["document_id"]
		lines := []any{}
		for _, line := range list(source["line_items"]) {
			lines = append(lines, Doc{"product": line["product"], "quantity": line["quantity"]})
		}
		d["line_items"] = lines
	} else if d["based_on"] != nil {
		return c.unknown("receivable", text(d["based_on"]), "body", "based_on")
	}
	lines := []any{}
	for _, line := range list(d["line_items"]) {
		shown := without(line)
		if product := c.at("products").Get(text(line["product_id"])); product != nil {
			shown["product"] = Doc{"name": product["name"], "measure_unit": unitOf(c.pricer(), product)}
		}
		lines = append(lines, shown)
	}
	d["line_items"] = c.fitted("line_items", lines)
	return addCompanies(c, d)
}
