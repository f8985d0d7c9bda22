package config

import (
	"os"
	"path/filepath"
)

// buildAuditLog wants a place where a file can be. A file in the root directory
// is nobody's audit log, but a secret that begins with a slash looks like one.
func buildAuditLog(path string, wrong *mistakes) string {
	if path == "" {
		return ""
	}
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || !isPrintable(path):
		wrong.refuse("MONITE_AUDIT_LOG", "it is not an absolute path")
	case err != nil || !info.IsDir() || dir == filepath.Dir(dir):
		wrong.refuse("MONITE_AUDIT_LOG", "its directory does not exist, or is the root")
	default:
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			wrong.refuse("MONITE_AUDIT_LOG", "it is a directory")
		}
	}
	return path
}
