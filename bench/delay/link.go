//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	near, far     = "delay-near", "delay-far" // network namespaces
	nearIP, farIP = "10.77.0.1", "10.77.0.2"
	oneWay        = 25 * time.Millisecond
)

// newLink makes the namespaces and the link. The second value takes all away.
func newLink() (func(), error) {
	away := func() {
		for _, name := range []string{near, far} {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
	away()
	var ends [2]*os.File
	for i, at := range []struct{ name, ip string }{{near, nearIP}, {far, farIP}} {
		if err := run("ip", "netns", "add", at.name); err != nil {
			return away, err
		}
		err := inside(at.name, func() (err error) {
			ends[i], err = newTUN()
			return err
		})
		if err != nil {
			return away, err
		}
		for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", at.ip + "/24", "dev", "delay0"}, {"link", "set", "delay0", "up"}} {
			if err := run("ip", append([]string{"-n", at.name}, args...)...); err != nil {
				return away, err
			}
		}
	}
	go carry(ends[0], ends[1])
	go carry(ends[1], ends[0])
	return away, nil
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

// carry brings each packet to the other side after its time.
func carry(from, to *os.File) {
	type packet struct {
		due  time.Time
		data []byte
	}
	way := make(chan packet, 1<<14)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data)
		}
	}()
	for buf := make([]byte, 1<<16); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		way <- packet{time.Now().Add(oneWay), append([]byte(nil), buf[:n]...)}
	}
}

// newTUN makes the device delay0 in the namespace of the calling thread.
func newTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	var request [40]byte
	copy(request[:], "delay0")
	*(*uint16)(unsafe.Pointer(&request[unix.IFNAMSIZ])) = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request[0]))); errno != 0 {
		return nil, fmt.Errorf("TUNSETIFF: %w", errno)
	}
	return os.NewFile(uintptr(fd), "delay0"), nil
}

// inside does something in a namespace. What it opens there stays there.
func inside(namespace string, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + namespace)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			_ = file.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}
