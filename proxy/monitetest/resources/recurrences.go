package resources

import "time"

func init() {
	behave(map[string]*kind{
		"recurrences": {object: "recurrence", fill: fillRecurrence, life: map[string]transition{
			"pause":  {from: []string{"active"}, to: "paused", event: "updated"},
			"resume": {from: []string{"paused"}, to: "active", event: "updated"},
			"cancel": {from: []string{"active", "paused"}, to: "canceled", event: "updated"},
		}},
	}, nil)
}

// fillRecurrence plans the next twelve invoices, or as many as were wanted.
func fillRecurrence(c *call, d Doc) error {
	d["status"], d["current_iteration"] = "active", 1
	for name, usual := range map[string]any{"automation_level": "issue", "day_of_month": "first_day", "frequency": "month", "interval": 1} {
		if d[name] == nil {
			d[name] = usual
		}
	}
	start, err := time.Parse(time.DateOnly, text(d["start_date"]))
	if err != nil {
		start = c.api.now().AddDate(0, 0, 1)
	}
	if year, is := d["start_year"].(int); is && d["start_date"] == nil {
		start = time.Date(year, time.Month(max(1, number(d["start_month"]))), 1, 0, 0, 0, 0, time.UTC)
	}
	d["start_date"], d["start_month"], d["start_year"] = day(start), int(start.Month()), start.Year()
	count := 12
	if most, is := d["max_occurrences"].(int); is {
		count = min(most, 60)
	}
	iterations := []any{}
	for i := range count {
		at := step(start, text(d["frequency"]), i*number(d["interval"]))
		if end := text(d["end_date"]); end != "" && day(at) > end && i > 0 {
			break
		}
		iterations = append(iterations, Doc{"iteration": i + 1, "issue_at": day(at), "status": "pending"})
	}
	d["iterations"] = iterations
	_, _ = c.update(c.at("receivables"), text(d["invoice_id"]), func(invoice Doc) error {
		invoice["status"], invoice["recurrence_id"] = "recurring", d["id"]
		return nil
	})
	return nil
}

func step(start time.Time, frequency string, n int) time.Time {
	switch frequency {
	case "day":
		return start.AddDate(0, 0, n)
	case "week":
		return start.AddDate(0, 0, 7*n)
	case "quarter":
		return start.AddDate(0, 3*n, 0)
	case "year":
		return start.AddDate(n, 0, 0)
	}
	return start.AddDate(0, n, 0)
}

// recur issues the invoices whose day has come, and sends them where wanted.
func (a *API) recur(entityID string, today time.Time) {
	for _, recurrence := range a.Store().At(entityID, "recurrences").All() {
		if recurrence["status"] != "active" {
			continue
		}
		for _, iteration := range list(recurrence["iterations"]) {
			if iteration["status"] == "pending" && iteration["issue_at"] == day(today) {
				a.iterate(entityID, recurrence, number(iteration["iteration"]))
			}
		}
	}
}

func (a *API) iterate(entityID string, recurrence Doc, n int) {
	c := a.inside(entityID, "receivables")
	template := c.at("receivables").Get(text(recurrence["invoice_id"]))
	if template == nil {
		return
	}
	d := without(template, perDocument...)
	d["recurrence_id"] = recurrence["id"]
	d = c.created(d)
	id := text(d["id"])
	if recurrence["automation_level"] != "draft" {
		if issued, err := c.issueReceivable(id); err == nil && recurrence["automation_level"] == "issue_and_send" {
			a.mail(entityID, issued, recurrence["recipients"], "mail_sent", "", nil)
		}
	}
	_, _ = c.update(c.at("recurrences"), text(recurrence["id"]), func(r Doc) error {
		iterations := []any{}
		for _, iteration := range list(r["iterations"]) {
			if number(iteration["iteration"]) == n {
				iteration = without(iteration)
				iteration["status"], iteration["issued_invoice_id"] = "completed", id
			}
			iterations = append(iterations, iteration)
		}
		r["iterations"], r["current_iteration"] = iterations, n+1
		if n == len(iterations) {
			r["status"], r["current_iteration"] = "completed", n
		}
		return nil
	})
}
