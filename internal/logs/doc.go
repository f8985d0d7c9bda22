// Package logs writes the log and the audit lines. A request never waits for a
// reader of the log or for a disk: lines that cannot be written in time are
// dropped, and counted.
//
//   - logger.go: the one logger that everybody gets, and the one for net/http's
//     own lines
//   - writer.go: the Writer behind it, a goroutine between the logger and stderr
//   - audit.go: the audit lines, in the log or in a file
//   - auditfile.go: that file, which may be rotated
//
// An audit line takes the same way as a log line: logger, Writer, file.
package logs
