// Package files reads small files that others may replace, remove or turn into
// something else (files.go), and looks who may write a file and whose it is
// (rights_*.go).
package files
