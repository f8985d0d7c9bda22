// Package confine takes rights away from the process that calls it, for good.
//
// [NoDumps] comes first, before a secret is read: no core file, and no look
// into the process for others of the same user (dumps_*.go).
//
// [Apply] comes when all is open (apply_*.go): from then on, whatever runs in this
// process can read, write and connect to only what its [Rules] name (rules.go).
// What is open stays open.
package confine
