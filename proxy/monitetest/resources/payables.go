package resources

import (
	"maps"
	"slices"
	"time"
)

// payableLife is draft -> new -> approve_in_progress -> waiting_to_be_paid ->
// partially_paid -> paid, with rejected and canceled beside it.
var payableLife = map[string]transition{
	"submit_for_approval": {
		from: []string{"new"}, to: "approve_in_progress", event: "submitted_for_approval",
		then: func(c *call, _, d Doc) (any, error) { c.startApproval(d); return c.rows().Get(c.id), nil },
	},
	"approve_payment_operation": {
		from: []string{"new", "approve_in_progress"}, to: "waiting_to_be_paid", event: "approved",
		then: func(c *call, _, d Doc) (any, error) { c.closeRequests(c.id, "approved"); return d, nil },
	},
	"reject": {from: []string{"new", "approve_in_progress"}, to: "rejected", event: "rejected"},
	"cancel": {from: []string{"draft", "new", "approve_in_progress", "waiting_to_be_paid"}, to: "canceled", event: "canceled"},
	"reopen": {from: []string{"rejected", "waiting_to_be_paid"}, to: "new", event: "reopened"},
	"mark_as_paid": {
		from: []string{"waiting_to_be_paid", "partially_paid"}, to: "paid", event: "paid",
		more: func(c *call, d Doc) error {
			payAll(d, c.api.timestamp())
			d["marked_as_paid_by_entity_user_id"] = c.user()
			if comment := c.body["comment"]; comment != nil {
				d["marked_as_paid_with_comment"] = comment
			}
			return nil
		},
	},
	"mark_as_partially_paid": {
		from: []string{"waiting_to_be_paid", "partially_paid"}, to: "partially_paid", event: "partially_paid", more: (*call).payPartly,
	},
}

func init() {
	const item = "POST payables/{payable_id}/"
	behave(map[string]*kind{
		"payables": {
			object: "payable", life: payableLife, history: true, fill: fillPayable, guard: openPayable, changed: changedPayable, below: map[string]string{"line_item_id": "line_items.id"},
		},
	}, map[string]handler{
		"POST payables":                  createPayable,
		"PATCH payables/{payable_id}":    changePayable,
		"POST payables/upload_from_file": uploadPayable,
		item + "attach_file":             attachPayable,
		item + "validate":                validatePayable,
		item + "cancel_ocr":              cancelOCR,
		"GET payables/analytics":         payableTotals,
	})
}

func payAll(d Doc, at string) {
	setPaid(d, max(owed(d), number(d["amount_paid"])))
	d["paid_at"] = at
}

// setPaid settles what is due. More may have been paid than the document costs: it was
// credited since.
func setPaid(d Doc, paid int) {
	due := max(0, owed(d)-paid)
	d["amount_paid"], d["amount_due"], d["amount_to_pay"] = paid, due, due
}

// setOwed settles what is due for a price, credit notes taken off.
func setOwed(d Doc, owed int) {
	d["total_amount_with_credit_notes"] = max(0, owed)
	setPaid(d, number(d["amount_paid"]))
}

// owed is the price of the whole document, minus credit notes.
func owed(d Doc) int {
	if total, is := d["total_amount_with_credit_notes"].(int); is {
		return total
	}
	return number(d["total_amount"])
}

// payPartly sets what was paid in all: above what was paid, below the total.
func (c *call) payPartly(d Doc) error {
	paid := number(c.body["amount_paid"])
	if paid >= owed(d) || paid <= number(d["amount_paid"]) {
		return badRequest("amount_paid must be above what is paid and below the total")
	}
	setPaid(d, paid)
	return nil
}

// payableRequired makes a draft new, and can be extended in the settings.
var payableRequired = []string{"counterpart_id", "currency", "document_id", "due_date", "total_amount"}

func complete(d Doc) bool {
	return !slices.ContainsFunc(payableRequired, func(name string) bool { return d[name] == nil })
}

