package admin

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValuesAreEscapedInTextAndInAttributes(t *testing.T) {
	for value, want := range map[string]string{
		`</script>`: `&lt;/script&gt;`, `"><img src=x>`: `&#34;&gt;&lt;img src=x&gt;`, `' onload='`: `&#39; onload=&#39;`,
		`&lt;&#x3c;`: `&amp;lt;&amp;#x3c;`, "a\x00b": "a\uFFFDb", "\xff<\xc3": "\uFFFD&lt;\uFFFD", "\u2028é": "\u2028é",
		"{}": "{}", "a\r\nevent: x": "a&#13;&#10;event: x", "<!--": "&lt;!--", "": "",
	} {
		var w markupWriter
		w.put(`<b title="{}">{}</b>{}`, value, value, when(true, `<i>{}</i>`, value))
		if got, want := string(w.text), `<b title="`+want+`">`+want+`</b><i>`+want+`</i>`; got != want {
			t.Errorf("%q is written as %q, want %q", value, got, want)
		}
	}
}

func TestPutTakesAsManyValuesAsPlaces(t *testing.T) {
	for name, write := range map[string]func(*markupWriter){
		"few":         func(w *markupWriter) { w.put(`<b>{}</b>{}`, "x") },
		"many":        func(w *markupWriter) { w.put(`<b>{}</b>`, "x", "y") },
		"unknown":     func(w *markupWriter) { w.put(`{}`, []byte("<b>")) },
		"few in when": func(*markupWriter) { when(true, `{} {}`, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was written")
				}
			}()
			write(&markupWriter{})
		})
	}
}

func FuzzEscapedValuesComeBackAndMeanNothing(f *testing.F) {
	for _, id := range nastyIDs {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := string(appendEscaped(nil, value))
		if strings.ContainsAny(got, "<>\"'\x00\r\n") || !utf8.ValidString(got) {
			t.Errorf("%q is written as %q", value, got)
		}
		want := strings.ReplaceAll(string([]rune(value)), "\x00", "\uFFFD") // a RuneError for each byte that is not UTF-8
		if back := html.UnescapeString(got); back != want {
			t.Errorf("%q is read as %q", value, back)
		}
	})
}

// What is not a constant would be taken as HTML unescaped; a place where text is
// code, or leads elsewhere, would need more than escaping.
func TestMarkupIsOfOurSource(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	forms := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || path == "markup.go" {
			continue
		}
		for _, flaw := range flawsOfMarkup(t, path, nil, &forms) {
			t.Error(flaw)
		}
	}
	if forms < 50 {
		t.Errorf("only %d forms were found", forms)
	}
}

func TestFlawsOfMarkupAreSeen(t *testing.T) {
	for _, line := range []string{
		"w.put(markup(name))", "w.put(form)", "_ = markup(`a` + name)", "when(true, form)", "w.put(`{}`)", "w.put(`<b>{}`, a, b)", "w.put(`{}`, all...)",
		"w.put(`<a href=\"{}\">`, a)", "w.put(`<b onclick=\"{}\">`, a)", "w.put(`<b style='{}'>`, a)", "w.put(`<b class={}>`, a)",
		"w.put(`<script>{}</script>`, a)", "w.put(`<{}>`, a)", "w.put(`<b{}>`, a)", "w.put(`<!-- {} -->`, a)", "when(true, ` src=\"{}\"`, a)",
	} {
		forms := 0
		if len(flawsOfMarkup(t, "x.go", "package p\nfunc f() {\n"+line+"\n}", &forms)) == 0 {
			t.Errorf("nothing is said of %s", line)
		}
	}
}

func flawsOfMarkup(t *testing.T, path string, source any, forms *int) (flaws []string) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		at, known := map[string]int{"put": 0, "markup": 0, "when": 1}[calledName(call)]
		if !known {
			return true
		}
		*forms++
		if flaw := flawOfForm(call, call.Args[at], call.Args[at+1:]); flaw != "" {
			flaws = append(flaws, fmt.Sprintf("%s: %s", files.Position(call.Pos()), flaw))
		}
		return true
	})
	return flaws
}

func calledName(value ast.Expr) string {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return ""
	}
	switch called := call.Fun.(type) {
	case *ast.Ident:
		return called.Name
	case *ast.SelectorExpr:
		return called.Sel.Name
	}
	return ""
}

func flawOfForm(call *ast.CallExpr, form ast.Expr, values []ast.Expr) string {
	literal, ok := form.(*ast.BasicLit)
	if !ok {
		return "the form is not a string of the source"
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return err.Error()
	}
	parts := strings.Split(text, "{}")
	if call.Ellipsis.IsValid() || len(parts) != len(values)+1 {
		return fmt.Sprintf("%d places for %d values", len(parts)-1, len(values))
	}
	for i, value := range values {
		if flaw := flawOfPlace(strings.Join(parts[:i+1], ""), calledName(value) == "when"); flaw != "" {
			return flaw
		}
	}
	return ""
}

// flawOfPlace looks at what stands before a place.
func flawOfPlace(before string, isMarkup bool) string {
	opened := strings.LastIndexByte(before, '<')
	startsInTag := opened < 0 && strings.HasPrefix(before, " ") && strings.Contains(before, `="`)
	if !startsInTag && opened <= strings.LastIndexByte(before, '>') {
		for _, name := range []string{"script", "style"} {
			if strings.LastIndex(before, "<"+name) > strings.LastIndex(before, "</"+name) {
				return "a place in a " + name
			}
		}
		return "" // the text of an element
	}
	tag := before[max(opened, 0):]
	if quotes := strings.Count(tag, `"`); quotes%2 == 0 {
		if isMarkup && strings.HasPrefix(tag, "<") && !strings.HasPrefix(tag, "<!") && len(tag) > 1 && !strings.HasSuffix(tag, "=") {
			return "" // an attribute that may be there
		}
		return "a place in a tag, out of quotes"
	}
	attribute := strings.TrimSuffix(tag[:strings.LastIndexByte(tag, '"')], "=")
	attribute = attribute[strings.LastIndexByte(attribute, ' ')+1:]
	switch attribute {
	case "class", "title", "datetime", "x", "y", "width", "height":
		return ""
	}
	return "a place in the attribute " + attribute
}
