//go:build !linux

package confine

import "fmt"

// Apply returns ErrUnsupported.
func Apply(Rules) (InForce, error) {
	return InForce{}, fmt.Errorf("%w: only Linux has Landlock", ErrUnsupported)
}

// Supported returns ErrUnsupported.
func Supported() (InForce, error) { return Apply(Rules{}) }
