// Command pictures draws the terminals of docs/pictures from a real run of make
// run: the first minute, animated, and monite-proxy's status and doctor.
//
//   - main.go: the run, and what is typed meanwhile
//   - svg.go: a terminal as SVG
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const columns = 130

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pictures DIRECTORY, in the root of the repository, after make build; needs script, curl and the ports of make run")
		os.Exit(2)
	}
	if err := draw(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func draw(directory string) error {
	// Make's own variables would have the inner make speak of directories.
	for _, name := range []string{"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MONITE_CLIENT_ID", "MONITE_CLIENT_ID_FILE"} {
		_ = os.Unsetenv(name)
	}
	first, err := start("make run")
	if err != nil {
		return err
	}
	defer first.stop()
	if err := first.await("Ctrl-C stops both"); err != nil {
		return err
	}
	const pause = 2 * time.Second // for the reader
	time.Sleep(pause)
	me := "curl -sS http://localhost:8080/v1/entity_users/me -H 'X-Monite-Entity-User-Id: " + monitetest.DemoEntityUserID + "'"
	var second []row
	for _, command := range []string{me, "curl -sS -X POST http://localhost:8090/_sim/revoke_all", me} {
		rows, err := typed(command, first.begun)
		if err != nil {
			return err
		}
		second = append(second, rows...)
		time.Sleep(pause)
	}
	one, two := pane{"terminal 1", wrapped(first.rows()), 24}, pane{"terminal 2", wrapped(second), 10}
	status, err := typed("bin/monite-proxy status", first.begun)
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"MONITE_API_URL": "http://127.0.0.1:8090", "MONITE_CLIENT_ID": monitetest.DemoClientID,
		"MONITE_ALLOWED_ENTITY_IDS": "*", "MONITE_ALLOWED_ENTITY_USER_IDS": "*", // as make run has them
	} {
		_ = os.Setenv(name, value)
	}
	doctor, err := typed("MONITE_CLIENT_SECRET=of-another-environment bin/monite-proxy doctor", first.begun)
	if err != nil {
		return err
	}
	pace(one, two)
	for name, picture := range map[string]string{
		"first-minute.svg": terminals(one, two), "status.svg": terminals(still(status)), "doctor.svg": terminals(still(doctor)),
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(picture), 0o644); err != nil { //nolint:gosec // a picture
			return err
		}
	}
	return nil
}

// recording is a command under way in a terminal of its own.
type recording struct {
	command *exec.Cmd
	begun   time.Time
	lines   chan row
	seen    []row
}

// start runs a command under script(1), which gives it a terminal.
func start(command string) (*recording, error) {
	r := &recording{
		command: exec.Command("script", "-qefc", fmt.Sprintf("stty cols %d rows 60; exec %s", columns, command), "/dev/null"), //nolint:gosec // the commands are those above
		begun:   time.Now(), lines: make(chan row, 1000),
	}
	r.seen = []row{{text: prompt + command}}
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := r.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.lines <- row{time.Since(r.begun), strings.TrimRight(lines.Text(), "\r")}
		}
	}()
	return r, nil
}

// await waits for a line that contains text.
func (r *recording) await(text string) error {
	limit := time.After(5 * time.Minute) // the build may be long
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return fmt.Errorf("the command ended: %v", r.seen)
			}
			r.seen = append(r.seen, line)
			if strings.Contains(line.text, text) {
				return nil
			}
		case <-limit:
			return errors.New("no line with " + text)
		}
	}
}

// rows returns the lines up to now.
func (r *recording) rows() []row {
	for {
		select {
		case line, ok := <-r.lines:
			if ok {
				r.seen = append(r.seen, line)
				continue
			}
		default:
		}
		return r.seen
	}
}

func (r *recording) stop() {
	_ = syscall.Kill(-r.command.Process.Pid, syscall.SIGTERM)
	_ = r.command.Wait()
}

// typed runs a command to its end. An exit code is part of what is shown.
func typed(command string, since time.Time) ([]row, error) {
	at := time.Since(since)
	r, err := start("env " + command)
	if err != nil {
		return nil, err
	}
	all := []row{{at, prompt + command}}
	for line := range r.lines {
		all = append(all, row{at + line.at, line.text})
	}
	_ = r.command.Wait()
	return all, nil
}
