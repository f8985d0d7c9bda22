// Package files reads small files that others may replace, remove or turn into
// something else (files.go), and looks whether one can be written without trying it
// (writable_*.go).
package files
