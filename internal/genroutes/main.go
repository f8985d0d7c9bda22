// Command genroutes reads Monite's OpenAPI document and writes the two route
// tables that are compiled in:
//
//	internal/routes/table.go              path templates, for metric labels and rules
//	proxy/monitetest/operations_table.go  operations, for the simulator
//
// The document itself is never part of the repository. Run from the root of
// the module:
//
//	go run ./internal/genroutes -openapi FILE
//
// main.go has the flags and the files, parse.go reads the document, render.go writes
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
	operations := flags.String("operations", "proxy/monitetest/operations_table.go", "where the operations go")
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
	api, err := parse(document)
	if err != nil {
		return fmt.Errorf("%s: %w", *openapi, err)
	}
	for path, render := range map[string]func() ([]byte, error){*routes: api.renderRoutes, *operations: api.renderOperations} {
		source, err := render()
		if err != nil {
			return fmt.Errorf("render %s: %w", path, err)
		}
		if err := os.WriteFile(path, source, 0o644); err != nil {
			return err
		}
	}
	return nil
}
