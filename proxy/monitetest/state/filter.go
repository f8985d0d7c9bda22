package state

import (
	"slices"
	"strconv"
	"strings"
)

// Filter is one query parameter: the field, what is asked of it, and the
// values. The empty operator wants the field to be the value.
type Filter struct {
	Field, Operator string
	Values          []string
}

// operators are the ends of query parameters behind "__".
var operators = []string{
	"in", "not_in", "gt", "gte", "lt", "lte", "contains", "ncontains", "icontains", "iexact", "startswith", "istartswith",
}

// ParseFilter splits a parameter such as total_amount__gte.
func ParseFilter(name string, values ...string) Filter {
	field, operator, _ := strings.Cut(name, "__")
	if operator != "" && !slices.Contains(operators, operator) {
		return Filter{Field: name, Values: values}
	}
	return Filter{Field: field, Operator: operator, Values: values}
}

// Matches reports whether one of the field's values passes the filter. A field that
// is a list matches if one of its items does.
func (f Filter) Matches(values ...any) bool {
	if len(values) == 0 {
		values = []any{nil}
	}
	if f.Operator == "not_in" || f.Operator == "ncontains" {
		return !slices.ContainsFunc(values, f.excludes)
	}
	return slices.ContainsFunc(values, f.matches)
}

func (f Filter) excludes(value any) bool {
	if f.Operator == "ncontains" {
		return strings.Contains(Text(value), f.Values[0])
	}
	return slices.Contains(f.Values, Text(value))
}

func (f Filter) matches(value any) bool {
	text, want := Text(value), f.Values[len(f.Values)-1]
	switch f.Operator {
	case "in":
		return slices.Contains(f.Values, text)
	case "gt":
		return value != nil && compare(text, want) > 0
	case "gte":
		return value != nil && compare(text, want) >= 0
	case "lt":
		return value != nil && compare(text, want) < 0
	case "lte":
		return value != nil && compare(text, want) <= 0
	case "contains":
		return strings.Contains(text, want)
	case "icontains":
		return strings.Contains(strings.ToLower(text), strings.ToLower(want))
	case "iexact":
		return strings.EqualFold(text, want)
	case "startswith":
		return strings.HasPrefix(text, want)
	case "istartswith":
		return strings.HasPrefix(strings.ToLower(text), strings.ToLower(want))
	}
	return text == want || value != nil && isInstant(text) && compare(text, want) == 0
}

// Text is a value as a query has it.
func Text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case int:
		return strconv.Itoa(value)
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(value)
	}
	return ""
}
