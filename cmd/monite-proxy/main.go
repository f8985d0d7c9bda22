// Command monite-proxy is a sidecar: apps on the same host call
// http://localhost:8080/v1/... without credentials, and Monite answers.
package main

import "os"

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }
