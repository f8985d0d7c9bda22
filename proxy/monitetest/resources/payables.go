package resources

import (
	"maps"
	"slices"
	"time"
)

// transition is the status that an action needs, and the one that it leads to.
type transition struct {
	from  []string
	to    string
	event string // what subscribers are told
}

// payableTransitions are Monite's life of a payable: draft -> new ->
// approve_in_progress -> waiting_to_be_paid -> partially_paid -> paid, with
// rejected and canceled beside it.
var payableTransitions = map[string]transition{
	"submit_for_approval":       {[]string{"new"}, "approve_in_progress", "submitted_for_approval"},
	"approve_payment_operation": {[]string{"new", "approve_in_progress"}, "waiting_to_be_paid", "approved"},
	"reject":                    {[]string{"new", "approve_in_progress"}, "rejected", "rejected"},
	"cancel":                    {[]string{"draft", "new", "approve_in_progress", "waiting_to_be_paid"}, "canceled", "canceled"},
	"reopen":                    {[]string{"rejected", "waiting_to_be_paid"}, "new", "reopened"},
	"mark_as_paid":              {[]string{"waiting_to_be_paid", "partially_paid"}, "paid", "paid"},
	"mark_as_partially_paid":    {[]string{"waiting_to_be_paid", "partially_paid"}, "partially_paid", "partially_paid"},
}

func init() {
	const item = "POST payables/{payable_id}/"
	behave(map[string]*kind{
		"payables": {
			object: "payable", fill: fillPayable, guard: openPayable, changed: changedPayable, below: map[string]string{"line_item_id": "line_items.id"},
		},
	}, map[string]handler{
		"POST payables":                  createPayable,
		"PATCH payables/{payable_id}":    changePayable,
		"POST payables/upload_from_file": uploadPayable,
		item + "attach_file":             attachPayable,
		item + "validate":                validatePayable,
		item + "cancel_ocr":              cancelOCR,
		item + "submit_for_approval":     submitPayable,
		item + "mark_as_partially_paid":  payPayablePartly,
		item + "mark_as_paid":            payPayable,
		item + "cancel":                  movePayable("cancel"),
		item + "reject":                  movePayable("reject"),
		item + "reopen":                  movePayable("reopen"),
		item + "approve_payment_operation": func(c *call) (any, error) {
			d, err := movePayable("approve_payment_operation")(c)
			if err == nil {
				c.closeRequests(c.id, "approved")
			}
			return d, err
		},
		"GET payables/analytics": payableTotals,
	})
}

// move changes the status of a document, of one of the types if they matter, as the
// action does, and tells of it; or it refuses.
func (c *call) move(object, id, action string, all map[string]transition, types []string, more func(d Doc) error) (Doc, error) {
	from, t := "", all[action]
	d, err := c.update(c.at(object+"s"), id, func(d Doc) error {
		kind := object
		if types != nil {
			kind = text(d["type"])
		}
		if from = text(d["status"]); !slices.Contains(t.from, from) || types != nil && !slices.Contains(types, kind) {
			return c.conflict("Action " + action + " is not allowed for a " + kind + " in the status " + from)
		}
		d["status"] = t.to
		if more != nil {
			return more(d)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return nil, notFound(object)
	}
	c.api.history(c.EntityID, object+"s", id, "status_changed", c.user(), Doc{"old_status": from, "new_status": d["status"]})
	c.event(object, t.event, d)
	return d, nil
}

// movePayable is an action that changes the status, or is refused.
func movePayable(action string) handler {
	return func(c *call) (any, error) { return c.movePayable(c.id, action, nil) }
}

func (c *call) movePayable(id, action string, more func(d Doc) error) (Doc, error) {
	return c.move("payable", id, action, payableTransitions, nil, more)
}

func payPayable(c *call) (any, error) {
	return c.movePayable(c.id, "mark_as_paid", func(d Doc) error {
		payAll(d, c.api.timestamp())
		d["marked_as_paid_by_entity_user_id"] = c.user()
		if comment := c.body["comment"]; comment != nil {
			d["marked_as_paid_with_comment"] = comment
		}
		return nil
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
func (c *call) payPartly(d Doc, paid int) error {
	total := owed(d)
	if paid >= total || paid <= number(d["amount_paid"]) {
		return badRequest("amount_paid must be above what is paid and below the total")
	}
	setPaid(d, paid)
	return nil
}

func payPayablePartly(c *call) (any, error) {
	return c.movePayable(c.id, "mark_as_partially_paid", func(d Doc) error { return c.payPartly(d, number(c.body["amount_paid"])) })
}

func submitPayable(c *call) (any, error) {
	d, err := c.movePayable(c.id, "submit_for_approval", nil)
	if err != nil {
		return nil, err
	}
	c.startApproval(d)
	return c.rows().Get(c.id), nil
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
