package schema

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// format is a check of a string, and what is said when it fails.
type format struct {
	valid     func(text string) bool
	msg, kind string
}

// formats are those that are checked; binary is not.
var formats = map[string]format{
	"uuid":          {IsUUID, "value is not a valid uuid", "type_error.uuid"},
	"date":          {isDate, "invalid date format", "value_error.date"},
	"date-time":     {isDateTime, "invalid datetime format", "value_error.datetime"},
	"email":         {isEmail, "value is not a valid email address", "value_error.email"},
	"uri":           {isURI, "invalid or missing URL scheme", "value_error.url.scheme"},
	"hostname":      {isHostname, "value is not a valid host name", "value_error.hostname"},
	"ipvanyaddress": {func(text string) bool { return net.ParseIP(text) != nil }, "value is not a valid IPv4 or IPv6 address", "value_error.ipvanyaddress"},
	"color":         {isColor, "value is not a valid color: string not recognised as a valid color", "value_error.color"},
}

// IsUUID reports whether text is a UUID with hyphens.
func IsUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, r := range []byte(text) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if r != '-' {
				return false
			}
		case r >= '0' && r <= '9', r >= 'a' && r <= 'f', r >= 'A' && r <= 'F':
		default:
			return false
		}
	}
	return true
}

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// isDateTime also takes a time without a zone, as pydantic does.
func isDateTime(text string) bool {
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15:04Z07:00"} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

func isEmail(text string) bool {
	local, domain, ok := strings.Cut(text, "@")
	return ok && local != "" && strings.Contains(domain, ".") && isHostname(domain) && !strings.ContainsAny(local, " \t\r\n<>,;")
}

func isURI(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != ""
}

func isHostname(text string) bool {
	return len(text) <= 253 && pattern(`^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`).MatchString(text)
}

func isColor(text string) bool {
	return pattern(`^(#?([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|(rgb|hsl)a?\([0-9 ,.%]+\)|[a-zA-Z]{3,20})$`).MatchString(text)
}

func sortedNames(fields Doc) []string { return slices.Sorted(maps.Keys(fields)) }
