package uring

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// Reason classifies a Refusal.
type Reason int

// Why a machine cannot run a ring.
const (
	KernelTooOld     Reason = iota + 1 // below Linux 6.1, or without a feature of it
	Disabled                           // by the sysctl kernel.io_uring_disabled
	Forbidden                          // by a seccomp filter or a security module
	NotBuilt                           // into this kernel, or hidden by a filter
	MemoryLimit                        // locked memory or the memory of the control group
	FileLimit                          // no descriptor left
	MissingOperation                   // known to Linux 6.1, but not offered here
)

// Refusal is the error of New and Probe where this machine does not offer what a ring needs.
type Refusal struct {
	Reason Reason
	// What is the matter and Cure what to do about it, without a full stop.
	What, Cure string
	// Err is the kernel's error, or nil.
	Err error
}

// Error is one sentence with the cure.
func (r *Refusal) Error() string { return r.What + ": " + r.Cure }

// Unwrap gives the kernel's error.
func (r *Refusal) Unwrap() error { return r.Err }

// The kernel that the package is written for: the first with multishot receive, provided-buffer
// rings and DEFER_TASKRUN together.
const (
	kernelMajorMin = 6
	kernelMinorMin = 1
)

const (
	disabledPath  = "/proc/sys/kernel/io_uring_disabled"
	kernelCure    = "run Linux 6.1 or newer (Debian 12, Ubuntu 23.04, RHEL 10 and later have it)"
	memoryCure    = "raise the limit, for example with LimitMEMLOCK=infinity in the systemd unit or `ulimit -l unlimited`"
	seccompCure   = "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp filter or security policy of this service or container"
	fileLimitCure = "raise the limit, for example with LimitNOFILE=1048576 in the systemd unit or `ulimit -n 1048576`"
)

// system is what set-up asks of the machine, replaced in tests.
type system struct {
	release  func() (string, error)
	readFile func(path string) ([]byte, error)
	setup    func(ring *giouring.Ring, entries uint32, params *giouring.Params) error
	probe    func(ring *giouring.Ring) (*giouring.Probe, error)
}

var kernelSystem = system{
	release: func() (string, error) {
		var name unix.Utsname
		err := unix.Uname(&name)
		return unix.ByteSliceToString(name.Release[:]), err
	},
	readFile: os.ReadFile,
	setup:    (*giouring.Ring).QueueInitParams,
	probe:    (*giouring.Ring).GetProbeRing,
}

// Probe makes a small ring, asks it for every operation that this package uses and gives it back.
// The error is a *Refusal where this machine does not offer what a ring needs.
func Probe() error { return probe(&kernelSystem) }

const probeEntries = 8

func probe(from *system) error {
	ring, params, err := setUp(probeEntries, from)
	if err != nil {
		return err
	}
	return errors.Join(checkOperations(ring, from), closeRing(ring, params))
}

