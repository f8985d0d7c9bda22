//go:build race

package tokencache

// underRace: the race detector makes the largest tests ten times slower.
const underRace = true
