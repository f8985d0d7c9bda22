package resources

import (
	"fmt"
	"strings"
)

// fieldValues reads a field for a filter or a sort: the field of that name, or
// what people mean by it. It reports false for a field that such documents do
// not have, which then filters nothing.
func (c *call) fieldValues(k *kind, d Doc, name string) ([]any, bool) {
	if k.field != nil {
		if values, ok := k.field(c, d, name); ok {
			return values, true
		}
	}
	switch name {
	case "counterpart_name", "counterpart.name":
		return []any{c.counterpartName(d)}, true
	case "tag_ids":
		return idsOf(list(d["tags"]), list(object(d["organization"])["tags"]), list(object(d["individual"])["tags"])), true
	case "has_tags":
		return []any{len(list(d["tags"])) > 0}, true
	case "has_file":
		return []any{d["file_id"] != nil}, true
	case "has_transaction":
		return []any{d["transaction_id"] != nil}, true
	case "product_ids":
		return productIDs(d), true
	case "origin":
		return []any{first(d["payable_origin"], d["origin"])}, true
	case "amount":
		return []any{first(d["total_amount"], d["amount"])}, true
	case "price":
		return []any{object(d["price"])["value"]}, true
	case "currency":
		return []any{first(d["currency"], object(d["price"])["currency"])}, true
	case "is_vendor", "is_customer", "email":
		return []any{first(object(d["organization"])[name], object(d["individual"])[name], d[name])}, true
	case "name":
		if d["first_name"] != nil {
			return []any{fmt.Sprint(d["first_name"], " ", text(d["last_name"])), d["first_name"], d["last_name"]}, true
		}
		return []any{first(d["name"], d["template_name"])}, true
	case "search_text":
		return []any{d["document_id"], d["description"], c.counterpartName(d)}, true
	}
	if outer, inner, nested := strings.Cut(name, "."); nested {
		return []any{object(d[outer])[inner]}, true
	}
	value, is := d[name]
	switch value := value.(type) {
	case []any:
		return value, true
	case nil:
		return []any{nil}, is || c.published(name)
	}
	return []any{value}, true
}

// published reports whether the listed documents may have the field.
func (c *call) published(name string) bool {
	item := listItem(c.Op)
	if item == nil {
		return false
	}
	for _, s := range append(item.AnyOf, item) {
		if s.Property(name) != nil {
			return true
		}
	}
	return false
}

func first(values ...any) any {
	for _, value := range values {
		if value != nil {
			return value
		}
	}
	return nil
}

func idsOf(lists ...[]Doc) (ids []any) {
	for _, docs := range lists {
		for _, d := range docs {
			ids = append(ids, d["id"])
		}
	}
	return ids
}

func productIDs(d Doc) (ids []any) {
	for _, line := range list(d["line_items"]) {
		ids = append(ids, object(line["product"])["id"])
	}
	return ids
}

// counterpartName is the name that a document has for its counterpart, or the
// counterpart's own.
func (c *call) counterpartName(d Doc) string {
	switch {
	case d["counterpart_name"] != nil:
		return text(d["counterpart_name"])
	case d["organization"] != nil || d["individual"] != nil:
		return partyName(d)
	case object(d["counterpart_raw_data"])["name"] != nil:
		return text(object(d["counterpart_raw_data"])["name"])
	}
	if counterpart := c.at("counterparts").Get(text(d["counterpart_id"])); counterpart != nil {
		return partyName(counterpart)
	}
	return ""
}

func partyName(party Doc) string {
	if organization, ok := party["organization"].(Doc); ok {
		return text(organization["legal_name"])
	}
	individual := object(party["individual"])
	return strings.TrimSpace(text(individual["first_name"]) + " " + text(individual["last_name"]))
}
