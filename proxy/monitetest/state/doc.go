// Package state keeps the documents of a simulated Monite: collections by
// owner and path, filtered, sorted and paged as the API's lists are.
//
// store.go finds a collection, and makes one from a seed on its first use.
// collection.go changes documents one at a time under the collection's lock.
// filter.go keeps the rows that match a query, sort.go orders them, and
// paging.go cuts a page out of them. snapshot.go copies and exports the whole
// store: documents are never changed, only replaced, so a copy is cheap.
package state
