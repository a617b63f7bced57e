package isolates

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"nano/isolates/shim"
)

// The isolates of a process share ranges of addresses, in which V8 reserves pages of 256 KB for them:
// the sandbox's cage (4 GB), the trusted space (1 GB) and the space of machine code (512 MB). What is
// resident of a page does not matter. An isolate that needs a page when its range is full ends, and
// none can be made: V8 would end the process. And each page is a memory mapping or more, of which the
// kernel allows a process some 65,000. So it is counted what all isolates have taken, whatever loop
// they are on, and none is made without room.

// ranges is what isolates have taken of each.
type ranges struct {
	isolates int64
	shim.Ranges
}

// fresh is at least what an isolate takes that was just restored, up to a bundle of some 200 KB.
var fresh = ranges{1, shim.Ranges{Cage: 3 * page, Trusted: page}}

const (
	page = 256 << 10
	// What V8 has of each, less what its own plain isolate takes and what isolates grow by between two
	// measurements.
	cageMax    = 4<<30 - 256<<20
	trustedMax = 1<<30 - 24*page
	codeMax    = 512<<20 - 24*page
	// mappingsPerIsolate is twice what a small app takes, and mappingsDefault the kernel's limit.
	mappingsPerIsolate = 24
	mappingsDefault    = 65530
	// spare is for how many isolates there is still room when the ranges count as crowded: as many as
	// loops may start before one of them has put the least recently used one to sleep.
	spare = 40
)

// ErrNoRoom is the error of a start when the isolates of the process, all of them, have taken what
// V8 has of addresses, or leave too little for the objects of the app's image.
var ErrNoRoom = errors.New("no isolate can be made: those that there are take all of V8's address space")

// taken is the sum over all isolates of the process.
var taken struct{ isolates, cage, trusted, code atomic.Int64 }

// isolatesMax is how many isolates the kernel has mappings for.
var isolatesMax = sync.OnceValue(func() int64 {
	mappings := int64(mappingsDefault)
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			mappings = n
		}
	}
	return max(1, mappings/mappingsPerIsolate)
})

// Crowded reports that there is little room left for more isolates in this process, whatever memory
// there is: some should be disposed of. Any goroutine may call it.
func Crowded() bool { return !roomFor(spare) }

// roomFor reports whether there is room for a number of fresh isolates.
func roomFor(n int64) bool {
	return hasRoom(ranges{n * fresh.isolates, shim.Ranges{Cage: n * fresh.Cage, Trusted: n * fresh.Trusted, Code: n * fresh.Code}})
}

// hasRoom reports whether there is room for what needs so much.
func hasRoom(need ranges) bool {
	return taken.isolates.Load()+need.isolates <= isolatesMax() &&
		taken.cage.Load()+need.Cage <= cageMax &&
		taken.trusted.Load()+need.Trusted <= trustedMax &&
		taken.code.Load()+need.Code <= codeMax
}

// needs is what an isolate takes that is started from the image.
func (i *Image) needs() ranges {
	needs, built := fresh, i.manifest.Ranges
	needs.Cage, needs.Trusted, needs.Code = max(needs.Cage, built.Cage), max(needs.Trusted, built.Trusted), max(needs.Code, built.Code)
	return needs
}

// count replaces what was counted for an isolate.
func (r *ranges) count(now ranges) {
	if *r == now {
		return
	}
	taken.isolates.Add(now.isolates - r.isolates)
	taken.cage.Add(now.Cage - r.Cage)
	taken.trusted.Add(now.Trusted - r.Trusted)
	taken.code.Add(now.Code - r.Code)
	*r = now
}

// Trim gives memory back to the system that the C library keeps though it is free: V8 allocates and
// frees much while it compiles, and an isolate leaves half a MB of small pieces. Any goroutine may call
// it; who allocates meanwhile waits for milliseconds.
func Trim() { shim.Trim() }

// MemoryIsShort has isolates that end in the next ten seconds give what their objects took back to the system, instead of
// leaving it to the next isolate, which starts a tenth faster with it and may not need it. Any goroutine may call it.
func MemoryIsShort() { shim.MemoryIsShort() }

// UnmapProgram takes the program's code and constants out of the process's page tables, of which V8's compilers are
// the larger part. They stay in the kernel's cache, whose they are to take when memory is wanted; whoever touches them
// next has them mapped again, 64 KB at a time. Any goroutine may call it.
func UnmapProgram() { shim.UnmapProgram() }
