//go:build !race

package tokencache

const underRace = false
