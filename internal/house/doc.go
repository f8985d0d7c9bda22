// Package house holds the tests of the repository as a whole: who may import
// whom, who may reveal a secret, and whether the README says what is true.
package house
