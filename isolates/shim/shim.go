// Package shim is the C++ side of isolates: V8 behind the small C ABI of shim.h, and the Go types
// that cross it. Only package isolates uses it.
package shim

/*
#cgo CXXFLAGS: -std=c++20 -O2 -fno-rtti -fPIC -Wall -Wno-unused-result
#cgo CXXFLAGS: -DV8_COMPRESS_POINTERS -DV8_31BIT_SMIS_ON_64BIT_ARCH -DV8_ENABLE_SANDBOX
#cgo CXXFLAGS: -I${SRCDIR}/../include -I${SRCDIR}/../ada
#cgo CFLAGS: -O2
#cgo noescape nano_isolate_turn
#cgo nocallback nano_isolate_turn
#cgo noescape nano_isolate_arena
#cgo nocallback nano_isolate_arena
#cgo nocallback nano_free
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"strings"
	"time"
	"unsafe"

	_ "github.com/ada-url/goada" // compiles Ada, whose C++ interface url.cc uses
	_ "rogchap.com/v8go"         // carries V8's headers and library
)

// HeadRoom is the number of writable bytes before the body in a block.
const HeadRoom = C.NANO_HEAD_ROOM

// Script is a boot script of the runtime.
type Script struct {
	Name, Source string
	Lazy         bool
}

// Import is a resolved import of a module: Target is an index into the module list.
type Import struct {
	Name   string
	Target int
}

// Module is an ES module with its imports resolved.
type Module struct {
	Name, Source string
	Imports      []Import
}

// Shared are the cells that V8's threads and Go read without a call; see nano_shared in shim.h.
type Shared struct {
	Tasks      uint32
	Dead       uint32
	TaskTimeNS int64
}

// Causes of death in Shared.Dead.
const (
	Alive      = C.NANO_ALIVE
	DeadMemory = C.NANO_DEAD_MEMORY
	DeadCPU    = C.NANO_DEAD_CPU
)

// Kinds of Header.
const (
	Respond    = C.NANO_RESPOND
	Chunk      = C.NANO_CHUNK
	End        = C.NANO_END
	Settled    = C.NANO_SETTLED
	TimerSet   = C.NANO_TIMER_SET
	TimerClear = C.NANO_TIMER_CLEAR
	Log        = C.NANO_LOG
)

// Header is a record out, nano_record in shim.h; its bytes follow it.
type Header struct {
	Size         uint32
	Kind         uint8
	Flags        uint8
	Status       uint16
	ID           uint32
	ReasonLength uint32
	HeadLength   uint32
	BodyLength   uint32
	Realm        uint32
	_            uint32
	Block        unsafe.Pointer
	DelayMS      float64
}

// Input are the records of one realm that go in with a turn: Count of them, from byte Offset of its
// arena.
type Input struct{ Realm, Offset, Count uint32 }

// The Go mirrors of C structs have their sizes.
var (
	_ [unsafe.Sizeof(Header{})]byte = [unsafe.Sizeof(C.nano_record{})]byte{}
	_ [unsafe.Sizeof(Input{})]byte  = [unsafe.Sizeof(C.nano_input{})]byte{}
	_ [unsafe.Sizeof(Shared{})]byte = [unsafe.Sizeof(C.nano_shared{})]byte{}
)

// Memory is what an isolate holds, in bytes.
type Memory struct {
	HeapUsed, HeapTotal, HeapPhysical, External, Malloced uint64
}

func cBytes(s string) C.nano_bytes {
	return C.nano_bytes{data: (*C.char)(unsafe.Pointer(unsafe.StringData(s))), length: C.size_t(len(s))}
}

func takeError(text *C.char) error {
	defer C.nano_free(unsafe.Pointer(text))
	return errors.New(C.GoString(text))
}

// Start brings V8 up. Once per process, before anything else here.
func Start(scripts []Script, opNames []string, flags string) error {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	list := make([]C.nano_script, len(scripts))
	for i, script := range scripts {
		list[i] = C.nano_script{name: pin(&pinner, script.Name), source: pin(&pinner, script.Source)}
		if script.Lazy {
			list[i].lazy = 1
		}
	}
	problem := C.nano_start(&list[0], C.size_t(len(list)),
		pin(&pinner, strings.Join(opNames, "\n")), pin(&pinner, flags))
	if problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}

func pin(pinner *runtime.Pinner, s string) C.nano_bytes {
	if len(s) > 0 {
		pinner.Pin(unsafe.StringData(s))
	}
	return cBytes(s)
}

// Version is V8's version.
func Version() string { return C.GoString(C.nano_version()) }

// VersionTag is V8's hash over its version, flags and CPU features.
func VersionTag() uint32 { return uint32(C.nano_version_tag()) }

// Blob is a snapshot in memory of C: V8 reads it as long as isolates of it live.
type Blob struct{ bytes C.nano_bytes }

// NewBlob copies a snapshot.
func NewBlob(data []byte) *Blob {
	return &Blob{C.nano_bytes{data: (*C.char)(C.CBytes(data)), length: C.size_t(len(data))}}
}

// Bytes is a view of the blob.
func (b *Blob) Bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(b.bytes.data)), b.bytes.length)
}

// Free gives a blob back that no isolate was restored from.
func (b *Blob) Free() { C.nano_free(unsafe.Pointer(b.bytes.data)) }

// Snapshot builds the runtime snapshot.
func Snapshot() (*Blob, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var blob Blob
	var problem *C.char
	if C.nano_snapshot(&blob.bytes, &problem) != 0 {
		return nil, takeError(problem)
	}
	return &blob, nil
}

// Isolate is a V8 isolate. It belongs to the OS thread that made it.
type Isolate struct {
	pointer *C.nano_isolate
	Shared  *Shared
}

// WatchThread puts what the calling thread runs under CPU limits, for the rest of its life.
func WatchThread() error {
	if problem := C.nano_watch_thread(); problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}

// NewIsolate restores an isolate. wake is an eventfd or -1; heapLimit in bytes and cpuLimit, per
// record of a turn, may be 0 for none.
func NewIsolate(blob *Blob, wake int, heapLimit uint64, cpuLimit time.Duration) (Isolate, error) {
	var problem *C.char
	pointer := C.nano_isolate_new(blob.bytes, C.int(wake), C.size_t(heapLimit), C.int64_t(cpuLimit.Milliseconds()), &problem)
	if pointer == nil {
		return Isolate{}, takeError(problem)
	}
	return Isolate{pointer, (*Shared)(unsafe.Pointer(C.nano_isolate_shared(pointer)))}, nil
}

// Dispose ends the isolate.
func (i Isolate) Dispose() { C.nano_isolate_dispose(i.pointer) }

// Imports compiles a module and lists what it imports, as lines "line:column:specifier".
func (i Isolate) Imports(name, source string) (string, error) {
	var out, problem *C.char
	if C.nano_isolate_imports(i.pointer, cBytes(name), cBytes(source), &out, &problem) != 0 {
		return "", takeError(problem)
	}
	defer C.nano_free(unsafe.Pointer(out))
	return C.GoString(out), nil
}

// Load links and evaluates modules, the first being the main one, and starts the app.
func (i Isolate) Load(modules []Module, appName, envJSON string) error {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	list := make([]C.nano_module, len(modules))
	for k, module := range modules {
		list[k] = C.nano_module{name: pin(&pinner, module.Name), source: pin(&pinner, module.Source)}
		if len(module.Imports) == 0 {
			continue
		}
		names := make([]C.nano_bytes, len(module.Imports))
		targets := make([]C.uint32_t, len(module.Imports))
		for n, imported := range module.Imports {
			names[n] = pin(&pinner, imported.Name)
			targets[n] = C.uint32_t(imported.Target)
		}
		pinner.Pin(&names[0])
		pinner.Pin(&targets[0])
		list[k].import_names, list[k].import_targets = &names[0], &targets[0]
		list[k].import_count = C.size_t(len(names))
	}
	var problem *C.char
	if C.nano_isolate_load(i.pointer, &list[0], C.size_t(len(list)), cBytes(appName), cBytes(envJSON), &problem) != 0 {
		return takeError(problem)
	}
	return nil
}

// Arena gives memory for at least need bytes of records into a realm; nil when there is none.
func (i Isolate) Arena(realm uint32, need int) []byte {
	var capacity C.size_t
	data := C.nano_isolate_arena(i.pointer, C.uint32_t(realm), C.size_t(need), &capacity)
	if data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), capacity)
}

// Turn is the crossing. The records are valid until the next one. False: the isolate is dead.
func (i Isolate) Turn(inputs []Input) (records []byte, alive bool) {
	var out C.nano_output
	status := C.nano_isolate_turn(i.pointer, (*C.nano_input)(unsafe.Pointer(unsafe.SliceData(inputs))), C.size_t(len(inputs)), &out)
	return unsafe.Slice((*byte)(unsafe.Pointer(out.records)), out.length), status == 0
}

// Memory measures the isolate.
func (i Isolate) Memory() Memory {
	var memory C.nano_memory
	C.nano_isolate_memory(i.pointer, &memory)
	return Memory{uint64(memory.heap_used), uint64(memory.heap_total), uint64(memory.heap_physical),
		uint64(memory.external), uint64(memory.malloced)}
}

// Collect runs a full garbage collection and gives memory back.
func (i Isolate) Collect() { C.nano_isolate_collect(i.pointer) }

// NewContext restores one more context and drops it, for measurements.
func (i Isolate) NewContext() bool { return C.nano_context_new(i.pointer) == 0 }

// Terminate ends what runs in the isolate; from any thread, while the isolate lives.
func (i Isolate) Terminate(death uint32) { C.nano_isolate_terminate(i.pointer, C.int(death)) }

// Free gives back what the shim allocated, such as a block.
func Free(memory unsafe.Pointer) { C.nano_free(memory) }
