package resources

func init() {
	behave(map[string]*kind{
		"mailboxes":       {fill: fillMailbox, unique: "mailbox_full_address"},
		"mailbox_domains": {unique: "domain", fill: func(_ *call, d Doc) error { d["status"] = "unverified"; return nil }},
	}, map[string]handler{
		"POST mailboxes/search":                   searchMailboxes,
		"POST mailbox_domains/{domain_id}/verify": setStatus("active"),
	})
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
