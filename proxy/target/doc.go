// Package target says what a request target, a Host and a field name may be, and
// what some upstream would take them for. It repairs nothing: what may be read in
// two ways is refused. It is pure, and knows neither requests nor configuration.
//
//	path.go   the request target and its path; no segment that means auth
//	advice.go what to send instead of a target that is refused
//	host.go   the value of a Host field, and the names that are this proxy's
//	field.go  field names that some upstream takes for another
//
// The oracle of its tests, and their rows, are in targettest.
package target
