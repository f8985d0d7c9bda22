package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// patterns are turns of phrase that a native reader has to read twice. What people
// read has none of them.
var patterns = []struct {
	name  string
	match *regexp.Regexp
}{
	{"a relative who without a noun", regexp.MustCompile(`(?i)(^|[.:;,(] |\b(and|or|for|that|but) )who(ever)? (is|are|has|have|does|goes|comes|wants|asks|reaches|can|may|adds|would|must)\b`)},
	{"is no X", regexp.MustCompile(`(?i)\b(is|are|was|were) no (?:[a-km-z]|l(?:[a-np-z]))[a-z]*\b`)},
	{"X is what", regexp.MustCompile(`(?i)\b(is|are) (what|how|who)\b`)},
	{"answer for response", regexp.MustCompile(`(?i)\b(an?|the|its|no|any|this|each|every|our|first|whole|early|complete|truncated|[a-z]+'s?|same|late) answers?\b|\banswers (are|is|of|that|stream|in|by)\b|\b(is|are|was|been) answered\b`)},
	{"genitive chain", regexp.MustCompile(`(?i)\bof (?:the |a |an |its )?[a-z]+ of (?:the |a |an |its )?[a-z]+ of\b`)},
	{"impersonal passive", regexp.MustCompile(`(?i)\bit is [a-z]+ed (whether|that|how)\b`)},
	{"false friend", regexp.MustCompile(`(?i)\b(by the way|mostly|so long|seldom|a moment ago|tokens? got)\b`)},
	{"that is there", regexp.MustCompile(`(?i)\b(that|what|which) (is|are) there\b`)},
	{"nobody, somebody as a subject of a machine", regexp.MustCompile(`(?i)\b(nobody|somebody) (waits|mints|asks|reads)\b`)},
}

var thereIsNo = regexp.MustCompile(`(?i)\bthere (is|are|was|were) no\b`)

// prose tells sentences from identifiers: three words and more.
var prose = regexp.MustCompile(`[A-Za-z]+ [a-z]+ [a-z]+`)

// goFiles returns the tracked Go files, without tests.
func goFiles(t *testing.T) []string { return tracked(t, "*.go", "_test.go") }

// TestPlainEnglishInWhatPeopleRead looks at every sentence in the code that a person
// may meet (errors, hints, log messages, descriptions of variables, the page, help,
// reports), and at the Markdown files.
func TestPlainEnglishInWhatPeopleRead(t *testing.T) {
	check := func(where, text string) {
		text = thereIsNo.ReplaceAllString(text, "without") // that one is English
		for _, p := range patterns {
			if found := p.match.FindString(text); found != "" {
				t.Errorf("%s: %s (%q) in: %s", where, p.name, strings.TrimSpace(found), text)
			}
		}
	}
	for _, file := range goFiles(t) {
		if strings.Contains(file, "/internal/genroutes/") || strings.Contains(file, "/bench/") || strings.Contains(file, "/deploy/verify/") {
			continue // for developers
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		wiretest.Must(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil && prose.MatchString(text) {
				check(strings.TrimPrefix(set.Position(literal.Pos()).String(), "../../"), text)
			}
			return true
		})
	}
	for _, file := range tracked(t, "*.md", "") {
		text, err := os.ReadFile(file)
		wiretest.Must(t, err)
		fenced := false
		for n, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			if fenced || strings.HasPrefix(line, "    ") {
				continue
			}
			check(strings.TrimPrefix(file, "../../")+":"+strconv.Itoa(n+1), line)
		}
	}
}

// TestPlainEnglishInDocumentation looks at what go doc shows: the comments of
// packages and of exported names. Other comments are not judged.
func TestPlainEnglishInDocumentation(t *testing.T) {
	for _, file := range goFiles(t) {
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		wiretest.Must(t, err)
		shown := documentation(parsed)
		for _, group := range parsed.Comments {
			if !shown[group] {
				continue
			}
			text := thereIsNo.ReplaceAllString(strings.ReplaceAll(group.Text(), "\n", " "), "without")
			text = strings.ReplaceAll(text, "Answer", "Reply") // a type of the token cache
			for _, p := range patterns {
				if found := p.match.FindAllString(text, -1); len(found) > 0 {
					t.Errorf("%s: %s (%q)", strings.TrimPrefix(set.Position(group.Pos()).String(), "../../"), p.name, found)
				}
			}
		}
	}
}

// documentation returns the comments of the package and of exported names.
func documentation(file *ast.File) map[*ast.CommentGroup]bool {
	shown := map[*ast.CommentGroup]bool{file.Doc: true}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			shown[node.Doc] = node.Name.IsExported()
			return false
		case *ast.GenDecl:
			if len(node.Specs) == 1 && !node.Lparen.IsValid() {
				if spec, ok := node.Specs[0].(*ast.TypeSpec); ok {
					shown[node.Doc] = spec.Name.IsExported()
				}
			}
		case *ast.TypeSpec:
			shown[node.Doc] = node.Name.IsExported()
			return node.Name.IsExported()
		case *ast.ValueSpec:
			shown[node.Doc] = node.Names[0].IsExported()
		case *ast.Field:
			shown[node.Doc] = len(node.Names) > 0 && node.Names[0].IsExported()
		}
		return true
	})
	return shown
}
