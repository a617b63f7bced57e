package uring

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

func TestProbeOfThisMachine(t *testing.T) {
	mappings, descriptors, _ := resources(t)
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
	if m, d, _ := resources(t); m != mappings || d != descriptors {
		t.Errorf("the probe left %d mappings and %d descriptors", m-mappings, d-descriptors)
	}
}

// fakeSystem is this machine with parts replaced.
func fakeSystem(change func(*system)) *system {
	fake := kernelSystem
	change(&fake)
	return &fake
}

func setupFailure(errno unix.Errno) func(*system) {
	return func(s *system) {
		s.setup = func(*giouring.Ring, uint32, *giouring.Params) error { return errno }
		s.readFile = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	}
}

func withDisabled(setting string) func(*system) {
	return func(s *system) {
		setupFailure(unix.EPERM)(s)
		s.readFile = func(path string) ([]byte, error) {
			if path != disabledPath {
				return nil, fs.ErrNotExist
			}
			return []byte(setting), nil
		}
	}
}

func withRelease(release string) func(*system) {
	return func(s *system) { s.release = func() (string, error) { return release, nil } }
}

var refusals = []struct {
	name   string
	change func(*system)
	reason Reason
	words  []string
}{
	{"kernel 5.15", withRelease("5.15.0-100-generic"), KernelTooOld, []string{"Linux 5.15.0-100-generic", "6.1"}},
	{"kernel 6.0", withRelease("6.0.19"), KernelTooOld, []string{"Linux 6.0.19", "6.1"}},
	{"flags refused", setupFailure(unix.EINVAL), KernelTooOld, []string{"6.1"}},
	{"disabled for all", withDisabled("2\n"), Disabled, []string{"kernel.io_uring_disabled = 2", "sysctl"}},
	{"disabled for some", withDisabled("1\n"), Disabled, []string{"kernel.io_uring_disabled = 1", "io_uring_group"}},
	{"filter with EPERM", withDisabled("0\n"), Forbidden, []string{"seccomp"}},
	{"filter, no sysctl", setupFailure(unix.EPERM), Forbidden, []string{"seccomp"}},
	{"security module", setupFailure(unix.EACCES), Forbidden, []string{"security policy"}},
	{"filter with ENOSYS", setupFailure(unix.ENOSYS), NotBuilt, []string{"CONFIG_IO_URING", "seccomp"}},
	{"memory", setupFailure(unix.ENOMEM), MemoryLimit, []string{"LimitMEMLOCK", "ulimit -l"}},
	{"descriptors", setupFailure(unix.EMFILE), FileLimit, []string{"LimitNOFILE", "ulimit -n"}},
	{"descriptors of the machine", setupFailure(unix.ENFILE), FileLimit, []string{"LimitNOFILE"}},
	{"missing operations", func(s *system) {
		s.probe = func(ring *giouring.Ring) (*giouring.Probe, error) {
			offered, err := ring.GetProbeRing()
			for i := range offered.Ops {
				if op := &offered.Ops[i]; op.Op == giouring.OpMsgRing || op.Op == giouring.OpSend {
					op.Flags = 0
				}
			}
			return offered, err
		}
	}, MissingOperation, []string{"lacks SEND, MSG_RING", "6.1"}},
	{"missing features", func(s *system) {
		s.setup = func(ring *giouring.Ring, entries uint32, params *giouring.Params) error {
			err := ring.QueueInitParams(entries, params)
			wordsOf(params)[paramsFeatures] &^= giouring.FeatExtArg
			return err
		}
	}, KernelTooOld, []string{"0x100", "6.1"}},
	{"probe forbidden", func(s *system) {
		s.probe = func(*giouring.Ring) (*giouring.Probe, error) {
			return nil, os.NewSyscallError("io_uring_register", unix.EPERM)
		}
	}, Forbidden, []string{"io_uring_register"}},
}

func TestRefusals(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			mappings, descriptors, _ := resources(t)
			err := probe(fakeSystem(test.change))
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Reason != test.reason {
				t.Fatalf("error %v (%+v), want reason %d", err, refusal, test.reason)
			}
			message := err.Error()
			for _, word := range test.words {
				if !strings.Contains(message, word) {
					t.Errorf("message %q: want %q", message, word)
				}
			}
			if strings.ContainsAny(message, "\n") || strings.Contains(message, ". ") || strings.HasSuffix(message, ".") {
				t.Errorf("message %q is not one sentence", message)
			}
			if m, d, _ := resources(t); m != mappings || d != descriptors {
				t.Errorf("the refusal left %d mappings and %d descriptors", m-mappings, d-descriptors)
			}
		})
	}
}

func TestNewRefusesLikeProbe(t *testing.T) {
	r, err := newRing(Config{}, fakeSystem(setupFailure(unix.ENOMEM)))
	var refusal *Refusal
	if r != nil || !errors.As(err, &refusal) || refusal.Reason != MemoryLimit || !errors.Is(err, unix.ENOMEM) {
		t.Errorf("ring %v, error %v", r, err)
	}
}

func TestUnknownSetupErrorIsPassedOn(t *testing.T) {
	err := probe(fakeSystem(setupFailure(unix.EFAULT)))
	var refusal *Refusal
	if errors.As(err, &refusal) || !errors.Is(err, unix.EFAULT) {
		t.Errorf("error %v", err)
	}
}

func TestBuffersThatDoNotFitTheMemoryAreRefused(t *testing.T) {
	mappings, descriptors, _ := resources(t)
	if mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || strings.TrimSpace(string(mode)) == "1" {
		t.Skip("this machine refuses no mapping")
	}
	r, err := New(Config{Buffers: buffersMax, BufferSize: bufferSizeMax}) // 4 TiB
	var refusal *Refusal
	if r != nil || !errors.As(err, &refusal) || refusal.Reason != MemoryLimit {
		t.Fatalf("ring %v, error %v", r, err)
	}
	if m, d, _ := resources(t); m != mappings || d != descriptors {
		t.Errorf("the refusal left %d mappings and %d descriptors", m-mappings, d-descriptors)
	}
}

func TestReleases(t *testing.T) {
	for release, want := range map[string][2]int{
		"6.1.0-13-amd64":    {6, 1},
		"6.18.44":           {6, 18},
		"6.1-rc2":           {6, 1},
		"10.0":              {10, 0},
		"5.14.0-427.el9+kt": {5, 14},
	} {
		major, minor, err := parseRelease(release)
		if err != nil || major != want[0] || minor != want[1] {
			t.Errorf("%q: %d.%d, %v", release, major, minor, err)
		}
	}
	for _, release := range []string{"", "6", "6.", "six.one", "6.x"} {
		if _, _, err := parseRelease(release); err == nil {
			t.Errorf("%q: no error", release)
		}
	}
	for _, release := range []string{"6.1.0", "6.2", "7.0"} {
		if err := checkKernel(fakeSystem(withRelease(release))); err != nil {
			t.Errorf("%q refused: %v", release, err)
		}
	}
}

func TestFeaturesAreNamed(t *testing.T) {
	if all := strings.Join(Features(), ", "); !strings.Contains(all, "provided-buffer rings") {
		t.Errorf("features %q", all)
	}
}
