package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// revealers are the only places where a secret becomes text.
var revealers = []string{
	"internal/trace/upload.go",             // door 4: the fields for the trace collector, if there is one
	"proxy/credential.go",                  // door 2: the Authorization field
	"proxy/vendtoken.go",                   // door 3: the answer of the vend listener, which is off by default
	"tokencache/redisstore/client.go",      // door 5: the password of the shared store
	"tokencache/redisstore/seal.go",        // door 6: the token that is sealed for it
	"tokencache/tokenendpoint/endpoint.go", // door 1: the mint body, the id
	"tokencache/tokenendpoint/endpoint.go", // door 1: the mint body, the secret
}

func TestSecretsAreRevealedAtSixDoorsOnly(t *testing.T) {
	var found []string
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if name == "config/secret" {
			continue
		}
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if selector, ok := n.(*ast.SelectorExpr); ok && (selector.Sel.Name == "Reveal" || selector.Sel.Name == "Bearer") {
					found = append(found, name+"/"+file)
				}
				return true
			})
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, revealers) {
		t.Errorf("Reveal or Bearer is called in %v, want %v", found, revealers)
	}
}
