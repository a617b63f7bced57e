package apps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"sync"
	"time"

	"nano/bundle"
	"nano/config"
	"nano/isolates"
)

// Bundler bundles apps that V8 cannot read as they are, and keeps the bundles. A nil Bundler does so in this
// process, and keeps nothing.
type Bundler struct {
	Cache bundle.Cache
	// Builder bundles in processes of its own, whose memory goes when they have nothing to do; nil: it is
	// done in this process, which is quicker.
	Builder  *Builder
	ReadOnly bool  // nothing new goes into the Cache
	BytesMax int64 // of a bundle, and of modules that need none; 0: bundle.BytesMaxDefault
	// Live is for development: it is done in this process, nothing comes from the Cache or goes into it, and what
	// may be needed for the next bundle of the same main module is kept in memory.
	Live   bool
	Logger *slog.Logger // of warnings; nil: they are dropped

	live     sync.Mutex
	contexts map[string]*liveContext // of Live, by main module

	start    sync.Once
	closing  sync.Once
	requests chan bundleRequest
	stop     chan struct{}
	ended    chan struct{}
}

// BundlingOf says in the bundler's terms how an app is bundled.
func BundlingOf(app *config.App) bundle.Settings {
	settings := bundle.Settings{Define: app.Bundling.Define, Alias: app.Bundling.Alias, Minify: app.Bundling.Minify,
		NodeCompat: app.Bundling.NodeCompat}
	for _, rule := range app.Bundling.Rules {
		settings.Rules = append(settings.Rules, bundle.Rule{Type: rule.Type, Globs: rule.Globs})
	}
	return settings
}

type bundleRequest struct {
	options bundle.Options
	answer  chan<- bundleAnswer
}

type bundleAnswer struct {
	result *bundle.Result
	err    error
}

// Bundle gives the bundle of a main module: from the cache, or made now. It may be called from any
// goroutine, and takes its time. The error is a *bundle.Diagnostics if it is about the app's files.
func (b *Bundler) Bundle(o bundle.Options) (*bundle.Result, error) {
	if b == nil {
		return bundle.Build(context.Background(), o)
	}
	o.BytesMax = b.BytesMax
	if b.Live && o.Root == "" {
		return b.bundleLive(o)
	}
	isKept := o.Root == "" // else it lies in a folder of its own, which goes
	if isKept {
		if result := b.Cache.Load(o); result != nil {
			return result, nil
		}
	}
	began := time.Now()
	result, err := b.make(o)
	if err != nil {
		return nil, err
	}
	if b.Logger != nil {
		for i := range result.Warnings {
			b.Logger.Warn(result.Warnings[i].String())
		}
	}
	if b.ReadOnly || !isKept {
		return result, nil
	}
	if err := b.Cache.Save(o, result, began); err != nil && b.Logger != nil {
		b.Logger.Warn("state_dir: a bundle cannot be kept: " + err.Error())
	}
	return result, nil
}

// liveContext is what is kept for a main module.
type liveContext struct {
	options bundle.Options
	context *bundle.Context
}

// bundleLive bundles what has changed since the same main module was bundled last.
func (b *Bundler) bundleLive(o bundle.Options) (*bundle.Result, error) {
	o.Development = true
	b.live.Lock()
	defer b.live.Unlock()
	kept := b.contexts[o.Main]
	if kept != nil && !reflect.DeepEqual(kept.options, o) {
		kept.context.Close()
		kept = nil
	}
	if kept == nil {
		context, err := bundle.NewContext(o)
		if err != nil {
			return nil, err
		}
		if b.contexts == nil {
			b.contexts = map[string]*liveContext{}
		}
		kept = &liveContext{o, context}
		b.contexts[o.Main] = kept
	}
	result, err := kept.context.Rebuild(context.Background())
	if err == nil && b.Logger != nil {
		for i := range result.Warnings {
			b.Logger.Warn(result.Warnings[i].String())
		}
	}
	return result, err
}

// closeLive frees what is kept.
func (b *Bundler) closeLive() {
	b.live.Lock()
	defer b.live.Unlock()
	for main, kept := range b.contexts {
		kept.context.Close()
		delete(b.contexts, main)
	}
}

func (b *Bundler) bytesMax() int64 {
	if b == nil || b.BytesMax == 0 {
		return bundle.BytesMaxDefault
	}
	return b.BytesMax
}

