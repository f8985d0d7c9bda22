// Command genroutes reads Monite's OpenAPI document and writes the two tables
// that are compiled in:
//
//	internal/routes/table.go                  path templates, for metric labels and rules
//	proxy/monitetest/schema/table.json.gz     operations and schemas without prose, for the simulator
//
// parse.go reads the operations, facts.go the schemas, and render.go writes Go.
// The document itself is never part of the repository. Run from the root of
// the module:
//
//	go run ./internal/genroutes -openapi FILE
//
// main.go has the flags and the files, parse.go reads the document, facts.go derives
// the facts that the simulator judges by, render.go writes
// the tables.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	switch err := run(os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "genroutes:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("genroutes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	openapi := flags.String("openapi", "", "Monite's OpenAPI document, JSON (required)")
	routes := flags.String("routes", "internal/routes/table.go", "where the templates go")
	facts := flags.String("facts", "proxy/monitetest/schema/table.json.gz", "where operations and schemas go")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *openapi == "" {
		return errors.New("-openapi FILE is required")
	}
	document, err := os.ReadFile(*openapi)
	if err != nil {
		return err
	}
	table, err := parse(document)
	if err != nil {
		return fmt.Errorf("%s: %w", *openapi, err)
	}
	source, err := renderRoutes(table)
	if err != nil {
		return fmt.Errorf("render %s: %w", *routes, err)
	}
	packed, err := table.Pack()
	if err != nil {
		return fmt.Errorf("pack %s: %w", *facts, err)
	}
	if err := os.WriteFile(*routes, source, 0o644); err != nil {
		return err
	}
	return os.WriteFile(*facts, packed, 0o644)
}
