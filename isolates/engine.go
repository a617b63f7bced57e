// Package isolates runs apps in V8: it restores isolates from the runtime snapshot, loads apps into
// them, and carries requests in and records out in one crossing per isolate and tick.
//
// An Isolate belongs to the OS thread that made it, which must be locked.
package isolates

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"

	"nano/hostcall"
	"nano/isolates/shim"
	"nano/snapshot"
	"nano/webapi"
)

// flags are V8's, fixed for the life of the process.
//
//   - single-threaded-gc: a collection stays on the core of its loop instead of waking helpers on
//     the cores of others.
//   - no-memory-protection-keys: a thread made before V8 set its keys up may not touch V8's
//     memory, and Go makes threads before main runs.
//   - no-turboshaft-loop-unrolling: with it V8 13.6 drops the interrupt check from an endless loop
//     that contains a short one, so that neither limit could end it (TestLimitsEndEveryLoop).
//   - optimize-for-size: the young generation begins with one page instead of two, 28 KB less for
//     each isolate. It would also end at 1 MB, which costs apps that allocate much: max-semi-space-size
//     (MB) lets it grow as usual.
//   - concurrent-marking-max-worker-num: the marker of the background threads, which
//     single-threaded-gc leaves idle, still keeps a state for each of seven: 16 KB.
//   - no-maglev-destroy-on-background: what the compiler Maglev needed to compile a function is freed at
//     once, not when the isolate compiles the next one: 400 KB that each app in use would keep.
//   - invocation-count-for-maglev, minimum-invocations-after-ic-update: Maglev compiles what was called 50 times instead of
//     400 and has met nothing new for 50 calls instead of 500. V8 counts a call by the share of the function that it takes, so
//     that a request's functions would have been compiled after some 3,000 requests, and are after 400. See docs/RATIONALE.md,
//     "Why does a request cost more when a thousand apps are in use?".
//   - no-validate-asm: asm.js is plain JavaScript, since V8 aborts for a snapshot with a module that
//     it has compiled as WebAssembly.
//   - experimental-wasm-type-reflection, -rab-integration: proposals that other engines have, such as type() of
//     memories, tables and globals, WebAssembly.Function, memory.toResizableBuffer().
//   - wasm-max-module-size: 64 MiB instead of 1 GiB, since a thread that all apps share looks at modules.
//   - js-float16array: Float16Array, which is part of ECMAScript 2025. V8 13.6 has it behind a flag still, and adds
//     it to each context when that is restored: see kAdded in snapshot.cc.
//   - no-concurrent-sparkplug, baseline-batch-compilation-threshold: V8 compiles a function for its baseline when that is
//     worth it, rather than collecting functions for a job on another thread until they are 4 KB of code. What waits for
//     others to come is interpreted meanwhile, for ever where all else is compiled; and a job costs 30 KB for each isolate.
const flags = "--single-threaded-gc --no-memory-protection-keys --no-turboshaft-loop-unrolling " +
	"--optimize-for-size --max-semi-space-size=8 --concurrent-marking-max-worker-num=1 " +
	"--no-concurrent-sparkplug --baseline-batch-compilation-threshold=1 --no-maglev-destroy-on-background " +
	"--invocation-count-for-maglev=50 --minimum-invocations-after-ic-update=50 --no-validate-asm " +
	"--experimental-wasm-type-reflection --experimental-wasm-rab-integration --wasm-max-module-size=67108864 " +
	"--js-float16array"

// testScripts are boot scripts that tests add, to get at what apps cannot; testFlags are flags of V8 that they add.
var (
	testScripts []shim.Script
	testFlags   string
)

var start = sync.OnceValue(func() error {
	var scripts []shim.Script
	for _, script := range webapi.Scripts() {
		scripts = append(scripts, shim.Script{Name: script.Name, Source: script.Source, Lazy: script.Lazy})
	}
	scripts = append(scripts, testScripts...)
	if err := hostcall.Bind(webapi.HostCalls); err != nil {
		return fmt.Errorf("native code: %w", err)
	}
	if err := shim.Start(scripts, webapi.Ops, webapi.HostCalls, flags+testFlags); err != nil {
		return fmt.Errorf("V8: %w", err)
	}
	return nil
})

// scriptBytes is the length of the runtime's scripts that every isolate has.
var scriptBytes = sync.OnceValue(func() (bytes int64) {
	for _, script := range webapi.Scripts() {
		if !script.Lazy {
			bytes += int64(len(script.Source))
		}
	}
	return bytes
})

