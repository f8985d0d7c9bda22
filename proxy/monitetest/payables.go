package monitetest

import (
	"net/http"
	"slices"
	"strings"
)

// transition is what an action needs of the status, and makes of it.
type transition struct {
	from []string
	to   string
}

// payableTransitions are Monite's life of a payable: draft -> new ->
// approve_in_progress -> waiting_to_be_paid -> partially_paid -> paid, with
// rejected and canceled beside it.
var payableTransitions = map[string]transition{
	"validate":                  {[]string{"draft", "new"}, "new"},
	"submit_for_approval":       {[]string{"new"}, "approve_in_progress"},
	"approve_payment_operation": {[]string{"new", "approve_in_progress"}, "waiting_to_be_paid"},
	"reject":                    {[]string{"new", "approve_in_progress"}, "rejected"},
	"cancel":                    {[]string{"draft", "new", "approve_in_progress", "waiting_to_be_paid"}, "canceled"},
	"reopen":                    {[]string{"rejected", "waiting_to_be_paid"}, "new"},
	"mark_as_paid":              {[]string{"waiting_to_be_paid", "partially_paid"}, "paid"},
	"mark_as_partially_paid":    {[]string{"waiting_to_be_paid", "partially_paid"}, "partially_paid"},
}

func payableHandlers() handlerTable {
	table := handlerTable{
		"POST /v1/payables":                createPayable,
		"PATCH /v1/payables/{payable_id}":  changePayable,
		"DELETE /v1/payables/{payable_id}": deletePayable,
	}
	for action := range payableTransitions {
		table["POST /v1/payables/{payable_id}/"+action] = move("payables", action)
	}
	table["POST /v1/payables/{payable_id}/mark_as_partially_paid"] = payPartly("payables")
	return table
}

func transitionsOf(kind string) map[string]transition {
	if kind == "payables" {
		return payableTransitions
	}
	return receivableTransitions
}

// move is an action without a body that changes the status, or is a conflict.
func move(kind, action string) func(c *call) *answer {
	return func(c *call) *answer {
		updated, refusal := c.s.data.Load().at(c.entityID, kind).update(c.params[0], c.s.config.Now(), func(d doc) *answer {
			return step(c, d, kind, action)
		})
		switch {
		case refusal != nil:
			return refusal
		case updated == nil:
			return notFound(singular(kind))
		}
		c.executed()
		return c.success(updated)
	}
}

// step changes d as the action does, or refuses with 409.
func step(c *call, d doc, kind, action string) *answer {
	status, _ := d["status"].(string)
	t := transitionsOf(kind)[action]
	if !slices.Contains(t.from, status) {
		return conflict(kind, action, status)
	}
	if action == "validate" && !complete(d) {
		return invalid(problem{[]string{"body"}, "some of the required fields are missing: " +
			strings.Join(payableRequired, ", "), "value_error.missing"})
	}
	d["status"] = t.to
	now := c.s.config.Now()
	switch action {
	case "mark_as_paid":
		d["amount_paid"], d["amount_due"], d["amount_to_pay"] = d["total_amount"], 0, 0
		d["paid_at"] = timestamp(now)
	case "issue":
		issue(d, now)
	}
	return nil
}

func conflict(kind, action, status string) *answer {
	return failure(http.StatusConflict, "conflict",
		"Action "+action+" is not allowed for a "+singular(kind)+" in the status "+status)
}

// payPartly wants amount_paid above what was paid and below the total.
func payPartly(kind string) func(c *call) *answer {
	return func(c *call) *answer {
		fields, refusal := c.readJSON("amount_paid")
		if refusal != nil {
			return refusal
		}
		paid, ok := fields["amount_paid"].(float64)
		if !ok || paid < 1 || paid != float64(int(paid)) {
			return invalid(problem{[]string{"body", "amount_paid"}, "value is not a valid positive integer", "type_error.integer"})
		}
		updated, refusal := c.s.data.Load().at(c.entityID, kind).update(c.params[0], c.s.config.Now(), func(d doc) *answer {
			total := number(d["total_amount"])
			if refusal := step(c, d, kind, "mark_as_partially_paid"); refusal != nil {
				return refusal
			}
			if int(paid) >= total || int(paid) <= number(d["amount_paid"]) {
				return failure(http.StatusBadRequest, "bad_request", "amount_paid must be above what is paid and below the total")
			}
			d["amount_paid"] = int(paid)
			d["amount_due"], d["amount_to_pay"] = total-int(paid), total-int(paid)
			return nil
		})
		switch {
		case refusal != nil:
			return refusal
		case updated == nil:
			return notFound(singular(kind))
		}
		c.executed()
		return c.success(updated)
	}
}

func number(value any) int {
	switch value := value.(type) {
	case int:
		return value
	case float64:
		return int(value)
	}
	return 0
}

// payableRequired makes a draft new.
var payableRequired = []string{"counterpart_id", "currency", "document_id", "due_date", "total_amount"}

func complete(d doc) bool {
	return !slices.ContainsFunc(payableRequired, func(name string) bool { return d[name] == nil })
}

func createPayable(c *call) *answer {
	fields, refusal := c.readJSON()
	if refusal != nil {
		return refusal
	}
	delete(fields, "base64_encoded_file")
	fillPayable(c, fields)
	fields["status"] = "draft"
	if complete(fields) {
		fields["status"] = "new"
	}
	return c.create(c.s.data.Load().at(c.entityID, "payables"), fields)
}

// fillPayable adds what Monite sets itself.
func fillPayable(c *call, fields doc) {
	total := number(fields["total_amount"])
	fields["entity_id"] = c.entityID
	fields["credit_notes"] = []doc{}
	fields["payable_origin"], fields["source_of_payable_data"] = "upload", "user_specified"
	fields["amount_paid"], fields["amount_due"], fields["amount_to_pay"] = 0, total, total
	fields["was_created_by_user_id"] = nil // as with a partner token
	if c.token.entityUserID != "" {
		fields["was_created_by_user_id"] = c.token.entityUserID
	}
}

func changePayable(c *call) *answer {
	rows := c.s.data.Load().at(c.entityID, "payables")
	return c.change(rows, c.params[0], "payable", func(d doc) *answer { return open(d, "payables", "update") })
}

func deletePayable(c *call) *answer {
	return c.removeOpen("payables")
}

// open allows changes only before anything was approved or issued.
func open(d doc, kind, action string) *answer {
	status, _ := d["status"].(string)
	if !slices.Contains([]string{"draft", "new", "rejected", "canceled"}, status) {
		return conflict(kind, action, status)
	}
	return nil
}

func (c *call) removeOpen(kind string) *answer {
	removed, refusal := c.s.data.Load().at(c.entityID, kind).remove(c.params[0], func(d doc) *answer {
		return open(d, kind, "delete")
	})
	switch {
	case refusal != nil:
		return refusal
	case !removed:
		return notFound(singular(kind))
	}
	c.executed()
	return c.success(nil)
}
