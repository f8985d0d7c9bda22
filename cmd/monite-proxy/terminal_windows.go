package main

type terminal struct{}

func openTerminal() *terminal { return nil }

func (*terminal) closed() bool { return false }