func checkOperations(ring *giouring.Ring, from *system) error {
	offered, err := from.probe(ring)
	if err != nil {
		return refusalOf(err, from)
	}
	var missing []string
	for _, operation := range operationsRequired {
		if !offered.IsSupported(operation.code) {
			missing = append(missing, operation.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Refusal{
		Reason: MissingOperation,
		What:   "this kernel's io_uring lacks " + strings.Join(missing, ", "),
		Cure:   kernelCure,
	}
}

// operationsRequired are those of which this package writes SQEs.
var operationsRequired = []struct {
	code uint8
	name string
}{
	{giouring.OpNop, "NOP"},
	{giouring.OpAccept, "ACCEPT"},
	{giouring.OpRecv, "RECV"},
	{giouring.OpPollAdd, "POLL_ADD"},
	{giouring.OpConnect, "CONNECT"},
	{giouring.OpSend, "SEND"},
	{giouring.OpRead, "READ"},
	{giouring.OpShutdown, "SHUTDOWN"},
	{giouring.OpClose, "CLOSE"},
	{giouring.OpAsyncCancel, "ASYNC_CANCEL"},
	{giouring.OpMsgRing, "MSG_RING"},
}

// Features are the parts of io_uring that a ring here uses, for people to read.
func Features() []string {
	return []string{
		"multishot accept",
		"multishot receive",
		"provided-buffer rings",
		"single issuer",
		"deferred task running",
		"submit all",
		"enter deadlines",
		"ring messages",
	}
}

// featuresRequired are promises of the kernel that the package relies on.
const featuresRequired = giouring.FeatSingleMMap | giouring.FeatNoDrop | giouring.FeatSubmitStable |
	giouring.FeatFastPoll | giouring.FeatExtArg | giouring.FeatCQESkip

func featureRefusal(missing uint32) error {
	return &Refusal{
		Reason: KernelTooOld,
		What:   fmt.Sprintf("this kernel's io_uring lacks features (bits %#x)", missing),
		Cure:   kernelCure,
	}
}

// checkKernel refuses a kernel below the floor before anything is asked of it: older ones answer
// an unknown flag with a bare EINVAL.
func checkKernel(from *system) error {
	release, err := from.release()
	if err != nil {
		return fmt.Errorf("uring: kernel release: %w", err)
	}
	major, minor, err := parseRelease(release)
	if err != nil {
		return err
	}
	if major > kernelMajorMin || major == kernelMajorMin && minor >= kernelMinorMin {
		return nil
	}
	return &Refusal{
		Reason: KernelTooOld,
		What:   "Linux " + release + " is too old for io_uring as used here",
		Cure:   kernelCure,
	}
}

// parseRelease reads the first two numbers of a release such as "6.1.0-13-amd64" or "6.1-rc2".
func parseRelease(release string) (major, minor int, err error) {
	first, rest, _ := strings.Cut(release, ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(rest[:digits])
	if errMajor != nil || errMinor != nil {
		return 0, 0, fmt.Errorf("uring: kernel release %q: want two numbers", release)
	}
	return major, minor, nil
}

// refusalOf turns an error of set-up into a Refusal where there is a cure for it.
func refusalOf(err error, from *system) error {
	refusal := &Refusal{Err: err}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		refuseForbidden(refusal, from)
	case errors.Is(err, unix.ENOSYS):
		refusal.Reason = NotBuilt
		refusal.What = "this kernel has no io_uring, or a seccomp filter hides it"
		refusal.Cure = "run a kernel built with CONFIG_IO_URING, or " + seccompCure
	case errors.Is(err, unix.ENOMEM):
		refusal.Reason = MemoryLimit
		refusal.What = "the kernel has no memory for an io_uring within this process's limits"
		refusal.Cure = memoryCure
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		refusal.Reason = FileLimit
		refusal.What = "no file descriptor is left for an io_uring"
		refusal.Cure = fileLimitCure
	case errors.Is(err, unix.EINVAL):
		refusal.Reason = KernelTooOld
		refusal.What = "this kernel refuses single-issuer io_uring with deferred task running or provided-buffer rings"
		refusal.Cure = kernelCure
	default:
		return fmt.Errorf("uring: set-up: %w", err)
	}
	return refusal
}

// refuseForbidden tells the sysctl from a filter, which look alike in the error.
func refuseForbidden(refusal *Refusal, from *system) {
	// Kernels before 6.6 have no such file; then nothing but a filter is left.
	setting, _ := from.readFile(disabledPath)
	switch strings.TrimSpace(string(setting)) {
	case "1":
		refusal.Reason = Disabled
		refusal.What = "io_uring is disabled for unprivileged processes (kernel.io_uring_disabled = 1)"
		refusal.Cure = "run `sysctl kernel.io_uring_disabled=0`, or add the service's group as kernel.io_uring_group"
	case "2":
		refusal.Reason = Disabled
		refusal.What = "io_uring is disabled (kernel.io_uring_disabled = 2)"
		refusal.Cure = "run `sysctl kernel.io_uring_disabled=0`"
	default:
		refusal.Reason = Forbidden
		refusal.What = "io_uring is forbidden to this process"
		refusal.Cure = seccompCure
	}
}
