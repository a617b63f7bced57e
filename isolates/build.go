package isolates

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"time"

	"nano/http1"
	"nano/isolates/shim"
	"nano/snapshot"
)

// BuildOptions say how to build an app's image.
type BuildOptions struct {
	Name   string // of the app
	Warmup string // path of the request to warm it up with, or ""
}

// Built is an app image.
type Built struct {
	Sections []snapshot.Section
	// Reason is why the app has no snapshot, "file:line:column: what" where the place is known; "":
	// it has one.
	Reason string
	// WarmUpNote is why the app was not warmed up though that was wished, or "".
	WarmUpNote string
	// Log is what the app logged at its top level; see Image.Log.
	Log []LogLine
}

// Build evaluates an app and makes its image: the bundle, code caches, and the snapshot if there can
// be one. An error: the app does not start. V8 ends the process for some of what a snapshot cannot
// hold, so that only a process that may die builds; if it died, BuildWithoutSnapshot makes the image.
//
// All but the manifest is the same for the same bundle.
func (r *Runtime) Build(bundle *Bundle, options BuildOptions) (Built, error) {
	return r.build(bundle, options, func(image shim.Image) (shim.Built, error) {
		request, err := warmUpRecord(options.Warmup)
		if err != nil {
			return shim.Built{}, err
		}
		return shim.SnapshotApp(r.blob, image, options.Name, request, false)
	})
}

// BuildWithoutSnapshot makes the image of an app that cannot be snapshotted, for the given reason.
func (r *Runtime) BuildWithoutSnapshot(bundle *Bundle, options BuildOptions, reason string) (Built, error) {
	return r.build(bundle, options, func(shim.Image) (shim.Built, error) {
		return shim.Built{Reason: reason}, nil
	})
}

// Diagnose starts an app in an ordinary isolate and names what a snapshot of it could not hold, as
// "file:line:column: what"; "": it finds nothing.
func (r *Runtime) Diagnose(bundle *Bundle) string {
	loaded := loadBundle(bundle, nil)
	defer loaded.free()
	return shim.Diagnose(r.blob, loaded.image, "app")
}

func (r *Runtime) build(bundle *Bundle, options BuildOptions, snapshotApp func(shim.Image) (shim.Built, error)) (Built, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := WatchThread(); err != nil {
		return Built{}, err
	}
	loaded := loadBundle(bundle, nil)
	defer loaded.free()
	caches, log, err := r.makeCaches(loaded.image, len(bundle.modules), options.Name)
	if err != nil {
		return Built{}, err
	}
	built, err := snapshotApp(loaded.image)
	if err != nil {
		return Built{}, err
	}
	if built.Snapshot == nil {
		if diagnosis := shim.Diagnose(r.blob, loaded.image, options.Name); diagnosis != "" {
			built.Reason = diagnosis
		}
	}
	memory, ranges, err := r.verifySnapshot(bundle, &built, options.Name)
	if err != nil {
		return Built{}, err
	}
	encodedCaches := encodeBlocks(caches)
	loadTime, err := r.measureLoad(bundle, encodedCaches, options.Name, built.Snapshot != nil)
	if err != nil {
		return Built{}, err
	}
	described, err := json.Marshal(manifest{built.Reason, built.WarmUpNote, loadTime.Nanoseconds(), shim.Version(), memory, ranges, log})
	if err != nil {
		return Built{}, err
	}
	sections := []snapshot.Section{
		{Name: sectionManifest, Data: described},
		{Name: sectionBundle, Data: bundle.Encode()},
		{Name: sectionCache, Data: encodedCaches},
	}
	if texts := encodeTexts(bundle.modules); texts != nil {
		sections = append(sections, snapshot.Section{Name: sectionText, Data: texts})
	}
	if built.Snapshot != nil {
		sections = append(sections, snapshot.Section{Name: sectionSnapshot, Data: built.Snapshot})
	}
	return Built{sections, built.Reason, built.WarmUpNote, log}, nil
}

