// Package files reads small files that others may replace, remove or turn into
// something else. files.go has all of it.
package files
