package main

// maxDescriptors: Windows has no limit that matters here.
func maxDescriptors() int64 { return 1 << 20 }
