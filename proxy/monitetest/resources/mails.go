package resources

import (
	"slices"
	"time"
)

// mailTakes is the time that a mail is under way.
const mailTakes = time.Second

func init() {
	behave(map[string]*kind{
		"mailboxes": {fill: fillMailbox, unique: "mailbox_full_address"},
		"mailbox_domains": {
			unique: "domain", fill: func(_ *call, d Doc) error { d["status"] = "unverified"; return nil },
			life: map[string]transition{"verify": {to: "active"}},
		},
	}, map[string]handler{
		"POST mailboxes/search": searchMailboxes,

		"POST receivables/{receivable_id}/send":               sendReceivable,
		"POST receivables/{receivable_id}/send_test_reminder": sendTestReminder,
		"POST payable_purchase_orders/{purchase_order_id}/send": func(c *call) (any, error) {
			_, err := c.touch(func(d Doc) error {
				d["status"], d["issued_at"] = "issued", c.api.today()
				return nil
			})
			return Doc{"mail_id": c.api.newID("mails")}, err
		},
	})
}

// sendReceivable mails the document to the counterpart. A draft is issued
// first, as in Monite.
func sendReceivable(c *call) (any, error) {
	d := c.rows().Get(c.id)
	if d["status"] == "draft" {
		var err error
		if d, err = c.issueReceivable(c.id); err != nil {
			return nil, err
		}
	}
	if slices.Contains([]string{"canceled", "deleted", "failed"}, text(d["status"])) {
		return nil, c.conflict("A document in the status " + text(d["status"]) + " cannot be sent")
	}
	id := c.api.mail(c.EntityID, d, c.body["recipients"], "mail_sent", "", c.user())
	return Doc{"mail_id": id}, nil
}

func sendTestReminder(c *call) (any, error) {
	d, term := c.rows().Get(c.id), text(c.body["reminder_type"])
	kind := "payment_reminder_mail_sent"
	if term == "overdue" {
		kind = "overdue_reminder_mail_sent"
	}
	return Doc{"mail_ids": []any{c.api.mail(c.EntityID, d, c.body["recipients"], kind, term, c.user())}}, nil
}

// mail sends a document and returns the mail's id. It is pending for a second.
func (a *API) mail(entityID string, d Doc, recipients any, kind, term string, user any) string {
	receivable := text(d["id"])
	shown := a.recipients(entityID, d, object(recipients))
	id, now := a.newID("mails"), a.timestamp()
	mails := a.Store().At(entityID, "receivables/"+receivable+"/mails")
	mails.Add(Doc{"id": id, "created_at": now, "updated_at": now, "status": "pending", "recipients": shown, "kind": kind})
	a.agenda.add(a.now().Add(mailTakes), func() {
		_, _ = a.Store().At(entityID, "receivables/"+receivable+"/mails").Update(id, func(m Doc) error {
			m["status"], m["updated_at"] = "sent", a.timestamp()
			return nil
		})
		data := Doc{"mail_id": id, "mail_status": "sent", "recipients": shown}
		if term != "" {
			data["term"] = term
		}
		a.history(entityID, "receivables", receivable, kind, user, data)
		a.event(entityID, "receivable", kind, d)
	})
	return id
}

// recipients are those that were named, or the counterpart.
func (a *API) recipients(entityID string, d, named Doc) Doc {
	out := Doc{}
	for _, kind := range []string{"to", "cc", "bcc"} {
		states := []any{}
		for _, address := range texts(named[kind]) {
			states = append(states, Doc{"email": address, "is_success": true})
		}
		out[kind] = states
	}
	if len(texts(named["to"])) == 0 {
		counterpart := a.Store().At(entityID, "counterparts").Get(text(d["counterpart_id"]))
		address := first(object(counterpart["organization"])["email"], object(counterpart["individual"])["email"], "office@aurora.example")
		out["to"] = []any{Doc{"email": address, "is_success": true}}
	}
	return out
}

// remind sends the reminders whose day has come, before and after the due
// date, to customers who want them.
func (a *API) remind(entityID string, today time.Time) {
	for _, d := range a.Store().At(entityID, "receivables").All() {
		if d["type"] != "invoice" || !slices.Contains([]string{"issued", "overdue", "partially_paid"}, text(d["status"])) {
			continue
		}
		counterpart := a.Store().At(entityID, "counterparts").Get(text(d["counterpart_id"]))
		due, err := time.Parse(time.DateOnly, text(d["due_date"]))
		if err != nil || counterpart["reminders_enabled"] == false {
			continue
		}
		if id := text(d["payment_reminder_id"]); id != "" {
			reminder := a.Store().At(entityID, "payment_reminders").Get(id)
			for term, ends := range termEnds(d, due) {
				before := object(reminder[term+"_reminder"])
				if before != nil && ends.AddDate(0, 0, -number(before["days_before"])).Equal(today) {
					a.mail(entityID, d, reminder["recipients"], "payment_reminder_mail_sent", term, nil)
				}
			}
		}
		if id := text(d["overdue_reminder_id"]); id != "" {
			reminder := a.Store().At(entityID, "overdue_reminders").Get(id)
			for _, term := range list(reminder["terms"]) {
				if due.AddDate(0, 0, number(term["days_after"])).Equal(today) {
					a.mail(entityID, d, reminder["recipients"], "overdue_reminder_mail_sent", "overdue", nil)
				}
			}
		}
	}
}

// termEnds returns the last days of the terms of payment: of the discounts, if
// some were agreed, and of the invoice.
func termEnds(d Doc, due time.Time) map[string]time.Time {
	ends := map[string]time.Time{"term_final": due}
	issued, err := time.Parse(time.DateOnly, dayOf(text(d["issue_date"])))
	for _, term := range []string{"term_1", "term_2"} {
		if days, agreed := object(object(d["payment_terms"])[term])["number_of_days"].(int); agreed && err == nil {
			ends[term] = issued.AddDate(0, 0, days)
		}
	}
	return ends
}

func fillMailbox(c *call, d Doc) error {
	domain := c.data.At("", "mailbox_domains").Get(text(d["mailbox_domain_id"]))
	d["mailbox_full_address"], d["status"] = text(d["mailbox_name"])+"@"+text(domain["domain"]), "active"
	return nil
}

func searchMailboxes(c *call) (any, error) {
	out := &page{}
	for _, id := range texts(c.body["entity_ids"]) {
		out.rows = append(out.rows, c.data.At(id, "mailboxes").Rows()...)
	}
	return out, nil
}
