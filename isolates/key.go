package isolates

import "nano/snapshot"

// Key is the key of the runtime snapshot in a snapshot.Store.
func (r *Runtime) Key() snapshot.Key { return runtimeKey() }
