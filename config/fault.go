package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// faultOf says what is wrong with a value that a variable does not accept, where
// that can be seen without knowing what it was meant to be. It is "" if nothing
// can. No part of the value is in it but numbers of at most six digits and words
// of our own lists, because people paste secrets into the wrong variable.
func faultOf(v variable, text string) string {
	switch {
	case text == "":
		return ""
	case len(text) > 1 && text[0] == text[len(text)-1] && (text[0] == '"' || text[0] == '\''):
		return "the value is in quotes"
	case strings.ContainsAny(text, "\r\n"):
		return "it has a line break in it"
	case strings.Trim(text, " \t") == "":
		return "it is only white space"
	case strings.Trim(text, " \t") != text:
		return "it has white space around it"
	}
	switch v.kind {
	case reflect.TypeFor[time.Duration]():
		return durationFault(v, text)
	case reflect.TypeFor[number]():
		return numberFault(v, text)
	case reflect.TypeFor[bool]():
		return boolFault(text)
	}
	accepts := func(beginning string) bool { return strings.HasPrefix(v.accepts, beginning) }
	switch known := words(v.accepts); {
	case known != nil:
		return wordFault(text, known)
	case accepts("a UUID"), accepts("UUIDs"):
		return idFault(text, accepts("UUIDs"))
	case accepts("host:port"):
		return addressFault(text)
	case accepts("a date"):
		return dateFault(text)
	case accepts("four octal digits"):
		return modeFault(text)
	case accepts("user numbers"):
		return uidFault(text)
	}
	return ""
}

func durationFault(v variable, text string) string {
	d, err := time.ParseDuration(text)
	unit := strings.Trim(text, "0123456789.-+")
	switch {
	case err == nil:
		return outside(d < duration(v.min), v)
	case unit == "":
		return shownNumber(text) + "a unit is missing, such as in 10s"
	case strings.ContainsAny(text, " \t"):
		return "it has a space in it"
	case slices.Contains([]string{"ns", "us", "µs", "ms", "s", "m", "h"}, unit): // too large to be parsed
		return outside(strings.HasPrefix(text, "-"), v)
	case strings.HasPrefix(unit, "d") || strings.HasPrefix(unit, "w"):
		return "days and weeks are not units here: use h"
	case len(unit) == len(text):
		return "it is not a number with a unit"
	}
	return "its unit is not one of ms, s, m and h"
}

func numberFault(v variable, text string) string {
	var n number
	digits := strings.Trim(text, "0123456789") == ""
	switch {
	case n.Decode(text) == nil:
		return outside(int64(n) < whole(v.min), v)
	case digits:
		return "it is above " + v.max
	case strings.HasPrefix(text, "-") && strings.Trim(text[1:], "0123456789") == "":
		return "it is below " + v.min
	case strings.Trim(text, "0123456789_, .+") == "":
		return "it has characters that are not digits"
	case text[0] >= '0' && text[0] <= '9':
		return "it has a unit or another letter in it"
	}
	return "it is not a number"
}

func outside(below bool, v variable) string {
	if below {
		return "it is below " + v.min
	}
	return "it is above " + v.max
}

func duration(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

func whole(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// shownNumber shows a number that is too short to be a secret.
func shownNumber(text string) string {
	if len(text) > 6 {
		return ""
	}
	return text + ": "
}

func boolFault(text string) string {
	switch strings.ToLower(text) {
	case "yes", "y", "on", "enable", "enabled":
		return strings.ToLower(text) + " is not understood: write true"
	case "no", "n", "off", "disable", "disabled":
		return strings.ToLower(text) + " is not understood: write false"
	}
	return "it is neither"
}

// words are those of an accepts that lists them: "json or console".
func words(accepts string) []string {
	if strings.ContainsAny(accepts, ":/*;") {
		return nil
	}
	all := strings.Split(strings.ReplaceAll(accepts, " or ", ", "), ", ")
	for _, word := range all {
		if strings.Contains(word, " ") {
			return nil
		}
	}
	return all
}

func wordFault(text string, known []string) string {
	if near := suggestion(strings.ToLower(text), known); near != "" {
		return strings.TrimPrefix(near, ": ")
	}
	for _, word := range known {
		if strings.HasPrefix(strings.ToLower(text), word) {
			return "did you mean " + word + "?"
		}
	}
	return "it is another word"
}

func idFault(text string, list bool) string {
	number := 0
	for element := range strings.SplitSeq(text, ",") {
		number++
		element = strings.Trim(element, " ")
		if _, ok := ids.Parse(element); ok || element == "" && !list {
			continue
		}
		where := ""
		if list && strings.Contains(text, ",") {
			where = "number " + strconv.Itoa(number) + " of the list: "
		}
		switch {
		case element == "":
			return where + "it is empty"
		case element == "*":
			return "* means all and must stand alone"
		case len(element) != 36 && strings.ContainsAny(element, "{}"):
			return where + "it has braces around it"
		case len(element) == 32 && strings.Trim(strings.ToLower(element), "0123456789abcdef") == "":
			return where + "its hyphens are missing"
		case len(element) != 36:
			return where + "it has " + strconv.Itoa(len(element)) + " characters, a UUID has 36"
		}
		return where + "it has a character where a UUID has none, or a hyphen elsewhere"
	}
	return ""
}

func dateFault(text string) string {
	digits := strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' {
			return '0'
		}
		return c
	}, text)
	if digits == "0000-00-00" {
		return "the calendar has no such day"
	}
	return "it is not a year, month and day of 4, 2 and 2 digits with hyphens between them"
}

func modeFault(text string) string {
	switch {
	case strings.Trim(text, "01234567") != "":
		return "it has characters that are not octal digits"
	case len(text) != 4:
		return "it has " + strconv.Itoa(len(text)) + " digits"
	case text < "0600":
		return "the owner must be able to read and write"
	}
	return "it is above 0777"
}

func uidFault(text string) string {
	if strings.Trim(text, "0123456789, ") != "" {
		return "names are not numbers: see id -u NAME"
	}
	return "a number in it is empty or too large"
}

func addressFault(text string) string {
	host, port, found := strings.Cut(text, ":")
	switch {
	case strings.HasPrefix(text, "unix:"):
		return "the path is not absolute, ends in a slash, or is too long"
	case strings.Contains(text, "://"):
		return "it is a URL"
	case strings.Trim(text, "0123456789") == "":
		return shownNumber(text) + "the colon is missing: write localhost:PORT"
	case strings.HasPrefix(text, "/"):
		return "unix: is missing before the path"
	case strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "["):
		return "an IPv6 address needs brackets around it"
	case !found:
		return "the port is missing"
	case port == "" || strings.HasSuffix(text, ":"):
		return "the port is missing"
	case !strings.HasPrefix(text, "[") && strings.Trim(port, "0123456789") != "":
		return "the port is not a number"
	case !strings.HasPrefix(text, "[") && host != "" && host != "localhost" && strings.Trim(host, "0123456789.") != "":
		return "the host is not an IP address"
	}
	return "the address or the port is not valid"
}
