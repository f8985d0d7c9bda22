// Package house holds the tests of the repository as a whole: who may import
// whom, who may reveal a secret, and whether README, docs and SECURITY say what is true.
package house
