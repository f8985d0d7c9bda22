package proxy

import (
	"net/http"
	"strings"
)

// pointBack has the targets of a Link (RFC 8288) lead here, as ownLocation and
// underPrefix do: an app that follows rel=next would leave the proxy otherwise, or
// become the default identity. A field with a target that clients resolve
// differently is dropped. The rest of the field keeps its bytes.
func (c *call) pointBack(header http.Header, links []string) {
	pointed := make([]string, 0, len(links))
	for _, link := range links {
		if link, ok := c.pointedBack(link); ok {
			pointed = append(pointed, link)
		}
	}
	if len(pointed) == 0 {
		delete(header, "Link")
		return
	}
	header["Link"] = pointed
}

// pointedBack is pointBack for one value, which is a list. ok is false if it must
// not pass.
func (c *call) pointedBack(link string) (pointed string, ok bool) {
	var text strings.Builder
	rest := link
	for {
		before, reference, after, found := nextTarget(rest)
		if !found {
			text.WriteString(rest)
			return text.String(), true
		}
		at := c.underPrefix(c.handler.ownLocation(reference))
		if at == "" && reference != "" {
			return "", false
		}
		text.WriteString(before)
		text.WriteString(at)
		rest = after
	}
}

// nextTarget finds the next reference between "<" and ">" in a Link. One in a quoted
// parameter is text.
func nextTarget(link string) (before, reference, after string, found bool) {
	for i := 0; i < len(link); i++ {
		switch link[i] {
		case '"':
			i = quoteEnd(link, i)
		case '<':
			end := strings.IndexByte(link[i:], '>')
			if end < 0 {
				return "", "", "", false
			}
			return link[:i+1], strings.TrimSpace(link[i+1 : i+end]), link[i+end:], true
		}
	}
	return "", "", "", false
}

// quoteEnd returns where the text ends that is quoted from start on; start itself if
// it does not end, because some clients do not look at quotes.
func quoteEnd(link string, start int) int {
	for i := start + 1; i < len(link); i++ {
		switch link[i] {
		case '\\':
			i++ // and what it escapes
		case '"':
			return i
		}
	}
	return start
}
