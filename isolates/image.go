package isolates

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nano/isolates/shim"
	"nano/snapshot"
)

// The sections of an app image.
const (
	sectionBundle   = "bundle"   // Bundle.Encode
	sectionText     = "text"     // encodeTexts; absent if all sources are ASCII or short
	sectionCache    = "cache"    // encodeBlocks of code caches
	sectionSnapshot = "snapshot" // what V8 restores; absent if the app cannot be snapshotted
	sectionManifest = "manifest" // a manifest, as JSON
)

// imageVersion changes with the meaning of the sections, and with what decides how a snapshot
// refers to the sources that lie beside it.
const imageVersion = "8"

// manifest is what an image tells of itself.
type manifest struct {
	Reason string `json:"reason,omitempty"`  // why there is no snapshot: "file:line:column: what"
	WarmUp string `json:"warm_up,omitempty"` // why the app was not warmed up though that was wished
	LoadNS int64  `json:"load_ns"`           // what starting the app took in a ready isolate, with code caches
	V8     string `json:"v8"`
	// Memory is what an isolate of the snapshot holds, in bytes, V8's heap and ArrayBuffers alike.
	Memory uint64 `json:"memory,omitempty"`
	// Ranges is what it takes of V8's ranges of addresses, in bytes.
	Ranges shim.Ranges `json:"ranges"`
	// Log is what the app has logged at its top level.
	Log []LogLine `json:"log,omitempty"`
}

// LogLine is a line of an app's log.
type LogLine struct {
	Level Level  `json:"level"`
	Text  string `json:"text"` // UTF-8
	// Source is where in the app's source it was written, "file:line:column", or "".
	Source string `json:"source,omitempty"`
}

// Image is what isolates of an app are started from: an app image on disk, mapped only while
// isolates of it live, or a bundle in memory. All loops share it.
type Image struct {
	open     func() (*snapshot.File, error) // nil: of a bundle in memory
	bundle   *Bundle                        // nil: on disk
	manifest manifest
	snapshot bool

	mutex  sync.Mutex
	users  int
	loaded *loadedImage // nil: no users
}

// ImageKey is the key of the image of a bundle in a snapshot.Store.
func (r *Runtime) ImageKey(bundle *Bundle, warmup string) snapshot.Key {
	key := runtimeKey()
	hash := sha256.New()
	bundleHash := bundle.Hash()
	fmt.Fprintf(hash, "%s\x00%x\x00%s", imageVersion, bundleHash, warmup)
	key.App = fmt.Sprintf("%x", hash.Sum(nil))
	return key
}

// Image makes an image of a file, which open opens whenever the first isolate of it is made. It is
// opened once here, to refuse a file of another runtime (*snapshot.MismatchError) or without what an
// image holds.
func (r *Runtime) Image(open func() (*snapshot.File, error)) (*Image, error) {
	file, err := open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	want := runtimeKey()
	want.App = file.Key().App // whose image it is, only the caller knows
	if err := file.Check(want); err != nil {
		return nil, err
	}
	image := &Image{open: open, snapshot: file.Section(sectionSnapshot) != nil}
	if want.App == "" {
		return nil, errors.New("the snapshot file holds no app")
	}
	if err := json.Unmarshal(file.Section(sectionManifest), &image.manifest); err != nil {
		return nil, fmt.Errorf("manifest of the app image: %w", err)
	}
	if _, err := modulesOf(file); err != nil {
		return nil, err
	}
	return image, nil
}

// Reason is why the app has no snapshot, "file:line:column: what"; "": it has one, or was not built.
func (i *Image) Reason() string { return i.manifest.Reason }

// WarmUpNote is why the app was not warmed up though that was wished, or "".
func (i *Image) WarmUpNote() string { return i.manifest.WarmUp }

// Log is what the app logged at its top level when the image was built, errors and rejections that
// nothing caught among it. Isolates that are started from the image do not log it again.
func (i *Image) Log() []LogLine { return i.manifest.Log }

// ImageBundle is the bundle in an image file, for rebuilding the image with this version.
func ImageBundle(file *snapshot.File) (*Bundle, error) {
	return DecodeBundle(file.Section(sectionBundle))
}

