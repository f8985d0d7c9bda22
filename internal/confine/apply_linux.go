package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readAll  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	sockets  = unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	writeAll = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE

	// The rights that every version of Landlock knows.
	firstRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | readAll | sockets | writeAll | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM

	ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT
)

// Apply confines every thread of the process. There is no way back. The error
// is ErrUnsupported where the kernel has no Landlock, where it is switched off
// or forbidden, and in a build with cgo, whose threads Go cannot all reach.
func Apply(rules Rules) (InForce, error) {
	return apply(rules, func(ruleset int) error {
		// A program that is started later could otherwise gain rights.
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
		}
		if errno == syscall.ENOTSUP {
			return fmt.Errorf("%w: this program was built with cgo", ErrUnsupported)
		}
		return asError(errno)
	})
}

// apply makes the ruleset and has restrict put it in force.
func apply(rules Rules, restrict func(ruleset int) error) (InForce, error) {
	abi, err := version()
	if err != nil {
		return InForce{}, err
	}
	handled := handledBy(abi)
	if rules.AbstractSockets {
		handled.Scoped = 0
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
	if errno != 0 {
		return InForce{}, fmt.Errorf("create Landlock ruleset: %w", errno)
	}
	defer func() { _ = unix.Close(int(ruleset)) }()

	truncate := handled.Handled_access_fs & unix.LANDLOCK_ACCESS_FS_TRUNCATE
	for _, some := range []struct {
		paths  []string
		rights uint64
	}{{rules.Read, readAll}, {rules.Sockets, sockets}, {rules.Write, readAll | writeAll | truncate}} {
		for _, path := range some.paths {
			if err := allowPath(int(ruleset), path, some.rights); err != nil {
				return InForce{}, err
			}
		}
	}
	if handled.Handled_access_net != 0 {
		for _, port := range rules.Ports {
			rule := struct{ access, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}
			if err := addRule(int(ruleset), ruleNetPort, unsafe.Pointer(&rule)); err != nil {
				return InForce{}, fmt.Errorf("allow port %d: %w", port, err)
			}
		}
	}
	if err := restrict(int(ruleset)); err != nil {
		return InForce{}, err
	}
	return InForce{ABI: abi, Ports: handled.Handled_access_net != 0}, nil
}

// Supported returns what Apply would put in force here, without doing it.
func Supported() (InForce, error) {
	abi, err := version()
	return InForce{ABI: abi, Ports: handledBy(abi).Handled_access_net != 0}, err
}

// version is that of the kernel's Landlock.
func version() (int, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(abi), nil
	case unix.ENOSYS:
		return 0, fmt.Errorf("%w: this kernel has no Landlock", ErrUnsupported)
	case unix.EOPNOTSUPP:
		return 0, fmt.Errorf("%w: Landlock was not switched on when this kernel started", ErrUnsupported)
	default: // EPERM, usually from a seccomp profile
		return 0, fmt.Errorf("%w: Landlock is forbidden here: %w", ErrUnsupported, errno)
	}
}

// handledBy are the rights that are gone unless a rule gives them back.
func handledBy(abi int) unix.LandlockRulesetAttr {
	handled := unix.LandlockRulesetAttr{Handled_access_fs: firstRights}
	if abi >= 2 {
		handled.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		handled.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		handled.Handled_access_net = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP // listening stays free
	}
	if abi >= 5 {
		handled.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		// Signals stay: Linux 6.12 took those between threads for foreign ones, and
		// the Go runtime lives on them.
		handled.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return handled
}

func allowPath(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil // a process that cannot reach it needs no right to it
	}
	if err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	keep := false
	defer func() {
		if !keep {
			_ = unix.Close(fd)
		}
	}()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= readFile
	}
	if rights == 0 {
		return fmt.Errorf("allow %s: %w", path, unix.ENOTDIR)
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if err := addRule(ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule)); err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	var where unix.Statfs_t
	// A rule belongs to an inode. Those of /proc are made anew when the kernel has
	// dropped one that is not open, and the rule would be lost.
	keep = unix.Fstatfs(fd, &where) == nil && where.Type == unix.PROC_SUPER_MAGIC
	return nil
}

func addRule(ruleset int, kind uintptr, rule unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), kind, uintptr(rule), 0, 0, 0)
	return asError(errno)
}

func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError("landlock", errno)
}
