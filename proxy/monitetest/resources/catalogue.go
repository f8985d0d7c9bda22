package resources

func init() {
	behave(map[string]*kind{
		"tags":          {object: "tag", unique: "name"},
		"products":      {object: "product", fill: func(_ *call, d Doc) error { d["type"] = first(d["type"], "product"); return nil }},
		"projects":      {object: "project"},
		"measure_units": {unique: "name"},
		"bank_accounts": {object: "entity_bank_account", fill: firstIsDefault("is_default_for_currency")},
		"comments":      {object: "comment", fill: fillComment},
	}, map[string]handler{
		"GET vat_rates": listVATRates,
	})
}

// fillComment wants the object to exist.
func fillComment(c *call, d Doc) error {
	kind := text(d["object_type"])
	if (kind == "payable" || kind == "receivable" || kind == "counterpart") && c.at(kind+"s").Get(text(d["object_id"])) == nil {
		return c.unknown(kind, text(d["object_id"]), "body", "object_id")
	}
	d["status"], d["created_by_entity_user_id"] = "active", c.actor()
	return nil
}

// listVATRates shows the rates of the entity's country.
func listVATRates(c *call) (any, error) {
	country := first(object(c.entity()["address"])["country"], "IT")
	shown := []any{}
	for _, rate := range c.at("vat_rates").All() {
		if rate["country"] == country {
			shown = append(shown, rate)
		}
	}
	return Doc{"data": shown}, nil
}
