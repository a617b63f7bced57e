package isolates

// moduleNames are the modules of the runtime that apps may import, by the names that they know them by.
var moduleNames = map[string]string{
	"nano:sockets":       "nano:sockets",
	"cloudflare:sockets": "nano:sockets",
	"cloudflare:workers": "nano:workers",
	"node:async_hooks":   "nano:async_hooks",
	"async_hooks":        "nano:async_hooks",
}

// moduleSources are their sources. They are modules like those of the app, in its bundle, but have in
// import.meta.exports what the runtime's hook moduleExports gives them.
var moduleSources = map[string]string{
	"nano:sockets": `const { connect: open } = import.meta.exports;
export function connect(address, options = undefined) {
  return open(address, options);
}
`,
	"nano:workers": `export const { DurableObject, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, env, waitUntil, withEnv } =
  import.meta.exports;
`,
	"nano:async_hooks": `export const { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, executionAsyncResource,
  triggerAsyncId } = import.meta.exports;
export default { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, executionAsyncResource, triggerAsyncId };
`,
}

// IsRuntimeModule reports that an app may import the runtime's module of this name, such as "nano:sockets".
func IsRuntimeModule(name string) bool {
	_, ok := moduleNames[name]
	return ok
}
