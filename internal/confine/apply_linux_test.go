package confine

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// confined runs do in a thread of its own, which is confined alone and ends
// with it. The race detector needs cgo, and with it Go cannot confine all.
func confined(t *testing.T, rules Rules, do func(InForce)) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never given back: the thread ends with the goroutine
		inForce, err := apply(rules, func(ruleset int) error {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				return err
			}
			_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
			return asError(errno)
		})
		if err == nil {
			do(inForce)
		}
		done <- err
	}()
	err := <-done
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("NOT TESTED: %v", err)
	}
	wiretest.Must(t, err)
}

func write(t *testing.T, path string) string {
	t.Helper()
	wiretest.Must(t, os.WriteFile(path, []byte("x"), 0o600))
	return path
}

func TestConfinedThreadReadsOnlyWhatItMay(t *testing.T) {
	allowed, other := t.TempDir(), t.TempDir()
	inside := write(t, filepath.Join(allowed, "secret"))
	single, sibling := write(t, filepath.Join(other, "single")), write(t, filepath.Join(other, "sibling"))
	missing := filepath.Join(other, "missing")
	confined(t, Rules{Read: []string{allowed, single, missing}}, func(InForce) {
		for path, want := range map[string]error{
			inside: nil, single: nil, sibling: fs.ErrPermission, "/etc/hostname": fs.ErrPermission, "/proc/self/environ": fs.ErrPermission,
		} {
			if _, err := os.ReadFile(path); !errors.Is(err, want) {
				t.Errorf("read %s: %v, want %v", path, err, want)
			}
		}
		later := filepath.Join(allowed, "..data")
		for what, err := range map[string]error{
			"write where it may read": os.WriteFile(inside, nil, 0o600), "make a file": os.WriteFile(later, nil, 0o600),
			"remove": os.Remove(inside), "make a directory": os.Mkdir(later, 0o700), "link": os.Symlink(inside, later),
			"truncate": os.Truncate(inside, 0),
		} {
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %v, want it refused", what, err)
			}
		}
		if err := syscall.Exec("/bin/true", []string{"true"}, nil); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("start a program: %v", err)
		}
	})
	// A swap by rename, as Kubernetes does it, is made from outside.
	if _, err := os.ReadFile(inside); err != nil {
		t.Errorf("the other threads are confined too: %v", err)
	}
}

func TestConfinedThreadReadsWhatReplacesAFile(t *testing.T) {
	directory := t.TempDir()
	path := write(t, filepath.Join(directory, "secret"))
	confined(t, Rules{Read: []string{directory}}, func(InForce) {
		swapped := make(chan error)
		go func() { // in another thread, which is not confined
			write(t, path+".new")
			swapped <- os.Rename(path+".new", path)
		}()
		if err := <-swapped; err != nil {
			t.Error(err)
		}
		if _, err := os.ReadFile(path); err != nil {
			t.Errorf("after a rename: %v", err)
		}
	})
}

func TestConfinedThreadMakesSocketsOnlyWhereItMay(t *testing.T) {
	allowed, other := t.TempDir(), t.TempDir()
	confined(t, Rules{Sockets: []string{allowed}}, func(InForce) {
		path := filepath.Join(allowed, "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Errorf("listen where it may: %v", err)
			return
		}
		if err := os.Rename(path, path+"2"); err != nil {
			t.Errorf("rename a socket: %v", err)
		}
		if err := os.Remove(path + "2"); err != nil {
			t.Errorf("remove a socket: %v", err)
		}
		_ = l.Close()
		if l, err := net.Listen("unix", filepath.Join(other, "s")); err == nil {
			_ = l.Close()
			t.Error("a socket was made in another directory")
		}
		if err := os.WriteFile(filepath.Join(allowed, "f"), nil, 0o600); err == nil {
			t.Error("a file was made where only sockets may be")
		}
	})
}

func TestConfinedThreadWritesOnlyWhereItMay(t *testing.T) {
	allowed := t.TempDir()
	path := write(t, filepath.Join(allowed, "audit.log"))
	confined(t, Rules{Write: []string{allowed}}, func(InForce) {
		for what, err := range map[string]error{ // made in this order
			"write": os.WriteFile(path, []byte("y"), 0o600), "rename": os.Rename(path, path+".1"),
			"make": os.WriteFile(path, nil, 0o600), "remove": os.Remove(path + ".1"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestConfinedThreadConnectsOnlyToItsPorts(t *testing.T) {
	var ports [2]uint16
	for i := range ports {
		l := wiretest.Loopback(t)
		ports[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	confined(t, Rules{Ports: ports[:1]}, func(inForce InForce) {
		if !inForce.Ports {
			t.Log("NOT TESTED: this kernel's Landlock knows no ports")
			return
		}
		for i, port := range ports {
			conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(int(port)))
			if err == nil {
				_ = conn.Close()
			}
			if allowed := i == 0; (err == nil) != allowed || !allowed && !errors.Is(err, fs.ErrPermission) {
				t.Errorf("port %d of 2: %v, allowed: %v", i+1, err, allowed)
			}
		}
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Errorf("listen: %v, want it free", err)
		} else {
			_ = l.Close()
		}
	})
}

// What an old kernel does not know must not be asked of it: it would refuse all.
func TestRightsGrowWithTheKernel(t *testing.T) {
	const refer, truncate, ioctl = unix.LANDLOCK_ACCESS_FS_REFER, unix.LANDLOCK_ACCESS_FS_TRUNCATE, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	for abi, want := range map[int]unix.LandlockRulesetAttr{
		1: {Handled_access_fs: firstRights},
		2: {Handled_access_fs: firstRights | refer},
		3: {Handled_access_fs: firstRights | refer | truncate},
		4: {Handled_access_fs: firstRights | refer | truncate, Handled_access_net: 2},
		5: {Handled_access_fs: firstRights | refer | truncate | ioctl, Handled_access_net: 2},
		6: {Handled_access_fs: firstRights | refer | truncate | ioctl, Handled_access_net: 2, Scoped: 1},
		9: {Handled_access_fs: firstRights | refer | truncate | ioctl, Handled_access_net: 2, Scoped: 1},
	} {
		if got := handledBy(abi); got != want {
			t.Errorf("ABI %d: %+v, want %+v", abi, got, want)
		}
	}
	if firstRights != 1<<13-1 {
		t.Errorf("rights of the first version: %#x, want the lowest 13 bits", firstRights)
	}
}

// As under a seccomp profile that does not know Landlock, or on a kernel that
// has none: the process goes on as it is.
func TestRefusedCallsAreUnsupported(t *testing.T) {
	for _, refusal := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.EOPNOTSUPP} {
		done := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // never given back
			done <- func() error {
				filter := [...]unix.SockFilter{
					{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
					{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LANDLOCK_CREATE_RULESET, Jf: 1},
					{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(refusal)},
					{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
				}
				program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
				if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
					return err
				}
				if _, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); errno != 0 {
					return errno
				}
				_, err := apply(Rules{}, func(int) error { return errors.New("put in force all the same") })
				return err
			}()
		}()
		if err := <-done; !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: %v, want ErrUnsupported", refusal, err)
		}
	}
}
