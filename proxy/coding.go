package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// codings narrows what the app accepts to what we can unpack: upstream may say in a
// packed response that the token is too old. Apps send the same field all the time, so
// the last one is remembered.
type codings struct{ last atomic.Pointer[narrowed] }

type narrowed struct {
	from string
	to   []string
}

// narrow changes the Accept-Encoding of an Out request. One that names nothing but
// what we can unpack keeps its bytes; so does one that leaves us nothing, because the
// app then takes no other response.
func (n *codings) narrow(header http.Header) {
	values := header["Accept-Encoding"]
	if len(values) == 0 {
		return
	}
	from := values[0]
	if len(values) > 1 {
		from = strings.Join(values, ", ")
	}
	last := n.last.Load()
	if last == nil || last.from != from {
		last = &narrowed{from: strings.Clone(from)}
		last.to = []string{narrowedCodings(last.from)}
		n.last.Store(last)
	}
	if last.to[0] != from {
		header["Accept-Encoding"] = last.to
	}
}

// narrowedCodings drops the codings that we cannot unpack from a list (RFC 9110
// section 12.5.3), and names those that we can in the place of "*".
func narrowedCodings(list string) string {
	var kept []string
	named := map[string]bool{}
	all, allWeight, dropped, noIdentity := false, "", false, false
	for element := range strings.SplitSeq(list, ",") {
		element = strings.Trim(element, " \t")
		coding, weight, _ := strings.Cut(element, ";")
		coding = strings.ToLower(strings.Trim(coding, " \t"))
		named[coding] = true
		switch coding {
		case "gzip", "x-gzip", "deflate", "":
		case "identity":
			noIdentity = noIdentity || isZero(weight)
		case "*":
			noIdentity = noIdentity || isZero(weight)
			if !isZero(weight) {
				all, allWeight, dropped = true, strings.Trim(weight, " \t"), true
				continue
			}
		default:
			dropped = true
			continue
		}
		kept = append(kept, element)
	}
	if !dropped {
		return list
	}
	if all {
		for _, coding := range [...]string{"gzip", "deflate"} {
			if named[coding] {
				continue
			}
			if allWeight != "" {
				coding += ";" + allWeight
			}
			kept = append(kept, coding)
		}
	}
	switch {
	case unpackable(kept):
	case noIdentity && !named["identity"], named["identity"] && noIdentity:
		return list
	case !named["identity"]:
		kept = append(kept, "identity")
	}
	return strings.Join(kept, ", ")
}

// unpackable reports whether one of the elements is wanted, and not forbidden.
func unpackable(elements []string) bool {
	for _, element := range elements {
		coding, weight, _ := strings.Cut(element, ";")
		if coding = strings.Trim(coding, " \t"); coding != "" && coding != "*" && !isZero(weight) {
			return true
		}
	}
	return false
}

// isZero reports whether a weight, which is empty or "q=" and a number, forbids.
func isZero(weight string) bool {
	name, value, _ := strings.Cut(strings.ToLower(weight), "=")
	value = strings.Trim(value, " \t")
	return strings.Trim(name, " \t") == "q" && value != "" && strings.Trim(value, "0.") == ""
}
