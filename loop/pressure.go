package loop

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
)

// The budget of memory counts what isolates are estimated to cost. Whether the machine has as much to
// give is another question, and one that others decide as well: a second service, or the limit of a
// control group. So one goroutine of a node watches what the kernel says, and lowers the limit of warm
// isolates step by step while memory is short. Apps that wake up again cost milliseconds; the kernel's
// ways out are reclaiming pages that are in use, which stalls everything, and the OOM killer.
//
// Memory is short when
//
//   - tasks stall for it: PSI, of our control group if it has that, else of the machine;
//   - or our control group comes near memory.high or memory.max, its own or those of the groups above;
//   - or the process is much larger than the budget, because the estimate is wrong.
//
// Whatever of this the system does not have is not watched.

// A pressureGauge reads what the kernel says about memory.
type pressureGauge interface {
	// wait returns when tasks have stalled for memory (true), or after a time (false; never, if length is
	// restful), or on nudge.
	wait(length time.Duration) (stalled bool)
	// room is how many bytes the control group has left and how many it may have; false: any number.
	room() (left, limit int64, ok bool)
	// resident is how many bytes of memory of its own the process has; false: unknown.
	resident() (int64, bool)
	// nudge ends a wait, also the next one, from another goroutine.
	nudge()
	close()
}

const (
	// pressureWatch is how often the gauge is read while all is well, pressurePause while it is not.
	pressureWatch = time.Second
	pressurePause = 200 * time.Millisecond
	// pressureRest is the number of looks after which the watcher rests, if all was well and no isolate
	// came or went: an idle node has no wake-ups. PSI still tells.
	pressureRest = 3
	// restful is a wait without end.
	restful = time.Duration(math.MaxInt64)
	// pressureStep: each step lowers the limit to 1 - 1/pressureStep of what isolates take.
	pressureStep = 8
	// pressureFloor is the fraction of the budget below which the limit does not go. What isolates
	// in use need is not the limit's to decide.
	pressureFloor = 8
	// pressureCalm is how long memory must have been enough before the limit rises again, by
	// 1/pressureRise of the budget for each pressureWatch.
	pressureCalm = 10 * time.Second
	pressureRise = 16
	// roomFraction of a control group's limit must be left, or roomLeast bytes if that is more.
	roomFraction = 16
	roomLeast    = 16 << 20
	// The process may take the budget, a fraction of it, and so many bytes for all that isolates do
	// not account for: buffers, bodies, snapshots, Go's heap.
	residentFraction = 4
	residentBeside   = 512 << 20
	// What the process takes beside what isolates account for is in part memory that the C library keeps
	// though it is free: of isolates that are gone, of functions that were compiled. It is given back
	// when it has grown by trimLeast bytes and 1/trimFraction of what isolates take, every trimPause at
	// most: that holds up whoever allocates meanwhile, for milliseconds.
	trimLeast    = 64 << 20
	trimFraction = 8
	trimPause    = 10 * time.Second
	// Before the watcher rests, what Go's heap and the C library keep is given back once more, if it has
	// grown by restTrimLeast bytes: nobody would look at it until the next isolate comes or goes.
	restTrimLeast = 4 << 20
)

// pressure decides about the limit.
type pressure struct {
	memory  *memory
	gauge   pressureGauge
	logger  Logger
	lastBad time.Time // when memory was short last
	isShort bool      // the limit is below the budget

	trim      func()    // gives back what the C library keeps
	unmap     func()    // and the pages of the program
	trimmedAt time.Time // when it was called last
	restTotal int64     // what isolates took at the last look
	looks     int       // since that changed
	rested    int64     // what the process took when all of it had been given back last
	surplus   int64     // the least since then of what the process takes beside what isolates account for
}

// watchPressure watches memory until the returned function is called, which waits for its end.
func watchPressure(options *Options, gauge pressureGauge) (end func()) {
	p := &pressure{memory: options.memory, gauge: gauge, logger: options.Logger, trim: isolates.Trim, unmap: isolates.UnmapProgram}
	ended, stopped := make(chan struct{}), make(chan struct{})
	p.memory.nudge = gauge.nudge
	go func() {
		defer close(ended)
		pause := pressureWatch
		for {
			stalled := gauge.wait(pause)
			select {
			case <-stopped:
				return
			default:
			}
			p.memory.rests.Store(false)
			pause = p.rest(p.step(time.Now(), stalled))
		}
	}()
	return sync.OnceFunc(func() {
		close(stopped)
		gauge.nudge()
		<-ended
		gauge.close()
	})
}

