package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// fromPage reports whether a web page sends the request: a page in a browser must not
// spend the company's money. A caller that shows the app token is not one, because no
// page can know it: it is a server that passes a browser's fields on.
func (g *guard) fromPage(in *http.Request) bool {
	return fromBrowser(in) && !(g.wantsAppToken() && g.appTokenRight(in.Header))
}

// fromBrowser reports whether a request has a field that only browsers send. They
// send Sec-Fetch-Site to a loopback address and to https, and Origin with whatever
// is not a GET; to a plain http name, as after DNS rebinding, a GET may have no more
// than a Referer or Upgrade-Insecure-Requests.
//
// Node's fetch sends a lone "Sec-Fetch-Mode: cors", and Node is not a browser; a
// browser never sends it without Sec-Fetch-Site.
func fromBrowser(in *http.Request) bool {
	for name, values := range in.Header {
		switch name {
		case "Origin", "Access-Control-Request-Method", "Access-Control-Request-Private-Network", "Upgrade-Insecure-Requests", "Sec-Gpc":
			return true
		case "Referer":
			if foreignReferer(values, in) {
				return true
			}
		case "Sec-Fetch-Mode":
			if len(values) != 1 || values[0] != "cors" {
				return true
			}
		default:
			if strings.HasPrefix(name, "Sec-Fetch-") || strings.HasPrefix(name, "Sec-Ch-") {
				return true
			}
		}
	}
	return false
}

// foreignReferer reports whether the request comes from a page that is not under our
// own origin. Go's client, for one, sends ours when it follows a redirect.
func foreignReferer(values []string, in *http.Request) bool {
	for _, value := range values {
		if value == "" {
			continue
		}
		from, err := url.Parse(value)
		scheme := "http"
		if in.TLS != nil {
			scheme = "https"
		}
		if err != nil || from.Scheme != scheme || !strings.EqualFold(from.Host, in.Host) {
			return true
		}
	}
	return false
}

// guardFromPages keeps a browser from running a response as a page of this origin,
// and another origin's page from using it. Policies add up, so that upstream's own
// holds too. Cross-Origin-Resource-Policy has one value, and two would be none.
func guardFromPages(header http.Header) {
	if own := header["Content-Security-Policy"]; len(own) > 0 {
		header["Content-Security-Policy"] = append(slices.Clip(own), sandbox[0])
	} else {
		header["Content-Security-Policy"] = sandbox
	}
	header["Cross-Origin-Resource-Policy"] = sameOrigin
}

var sandbox, sameOrigin = []string{"sandbox"}, []string{"same-origin"}