// loadedImage is an image as V8 uses it, in memory that stays until release.
type loadedImage struct {
	image  shim.Image
	file   *snapshot.File // nil: memory
	memory *shim.Blob     // copies of the sources

	modules   []shim.Module // in that memory
	textBytes int64         // of the sources that V8 reads where they lie

	wasmBytes  int64       // of WebAssembly
	isCompiled atomic.Bool // App.Compile has been at it
}

// newLoadedImage makes an image of modules whose sources stay where they are.
func newLoadedImage(blob []byte, modules []shim.Module) *loadedImage {
	loaded := &loadedImage{image: shim.NewImage(blob, modules), modules: modules}
	for _, module := range modules {
		if module.Kind == shim.Wasm {
			loaded.wasmBytes += int64(len(module.Source))
		}
		if module.Text != nil {
			loaded.textBytes += int64(len(module.Text))
		} else if len(module.Source) >= shim.ExternalSourceMin {
			loaded.textBytes += int64(len(module.Source))
		}
	}
	return loaded
}

// acquire gives the image to one more isolate.
func (i *Image) acquire() (*loadedImage, error) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.loaded == nil {
		loaded, err := i.load()
		if err != nil {
			return nil, err
		}
		i.loaded = loaded
	}
	i.users++
	return i.loaded, nil
}

// release is called when an isolate has been disposed of.
func (i *Image) release() {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.users--
	if i.users > 0 {
		return
	}
	i.loaded.image.Free()
	if i.loaded.memory != nil {
		i.loaded.memory.Free()
	}
	if i.loaded.file != nil {
		i.loaded.file.Close()
	}
	i.loaded = nil
}

// compiledKept is for how long compiled code waits for the isolate that it was compiled for.
const compiledKept = 10 * time.Second

// compile is App.Compile. It keeps the image for a while, for those who wait for it.
func (i *Image) compile(resolver func() (*Resolver, error)) error {
	loaded, err := i.acquire()
	if err != nil {
		return err
	}
	if loaded.wasmBytes == 0 || loaded.isCompiled.Load() {
		i.release()
		return nil
	}
	r, err := resolver()
	if err != nil {
		i.release()
		return err
	}
	r.isolate.Compile(loaded.image)
	loaded.isCompiled.Store(true)
	time.AfterFunc(compiledKept, i.release)
	return nil
}

func (i *Image) load() (*loadedImage, error) {
	if i.open == nil {
		return loadBundle(i.bundle, nil), nil
	}
	file, err := i.open()
	if err != nil {
		return nil, fmt.Errorf("app image: %w", err)
	}
	modules, err := modulesOf(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	loaded := newLoadedImage(file.Section(sectionSnapshot), modules)
	loaded.file = file
	return loaded, nil
}

// modulesOf reads the modules of an image, as views of the file.
func modulesOf(file *snapshot.File) ([]shim.Module, error) {
	modules, err := decodeModules(file.Section(sectionBundle))
	if err == nil {
		err = decodeTexts(file.Section(sectionText), modules)
	}
	if err != nil {
		return nil, fmt.Errorf("app image: %w", err)
	}
	decodeCaches(file.Section(sectionCache), modules)
	return modules, nil
}

// loadBundle makes an image of a bundle and maybe code caches, by copying them to memory of C.
func loadBundle(bundle *Bundle, caches []byte) *loadedImage {
	texts := encodeTexts(bundle.modules)
	data := make([]byte, 0, len(texts)+len(caches)+bundle.Size())
	data = append(append(data, texts...), caches...) // first, since they are aligned
	for _, module := range bundle.modules {
		data = append(append(data, module.Source...), module.Table...)
	}
	memory := shim.NewBlob(data)
	rest := memory.Bytes()
	views := append([]shim.Module(nil), bundle.modules...)
	if err := decodeTexts(rest[:len(texts)], views); err != nil {
		panic(err) // they were written above
	}
	rest = rest[len(texts):]
	decodeCaches(rest[:len(caches)], views)
	rest = rest[len(caches):]
	for k := range views {
		length := len(views[k].Source)
		views[k].Source = shim.StringView(rest[:length:length])
		rest = rest[length:]
		length = len(views[k].Table)
		views[k].Table = rest[:length:length]
		rest = rest[length:]
	}
	loaded := newLoadedImage(nil, views)
	loaded.memory = memory
	return loaded
}

func (l *loadedImage) free() {
	l.image.Free()
	if l.memory != nil {
		l.memory.Free()
	}
}
