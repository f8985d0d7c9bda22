package config

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// buildSocketMode reads four octal digits. The owner may always read and write,
// or the socket would be of no use to anybody but root.
func buildSocketMode(name, text string, wrong *mistakes) fs.FileMode {
	mode, err := strconv.ParseUint(text, 8, 16)
	if err != nil || len(text) != 4 || mode < 0o600 || mode > 0o777 {
		wrong.refuse(name, "")
		return 0o600
	}
	return fs.FileMode(mode)
}

// buildPeerUIDs reads the comma list. Nil: everybody.
func buildPeerUIDs(name, text string, wrong *mistakes) []uint32 {
	if text == "" {
		return nil
	}
	var uids []uint32
	for element := range strings.SplitSeq(text, ",") {
		var uid number
		// 4294967295 is (uid_t)-1, which is nobody's.
		if uid.Decode(strings.Trim(element, " ")) != nil || uid >= 1<<32-1 {
			wrong.refuse(name, "")
			return nil
		}
		uids = append(uids, uint32(uid))
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}
