package resources

import (
	"maps"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

func init() {
	const item = "POST receivables/{receivable_id}/"
	behave(map[string]*kind{
		"receivables": {
			object: "receivable", life: receivableLife, history: true, fill: fillReceivable, guard: openReceivable, changed: changedReceivable,
		},
	}, map[string]handler{
		"POST receivables":                           createReceivable,
		"PATCH receivables/{receivable_id}":          changeReceivable,
		"PUT receivables/{receivable_id}/line_items": replaceReceivableLines,
		item + "clone":                               cloneReceivable,
		item + "issue":                               func(c *call) (any, error) { return c.issueReceivable(c.id) },
		"GET receivables/{receivable_id}/pdf_link":   pdfLink,
		"POST receivables/search":                    searchReceivables,
		"GET receivables/required_fields":            func(*call) (any, error) { return Doc{}, nil },
		item + "preview":                             previewMail,
		item + "verify":                              func(*call) (any, error) { return Doc{}, nil },
	})
}

// createReceivable makes a quote or an invoice, or one of another document.
func createReceivable(c *call) (any, error) {
	if c.body["based_on"] != nil {
		return createBasedOn(c)
	}
	return c.create(c.body)
}

func fillReceivable(c *call, d Doc) error {
	d["status"], d["amount_paid"] = "draft", 0
	if _, numbered := c.body["document_id"]; !numbered {
		delete(d, "document_id")
	}
	addSeller(d, c.entity())
	d["entity_user_id"] = c.user()
	if d["tags"] == nil {
		d["tags"] = []any{}
	}
	if err := changedReceivable(c, d); err != nil {
		return err
	}
	c.api.history(c.EntityID, "receivables", text(d["id"]), "receivable_created", c.user(), Doc{})
	return nil
}

// changedReceivable settles what follows from the fields that were sent.
func changedReceivable(c *call, d Doc) error {
	counterpart := c.at("counterparts").Get(text(d["counterpart_id"]))
	id := text(d["counterpart_id"])
	billing := c.at("counterparts/" + id + "/addresses").Get(text(first(d["counterpart_billing_address_id"], counterpart["default_billing_address_id"])))
	addBuyer(d, counterpart, billing)
	for field, rows := range map[string]*state.Collection{
		"counterpart_shipping_address": c.at("counterparts/" + id + "/addresses"), "counterpart_vat_id": c.at("counterparts/" + id + "/vat_ids"),
		"entity_vat_id": c.data.At("", "entities/"+c.EntityID+"/vat_ids"), "entity_bank_account": c.at("bank_accounts"), "payment_terms": c.at("payment_terms"),
	} {
		if chosen := rows.Get(text(d[field+"_id"])); chosen != nil {
			d[field] = chosen
		}
	}
	c.tagged(d)
	if err := c.attached(d); err != nil {
		return err
	}
	if problem := priceLines(d, c.pricer()); problem != nil {
		return invalid(*problem)
	}
	addTotals(d)
	return nil
}

// attached adds to the attachments what is known of their files.
func (c *call) attached(d Doc) error {
	attachments := []any{}
	for i, sent := range list(d["attachments"]) {
		file := c.data.At("", "files").Get(text(sent["id"]))
		if file == nil {
			return c.unknown("file", text(sent["id"]), "body", "attachments", i, "id")
		}
		shown := Doc{"id": file["id"], "include_in_email": sent["include_in_email"] == true}
		for _, name := range []string{"mimetype", "name", "size", "url"} {
			shown[name] = file[name]
		}
		attachments = append(attachments, shown)
	}
	if d["attachments"] != nil {
		d["attachments"] = attachments
	}
	return nil
}

// addSeller adds the entity's own data.
func addSeller(d, entity Doc) {
	seller := Doc{"type": "organization", "name": partyName(entity)}
	if individual := object(entity["individual"]); individual != nil {
		seller = Doc{"type": "individual", "first_name": individual["first_name"], "last_name": individual["last_name"]}
	}
	for _, name := range []string{"email", "tax_id", "phone", "website"} {
		if entity[name] != nil {
			seller[name] = entity[name]
		}
	}
	d["entity"], d["entity_address"] = seller, entity["address"]
	d["file_language"], d["original_file_language"] = "en", "en"
	if d["related_documents"] == nil {
		d["related_documents"] = Doc{"credit_note_ids": []any{}}
	}
}

// addBuyer adds the counterpart's data.
func addBuyer(d, counterpart, billing Doc) {
	d["counterpart_type"], d["counterpart_name"] = counterpart["type"], partyName(counterpart)
	if counterpart["tax_id"] != nil {
		d["counterpart_tax_id"] = counterpart["tax_id"]
	}
	if billing != nil {
		d["counterpart_billing_address"] = billing
	}
}

// changeReceivable merges the part of the body that is for this type.
func changeReceivable(c *call) (any, error) {
	now := c.rows().Get(c.id)
	kind := text(now["type"])
	fields, issued := c.body[kind], c.body["issued_invoice"]
	if kind == "invoice" && issued != nil && now["status"] != "draft" {
		d, err := c.touch(func(d Doc) error {
			merge(d, object(issued))
			return changedReceivable(c, d)
		})
		return c.updated(d, err)
	}
	if fields == nil {
		return nil, invalid(schema.Missing("body", kind))
	}
	changes := maps.Clone(object(fields))
	if lines := list(changes["line_items"]); lines != nil {
		changes["line_items"] = updatedLines(now, lines)
	}
	d, err := c.change(changes)
	return c.updated(d, err)
}

func (c *call) updated(d Doc, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	c.api.history(c.EntityID, "receivables", c.id, "receivable_updated", c.user(), Doc{})
	return d, nil
}

// updatedLines applies changes to the lines at the same place.
func updatedLines(now Doc, changes []Doc) []any {
	lines := []any{}
	old := list(now["line_items"])
	for i, change := range changes {
		line := Doc{"quantity": 1, "product": Doc{"name": "Item", "price": Doc{"currency": now["currency"], "value": 0}}}
		if i < len(old) {
			rate := object(object(old[i]["product"])["vat_rate"])
			line = Doc{"quantity": old[i]["quantity"], "product": old[i]["product"], "tax_rate_value": rate["value"]}
		}
		maps.Copy(line, change)
		lines = append(lines, line)
	}
	return lines
}

func replaceReceivableLines(c *call) (any, error) {
	d, err := c.touch(func(d Doc) error {
		if err := openReceivable(c, d); err != nil {
			return err
		}
		d["line_items"] = c.body["data"]
		return changedReceivable(c, d)
	})
	if err != nil {
		return nil, err
	}
	_, _ = c.updated(d, nil)
	return Doc{"data": d["line_items"]}, nil
}

// openReceivable allows changes only before the document was issued.
func openReceivable(c *call, d Doc) error {
	if status := text(d["status"]); status != "draft" {
		return c.conflict("A " + strings.ReplaceAll(text(d["type"]), "_", " ") + " in the status " + status + " cannot be changed")
	}
	return nil
}

// created keeps a new document that was made of another one.
func (c *call) created(d Doc) Doc {
	id := c.id
	c.id, c.chain = "", nil
	c.stamp(d)
	c.id = id
	d["status"], d["amount_paid"] = "draft", 0
	addTotals(d)
	c.at("receivables").Add(d)
	c.event("receivable", "created", d)
	return d
}

// perDocument are the fields that a copy does not take over.
var perDocument = []string{
	"document_id", "issue_date", "due_date", "paid_at", "file_url", "recurrence_id", "_credited", "related_documents", "expiry_date",
}

func cloneReceivable(c *call) (any, error) {
	d := without(c.rows().Get(c.id), perDocument...)
	d["related_documents"] = Doc{"credit_note_ids": []any{}}
	d = c.created(d)
	c.api.history(c.EntityID, "receivables", text(d["id"]), "receivable_created", c.user(), Doc{})
	return d, nil
}

// createBasedOn makes an invoice of a quote, or a credit note of an invoice.
func createBasedOn(c *call) (any, error) {
	source := c.at("receivables").Get(text(c.body["based_on"]))
	if source == nil {
		return nil, c.unknown("receivable", text(c.body["based_on"]), "body", "based_on")
	}
	kind := text(c.body["type"])
	allowed := map[string][]string{"invoice": {"accepted", "issued"}, "credit_note": {"issued", "overdue", "partially_paid", "paid"}}[kind]
	wants := map[string]string{"invoice": "quote", "credit_note": "invoice"}[kind]
	if source["type"] != wants || !slices.Contains(allowed, text(source["status"])) {
		return nil, c.conflict("A " + kind + " cannot be based on a " + text(source["type"]) + " in the status " + text(source["status"]))
	}
	d := without(source, perDocument...)
	d["type"], d["based_on"] = kind, source["id"]
	if source["document_id"] != nil {
		d["based_on_document_id"] = source["document_id"]
	}
	d["related_documents"] = Doc{"credit_note_ids": []any{}}
	if ids := c.body["tag_ids"]; ids != nil {
		d["tag_ids"] = ids
		c.tagged(d)
	}
	d = c.created(d)
	c.api.history(c.EntityID, "receivables", text(d["id"]), "receivable_created", c.user(), Doc{})
	c.api.history(c.EntityID, "receivables", text(source["id"]), "based_on_receivable_created", c.user(), Doc{"receivable_id": d["id"], "type": kind})
	return d, nil
}

// pdfLink points outside the API, as Monite's does: the file needs no token.
func pdfLink(c *call) (any, error) {
	return Doc{"file_url": fileURL("receivables/" + c.id + ".pdf"), "original_file_url": fileURL("receivables/" + c.id + ".pdf")}, nil
}

// searchReceivables is the list with the query in the body.
func searchReceivables(c *call) (any, error) { return c.pageBy(c.at("receivables").Rows(), c.body) }

func previewMail(c *call) (any, error) {
	d := c.rows().Get(c.id)
	return Doc{"subject_preview": fillIn(text(c.body["subject_text"]), d), "body_preview": "<p>" + fillIn(text(c.body["body_text"]), d) + "</p>"}, nil
}

// fillIn replaces the variables that mail templates know.
func fillIn(template string, d Doc) string {
	return strings.NewReplacer(
		"{invoice.document_id}", text(d["document_id"]), "{invoice_number}", text(d["document_id"]), "{document_id}", text(d["document_id"]),
		"{counterpart_name}", text(d["counterpart_name"]), "{entity_name}", text(object(d["entity"])["name"]),
	).Replace(template)
}
