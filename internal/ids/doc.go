// Package ids reads Monite's ids, which are UUIDs, and shows them without telling
// them. ids.go has all of it.
package ids
