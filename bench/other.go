//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: what is measured is read from Linux's /proc")
	os.Exit(1)
}
