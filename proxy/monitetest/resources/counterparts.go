package resources

// counterpartsBelow finds counterparts by what hangs below them.
var counterpartsBelow = map[string]string{
	"account_number": "bank_accounts.account_number", "iban": "bank_accounts.iban", "sort_code": "bank_accounts.sort_code", "vat_id": "vat_ids.value",
	"address.city": "addresses.city", "address.country": "addresses.country", "address.line1": "addresses.line1", "address.line2": "addresses.line2",
	"address.postal_code": "addresses.postal_code", "address.state": "addresses.state",
}

func init() {
	const one = "counterparts/{counterpart_id}/"
	behave(map[string]*kind{
		"counterparts":                 {object: "counterpart", changed: changedCounterpart, below: counterpartsBelow},
		one + "addresses":              {object: "counterpart_address"},
		one + "bank_accounts":          {object: "counterpart_bank_account", fill: firstIsDefault("is_default_for_currency")},
		one + "contacts":               {object: "counterpart_contact_person", fill: firstIsDefault("is_default")},
		one + "vat_ids":                {object: "counterpart_tax_id"},
		one + "einvoicing_credentials": {},
	}, map[string]handler{
		"POST counterparts": createCounterpart,
		"DELETE counterparts/{counterpart_id}/addresses/{address_id}": removeAddress,
	})
}

// createCounterpart stores the address apart, where Monite has it too.
func createCounterpart(c *call) (any, error) {
	fields := without(c.body)
	kind := text(fields["type"])
	party := object(fields[kind])
	fields[kind] = without(party, "address")
	addressID := c.api.newID("addresses")
	fields["default_billing_address_id"], fields["default_shipping_address_id"] = addressID, addressID
	fields["created_automatically"] = false
	if fields["reminders_enabled"] == nil {
		fields["reminders_enabled"] = true
	}
	_ = changedCounterpart(c, fields)
	d, err := c.create(fields)
	if err != nil {
		return nil, err
	}
	id := text(d["id"])
	stored := without(object(party["address"]))
	stored["id"], stored["counterpart_id"] = addressID, id
	c.at("counterparts/" + id + "/addresses").Add(stored)
	return d, nil
}

func changedCounterpart(c *call, d Doc) error {
	for _, kind := range []string{"organization", "individual"} {
		party := object(d[kind])
		if party == nil {
			continue
		}
		party = without(party)
		c.tagged(party)
		if party["tags"] == nil {
			party["tags"] = []any{}
		}
		d[kind] = party
	}
	return nil
}

// firstIsDefault makes the first of its kind the default.
func firstIsDefault(field string) func(c *call, d Doc) error {
	return func(c *call, d Doc) error {
		if d[field] == nil {
			d[field] = true
			for _, other := range c.rowsAt(c.path).All() {
				if other["currency"] == d["currency"] {
					d[field] = false
				}
			}
		}
		return nil
	}
}

// removeAddress takes the address from the defaults, too.
func removeAddress(c *call) (any, error) {
	removed, err := c.remove()
	if err != nil {
		return nil, err
	}
	_, err = c.update(c.at("counterparts"), c.param("counterpart_id"), func(d Doc) error {
		for _, name := range []string{"default_billing_address_id", "default_shipping_address_id"} {
			if d[name] == c.id {
				delete(d, name)
			}
		}
		return nil
	})
	return removed, err
}
