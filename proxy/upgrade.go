package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// ignoreUpgradeOffer removes what an app offers to go on with in place of HTTP/1.1:
// TLS (Apache HttpClient does so by itself, and with it Spring Boot) or h2c (JDK,
// curl). Whoever does not take it up serves the request as it is (RFC 9110 section
// 7.8). A websocket is no offer: without it the app can do nothing, and the guard
// refuses it.
func ignoreUpgradeOffer(header http.Header) {
	offers, options := header["Upgrade"], header["Connection"]
	if len(offers) == 0 && len(header["Http2-Settings"]) == 0 && !hasOption(options, "upgrade") || hasOption(offers, "websocket") {
		return
	}
	delete(header, "Upgrade")
	delete(header, "Http2-Settings")
	if left := withoutOptions(options, "upgrade", "http2-settings"); len(left) > 0 {
		header["Connection"] = left
	} else {
		delete(header, "Connection")
	}
}

func hasOption(values []string, option string) bool {
	return slices.ContainsFunc(values, func(value string) bool {
		return value != "keep-alive" && value != "close" && slices.ContainsFunc(strings.Split(value, ","), isOption(option))
	})
}

// withoutOptions returns values, which are lists, without some elements.
func withoutOptions(values []string, options ...string) (left []string) {
	for _, value := range values {
		elements := strings.Split(value, ",")
		for _, option := range options {
			elements = slices.DeleteFunc(elements, isOption(option))
		}
		if len(elements) > 0 {
			left = append(left, strings.Join(elements, ","))
		}
	}
	return left
}

// isOption is for ASCII alone: to EqualFold a long s is an s, but it has two bytes.
func isOption(option string) func(string) bool {
	return func(element string) bool {
		element = strings.Trim(element, " \t")
		name, _, _ := strings.Cut(element, "/") // the version of a protocol
		return len(name) == len(option) && strings.EqualFold(name, option)
	}
}
