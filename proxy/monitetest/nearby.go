package monitetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// notPublished says that there is no such operation, and which ones are near.
func notPublished(method, path string) string {
	message := fmt.Sprintf("%s %s is not a published operation.", method, path)
	if near := nearby(method, path); len(near) > 0 {
		message += " Near it are " + strings.Join(near, ", ") + "."
	}
	if !strings.HasPrefix(path, "/v1/") {
		message += " The base URL ends in /v1."
	}
	return message
}

// nearby returns the three operations that are most like a path, if they are
// like it at all.
func nearby(method, path string) []string {
	type candidate struct {
		name string
		cost int
	}
	var all []candidate
	wanted := strings.Split(strings.Trim(path, "/"), "/")
	if wanted[0] != "v1" {
		wanted = append([]string{"v1"}, wanted...)
	}
	for _, op := range schema.Published().Operations {
		cost := pathDistance(wanted, strings.Split(op.Template[1:], "/"))
		if op.Method != method {
			cost += 2
		}
		all = append(all, candidate{op.Method + " " + op.Template, cost})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.cost, b.cost) })
	var near []string
	for _, c := range all[:3] {
		if c.cost <= 9 {
			near = append(near, c.name)
		}
	}
	return near
}

// pathDistance adds up the distances of the segments; a parameter is like an
// id and far from a word.
func pathDistance(wanted, template []string) (cost int) {
	for i := range max(len(wanted), len(template)) {
		switch {
		case i >= len(wanted) || i >= len(template):
			cost += 7
		case isParam(template[i]) && schema.IsUUID(wanted[i]):
		case isParam(template[i]):
			cost += 4
		default:
			cost += 2 * distance(wanted[i], template[i])
		}
	}
	return cost
}

// distance is Levenshtein's: the least number of letters to add, drop or
// change. Words that are very long are far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