// rest makes a wait endless if nothing has happened for long. The next change of the account ends it.
func (p *pressure) rest(pause time.Duration) time.Duration {
	total := p.memory.total.Load()
	if total != p.restTotal || p.isShort || pause != pressureWatch {
		p.restTotal, p.looks = total, 0
		return pause
	}
	if p.looks++; p.looks < pressureRest {
		return pause
	}
	p.looks = 0
	p.giveBackAll()
	p.memory.rests.Store(true)
	if p.memory.total.Load() != total { // it changed before anybody could see that a nudge is wanted
		p.memory.rests.Store(false)
		return pause
	}
	return restful
}

// step reads the gauge and moves the limit. It returns how long to wait until the next one.
func (p *pressure) step(now time.Time, stalled bool) (pause time.Duration) {
	m := p.memory
	limit := m.limit.Load()
	p.giveBack(now)
	if cause := p.cause(stalled); cause != "" {
		p.lastBad = now
		// What is not in use could be taken into use at once: start from what is.
		lower := max(min(limit, m.total.Load())*(pressureStep-1)/pressureStep, m.budget/pressureFloor)
		if !p.isShort {
			p.isShort = true
			p.logger.Server(isolates.LevelWarn, fmt.Sprintf(
				"memory is short (%s): warm isolates are limited to %d MiB for now", cause, lower>>20))
			debug.FreeOSMemory() // what Go's heap does not need
		}
		if lower < limit {
			m.setLimit(lower)
		}
		return pressurePause
	}
	if p.isShort && now.Sub(p.lastBad) >= pressureCalm {
		higher := min(limit+max(m.budget/pressureRise, 1), m.budget)
		m.setLimit(higher)
		if higher == m.budget {
			p.isShort = false
			p.logger.Server(isolates.LevelInfo, "memory is no longer short")
		}
	}
	return pressureWatch
}

// giveBack has the C library give back memory if it is likely to keep much.
func (p *pressure) giveBack(now time.Time) {
	resident, ok := p.gauge.resident()
	if !ok {
		return
	}
	total := p.memory.total.Load()
	p.surplus = min(p.surplus, max(0, resident-total))
	if resident-total-p.surplus < trimLeast+total/trimFraction || now.Sub(p.trimmedAt) < trimPause {
		return
	}
	p.trim()
	p.trimmedAt = now
	if resident, ok = p.gauge.resident(); ok {
		p.surplus = max(0, resident-p.memory.total.Load())
	}
}

// giveBackAll has the loops, the C library and Go's heap give back what a burst has left, for a node that has nothing
// to do. The heaps take milliseconds, on this thread. The pages of the program that the burst has touched, such as
// those of V8's compilers, are mapped again when they are wanted, from the kernel's cache.
func (p *pressure) giveBackAll() {
	resident, ok := p.gauge.resident()
	if !ok {
		return
	}
	if p.rested = min(p.rested, resident); resident-p.rested < restTrimLeast {
		return
	}
	p.memory.giveBack()
	runtime.GC() // what pools keep is free at the second collection
	debug.FreeOSMemory()
	p.trim()
	p.unmap()
	if resident, ok = p.gauge.resident(); ok {
		p.rested = resident
	}
}

// cause says why memory is short; "": it is not.
func (p *pressure) cause(stalled bool) string {
	if stalled {
		return "tasks stall for it"
	}
	if left, limit, ok := p.gauge.room(); ok && left < max(limit/roomFraction, min(roomLeast, limit/4)) {
		return fmt.Sprintf("%d MiB are left of the control group's %d MiB", left>>20, limit>>20)
	}
	m := p.memory
	if resident, ok := p.gauge.resident(); ok && resident > m.budget+m.budget/residentFraction+residentBeside {
		return fmt.Sprintf("the process takes %d MiB", resident>>20)
	}
	return ""
}

// kernelGauge reads the files of the kernel.
type kernelGauge struct {
	trigger int      // descriptor of a PSI trigger; -1: none
	average string   // file with averages of PSI, if there is no trigger; "": none
	stopper int      // eventfd, for nudges
	groups  []string // folders of our control group and those above it, version 2
}

// psiTriggers ask to be told when some tasks have stalled for memory for so many µs of a window of so
// many. Without privileges windows must be multiples of 2 s (Linux, Documentation/accounting/psi.rst).
var psiTriggers = []string{"some 150000 1000000", "some 300000 2000000"}