func (b *Bundler) make(o bundle.Options) (*bundle.Result, error) {
	if b.Builder == nil {
		return bundle.Build(context.Background(), o)
	}
	b.start.Do(func() {
		b.requests, b.stop, b.ended = make(chan bundleRequest), make(chan struct{}), make(chan struct{})
		go b.work()
	})
	answer := make(chan bundleAnswer, 1)
	select {
	case b.requests <- bundleRequest{o, answer}:
		got := <-answer
		return got.result, got.err
	case <-b.stop:
		return nil, errStopped
	}
}

// work has bundles made by the Builder, on a thread that the process of this ends with.
func (b *Bundler) work() {
	defer close(b.ended)
	runtime.LockOSThread() // never unlocked
	defer b.Builder.Rest()
	for {
		var idle <-chan time.Time
		if !b.Builder.IsIdle() {
			idle = time.After(builderIdle)
		}
		select {
		case request := <-b.requests:
			result, err := b.Builder.BuildBundle(request.options)
			request.answer <- bundleAnswer{result, err}
		case <-idle:
			b.Builder.Rest()
		case <-b.stop:
			return
		}
	}
}

// Sweep removes bundles from the cache that no node has used for long.
func (b *Bundler) Sweep() {
	if b == nil {
		return
	}
	if _, err := b.Cache.Sweep(sweepAge); err != nil && b.Logger != nil {
		b.Logger.Warn("state_dir: " + err.Error())
	}
}

// Close ends the process that bundles. What is being bundled fails.
func (b *Bundler) Close() {
	if b == nil {
		return
	}
	b.closeLive()
	if b.Builder == nil {
		return
	}
	b.start.Do(func() { // nothing was ever bundled, and nothing will be
		b.requests, b.stop, b.ended = make(chan bundleRequest), make(chan struct{}), make(chan struct{})
		close(b.ended)
	})
	b.closing.Do(func() {
		close(b.stop)
		b.Builder.Interrupt()
	})
	<-b.ended
}

// BuildBundle has an app bundled. Errors are those of bundle.Build and Build.
func (b *Builder) BuildBundle(o bundle.Options) (*bundle.Result, error) {
	reply, err := b.Build(Request{Entry: &o})
	var death *DeathError
	switch {
	case errors.As(err, &death):
		return nil, &bundle.Diagnostics{List: []bundle.Diagnostic{{File: o.Main, Text: "cannot be bundled: " + death.What}}, Inputs: []string{o.Main}}
	case err != nil:
		return nil, err
	case reply.Diagnostics != nil:
		return nil, reply.Diagnostics
	case reply.Problem != "":
		return nil, fmt.Errorf("%s: %s", o.Main, reply.Problem)
	}
	return bundle.DecodeResult(reply.Image)
}

// ServeBundle answers the request to a builder process for a bundle. It needs no V8.
func ServeBundle(r *Request) Reply {
	result, err := bundle.Build(context.Background(), *r.Entry)
	var diagnostics *bundle.Diagnostics
	if errors.As(err, &diagnostics) {
		return Reply{Diagnostics: diagnostics, Problem: "it cannot be bundled"}
	}
	if err != nil {
		return Reply{Problem: err.Error()}
	}
	encoded, err := result.Encode()
	if err != nil {
		return Reply{Problem: err.Error()}
	}
	return Reply{Image: encoded}
}

// needsBundle tells whether a main module of this name is bundled whatever it imports.
func needsBundle(extension string) bool {
	switch extension {
	case ".ts", ".tsx", ".mts", ".cts", ".jsx":
		return true
	}
	return false
}

// readModules finds the modules of an app: by V8's own parser if they are plain ES modules that import each
// other by their paths, which keeps their files apart, and else by bundling. inputs are what they depend on.
func readModules(resolver *isolates.Resolver, bundler *Bundler, o bundle.Options, extension string) (found *isolates.Bundle, inputs []string, err error) {
	var direct error
	if !needsBundle(extension) && o.Settings.IsZero() {
		resolver.BytesMax = bundler.bytesMax()
		found, err := resolver.ResolveWithin(o.Root, o.Main, o.Base)
		if err == nil {
			return found, inputsOf(found, o.Base), nil
		}
		var refused *isolates.ResolveError
		if !errors.As(err, &refused) || !refused.NeedsBundle && !refused.MayBeJSX {
			return nil, nil, err
		}
		if !refused.NeedsBundle {
			direct = err
		}
	}
	result, err := bundler.Bundle(o)
	if err != nil && direct != nil {
		return nil, nil, direct // it is no JSX: V8 says better what is wrong
	}
	if err != nil {
		return nil, nil, err
	}
	return result.Bundle, result.Inputs, nil
}