// createPayable makes a payable of data, with its file if one was sent.
func createPayable(c *call) (any, error) {
	fields := without(c.body, "base64_encoded_file", "file_name")
	if encoded := text(c.body["base64_encoded_file"]); encoded != "" {
		name := text(first(c.body["file_name"], "bill.pdf"))
		file := c.api.addFile("payables", Doc{"name": name, "mimetype": "application/pdf", "size": len(encoded) * 3 / 4, "md5": md5Of(encoded)})
		fields["file"], fields["file_id"] = file, file["id"]
	}
	return c.create(fields)
}

// fillPayable adds what Monite sets itself.
func fillPayable(c *call, d Doc) error {
	d["credit_notes"] = []any{}
	if d["payable_origin"] == nil {
		d["payable_origin"], d["source_of_payable_data"] = "upload", "user_specified"
	}
	if d["tags"] == nil {
		d["tags"] = []any{}
	}
	d["amount_paid"] = 0
	if err := changedPayable(c, d); err != nil {
		return err
	}
	d["status"] = "draft"
	if complete(d) {
		d["status"] = "new"
	}
	c.api.history(c.EntityID, "payables", text(d["id"]), "payable_created", c.user(), Doc{"payable_source": d["payable_origin"]})
	return nil
}

// changedPayable settles amounts, tags and the counterpart's data.
func changedPayable(c *call, d Doc) error {
	c.tagged(d)
	if counterpart := c.at("counterparts").Get(text(d["counterpart_id"])); counterpart != nil && d["counterpart_raw_data"] == nil {
		party := object(first(counterpart["organization"], counterpart["individual"]))
		d["counterpart_raw_data"] = Doc{"name": partyName(counterpart), "email": party["email"]}
	}
	if total, is := d["total_amount"].(int); is {
		for _, note := range list(d["credit_notes"]) {
			total -= number(note["total_amount"])
		}
		setOwed(d, total)
	}
	return nil
}

func changePayable(c *call) (any, error) {
	d, err := c.change(c.body)
	if err == nil {
		c.api.history(c.EntityID, "payables", c.id, "payable_updated", c.user(), Doc{})
	}
	return d, err
}

// openPayable allows changes only before anything was approved.
func openPayable(c *call, d Doc) error {
	if status := text(d["status"]); !slices.Contains([]string{"draft", "new", "rejected", "canceled"}, status) {
		return c.conflict("A payable in the status " + status + " cannot be changed")
	}
	return nil
}

// validatePayable responds with the errors, and gives a complete draft the status
// new.
func validatePayable(c *call) (any, error) {
	errors := []any{}
	d, err := c.touch(func(d Doc) error {
		if status := text(d["status"]); status != "draft" && status != "new" {
			return c.conflict("Action validate is not allowed for a payable in the status " + status)
		}
		for _, name := range payableRequired {
			if d[name] == nil {
				errors = append(errors, Doc{"loc": []any{name}, "msg": "field required", "type": "value_error.missing"})
			}
		}
		if len(errors) == 0 {
			d["status"] = "new"
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return Doc{"id": d["id"], "validation_errors": errors}, nil
}

// payableTotals adds up the payables that the query chooses, by status.
func payableTotals(c *call) (any, error) {
	all, err := c.pageBy(c.at("payables").Rows(), without(c.query, "limit"))
	if err != nil {
		return nil, err
	}
	byStatus := map[string]Doc{}
	count, sum := 0, 0
	for _, row := range all.rows {
		status, amount := text(row.Doc["status"]), number(row.Doc["total_amount"])
		if byStatus[status] == nil {
			byStatus[status] = Doc{"status": status, "count": 0, "sum_total_amount": 0}
		}
		byStatus[status]["count"] = number(byStatus[status]["count"]) + 1
		byStatus[status]["sum_total_amount"] = number(byStatus[status]["sum_total_amount"]) + amount
		count, sum = count+1, sum+amount
	}
	data := []any{}
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		data = append(data, byStatus[status])
	}
	return Doc{"count": count, "sum_total_amount": sum, "data": data}, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// dayOf returns the day of a time or of a date.
func dayOf(text string) string { return text[:min(10, len(text))] }
