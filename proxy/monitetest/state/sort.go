package state

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sort orders rows by a field, and by their making where that is equal. An
// empty field means by their making.
func Sort(rows []*Row, field func(Doc) any, descending bool) []*Row {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *Row) int {
		order := 0
		if field != nil {
			order = compareValues(field(a.Doc), field(b.Doc))
		}
		order = cmp.Or(order, cmp.Compare(a.Number, b.Number))
		if descending {
			return -order
		}
		return order
	})
	return rows
}

// compareValues puts what has no value first.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compare(Text(a), Text(b))
}

// compare compares numbers as numbers, times as times and text as people do.
func compare(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	if isInstant(a) && isInstant(b) {
		return instant(a).Compare(instant(b))
	}
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

func isInstant(text string) bool { return !instant(text).IsZero() }

// instant reads a date or a time; a time without a zone is in UTC.
func instant(text string) time.Time {
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return time.Time{}
}
