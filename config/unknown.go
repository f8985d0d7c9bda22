package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// checkNames judges the names that have our prefix and are not ours. One that
// is nearly ours is a mistake: a typo in MONITE_READ_ONLY must not pass. Any
// other is a warning: apps share their env files.
func checkNames(environment map[string]string, wrong *mistakes, warnings *[]string) {
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if known(name) || ignored(name, environment[name]) {
			continue
		}
		if near := nearest(name); near != "" {
			wrong.add(name, "another name: did you mean "+near+"?")
			continue
		}
		*warnings = append(*warnings, printable(name)+" is not a variable of monite-proxy and is ignored")
	}
}

func known(name string) bool { return position(name) < len(variables) }

// serviceLink matches variables that Kubernetes adds for a Service whose name begins
// with "monite": MONITE_PROXY_SERVICE_HOST, MONITE_PROXY_SERVICE_PORT_HTTP,
// MONITE_PROXY_PORT_8080_TCP_ADDR and so on.
var serviceLink = pattern(`^MONITE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[A-Z0-9_]+)$`)

// portLink is the one name of that family that a person could have meant as
// well. Kubernetes gives it a URL: tcp://10.0.0.1:8080.
var portLink = pattern(`^MONITE_([A-Z0-9_]+_)?PORT$`)

func ignored(name, value string) bool {
	return strings.HasPrefix(name, "MONITE_SIM_") || serviceLink().MatchString(name) ||
		portLink().MatchString(name) && strings.Contains(value, "://")
}

// nearest returns the known name that the given one is most likely a typo of,
// or "": the same but for case and underscores, or two edits away.
func nearest(name string) string {
	upper := strings.ToUpper(name)
	if len(upper) > 64 {
		return ""
	}
	best, bestDistance := "", 3
	consider := func(candidate string) {
		distance := editDistance(upper, candidate)
		if strings.ReplaceAll(upper, "_", "") == strings.ReplaceAll(candidate, "_", "") {
			distance = 0
		}
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	for _, v := range variables {
		consider(v.name)
	}
	return best
}

// editDistance is Levenshtein's: insertions, deletions, replacements.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// printable makes a name safe to print: a variable's name may hold anything
// but "=" and NUL, line breaks included.
func printable(name string) string {
	plain := strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
	if len(name) > 64 {
		name, plain = name[:64]+"...", false
	}
	if plain {
		return name
	}
	return strconv.Quote(name)
}
