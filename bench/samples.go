//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// The figures that are measured.
const (
	figCPU     = "CPU µs/request, 64 connections"
	figRate    = "requests/s, 64 connections"
	figDown    = "CPU µs per MiB down"
	figUp      = "CPU µs per MiB up"
	figIdle    = "RSS MiB idle"
	figClients = "RSS MiB with idle clients"
	figLoaded  = "RSS MiB after load"
	figBodies  = "RSS MiB after bodies"
	figStart   = "cold start ms"
	figCalls   = "system calls/request"
	figWrite   = "CPU µs/write"
	figBare    = "CPU µs/write without the guard"
)

func figAt(what string, rate int) string { return fmt.Sprintf("%s at %d rps", what, rate) }

// sample is one measurement.
type sample struct {
	Contender string
	Figure    string
	Round     int
	Value     float64
	// Foreign is the number of cores that were busy with something else meanwhile.
	Foreign float64
}

type bench struct {
	plan       plan
	upstream   *upstream
	contenders []*contender
	samples    []sample
	began      time.Time
}

func (b *bench) add(c, figure string, round int, value, foreign float64) {
	b.samples = append(b.samples, sample{c, figure, round, value, foreign})
}

func (b *bench) save(path string) error {
	text, err := json.MarshalIndent(b.samples, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// load is the opposite of save. The contenders are those that were measured.
func (b *bench) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &b.samples); err != nil {
		return err
	}
	for _, s := range b.samples {
		if !slices.ContainsFunc(b.contenders, func(c *contender) bool { return c.name == s.Contender }) {
			b.contenders = append(b.contenders, &contender{name: s.Contender})
		}
	}
	return nil
}
