package resources

import (
	"fmt"
	"strings"
)

// fieldPaths are where filters and sorts find a field, if not under its own name.
var fieldPaths = map[string][]string{
	"amount":          {"total_amount", "amount"},
	"currency":        {"currency", "price.currency"},
	"email":           {"email", "organization.email", "individual.email"},
	"has_file":        {"file_id"},
	"has_tags":        {"tags"},
	"has_transaction": {"transaction_id"},
	"is_customer":     {"organization.is_customer", "individual.is_customer"},
	"is_vendor":       {"organization.is_vendor", "individual.is_vendor"},
	"object_id":       {"object_id", "object.id"},
	"object_type":     {"object_type", "object.type"},
	"origin":          {"payable_origin", "origin"},
	"price":           {"price.value"},
	"product_ids":     {"line_items.product.id"},
	"role_id":         {"role_id", "role_ids"},
	"tag_ids":         {"tags.id", "organization.tags.id", "individual.tags.id"},
	"user_id":         {"user_id", "user_ids"},
}

// fieldValues reads a field for a filter or a sort: the field of that name, or
// what people mean by it.
func (c *call) fieldValues(k *kind, d Doc, name string) (values []any) {
	switch name {
	case "counterpart_name", "counterpart.name":
		return []any{c.counterpartName(d)}
	case "search_text":
		return []any{d["document_id"], d["description"], c.counterpartName(d)}
	case "name":
		if d["first_name"] != nil {
			return []any{fmt.Sprint(d["first_name"], " ", text(d["last_name"])), d["first_name"], d["last_name"]}
		}
		return []any{first(d["name"], d["template_name"])}
	}
	if collection, field, is := strings.Cut(k.below[name], "."); is {
		for _, one := range c.at(c.listTemplate() + "/" + text(d["id"]) + "/" + collection).All() {
			values = append(values, one[field])
		}
		return values
	}
	paths := fieldPaths[name]
	if paths == nil {
		paths = []string{name}
	}
	for _, path := range paths {
		values = append(values, valuesAt(d, strings.Split(path, "."))...)
	}
	if strings.HasPrefix(name, "has_") {
		return []any{len(values) > 0}
	}
	return values
}

// valuesAt returns the values at a path, of each item where it leads through lists.
// A null is not one.
func valuesAt(value any, path []string) (values []any) {
	switch value := value.(type) {
	case nil:
	case Doc:
		if len(path) == 0 {
			return []any{value}
		}
		return valuesAt(value[path[0]], path[1:])
	case []any:
		for _, item := range value {
			values = append(values, valuesAt(item, path)...)
		}
	case []Doc:
		for _, item := range value {
			values = append(values, valuesAt(item, path)...)
		}
	default:
		if len(path) == 0 {
			return []any{value}
		}
	}
	return values
}

func first(values ...any) any {
	for _, value := range values {
		if value != nil {
			return value
		}
	}
	return nil
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