// newKernelGauge looks for what there is. root is "" but in tests.
func newKernelGauge(root string) (*kernelGauge, error) {
	stopper, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	g := &kernelGauge{trigger: -1, stopper: stopper, groups: controlGroups(root)}
	paths := []string{filepath.Join(root, "/proc/pressure/memory")}
	if len(g.groups) > 0 {
		paths = append([]string{filepath.Join(g.groups[0], "memory.pressure")}, paths...)
	}
	for _, path := range paths {
		if g.trigger = openTrigger(path); g.trigger >= 0 {
			break
		}
		if _, err := os.Stat(path); err == nil && g.average == "" {
			g.average = path
		}
	}
	return g, nil
}

// controlGroups are the folders of the process's control group and those above it, but for the root,
// which has no limit.
func controlGroups(root string) (folders []string) {
	text, err := os.ReadFile(filepath.Join(root, "/proc/self/cgroup"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		for path = filepath.Clean(path); path != "/" && path != "."; path = filepath.Dir(path) {
			folders = append(folders, filepath.Join(root, "/sys/fs/cgroup", path))
		}
		// In a container with a control group namespace, the root is a group with limits.
		folders = append(folders, filepath.Join(root, "/sys/fs/cgroup"))
	}
	return folders
}

// openTrigger makes a PSI trigger; -1: it cannot be had.
func openTrigger(path string) int {
	for _, trigger := range psiTriggers {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1
		}
		if _, err := unix.Write(fd, append([]byte(trigger), 0)); err == nil {
			return fd
		}
		_ = unix.Close(fd)
	}
	return -1
}

func (g *kernelGauge) wait(length time.Duration) (stalled bool) {
	fds := []unix.PollFd{{Fd: int32(g.stopper), Events: unix.POLLIN}}
	if g.trigger >= 0 {
		fds = append(fds, unix.PollFd{Fd: int32(g.trigger), Events: unix.POLLPRI})
	}
	if g.trigger < 0 {
		length = min(length, blindRest)
	}
	begun := time.Now()
	for {
		timeout := -1
		if length != restful {
			left := max(length-time.Since(begun), 0)
			timeout = int((left + time.Millisecond - 1) / time.Millisecond)
		}
		n, err := unix.Poll(fds, timeout)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if fds[0].Revents != 0 {
			var counter [8]byte
			_, _ = unix.Read(g.stopper, counter[:])
		}
		if err != nil || n == 0 || g.trigger < 0 {
			return g.trigger < 0 && g.average != "" && readStalls(g.average) >= stallsMax
		}
		events := fds[1].Revents
		if events&(unix.POLLERR|unix.POLLNVAL) != 0 { // the control group is gone
			_ = unix.Close(g.trigger)
			g.trigger = -1
			return false
		}
		return events&unix.POLLPRI != 0
	}
}

// blindRest is the longest wait if the kernel does not tell by itself that memory is short.
const blindRest = 10 * time.Second

// stallsMax is the part of the last ten seconds, in percent, in which some task may have stalled.
const stallsMax = 15

// readStalls reads "some avg10" of a PSI file, in percent; 0 if it cannot.
func readStalls(path string) float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("some avg10="))
	number, _, _ := bytes.Cut(rest, []byte(" "))
	stalls, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return 0
	}
	return stalls
}

func (g *kernelGauge) room() (left, limit int64, ok bool) {
	left = math.MaxInt64
	for _, folder := range g.groups {
		own := int64(math.MaxInt64)
		for _, name := range []string{"memory.max", "memory.high"} {
			if n, isNumber := readNumber(filepath.Join(folder, name)); isNumber {
				own = min(own, n)
			}
		}
		used, isKnown := readNumber(filepath.Join(folder, "memory.current"))
		if own == math.MaxInt64 || !isKnown {
			continue
		}
		// Cached files are given up first, and cost nobody anything.
		used -= readCached(filepath.Join(folder, "memory.stat"))
		if own-used < left {
			left, limit, ok = own-used, own, true
		}
	}
	return left, limit, ok
}

// readNumber reads a file that holds a number; false: it does not exist, or says "max".
func readNumber(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil
}

// readCached reads from a memory.stat how many bytes of files are cached.
func readCached(path string) (cached int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if string(name) == "inactive_file" || string(name) == "active_file" {
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				cached += n
			}
		}
	}
	return cached
}

// resident leaves out what is mapped from files: the kernel can drop it.
func (g *kernelGauge) resident() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0, false
	}
	all, err1 := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
	return (all - shared) * int64(os.Getpagesize()), err1 == nil && err2 == nil
}

func (g *kernelGauge) nudge() {
	one := [8]byte{1} // any number but 0
	_, _ = unix.Write(g.stopper, one[:])
}

func (g *kernelGauge) close() {
	_ = unix.Close(g.stopper)
	if g.trigger >= 0 {
		_ = unix.Close(g.trigger)
		g.trigger = -1
	}
}
