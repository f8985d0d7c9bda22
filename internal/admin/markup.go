package admin

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// markup is HTML. Only constants of our source become markup, and what put and
// when make of them: TestMarkupIsOfOurSource sees to it.
//
// html/template would do the same, and keeps every method of every type in the
// binary: 2.5 MB.
type markup string

// markupWriter holds the HTML that has been written.
type markupWriter struct{ text []byte }

// put writes form with each {} replaced by the next value, escaped. A {} stands
// in the text of an element or in a quoted attribute, never in one that is code
// or a reference, nor in a script. Values that are markup are taken as they are.
func (w *markupWriter) put(form markup, values ...any) {
	rest := string(form)
	for _, value := range values {
		before, after, found := strings.Cut(rest, "{}")
		if !found {
			panic("admin: more values than places in " + string(form))
		}
		w.text = append(w.text, before...)
		w.put1(value)
		rest = after
	}
	if strings.Contains(rest, "{}") {
		panic("admin: more places than values in " + string(form))
	}
	w.text = append(w.text, rest...)
}

func (w *markupWriter) put1(value any) {
	switch value := value.(type) {
	case markup:
		w.text = append(w.text, value...)
	case string:
		w.text = appendEscaped(w.text, value)
	case int:
		w.text = strconv.AppendInt(w.text, int64(value), 10)
	case int64:
		w.text = strconv.AppendInt(w.text, value, 10)
	case uint64:
		w.text = strconv.AppendUint(w.text, value, 10)
	default:
		panic(fmt.Sprintf("admin: %T is not written to pages", value))
	}
}

// when is the form if the condition holds, else nothing. The values are looked
// at in either case: behind a pointer that may be nil stands an if.
func when(condition bool, form markup, values ...any) markup {
	if !condition {
		return ""
	}
	if len(values) == 0 {
		return form
	}
	var w markupWriter
	w.put(form, values...)
	return markup(w.text)
}

// appendEscaped appends a text of which no byte means anything to HTML, in the
// text of an element or between quotes. Nor does a value end a line: events are
// made of lines.
func appendEscaped(to []byte, value string) []byte {
	for i, r := range value {
		switch r {
		case '&':
			to = append(to, "&amp;"...)
		case '<':
			to = append(to, "&lt;"...)
		case '>':
			to = append(to, "&gt;"...)
		case '"':
			to = append(to, "&#34;"...)
		case '\'':
			to = append(to, "&#39;"...)
		case '\n', '\r':
			to = append(to, "&#"...)
			to = strconv.AppendInt(to, int64(value[i]), 10)
			to = append(to, ';')
		case 0: // no document may hold it
			to = utf8.AppendRune(to, utf8.RuneError)
		default: // what is not UTF-8 is ranged over as RuneError
			to = utf8.AppendRune(to, r)
		}
	}
	return to
}
