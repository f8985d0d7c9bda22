package monitetest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// filterRows keeps the rows that match every filter, such as status=paid,
// id__in=a&id__in=b or total_amount__gte=1000. A parameter that names no field
// of any row is ignored, as FastAPI ignores what it does not know.
func filterRows(rows []*row, filter url.Values) []*row {
	for name, wanted := range filter {
		field, operator, _ := strings.Cut(name, "__")
		known := slices.ContainsFunc(rows, func(r *row) bool { _, ok := r.doc[field]; return ok })
		if !known {
			continue
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(r *row) bool {
			return !matchesFilter(r.doc[field], operator, wanted)
		})
	}
	return rows
}

func matchesFilter(value any, operator string, wanted []string) bool {
	text := filterText(value)
	lower := strings.ToLower(text)
	switch operator {
	case "":
		return text == wanted[0]
	case "in":
		return slices.Contains(wanted, text)
	case "not_in":
		return !slices.Contains(wanted, text)
	case "gt", "gte", "lt", "lte":
		return value != nil && compares(text, operator, wanted[0])
	case "contains":
		return strings.Contains(text, wanted[0])
	case "icontains":
		return strings.Contains(lower, strings.ToLower(wanted[0]))
	case "iexact":
		return strings.EqualFold(text, wanted[0])
	case "startswith":
		return strings.HasPrefix(text, wanted[0])
	case "istartswith":
		return strings.HasPrefix(lower, strings.ToLower(wanted[0]))
	}
	return true // an operator that is not simulated filters nothing
}

func filterText(value any) string {
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

// compares numbers as numbers and dates as text, which sorts the same.
func compares(have, operator, want string) bool {
	order := strings.Compare(have, want)
	a, errA := strconv.ParseFloat(have, 64)
	b, errB := strconv.ParseFloat(want, 64)
	if errA == nil && errB == nil {
		switch {
		case a < b:
			order = -1
		case a > b:
			order = 1
		default:
			order = 0
		}
	}
	switch operator {
	case "gt":
		return order > 0
	case "gte":
		return order >= 0
	case "lt":
		return order < 0
	}
	return order <= 0
}
