// Package conformance proves the simulator by Monite's published document: a
// client that is generated from the document calls every operation, and a JSON
// Schema library that the simulator does not use judges each request and each
// response. The document is not part of the repository: without it the tests
// are skipped and say so.
//
// document_test.go finds and compiles the document. generate_test.go makes
// requests of its schemas, and app_test.go sends them. walk_test.go calls all
// operations, mutate_test.go breaks each request in every way the document
// forbids, and lists_test.go tries every published filter and order.
// gotypes_test.go reads the demo with the types of a generated Go client.
package conformance
