package resources

import (
	"fmt"
	"strings"
)

// numbered are the documents that are numbered apart, and their prefixes.
var numbered = map[string]string{
	"invoice": "INV", "quote": "QUO", "credit_note": "CN", "purchase_order": "PO", "delivery_note": "DN",
}

func init() {
	behave(nil, map[string]handler{
		"GET entities/{entity_id}/settings/next_document_numbers": func(c *call) (any, error) {
			next := Doc{}
			for kind := range numbered {
				next[kind] = c.nextNumber(kind)
			}
			return next, nil
		},
		"PATCH entities/{entity_id}/settings": changeSettings,
	})
}

// settings are the entity's.
func (c *call) settings() Doc {
	return c.data.At("", "_views").Get("entities/" + c.EntityID + "/settings")
}

func changeSettings(c *call) (any, error) {
	for kind, number := range object(object(c.body["document_ids"])["next_number"]) {
		if next, ok := number.(int); ok {
			c.at("_numbers").Add(Doc{"id": kind, "next": next})
		}
	}
	return c.other()
}

// nextNumber is the number that the next document of the kind gets.
func (c *call) nextNumber(kind string) int {
	if kept := c.at("_numbers").Get(kind); kept != nil {
		return number(kept["next"])
	}
	next := 1
	for _, d := range c.at("receivables").All() {
		if d["type"] == kind && d["document_id"] != nil {
			next++
		}
	}
	return next
}

// beginNumbers lets the numbers of a kind go on behind those that were given.
func (c *call) beginNumbers(kind string) {
	c.at("_numbers").AddUnless(Doc{"id": kind, "next": c.nextNumber(kind)}, func(other Doc) bool { return other["id"] == kind })
}

// takeNumber returns the document's number by kind, such as INV-00013, and
// counts on. Two documents never get the same one.
func (c *call) takeNumber(kind string) string {
	rows := c.at("_numbers")
	rows.AddUnless(Doc{"id": kind, "next": 1}, func(other Doc) bool { return other["id"] == kind })
	taken := 0
	_, _ = rows.Update(kind, func(d Doc) error {
		taken = number(d["next"])
		d["next"] = taken + 1
		return nil
	})
	set := object(c.settings()["document_ids"])
	digits := max(5, number(set["min_digits"]))
	parts := []string{text(first(object(set["document_type_prefix"])[kind], numbered[kind]))}
	if set["include_date"] == true {
		parts = append(parts, strings.ReplaceAll(c.api.today(), "-", ""))
	}
	return strings.Join(append(parts, fmt.Sprintf("%0*d", digits, taken)), "-")
}
