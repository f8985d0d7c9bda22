// Package writes remembers writes, so that what an app sends twice is executed
// once. It knows nothing of HTTP.
package writes
