// Package schema knows what Monite's published document says: operations,
// names, types, limits. The document itself and its prose are not here.
//
// table.go has the facts, compiled in as table.json.gz, which
// internal/genroutes makes of the document. judge.go says what is wrong with a
// value, as FastAPI would, with the checks of format.go; query.go does so for
// query parameters. project.go goes the other way: it makes a value that a
// schema allows of what is known, and believe.go makes up the rest by the names
// of the fields.
package schema
