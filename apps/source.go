package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nano/bundle"
	"nano/isolates"
	"nano/snapshot"
)

// BuiltExtension is that of the files that `nano build` writes: an app's image, and in a section of
// its own how it was built.
const BuiltExtension = ".nano"

// Source is what an app is made of, as found on disk.
type Source struct {
	Bundle *isolates.Bundle
	Warmup string
	Key    snapshot.Key // of the image
	// IsImage says that the file itself is the image, as this runtime would build it.
	IsImage bool
	// Inputs are the absolute paths of the files and folders that the app is made of: see bundle.Result.
	Inputs []string
	began  time.Time // when their reading began; zero: it was kept before
}

// sectionBuilt is the section that WriteBuilt adds to an image.
const sectionBuilt = "built"

// built is its content, as JSON.
type built struct {
	Warmup string `json:"warmup,omitempty"`
}

// ReadSource finds an app's modules: those of a main module and all that it imports, or those in a
// file of `nano build`, of whatever version. Those that V8 cannot read as they are, bundler bundles. Paths in
// messages are relative to base. warmup is the path that is configured; "": the one that the file was built
// with.
func ReadSource(runtime *isolates.Runtime, resolver *isolates.Resolver, bundler *Bundler, app *App, base string) (Source, error) {
	if info, err := os.Stat(app.Main); err != nil || !info.Mode().IsRegular() {
		return Source{}, &MainError{app.Main, err}
	}
	extension := strings.ToLower(filepath.Ext(app.Main))
	if extension != BuiltExtension {
		options := bundle.Options{Main: app.Main, Base: base, Root: app.Root, Settings: app.Bundling}
		modules, inputs, err := readModules(resolver, bundler, options, extension)
		if err != nil {
			return Source{}, err
		}
		return Source{Bundle: modules, Warmup: app.Warmup, Key: runtime.ImageKey(modules, app.Warmup), Inputs: inputs}, nil
	}
	source, err := readBuilt(runtime, app.Main, app.Warmup)
	if err != nil {
		return Source{}, &MainError{app.Main, fmt.Errorf("%w; build it again from its sources with `nano build`", err)}
	}
	source.Inputs = []string{app.Main}
	source.IsImage = source.IsImage && app.Root == "" // its key, anybody can write
	return source, nil
}

// inputsOf are the files of modules that V8 reads as they are.
func inputsOf(modules *isolates.Bundle, base string) []string {
	files := modules.Files()
	for i, file := range files {
		if !filepath.IsAbs(file) {
			files[i] = filepath.Join(base, file)
		}
	}
	return files
}

func readBuilt(runtime *isolates.Runtime, path, warmup string) (source Source, err error) {
	file, err := snapshot.Open(path)
	var format *snapshot.FormatError
	if errors.As(err, &format) {
		return Source{}, errors.New(format.What)
	}
	if err != nil {
		return Source{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	source.Bundle, err = isolates.ImageBundle(file)
	if err != nil {
		return Source{}, err
	}
	var how built
	if err := json.Unmarshal(file.Section(sectionBuilt), &how); err != nil {
		return Source{}, fmt.Errorf("section %s: %w", sectionBuilt, err)
	}
	if len(how.Warmup) > sourceWarmupMax {
		return Source{}, fmt.Errorf("section %s: a warm-up path of %d bytes", sectionBuilt, len(how.Warmup))
	}
	source.Warmup = warmup
	if warmup == "" {
		source.Warmup = how.Warmup
	}
	source.Key = runtime.ImageKey(source.Bundle, source.Warmup)
	source.IsImage = file.Check(source.Key) == nil
	return source, nil
}

// WriteBuilt writes the file of `nano build`: the image that a builder has made of source.
func WriteBuilt(path string, source Source, image []byte) error {
	file, err := snapshot.Decode(image)
	if err != nil {
		return err
	}
	how, err := json.Marshal(built{Warmup: source.Warmup})
	if err != nil {
		return err
	}
	sections := append([]snapshot.Section{{Name: sectionBuilt, Data: how}}, file.Sections()...)
	return snapshot.Write(path, file.Key(), sections)
}

// A MainError says that an app's main file cannot be used at all.
type MainError struct {
	Path string
	Err  error // nil: it is not a file
}

// Error is "main: path: why".
func (e *MainError) Error() string {
	why := "is not a file"
	var pathError *os.PathError
	switch {
	case errors.As(e.Err, &pathError):
		why = pathError.Err.Error()
	case e.Err != nil:
		why = e.Err.Error()
	}
	return "main: " + e.Path + ": " + why
}

// Unwrap gives the reason.
func (e *MainError) Unwrap() error { return e.Err }
