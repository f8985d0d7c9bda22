package resources

func init() {
	behave(nil, map[string]handler{"POST financing_invoices": pushInvoices})
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
