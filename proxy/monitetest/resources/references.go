package resources

import (
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// references says where the ids lead that bodies carry, by the field's name.
// What begins with "counterpart/" is below the counterpart of the same object.
var references = map[string]string{
	"counterpart_id": "counterparts", "project_id": "projects", "product_id": "products", "measure_unit_id": "measure_units",
	"role_id": "roles", "role_ids": "roles", "user_ids": "entity_users", "reply_to_entity_user_id": "entity_users", "tag_ids": "tags",
	"payment_terms_id": "payment_terms", "entity_bank_account_id": "bank_accounts", "payer_bank_account_id": "bank_accounts",
	"overdue_reminder_id": "overdue_reminders", "payment_reminder_id": "payment_reminders", "purchase_order_id": "payable_purchase_orders",
	"ledger_account_id": "ledger_accounts", "custom_vat_rate_id": "custom_vat_rates", "accounting_tax_rate_id": "accounting_tax_rates",
	"vat_rate_id": "vat_rates", "mailbox_domain_id": "mailbox_domains", "entity_vat_id_id": "entity/vat_ids", "invoice_id": "receivables",
	"counterpart_address_id": "counterpart/addresses", "counterpart_billing_address_id": "counterpart/addresses",
	"counterpart_shipping_address_id": "counterpart/addresses", "counterpart_vat_id_id": "counterpart/vat_ids",
	"counterpart_bank_account_id": "counterpart/bank_accounts", "contact_id": "counterpart/contacts",
	"counterpart_einvoicing_credentials_id": "counterpart/einvoicing_credentials",
}

// checkReferences refuses ids in the body that lead nowhere.
func (c *call) checkReferences() error {
	counterpart := c.param("counterpart_id")
	if counterpart == "" && c.id != "" {
		counterpart = text(c.rows().Get(c.id)["counterpart_id"])
	}
	return c.checkReferencesOf(c.body, counterpart, []any{"body"})
}

func (c *call) checkReferencesOf(fields Doc, counterpart string, loc []any) error {
	if id := text(fields["counterpart_id"]); id != "" {
		counterpart = id
	}
	for name, value := range fields {
		at := append(loc, name) // the room behind loc is this branch's until it returns
		if err := c.checkReference(name, value, counterpart, at); err != nil {
			return err
		}
		if inner, ok := value.(Doc); ok {
			if err := c.checkReferencesOf(inner, counterpart, at); err != nil {
				return err
			}
		}
		for i, inner := range list(value) {
			if err := c.checkReferencesOf(inner, counterpart, append(at, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *call) checkReference(name string, value any, counterpart string, loc []any) error {
	target := references[name]
	if target == "" || value == nil {
		return nil
	}
	rows := c.referred(target, counterpart)
	ids := texts(value)
	if id, ok := value.(string); ok {
		ids = []string{id}
	}
	for _, id := range ids {
		if rows.Get(id) == nil {
			return c.unknown(singular(target), id, loc...)
		}
	}
	return nil
}

// referred returns the collection that a reference leads to.
func (c *call) referred(target, counterpart string) *state.Collection {
	switch target {
	case "counterpart/addresses", "counterpart/vat_ids", "counterpart/bank_accounts", "counterpart/contacts", "counterpart/einvoicing_credentials":
		if c.at("counterparts").Get(counterpart) == nil {
			return &state.Collection{}
		}
		return c.at("counterparts/" + counterpart + target[len("counterpart"):])
	case "entity/vat_ids":
		return c.data.At("", "entities/"+c.EntityID+"/vat_ids")
	case "mailbox_domains":
		return c.data.At("", target)
	}
	return c.at(target)
}

// tagged replaces the tag_ids of a body by the tags.
func (c *call) tagged(d Doc) {
	ids, is := d["tag_ids"]
	if !is {
		return
	}
	delete(d, "tag_ids")
	tags := []any{}
	for _, id := range texts(ids) {
		tags = append(tags, c.at("tags").Get(id))
	}
	d["tags"] = tags
}