// makeCaches starts the app from source, which tells whether it starts at all, and takes the code
// caches after that: they hold what ran. log is what it has logged.
func (r *Runtime) makeCaches(image shim.Image, modules int, name string) (caches [][]byte, log []LogLine, err error) {
	isolate, err := shim.NewIsolate(r.blob, shim.Image{}, shim.IsolateOptions{Wake: -1})
	if err != nil {
		return nil, nil, err
	}
	defer isolate.Dispose()
	if caches, err = isolate.StartForCaches(image, modules, name, "{}"); err != nil {
		return nil, nil, err
	}
	return caches, startLog(isolate), nil
}

// startLogMax bounds what an image keeps of an app's log, in bytes.
const startLogMax = 64 << 10

// startLog is what an app that was just started has logged.
func startLog(started shim.Isolate) (lines []LogLine) {
	records, _ := started.Turn(nil) // reports rejections, too
	reader := Isolate{out: records}
	left := startLogMax
	for {
		record, ok := reader.Next()
		if !ok {
			return lines
		}
		if record.Kind == KindLog && left >= 0 {
			text := record.Body[:min(len(record.Body), left)]
			if left -= len(record.Body); left >= 0 {
				lines = append(lines, LogLine{record.Level, string(text), string(record.Target)})
			} else {
				text = append(text[:len(text):len(text)], "… (the rest was dropped)"...)
				lines = append(lines, LogLine{record.Level, strings.ToValidUTF8(string(text), ""), string(record.Target)})
			}
		}
		FreeBlock(record.Block)
	}
}

// verifySnapshot restores a new snapshot once. What V8 cannot read again, it finds here and not where
// others would die of it. memory is what the isolate holds then, in bytes, and ranges what it takes of addresses.
func (r *Runtime) verifySnapshot(bundle *Bundle, built *shim.Built, name string) (memory uint64, ranges shim.Ranges, err error) {
	if built.Snapshot == nil {
		return 0, ranges, nil
	}
	loaded := loadBundle(bundle, nil)
	defer loaded.free()
	blob := shim.NewBlob(built.Snapshot)
	defer blob.Free()
	image := shim.NewImage(blob.Bytes(), loaded.modules)
	defer image.Free()
	isolate, err := shim.NewIsolate(r.blob, image, shim.IsolateOptions{Wake: -1})
	if err != nil {
		return 0, ranges, err
	}
	defer isolate.Dispose()
	if _, err = isolate.Start(0, image, name, "{}", ""); err != nil {
		return 0, ranges, err
	}
	ranges = isolate.Ranges()
	isolate.Collect() // goes through all of it
	held := isolate.Memory()
	return held.HeapUsed + held.External, ranges, nil
}

// measureLoad is how long it takes to start the app in a ready isolate with its code caches: the
// shortest of a few times, if there is a snapshot and the first does not tell which is faster.
func (r *Runtime) measureLoad(bundle *Bundle, caches []byte, name string, hasSnapshot bool) (time.Duration, error) {
	loaded := loadBundle(bundle, caches)
	defer loaded.free()
	shortest := time.Hour
	for range 3 {
		isolate, err := shim.NewIsolate(r.blob, shim.Image{}, shim.IsolateOptions{Wake: -1})
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		_, err = isolate.Start(0, loaded.image, name, "{}", "")
		shortest = min(shortest, time.Since(begin))
		isolate.Dispose()
		if err != nil {
			return 0, err
		}
		if !hasSnapshot || shortest <= quickLoad || shortest >= 4*quickLoad {
			break
		}
	}
	return shortest, nil
}

// warmUpRecord is the record of a GET request for path; nil if that is "".
func warmUpRecord(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	head := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	var parsed http1.Head
	if err := parsed.Parse(head, len(head)); err != nil {
		return nil, fmt.Errorf("the path %q of the warm-up request: %w", path, err)
	}
	request := Request{ID: 1, Head: head, Parsed: &parsed, RemoteAddress: []byte("127.0.0.1:1")}
	record := make([]byte, requestSize(&request))
	writeRequest(record, &request)
	return record, nil
}
