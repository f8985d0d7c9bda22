//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The contender has a core for itself; upstream and load share the other one.
const (
	proxyCore = "0"
	loadCore  = "1"
)

// process is a started program and its children.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	began  time.Time
}

func startProcess(name, core string, env []string, out string, command ...string) (*process, error) {
	file, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command("taskset", append([]string{"-c", core}, command...)...)
	// One core, as a container with a CPU limit of one: the runtime would see two.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1"}, env...)
	cmd.Stdout, cmd.Stderr = file, file
	p := &process{name: name, cmd: cmd, exited: make(chan struct{}), began: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait(); close(p.exited) }()
	return p, nil
}

func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

func (p *process) waitListening(port int) error {
	for range 20_000 {
		if conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			_ = conn.Close()
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %s", p.name, lastLines(p.cmd))
		case <-time.After(250 * time.Microsecond):
		}
	}
	return fmt.Errorf("%s does not listen", p.name)
}

func lastLines(cmd *exec.Cmd) string {
	file, ok := cmd.Stderr.(*os.File)
	if !ok {
		return ""
	}
	text, _ := os.ReadFile(file.Name())
	return string(text[max(0, len(text)-500):])
}

// tree is the process and all that it started.
func (p *process) tree() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			for field := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// cpu is the time on a processor, kernel and user, of the whole tree.
func (p *process) cpu() (total time.Duration) {
	for _, pid := range p.tree() {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			first, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// rss is the resident memory of the whole tree in MiB. Pages that processes of a
// tree share are counted once per process, as top does.
func (p *process) rss() float64 {
	pages := 0
	for _, pid := range p.tree() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			n, _ := strconv.Atoi(fields[1])
			pages += n
		}
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// busy returns the time that all processors have worked since the machine started.
func busy() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := bytes.Cut(text, []byte("\n"))
	ticks := 0
	for i, field := range strings.Fields(string(line)) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, iowait, guests
			continue
		}
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// syscalls counts the system calls of the tree for a while.
func (p *process) syscalls(during func() (requests int, err error)) (perRequest float64, err error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, err
	}
	out := filepath.Join(os.TempDir(), fmt.Sprint("monite-bench-strace-", os.Getpid()))
	defer func() { _ = os.Remove(out) }()
	args := []string{"-c", "-f", "-o", out}
	for _, pid := range p.tree() {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	trace := exec.Command("strace", args...)
	if err := trace.Start(); err != nil {
		return 0, err
	}
	time.Sleep(300 * time.Millisecond)
	requests, err := during()
	// Not SIGINT, which is ignored below a shell that put us in the background.
	_ = trace.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(10*time.Second, func() { _ = trace.Process.Kill() })
	_ = trace.Wait()
	late.Stop()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 4 && fields[len(fields)-1] == "total" {
			calls, _ := strconv.ParseFloat(fields[3], 64)
			return calls / float64(max(requests, 1)), nil
		}
	}
	return 0, errors.New("strace printed no total")
}
