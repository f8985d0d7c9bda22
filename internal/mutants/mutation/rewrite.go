package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// switches is what a rewritten package needs beside its own files. Its functions do what
// the operator does, unless their number is switched on.
const switches = `package %s

import (
	"cmp"
	"os"
	"strconv"
)

var mutNumber = func() int { n, _ := strconv.Atoi(os.Getenv("` + variable + `")); return n }()

func mutOn(n int) bool { return mutNumber == n || mutNumber == ` + everything + ` }

type mutNumeric interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

func mutAdd[T mutNumeric](n int, a, b T) T { if mutOn(n) { return a - b }; return a + b }
func mutSub[T mutNumeric](n int, a, b T) T { if mutOn(n) { return a + b }; return a - b }
func mutMul[T mutNumeric](n int, a, b T) T { if mutOn(n) { return a / b }; return a * b }
func mutQuo[T mutNumeric](n int, a, b T) T { if mutOn(n) { return a * b }; return a / b }
func mutNeg[T mutNumeric](n int, a T) T { if mutOn(n) { return a }; return -a }

func mutLss[T cmp.Ordered](n int, a, b T) bool { if mutOn(n) { return a <= b }; return a < b }
func mutLeq[T cmp.Ordered](n int, a, b T) bool { if mutOn(n) { return a < b }; return a <= b }
func mutGtr[T cmp.Ordered](n int, a, b T) bool { if mutOn(n) { return a >= b }; return a > b }
func mutGeq[T cmp.Ordered](n int, a, b T) bool { if mutOn(n) { return a > b }; return a >= b }
`

const (
	variable   = "MUTATION" // of the environment: the number of the change that is on
	everything = "-1"       // all of them
)

// switchOf names the switch that stands for an operator.
var switchOf = map[token.Token]string{
	token.ADD: "mutAdd", token.SUB: "mutSub", token.MUL: "mutMul", token.QUO: "mutQuo",
	token.ADD_ASSIGN: "mutAdd", token.SUB_ASSIGN: "mutSub", token.MUL_ASSIGN: "mutMul", token.QUO_ASSIGN: "mutQuo",
	token.INC: "mutAdd", token.DEC: "mutSub",
	token.LSS: "mutLss", token.LEQ: "mutLeq", token.GTR: "mutGtr", token.GEQ: "mutGeq",
}

// rewriter writes the files of one package anew.
type rewriter struct {
	fset    *token.FileSet
	info    *types.Info
	changes []change
	alike   map[string]int

	// Of the file at hand.
	name   string
	source string
	tree   *ast.File
}

func (r *rewriter) file(name, source string, tree *ast.File) string {
	r.name, r.source, r.tree = name, source, tree
	from, to := r.offset(tree.Pos()), r.offset(tree.End())
	return source[:from] + r.text(tree) + source[to:]
}

func (r *rewriter) offset(pos token.Pos) int { return r.fset.Position(pos).Offset }

func (r *rewriter) original(n ast.Node) string { return r.source[r.offset(n.Pos()):r.offset(n.End())] }

// text returns the source of a node with all changes in it.
func (r *rewriter) text(root ast.Node) string {
	var b strings.Builder
	at := r.offset(root.Pos())
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case nil, *ast.ArrayType: // its length is a constant
			return false
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				return false
			}
		}
		text, ok := r.changed(n)
		if ok {
			b.WriteString(r.source[at:r.offset(n.Pos())] + text)
			at = r.offset(n.End())
		}
		return !ok
	})
	return b.String() + r.source[at:r.offset(root.End())]
}

// changed returns the text in place of a node that has an operator to change.
func (r *rewriter) changed(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.IncDecStmt:
		return r.assignment(n, n.X, n.Tok, nil)
	case *ast.AssignStmt:
		return r.assignment(n, n.Lhs[0], n.Tok, n.Rhs[0])
	case *ast.UnaryExpr:
		if n.Op == token.SUB && r.info.Types[n].Value == nil {
			return fmt.Sprintf("mutNeg(%d, %s)", r.add(n, n.OpPos, token.SUB, token.ADD), r.text(n.X)), true
		}
	case *ast.BinaryExpr:
		return r.binary(n)
	}
	return "", false
}

