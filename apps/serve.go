package apps

import (
	"nano/isolates"
	"nano/snapshot"
)

// BuildFor answers the requests to a builder process.
func BuildFor(runtime *isolates.Runtime) func(*Request) Reply {
	return func(r *Request) Reply {
		if r.Entry != nil {
			return ServeBundle(r)
		}
		bundle, err := isolates.DecodeBundle(r.Bundle)
		if err != nil {
			return Reply{Problem: err.Error()}
		}
		options := isolates.BuildOptions{Name: r.Name, Warmup: r.Warmup}
		var built isolates.Built
		if r.Death != "" {
			built, err = runtime.BuildWithoutSnapshot(bundle, options, r.Death)
		} else {
			built, err = runtime.Build(bundle, options)
		}
		if err != nil {
			return Reply{Problem: err.Error()}
		}
		key := runtime.ImageKey(bundle, r.Warmup)
		return Reply{
			Reason: built.Reason, WarmUpNote: built.WarmUpNote, Log: built.Log, Image: snapshot.Encode(key, built.Sections),
		}
	}
}
