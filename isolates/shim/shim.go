// Package shim is the C++ side of isolates: V8 behind the small C ABI of shim.h, and the Go types
// that cross it. Only package isolates uses it.
package shim

/*
#cgo CXXFLAGS: -std=c++20 -O2 -fno-rtti -fPIC -Wall -Wno-unused-result
#cgo CXXFLAGS: -DV8_COMPRESS_POINTERS -DV8_31BIT_SMIS_ON_64BIT_ARCH -DV8_ENABLE_SANDBOX
#cgo CXXFLAGS: -I${SRCDIR}/../include -I${SRCDIR}/../ada
#cgo CFLAGS: -O2
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal12BackingStore18AllocateWasmMemoryEPNS0_7IsolateEmmNS0_14WasmMemoryFlagENS0_10SharedFlagE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal12BackingStore35TryAllocateAndPartiallyCommitMemoryEPNS0_7IsolateEmmmmmNS0_14WasmMemoryFlagENS0_10SharedFlagEb
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal4wasm10WasmEngine12AsyncCompileEPNS0_7IsolateENS1_19WasmEnabledFeaturesENS1_18CompileTimeImportsESt10shared_ptrINS1_25CompilationResultResolverEENS_4base11OwnedVectorIKhEEPKc
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal4wasm10WasmEngine25StartStreamingCompilationEPNS0_7IsolateENS1_19WasmEnabledFeaturesENS1_18CompileTimeImportsENS0_12DirectHandleINS0_7ContextEEEPKcSt10shared_ptrINS1_25CompilationResultResolverEE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal12BackingStore21GrowWasmMemoryInPlaceEPNS0_7IsolateEmm
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal4Heap28AllocateExternalBackingStoreERKSt8functionIFPvmEEm
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal8baseline21BaselineBatchCompiler15EnqueueFunctionENS0_12DirectHandleINS0_10JSFunctionEEE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal14PagedSpaceBase28ShrinkImmortalImmovablePagesEv
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal4Heap19FindAllRetainedMapsEv
#cgo LDFLAGS: -Wl,-wrap=_ZN2v84base23AddressSpaceReservation14SetPermissionsEPvmNS0_2OS16MemoryPermissionE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v84base23AddressSpaceReservation13RecommitPagesEPvmNS0_2OS16MemoryPermissionE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v84base23AddressSpaceReservation13DecommitPagesEPvm
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal19NewLargeObjectSpace11SetCapacityEm
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal8PagePool17ReleaseOnTearDownEPNS0_7IsolateE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal10JSFunction19RequestOptimizationEPNS0_7IsolateENS0_8CodeKindENS0_15ConcurrencyModeE
#cgo amd64 LDFLAGS: -Wl,-wrap=_ZN2v88internal11StringTable31InsertForIsolateDeserializationEPNS0_7IsolateERKNS_4base6VectorINS0_12DirectHandleINS0_6StringEEEEE
#cgo LDFLAGS: -Wl,-wrap=_Znwm -Wl,-wrap=_Znam -Wl,-wrap=_ZnamRKSt9nothrow_t -Wl,-wrap=_ZdlPvm -Wl,-wrap=_ZdaPv
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal13JsonStringifyEPNS0_7IsolateENS0_6HandleINS0_5UnionIJNS0_3SmiENS0_10HeapNumberENS0_6BigIntENS0_6StringENS0_6SymbolENS0_7BooleanENS0_4NullENS0_9UndefinedENS0_10JSReceiverEEEEEESF_NS3_INS0_6ObjectEEE
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal19AccountingAllocator15AllocateSegmentEmb
#cgo LDFLAGS: -Wl,-wrap=_ZN2v88internal19AccountingAllocator13ReturnSegmentEPNS0_7SegmentEb
#cgo noescape nano_isolate_arena
#cgo nocallback nano_isolate_arena
#cgo noescape nano_isolate_store
#cgo nocallback nano_isolate_store
#cgo nocallback nano_free
#cgo noescape nano_isolate_expect
#cgo nocallback nano_isolate_expect
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

// Encoding is the narrowest of those that V8 can read a source in where it lies.
type Encoding uint8

// Encodings of sources.
const (
	ASCII  Encoding = C.NANO_ASCII
	Latin1 Encoding = C.NANO_LATIN1
	UTF16  Encoding = C.NANO_UTF16 // in the byte order of the machine
)

// ExternalSourceMin is the length in bytes from which on V8 reads sources where they lie.
const ExternalSourceMin = C.NANO_EXTERNAL_SOURCE_MIN

// SnapshotForm is the form of snapshots, where it is not V8's own.
const SnapshotForm = C.NANO_SNAPSHOT_FORM

// ModuleKind is what a module is.
type ModuleKind uint8

// Kinds of modules.
const (
	JS   ModuleKind = C.NANO_MODULE_JS
	Wasm ModuleKind = C.NANO_MODULE_WASM
)

// Module is an ES module with its imports resolved, or WebAssembly. Map is its source map, and Table the
// same as package sourcemap makes it for searching. Cache is V8's code cache of it, or nil. Text is its
// source in Encoding: nil for ASCII, and for one that is short.
type Module struct {
	Name, Source string
	Kind         ModuleKind
	Imports      []Import
	Map, Table   []byte
	Cache        []byte
	Encoding     Encoding
	Text         []byte
}

// Shared are the cells that V8's threads and Go read without a call; see nano_shared in shim.h.
type Shared struct {
	Tasks      uint32
	Dead       uint32
	TaskTimeNS int64
	CPUNS      int64
	LastHandle int32
	PausedNS   int64
	records    unsafe.Pointer
	length     uintptr
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
	Open       = C.NANO_OPEN
	Read       = C.NANO_READ
	Cancel     = C.NANO_CANCEL
	Write      = C.NANO_WRITE
	Finish     = C.NANO_FINISH
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
	Source       int32
	Block        unsafe.Pointer
	Number       float64
	Request      int64
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
	Young                                                 uint64 // of HeapUsed: objects of the young generation, garbage included
}

func cBytes(s string) C.nano_bytes {
	return C.nano_bytes{data: (*C.char)(unsafe.Pointer(unsafe.StringData(s))), length: C.size_t(len(s))}
}

func takeError(text *C.char) error {
	defer C.nano_free(unsafe.Pointer(text))
	return errors.New(C.GoString(text))
}

// Start brings V8 up. Once per process, before anything else here.
func Start(scripts []Script, opNames, hostNames []string, flags string) error {
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
		pin(&pinner, strings.Join(opNames, "\n")), pin(&pinner, strings.Join(hostNames, "\n")), pin(&pinner, flags))
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

// GiveWay says that the calling thread, which has a nice value, works from now on or is about to wait. While it works
// it lets others run that want to.
func GiveWay(works bool) {
	var flag C.int
	if works {
		flag = 1
	}
	C.nano_give_way(flag)
}

// GaveWay is how often the calling thread has done that.
func GaveWay() uint64 { return uint64(C.nano_gave_way()) }

// WatchThread puts what the calling thread runs under CPU limits, for the rest of its life.
func WatchThread() error {
	if problem := C.nano_watch_thread(); problem != nil {
		return errors.New(C.GoString(problem))
	}
	return nil
}

// Image is what isolates of an app are started from; see nano_image_new in shim.h.
type Image struct{ pointer *C.nano_image }

// NewImage makes an image of modules, the first being the main one, and the app's snapshot, or nil.
// Sources, caches and the snapshot lie in memory that Go does not manage, and must outlive the image.
func NewImage(snapshot []byte, modules []Module) Image {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	list := make([]C.nano_module, len(modules))
	for k, module := range modules {
		list[k] = C.nano_module{name: pin(&pinner, module.Name), source: cBytes(module.Source), cache: view(module.Cache), map_table: view(module.Table),
			kind: C.int(module.Kind), encoding: C.int(module.Encoding), text: view(module.Text)}
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
	return Image{C.nano_image_new(view(snapshot), &list[0], C.size_t(len(list)))}
}

// Map gives a module its source map, for debuggers.
func (i Image) Map(module int, text []byte) {
	C.nano_image_map(i.pointer, C.size_t(module), view(text))
}

// MapFind looks a place up in a table of package sourcemap. For tests.
func MapFind(table []byte, line, column uint32) (file string, fileLine, fileColumn uint32, ok bool) {
	var place C.nano_place
	if C.nano_map_find(view(table), C.uint32_t(line), C.uint32_t(column), &place) == 0 {
		return "", 0, 0, false
	}
	return C.GoStringN(place.file.data, C.int(place.file.length)), uint32(place.line), uint32(place.column), true
}

// Free gives the image back. No isolate of it may live.
func (i Image) Free() { C.nano_image_free(i.pointer) }

func view(data []byte) C.nano_bytes {
	return C.nano_bytes{data: (*C.char)(unsafe.Pointer(unsafe.SliceData(data))), length: C.size_t(len(data))}
}

// Built is what SnapshotApp has made: a snapshot, or the reason why there is none.
type Built struct {
	Snapshot   []byte // nil: none
	Reason     string
	WarmUpNote string // why the app could not be warmed up, if that was wished
}

// SnapshotApp evaluates an app and makes a snapshot of it. request is the record of a request to warm
// it up with, or nil. An error: it does not start. V8 may end the process.
// forget: the app is not kept, so that the result is a runtime snapshot again, warmed up.
func SnapshotApp(blob *Blob, image Image, name string, request []byte, forget bool) (Built, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var built C.nano_built
	var problem *C.char
	var forgets C.int
	if forget {
		forgets = 1
	}
	if C.nano_snapshot_app(blob.bytes, image.pointer, cBytes(name), view(request), forgets, &built, &problem) != 0 {
		return Built{}, takeError(problem)
	}
	return Built{Snapshot: takeBytes(built.blob), Reason: takeText(built.reason), WarmUpNote: takeText(built.warmup_note)}, nil
}

// Linearize gives the form that is restored fastest to a snapshot of V8's, as New and SnapshotApp do with
// theirs; nil if there is none of it.
func Linearize(blob []byte) []byte {
	var linear C.nano_bytes
	C.nano_linearize(view(blob), &linear)
	return takeBytes(linear)
}

// V8Snapshot is the snapshot that V8 brings along, in V8's form. It must not be changed.
func V8Snapshot() []byte {
	blob := C.nano_v8_snapshot()
	return unsafe.Slice((*byte)(unsafe.Pointer(blob.data)), blob.length)
}

// Diagnose starts an app and names what a snapshot of it could not hold; "": nothing is known.
func Diagnose(blob *Blob, image Image, name string) string {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return takeText(C.nano_diagnose(blob.bytes, image.pointer, cBytes(name)))
}

// takeBytes copies what C allocated, and frees that.
func takeBytes(bytes C.nano_bytes) []byte {
	if bytes.data == nil {
		return nil
	}
	defer C.nano_free(unsafe.Pointer(bytes.data))
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(bytes.data)), bytes.length)...)
}

func takeText(text *C.char) string {
	if text == nil {
		return ""
	}
	defer C.nano_free(unsafe.Pointer(text))
	return C.GoString(text)
}

// IsolateOptions are those of nano_isolate_new in shim.h.
type IsolateOptions struct {
	Wake      int           // an eventfd, or -1
	HeapLimit uint64        // in bytes; 0: V8's default
	CPULimit  time.Duration // per record of a turn; 0: none
	Inspector Inspector     // zero: it cannot be debugged
}

// NewIsolate restores an isolate from the snapshot of an image, or from the runtime's if that has
// none or is zero.
func NewIsolate(blob *Blob, image Image, options IsolateOptions) (Isolate, error) {
	var problem *C.char
	pointer := C.nano_isolate_new(blob.bytes, image.pointer, C.int(options.Wake), C.size_t(options.HeapLimit),
		C.int64_t(options.CPULimit.Milliseconds()), options.Inspector.pointer, &problem)
	if pointer == nil {
		return Isolate{}, takeError(problem)
	}
	return Isolate{pointer, (*Shared)(unsafe.Pointer(C.nano_isolate_shared(pointer)))}, nil
}

// IsZero reports that there is no isolate.
func (i Isolate) IsZero() bool { return i.pointer == nil }

// Hush drops what the app has logged while it was started, and what it has left rejected.
func (i Isolate) Hush() { C.nano_isolate_hush(i.pointer) }

// Limit sets the CPU limit, per record of a turn.
func (i Isolate) Limit(cpu time.Duration) {
	C.nano_isolate_limit(i.pointer, C.int64_t(cpu.Milliseconds()))
}

// Dispose ends the isolate. False: it cannot be freed and stays, with all that it refers to.
func (i Isolate) Dispose() bool { return C.nano_isolate_dispose(i.pointer) == 0 }

// Compile compiles the WebAssembly of an image for the isolates of all threads. What is wrong with it, starting the
// app tells.
func (i Isolate) Compile(image Image) { C.nano_isolate_compile(i.pointer, image.pointer) }

// Imports compiles a module and lists what it imports, as lines "line:column:specifier".
func (i Isolate) Imports(name, source string) (string, error) {
	var out, problem *C.char
	if C.nano_isolate_imports(i.pointer, cBytes(name), cBytes(source), &out, &problem) != 0 {
		return "", takeError(problem)
	}
	defer C.nano_free(unsafe.Pointer(out))
	return C.GoString(out), nil
}

// Start starts the app of an image in a realm; see nano_isolate_start in shim.h. fromCache: nothing
// was compiled from source.
func (i Isolate) Start(realm uint32, image Image, appName, envJSON, bindingsJSON string) (fromCache bool, err error) {
	var cached C.int
	var problem *C.char
	if C.nano_isolate_start(i.pointer, C.uint32_t(realm), image.pointer, cBytes(appName), cBytes(envJSON), cBytes(bindingsJSON), &cached, nil, &problem) != 0 {
		return false, takeError(problem)
	}
	return cached != 0, nil
}

// StartForCaches starts the app of an image of `modules` modules and makes their code caches, nil
// where V8 gives none.
func (i Isolate) StartForCaches(image Image, modules int, appName, envJSON string) ([][]byte, error) {
	var cached C.int
	var problem *C.char
	var list *C.nano_bytes
	failed := C.nano_isolate_start(i.pointer, 0, image.pointer, cBytes(appName), cBytes(envJSON), cBytes(""), &cached, &list, &problem) != 0
	defer C.nano_free(unsafe.Pointer(list))
	if failed {
		return nil, takeError(problem)
	}
	caches := make([][]byte, modules)
	for k, bytes := range unsafe.Slice(list, modules) {
		caches[k] = takeBytes(bytes)
	}
	return caches, nil
}

// NewRealm restores one more context of the isolate's snapshot.
func (i Isolate) NewRealm() (realm uint32, err error) {
	var problem *C.char
	id := C.nano_realm_new(i.pointer, &problem)
	if id < 0 {
		return 0, takeError(problem)
	}
	return uint32(id), nil
}

// DropRealm ends a realm.
func (i Isolate) DropRealm(realm uint32) { C.nano_realm_drop(i.pointer, C.uint32_t(realm)) }

// DroppedRealm is that of records which the code of a dropped realm still wrote.
const DroppedRealm = 1<<32 - 1

// Arena gives memory for at least need bytes of records into a realm; nil when there is none.
func (i Isolate) Arena(realm uint32, need int) []byte {
	var capacity C.size_t
	data := C.nano_isolate_arena(i.pointer, C.uint32_t(realm), C.size_t(need), &capacity)
	if data == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), capacity)
}

// Store gives memory for the bytes of a data record, and what the record calls it by; nil when there
// is none.
func (i Isolate) Store(realm uint32, length int) (memory []byte, slot uint32) {
	var number C.uint32_t
	data := C.nano_isolate_store(i.pointer, C.uint32_t(realm), C.size_t(length), &number)
	if data == nil {
		return nil, 0
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(data)), length), uint32(number)
}

// Turn is the crossing. The records are valid until the next one. False: the isolate is dead. The inputs must
// not lie on a stack, which grows when C++ calls Go on the way.
func (i Isolate) Turn(inputs []Input) (records []byte, alive bool) {
	status := C.nano_isolate_turn(i.pointer, (*C.nano_input)(unsafe.Pointer(unsafe.SliceData(inputs))), C.size_t(len(inputs)))
	return unsafe.Slice((*byte)(i.Shared.records), i.Shared.length), status == 0
}

// Expect says that the isolate has a turn soon, after that of another one.
func (i Isolate) Expect() { C.nano_isolate_expect(i.pointer) }

// Footprint is how many cache lines Expect is known to be worth so far, for tests.
func (i Isolate) Footprint() int { return int(C.nano_isolate_footprint(i.pointer)) }

// Memory measures the isolate.
func (i Isolate) Memory() Memory {
	var memory C.nano_memory
	C.nano_isolate_memory(i.pointer, &memory)
	return Memory{uint64(memory.heap_used), uint64(memory.heap_total), uint64(memory.heap_physical),
		uint64(memory.external), uint64(memory.malloced), uint64(memory.young)}
}

// Space is one of V8's heap spaces, in bytes.
type Space struct{ Used, Committed uint64 }

var _ [unsafe.Sizeof(Space{})]byte = [unsafe.Sizeof(C.nano_space{})]byte{}

// Spaces measures V8's heap spaces, in V8's order, and returns how many it knows.
func (i Isolate) Spaces(spaces []Space) int {
	return int(C.nano_isolate_spaces(i.pointer, (*C.nano_space)(unsafe.Pointer(unsafe.SliceData(spaces))), C.size_t(len(spaces))))
}

// Ranges is what an isolate has taken of the address ranges that all isolates share, in bytes.
type Ranges struct{ Cage, Trusted, Code int64 }

// Ranges measures that.
func (i Isolate) Ranges() Ranges {
	var ranges C.nano_ranges
	C.nano_isolate_ranges(i.pointer, &ranges)
	return Ranges{int64(ranges.cage), int64(ranges.trusted), int64(ranges.code)}
}

// Collect runs a full garbage collection and gives memory back.
func (i Isolate) Collect() { C.nano_isolate_collect(i.pointer) }

// Rest frees the memory of the records that the last turn has brought out, up to 1 MB.
func (i Isolate) Rest() { C.nano_isolate_rest(i.pointer) }

// HeapSnapshot begins to write a heap snapshot into a file descriptor, in a child of the process, and
// gives its id; see nano_heap_snapshot in shim.h.
func (i Isolate) HeapSnapshot(fd uintptr) (child int, err error) {
	var problem *C.char
	id := C.nano_heap_snapshot(i.pointer, C.int(fd), &problem)
	if id < 0 {
		return 0, takeError(problem)
	}
	return int(id), nil
}

// StartProfile begins a CPU profile.
func (i Isolate) StartProfile(interval time.Duration, samplesMax int) error {
	var problem *C.char
	if C.nano_profile_start(i.pointer, C.int(interval.Microseconds()), C.uint32_t(samplesMax), &problem) != 0 {
		return takeError(problem)
	}
	return nil
}

// StopProfile ends it, and gives it as JSON; nil if none goes on.
func (i Isolate) StopProfile() []byte { return takeBytes(C.nano_profile_stop(i.pointer)) }

// Terminate ends what runs in the isolate; from any thread, while the isolate lives.
func (i Isolate) Terminate(death uint32) { C.nano_isolate_terminate(i.pointer, C.int(death)) }

// Trim gives memory back to the system that malloc keeps though it is free.
func Trim() { C.nano_trim() }

// MemoryIsShort has isolates that end in the next ten seconds leave no memory to the next.
func MemoryIsShort() { C.nano_memory_is_short() }

// UnmapProgram takes the program's code and constants out of the process's page tables.
func UnmapProgram() { C.nano_unmap_program() }

// JSONDoesAsV8 tells whether our own functions for JSON are in use: at the start they were found to give what V8's give.
func JSONDoesAsV8() bool { return C.nano_json_does_as_v8() != 0 }

// Free gives back what the shim allocated, such as a block.
func Free(memory unsafe.Pointer) { C.nano_free(memory) }

// StringView is data as a string, which is valid for as long as data is, and must not change.
func StringView(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }
