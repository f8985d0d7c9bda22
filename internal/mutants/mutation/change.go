package main

import (
	"fmt"
	"go/token"
)

// successors are the operators that take the place of one: the boundary of an order, and
// its opposite.
var successors = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
	token.INC: {token.DEC}, token.DEC: {token.INC},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN},
	token.MUL_ASSIGN: {token.QUO_ASSIGN}, token.QUO_ASSIGN: {token.MUL_ASSIGN},
}

// change is one operator in the place of another.
type change struct {
	number       int    // switches it on
	file         string // from the root of the module
	line         int
	function     string // or the variable that is set
	was, becomes token.Token
	text         string // of the expression, in one line
	nth          int    // of those that are alike so far; 1 is the first
}

// String names the change. The name holds as long as the expression and its function do.
func (c change) String() string {
	name := fmt.Sprintf("%s %s: %s for %s in %s", c.file, c.function, c.becomes, c.was, c.text)
	if c.nth > 1 {
		name += fmt.Sprintf(" (no. %d)", c.nth)
	}
	return name
}
