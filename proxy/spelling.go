package proxy

import (
	"net/http"
	"strings"
)

// respell gives the fields of a response the names that upstream wrote: ETag and not
// Etag. Names are the same in any case (RFC 9110 section 5.1), but not to every app.
// It comes last: what is read by name, ours or the server's, is read before or left
// alone. spelt is upstream's Trace.FieldNames.
func respell(header http.Header, spelt string) {
	for pair := range strings.SplitSeq(spelt, "\n") {
		name, written, _ := strings.Cut(pair, ":")
		values, passed := header[name]
		if !passed || ownName(name) {
			continue
		}
		delete(header, name)
		header[written] = values
	}
}

// ownName reports the fields that a server looks for by their canonical name, or
// that are ours.
func ownName(name string) bool {
	switch name {
	case "Content-Length", "Content-Type", "Date":
		return true
	}
	return keptHere(name)
}