// GiveWay says that the calling thread, which is locked and has a nice value, works from now on or is about to wait.
// While it works it lets loops on its core run at once, not at the kernel's next tick.
func GiveWay(works bool) { shim.GiveWay(works) }

// WatchThread puts the apps that the calling thread runs under their CPU limits. The thread must be
// locked.
func WatchThread() error { return shim.WatchThread() }

// V8Version is the version of the V8 library in this binary.
func V8Version() string { return shim.Version() }

// Runtime is the runtime snapshot, from which isolates are restored. It lives as long as the process.
type Runtime struct{ blob *shim.Blob }

// LoadRuntime brings V8 up, once per process, and gets the runtime snapshot from the store, or
// builds it and saves it there. note tells why a stored file was not used or the new one not saved.
func LoadRuntime(store snapshot.Store) (loaded *Runtime, note, err error) {
	if err := start(); err != nil {
		return nil, nil, err
	}
	file, note, err := store.LoadOrBuild(runtimeKey(), func() ([]snapshot.Section, error) {
		blob, err := BuildRuntime()
		return []snapshot.Section{{Name: blobSection, Data: blob}}, err
	})
	if err != nil {
		return nil, note, err
	}
	blob := shim.NewBlob(file.Section(blobSection))
	return &Runtime{blob}, note, file.Close()
}

// blobSection is the section of a snapshot file that V8 reads.
const blobSection = "snapshot"

// BuildRuntime builds the runtime snapshot: the same bytes each time.
func BuildRuntime() ([]byte, error) {
	if err := start(); err != nil {
		return nil, err
	}
	blob, err := shim.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("runtime snapshot: %w", err)
	}
	defer blob.Free()
	return warmRuntime(blob)
}

// warmUpApp takes the ways of a request that most apps take, so that no isolate has to compile them.
const warmUpApp = `export default { async fetch(request, env, ctx) {
	ctx.waitUntil(Promise.resolve());
	const facts = [request.method, request.url, request.headers.get("host"), await request.text()];
	const response = Response.json({ facts }, { headers: { "x-a": "b" } });
	response.headers.set("x-b", "c");
	return new Response(await response.text(), response);
} }`

// warmRuntime lets the runtime serve one request, of an app that is then forgotten: its functions are
// compiled in the snapshot, which spares every isolate a third of a millisecond at its first request.
func warmRuntime(blob *shim.Blob) ([]byte, error) {
	loaded := loadBundle(&Bundle{[]shim.Module{{Name: "nano:warm-up", Source: warmUpApp}}}, nil)
	defer loaded.free()
	request, err := warmUpRecord("/")
	if err != nil {
		return nil, err
	}
	built, err := shim.SnapshotApp(blob, loaded.image, "nano", request, true)
	if err != nil {
		return nil, fmt.Errorf("runtime snapshot: %w", err)
	}
	if built.Snapshot == nil || built.WarmUpNote != "" {
		return nil, fmt.Errorf("runtime snapshot: %s%s", built.Reason, built.WarmUpNote)
	}
	return built.Snapshot, nil
}

func runtimeKey() snapshot.Key {
	sources := webapi.SourcesHash()
	return snapshot.Key{
		V8:           shim.Version(),
		V8Tag:        shim.VersionTag(),
		Architecture: runtime.GOARCH,
		Flags:        flags,
		Ops:          fmt.Sprintf("%x", webapi.OpsHash()),
		Sources:      fmt.Sprintf("%x", sha256.Sum256(append(sources[:], warmUpApp...))),
		Sealed:       true, // shim.Start makes a plain isolate before anything else
		Form:         shim.SnapshotForm,
	}
}

// Size is the length of the runtime snapshot in bytes.
func (r *Runtime) Size() int { return len(r.blob.Bytes()) }

// A LimitError ends an isolate: its app went beyond a limit. The requests in it are answered with
// Status and the header nano-error.
type LimitError struct{ name string }

// Error is the name of the limit.
func (e *LimitError) Error() string { return e.name }

// Status is 503, Service Unavailable.
func (e *LimitError) Status() int { return 503 }

// NanoError is the value of the header nano-error.
func (e *LimitError) NanoError() string { return e.name }

// What Isolate.Turn returns when it ends an isolate.
var (
	ErrMemoryLimit = &LimitError{"memory-limit"}
	ErrCPULimit    = &LimitError{"cpu-limit"}
)