func (r *rewriter) binary(n *ast.BinaryExpr) (string, bool) {
	to := successors[n.Op]
	tv := r.info.Types[n]
	switch n.Op {
	case token.ADD, token.SUB, token.MUL, token.QUO:
		return r.arithmetic(n, tv)
	default:
		if len(to) == 0 || tv.Value != nil {
			return "", false
		}
	}
	last := r.add(n, n.OpPos, n.Op, to[len(to)-1])
	if len(to) == 2 {
		boundary := r.add(n, n.OpPos, n.Op, to[0])
		return fmt.Sprintf("(%s(%d, %s, %s) != mutOn(%d))", switchOf[n.Op], boundary, r.text(n.X), r.text(n.Y), last), true
	}
	x, y := r.text(n.X), r.text(n.Y)
	if n.Op == token.LAND || n.Op == token.LOR { // with three negations, one is the other
		return fmt.Sprintf("(((%s) != mutOn(%d) %s (%s) != mutOn(%d)) != mutOn(%d))", x, last, n.Op, y, last, last), true
	}
	return fmt.Sprintf("((%s %s %s) != mutOn(%d))", x, n.Op, y, last), true
}

// arithmetic leaves text alone, and constants without a type: 2*1024 is a number.
func (r *rewriter) arithmetic(n *ast.BinaryExpr, tv types.TypeAndValue) (string, bool) {
	if !isNumber(tv.Type) {
		return "", false
	}
	operand := r.text
	if tv.Value != nil { // the parts of a constant have the type of the whole only in it
		operand = r.original
	}
	of := ""
	if _, predeclared := tv.Type.(*types.Basic); predeclared { // operands alone may not tell it: 1<<n
		of = "[" + tv.Type.String() + "]"
	}
	number := r.add(n, n.OpPos, n.Op, successors[n.Op][0])
	return fmt.Sprintf("%s%s(%d, %s, %s)", switchOf[n.Op], of, number, operand(n.X), operand(n.Y)), true
}

func isNumber(t types.Type) bool {
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsNumeric != 0 && basic.Info()&types.IsUntyped == 0
}

// assignment writes x++ and x += y as x = x + y, where x does nothing but name a place. y
// is nil for 1.
func (r *rewriter) assignment(n ast.Node, x ast.Expr, op token.Token, y ast.Expr) (string, bool) {
	if len(successors[op]) == 0 || !isNumber(r.info.TypeOf(x)) || calls(x) {
		return "", false
	}
	number := r.add(n, x.End(), op, successors[op][0])
	place, by := r.text(x), "1"
	if y != nil {
		by = r.text(y)
	}
	return fmt.Sprintf("%s = %s(%d, %s, %s)", place, switchOf[op], number, place, by), true
}

func calls(x ast.Expr) (found bool) {
	ast.Inspect(x, func(n ast.Node) bool {
		_, call := n.(*ast.CallExpr)
		found = found || call
		return !found
	})
	return found
}

// add notes a change, and returns its number.
func (r *rewriter) add(n ast.Node, pos token.Pos, was, becomes token.Token) int {
	c := change{
		number: len(r.changes) + 1, file: r.name, line: r.fset.Position(pos).Line, function: r.function(pos),
		was: was, becomes: becomes, text: strings.Join(strings.Fields(r.original(n)), " "),
	}
	r.alike[c.String()]++
	c.nth = r.alike[c.String()]
	r.changes = append(r.changes, c)
	return c.number
}

// function returns the name of the function around a position; "var" outside of all.
func (r *rewriter) function(pos token.Pos) string {
	for _, decl := range r.tree.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Pos() <= pos && pos < f.End() {
			return f.Name.Name
		}
	}
	return "var"
}
