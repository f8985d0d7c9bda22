// Package routes knows the paths that Monite publishes, and rules over them.
//
//   - table.go: the published paths, generated.
//   - tree.go: a path -> its template. Logs and metrics know a request by it.
//   - rule.go: one rule of an identity, as an operator writes it.
//   - rules.go: the rules of an identity, compiled to a table that a request is
//     looked up in.
//   - fold.go: what else an upstream might take a path for. A rule that denies
//     one spelling denies all of them.
package routes
