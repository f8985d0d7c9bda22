//go:build race

package redisstore

// underRace: the race detector makes the largest tests ten times slower.
const underRace = true
