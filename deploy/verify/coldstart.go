//go:build ignore

// Command coldstart measures how long a process takes from its exec to the first
// response with 200. verify.sh builds it.
//
//	coldstart exec program       writes the time in nanoseconds, and becomes the program
//	coldstart poll seconds URL   asks until the status is 200, and writes the time then
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: coldstart exec program | coldstart poll seconds URL")
	}
	if os.Args[1] == "exec" {
		fmt.Println(time.Now().UnixNano())
		log.Fatal(syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
	}
	limit, err := time.ParseDuration(os.Args[2] + "s")
	if err != nil {
		log.Fatal(err)
	}
	last := "no answer"
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(500 * time.Microsecond) {
		res, err := http.Get(os.Args[3])
		if err != nil {
			last = err.Error()
			continue
		}
		now := time.Now()
		res.Body.Close()
		if last = res.Status; res.StatusCode == http.StatusOK {
			fmt.Println(now.UnixNano())
			return
		}
	}
	log.Fatal(os.Args[3], ": ", last)
}
