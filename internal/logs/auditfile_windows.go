package logs

import "io/fs"

const noFollow = 0

func ownedByUs(fs.FileInfo) bool { return true }
