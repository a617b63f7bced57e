// The C ABI between Go and V8. Everything that Go knows of V8 is in this file.
//
// Ownership: what a function returns through a `char**` or `nano_bytes*` is allocated here and
// given back with nano_free. What Go passes in is only read during the call, except where said.
// Threads: an isolate belongs to the thread that made it.
#ifndef NANO_SHIM_H_
#define NANO_SHIM_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nano_isolate nano_isolate;
typedef struct nano_image nano_image;
typedef struct nano_inspector nano_inspector;
typedef struct nano_session nano_session;

typedef struct {
  const char* data;
  size_t length;
} nano_bytes;

// A boot script of the runtime; the text is copied once per process.
typedef struct {
  nano_bytes name;
  nano_bytes source;  // ASCII: a function expression taking (ops, internals)
  int lazy;           // compiled on first use instead of at snapshot time
} nano_script;

// The narrowest of the encodings that V8 can read a source in where it lies.
#ifdef __x86_64__
#define NANO_SNAPSHOT_FORM "linear 2"  // see linear.h
#else
#define NANO_SNAPSHOT_FORM ""  // V8's own
#endif
#define NANO_EXTERNAL_SOURCE_MIN 1024  // bytes of UTF-8: shorter sources are copied
enum nano_encoding { NANO_ASCII = 0, NANO_LATIN1 = 1, NANO_UTF16 = 2 };

enum nano_module_kind { NANO_MODULE_JS = 0, NANO_MODULE_WASM = 1 };

// An ES module of an app, its imports already resolved: import_targets[i] is the index of the
// module that import_names[i] means. Or WebAssembly, which becomes a module whose default export is
// a WebAssembly.Module.
typedef struct {
  nano_bytes name;
  int kind;              // an enum nano_module_kind
  nano_bytes source;     // UTF-8, or WebAssembly's binary format
  nano_bytes cache;      // V8's code cache of it, or empty
  nano_bytes map_table;  // a table of package sourcemap, or empty
  int encoding;          // an enum nano_encoding
  nano_bytes text;       // the source in that encoding, unless it is NANO_ASCII; or empty
  const nano_bytes* import_names;
  const uint32_t* import_targets;
  size_t import_count;
} nano_module;

// Cells that both sides read without a call. Written by V8's threads too: read them atomically.
typedef struct {
  uint32_t tasks;        // 1: foreground tasks are due, give the isolate a turn
  uint32_t dead;         // an enum nano_death: the isolate must be disposed of
  int64_t task_time_ns;  // CLOCK_MONOTONIC time of the next delayed task, or 0
  int64_t cpu_ns;        // CPU time of all turns; of the isolate's thread
  int32_t last_handle;   // that was given out, in all realms
  int64_t paused_ns;     // what the thread has spent for a debugger
  const uint8_t*
      records;    // what the last turn has brought out: `length` bytes of nano_record, each
  size_t length;  // followed by its bytes
} nano_shared;

enum nano_death { NANO_ALIVE = 0, NANO_DEAD_MEMORY = 1, NANO_DEAD_CPU = 2 };

// The records of one realm that go in with a turn: `count` of them, from byte `offset` of its
// arena.
typedef struct {
  uint32_t realm;  // 0: the main one
  uint32_t offset;
  uint32_t count;
} nano_input;

enum nano_kind {
  NANO_RESPOND = 1,
  NANO_CHUNK = 2,
  NANO_END = 3,
  NANO_SETTLED = 4,
  NANO_TIMER_SET = 5,
  NANO_TIMER_CLEAR = 6,
  NANO_LOG = 7,
  NANO_OPEN = 8,
  NANO_READ = 9,
  NANO_CANCEL = 10,
  NANO_WRITE = 11,
  NANO_FINISH = 12,
};

// One record out. Its bytes follow the struct: reason, head, body (unless block is set).
typedef struct {
  uint32_t size;  // of struct and bytes, a multiple of 8
  uint8_t kind;
  uint8_t flags;  // NANO_RESPOND: as op respond; NANO_END: failed; NANO_LOG: level; NANO_OPEN: what
  uint16_t status;  // NANO_OPEN: its flags
  uint32_t id;      // NANO_OPEN and later: the handle
  uint32_t reason_length;
  uint32_t head_length;
  uint32_t body_length;
  uint32_t realm;   // whose code wrote it
  int32_t source;   // NANO_RESPOND, NANO_OPEN: the handle that the body comes from, or 0
  uint8_t* block;   // large body: NANO_HEAD_ROOM bytes, then the body; owned by the receiver
  double number;    // milliseconds, bytes or a length
  int64_t request;  // NANO_OPEN: the request that asks, or -1; NANO_LOG: its id in the logs, or 0
} nano_record;

#define NANO_HEAD_ROOM 1024

// A place in a source: line and column begin with 1.
typedef struct {
  nano_bytes file;  // in the table that it was found in
  uint32_t line, column;
} nano_place;

typedef struct {
  uint64_t heap_used, heap_total, heap_physical, external, malloced;
  uint64_t young;  // of heap_used: objects of the young generation, garbage included
} nano_memory;

typedef struct {
  uint64_t used, committed;
} nano_space;

typedef struct {
  int64_t cage, trusted, code;
} nano_ranges;

// An argument or a result of a call of Go, hostcall.Value.
typedef struct {
  uint32_t kind;    // an enum nano_value_kind
  uint32_t id;      // of an object
  uint64_t length;  // of the data in bytes; of an object what it weighs, which Go may change
  union {
    void* data;
    uint64_t offset;  // of the data, in a packed list (hostcall/work.go)
  };
  double number;
} nano_value;

enum nano_value_kind {
  NANO_NULL = 0,
  NANO_BOOL = 1,
  NANO_NUMBER = 2,
  NANO_TEXT = 3,  // UTF-8
  NANO_BYTES = 4,
  NANO_OBJECT = 5,
  NANO_UNITS = 6,  // UTF-16
};

#define NANO_ARGUMENTS_MAX 16
#define NANO_RESULTS_MAX 16

// A call of Go, hostcall.Frame.
typedef struct {
  nano_isolate* isolate;
  void* objects;     // Go's, of the isolate; NULL: none so far
  int32_t function;  // its index in host_names, or NANO_HOST_FREE or NANO_HOST_END
  uint32_t argument_count;
  const void* arguments;  // nano_value, or of NANO_HOST_FREE uint32_t ids
  uint32_t result_count;
  uint32_t failed;  // 1: the results are the name and the text of an error
  nano_value results[NANO_RESULTS_MAX];
  uint8_t room[1024];  // for the data of results
} nano_call;

#define NANO_HOST_FREE -1  // drop objects
#define NANO_HOST_END -2   // drop all

// nano_start brings V8 up, once per process, and seals the read-only heap with a plain isolate.
// op_names: the op table, one name a line, checked against the one compiled in. host_names: the
// functions of Go that JavaScript may call, one name a line, in the order of their indices. NULL,
// or why not.
const char* nano_start(const nano_script* scripts, size_t count, nano_bytes op_names,
                       nano_bytes host_names, nano_bytes flags);
// nano_watch_thread puts what the calling thread runs under the CPU limits of its isolates, for the
// rest of the thread's life. NULL, or why not.
const char* nano_watch_thread(void);
// nano_give_way says that the calling thread, which has a nice value, works from now on (1) or is
// about to wait (0). While it works it lets others run that want to, see giveway.cc.
void nano_give_way(int works);
// nano_gave_way is how often the calling thread has done that.
uint64_t nano_gave_way(void);
const char* nano_version(void);
uint32_t nano_version_tag(void);
// nano_json_does_as_v8 tells whether our own functions for JSON are in use: at the start they were
// found to give what V8's give.
int nano_json_does_as_v8(void);

// nano_snapshot builds the runtime snapshot: the same bytes for the same scripts. 0, or -1 and
// *error.
int nano_snapshot(nano_bytes* blob, char** error);

// nano_image_new makes what isolates of an app are started from. Of modules, the sources and caches
// are referred to, not copied: they and the blob must outlive the image, and the image its
// isolates. blob is the app's snapshot, or empty. Isolates of any thread may share an image.
nano_image* nano_image_new(nano_bytes blob, const nano_module* modules, size_t count);
void nano_image_free(nano_image*);

// What nano_snapshot_app has built.
typedef struct {
  nano_bytes blob;    // empty: the app cannot be snapshotted
  char* reason;       // why it cannot, "file:line:column: what" if the place is known, or NULL
  char* warmup_note;  // why the snapshot was built without the warm-up request, or NULL
} nano_built;

// nano_snapshot_app evaluates an app on top of the runtime snapshot and builds its own, the same
// bytes for the same image. request is a record of a synthetic request that the app is warmed up
// with, or empty. forget: the app is not kept, so that the result is a runtime snapshot again, with
// what of the runtime the request has compiled. -1 and *error if the app does not even start. What
// the app does may end the process: V8 aborts for what a snapshot cannot hold.
int nano_snapshot_app(nano_bytes runtime_blob, const nano_image*, nano_bytes app_name,
                      nano_bytes request, int forget, nano_built* built, char** error);
// nano_linearize makes what nano_snapshot_app and nano_snapshot make of V8's snapshots, whose form
// is NANO_SNAPSHOT_FORM. Empty: V8's is something else, or it is one that is not changed.
void nano_linearize(nano_bytes blob, nano_bytes* linear);
// nano_v8_snapshot is the one that V8 brings along, in V8's form.
nano_bytes nano_v8_snapshot(void);
// nano_diagnose starts an app in an ordinary isolate and tells what a snapshot of it could not
// hold: "file:line:column: what", or NULL if nothing is known.
char* nano_diagnose(nano_bytes runtime_blob, const nano_image*, nano_bytes app_name);

// nano_isolate_new restores an isolate from an app's snapshot, or from the runtime's if image is
// NULL or has none. Both must outlive it. wake is an eventfd to write to when another thread posts
// a task, or -1. heap_limit is in bytes, 0: none. cpu_limit_ms is per request, 0: none; it
// holds on threads that called nano_watch_thread. NULL and *error when V8 refuses the blob.
// inspector is what it can be debugged by, or NULL; its image must have no snapshot then, since V8
// cannot debug code that came with one.
nano_isolate* nano_isolate_new(nano_bytes runtime_blob, const nano_image* image, int wake,
                               size_t heap_limit, int64_t cpu_limit_ms, nano_inspector* inspector,
                               char** error);
// nano_isolate_dispose frees an isolate. 1: it cannot be freed and stays, with all that it refers
// to.
int nano_isolate_dispose(nano_isolate*);
nano_shared* nano_isolate_shared(nano_isolate*);

// nano_isolate_compile compiles the WebAssembly of an image for the isolates of all threads. What
// is wrong with it, starting the app tells.
void nano_isolate_compile(nano_isolate*, const nano_image*);
// nano_isolate_imports compiles a module without running it. *out: lines
// "line:column:specifier". -1 and *error ("name:line:column: SyntaxError: …") if it does not parse.
int nano_isolate_imports(nano_isolate*, nano_bytes name, nano_bytes source, char** out,
                         char** error);
// nano_isolate_start starts the app of an image in a realm: links and evaluates its modules (the
// first is the main one), from code caches where V8 accepts them, unless the realm came with the
// app's snapshot, and hands over env with its bindings. What the app logs meanwhile, the next turn
// brings out, with the promises that it has left rejected. *from_cache tells that no module was
// compiled from source. *caches, if not NULL, becomes an array of a code cache for each module,
// each given back with nano_free like the array itself. -1 and *error if the app does not start.
int nano_isolate_start(nano_isolate*, uint32_t realm, const nano_image*, nano_bytes app_name,
                       nano_bytes env_json, nano_bytes bindings_json, int* from_cache,
                       nano_bytes** caches, char** error);
// nano_isolate_hush drops what the app has logged while it was started.
void nano_isolate_hush(nano_isolate*);
// nano_isolate_limit sets the limit of an isolate that nano_isolate_new made without one.
void nano_isolate_limit(nano_isolate*, int64_t cpu_limit_ms);

// nano_realm_new restores one more context of the isolate's snapshot; its id. -1 and *error if V8
// has no memory for it.
int64_t nano_realm_new(nano_isolate*, char** error);
// nano_realm_drop ends a realm: its memory is garbage, and what it may still do in microtasks or
// tasks of V8 goes into records of realm NANO_DROPPED_REALM.
void nano_realm_drop(nano_isolate*, uint32_t realm);
#define NANO_DROPPED_REALM UINT32_MAX

// nano_isolate_arena gives memory for at least `need` bytes of records into a realm; capacity is
// its size. A record that lies in it stays readable for as long as JavaScript refers to it; what
// lay in an earlier arena must have been handed over by a turn before.
uint8_t* nano_isolate_arena(nano_isolate*, uint32_t realm, size_t need, size_t* capacity);
// nano_isolate_store gives memory for `length` bytes that a data record brings into a realm, and in
// *slot what the record calls it by. It becomes an ArrayBuffer without a copy, and counts from now
// on. NULL if that would be too much.
uint8_t* nano_isolate_store(nano_isolate*, uint32_t realm, size_t length, uint32_t* slot);
// nano_isolate_turn is the crossing: the records of `count` inputs go in, microtasks and due V8
// tasks run, nano_shared has what came out. -1: the isolate is dead.
// It stops taking records after its share of time: the inputs say then which are left.
int nano_isolate_turn(nano_isolate*, nano_input* inputs, size_t count);
// nano_isolate_expect says that the isolate has a turn soon, after that of another one: what it is
// likely to touch is fetched into the processor's caches meanwhile.
void nano_isolate_expect(nano_isolate*);
// nano_isolate_footprint is how many cache lines are known to be that, for tests.
size_t nano_isolate_footprint(const nano_isolate*);

// nano_host_block gives memory for a result of `length` bytes of the call that runs: it becomes an
// ArrayBuffer without a copy, and counts from now on. NULL if that would be too much.
uint8_t* nano_host_block(nano_isolate*, size_t length);
// nano_isolate_objects is where the isolate keeps what nano_call has as objects.
void** nano_isolate_objects(nano_isolate*);

void nano_isolate_memory(nano_isolate*, nano_memory* out);
// nano_isolate_spaces measures at most `most` of V8's heap spaces, in V8's order; their number.
size_t nano_isolate_spaces(nano_isolate*, nano_space* out, size_t most);
// nano_isolate_ranges measures what the isolate has taken of the address ranges that all isolates
// of the process share, in bytes: whole pages, resident or not.
void nano_isolate_ranges(nano_isolate*, nano_ranges* out);
void nano_isolate_collect(nano_isolate*);
// nano_isolate_rest frees the memory of the records that the last turn has brought out.
void nano_isolate_rest(nano_isolate*);
// nano_heap_snapshot begins to write a heap snapshot, as JSON that DevTools reads, into a file
// descriptor, in a child of the process, which ends by itself. Its id, which somebody must wait
// for: it ends with 0 if all was written. -1 and *error if it cannot be forked.
int64_t nano_heap_snapshot(nano_isolate*, int fd, char** error);
// nano_profile_start begins a CPU profile with a sample every interval_us microseconds in which the
// isolate runs, at most samples_max. One per isolate. -1 and *error if V8 cannot.
int nano_profile_start(nano_isolate*, int interval_us, uint32_t samples_max, char** error);
// nano_profile_stop ends it: JSON that DevTools reads, given back with nano_free; empty if none
// runs.
nano_bytes nano_profile_stop(nano_isolate*);
// nano_trim gives memory back to the system that malloc keeps though it is free.
void nano_trim(void);
// nano_memory_is_short has isolates that end in the next ten seconds leave no memory to the next.
void nano_memory_is_short(void);
// nano_unmap_program takes the program's code and constants out of the process's page tables. They
// stay in the kernel's cache, and what is touched again is mapped again, 64 KB at a time.
void nano_unmap_program(void);
// nano_image_map gives a module of an image its source map, for debuggers: the text is copied.
void nano_image_map(nano_image*, size_t module, nano_bytes map);

// nano_inspector_new makes what an app can be debugged by, for as long as the process lives: one
// isolate at a time, while those come and go. base is the URL of the folder that names of modules
// are relative to, with a slash at its end. breaks: the first start of the app waits for a client,
// and stands before its first line then. pause_max_ms: the app goes on after so long, 0: never.
// This and what follows may be called from any thread.
nano_inspector* nano_inspector_new(nano_bytes base, int breaks, int64_t pause_max_ms);
// nano_inspector_stop ends all sessions and pauses for good.
void nano_inspector_stop(nano_inspector*);
// nano_inspector_release ends a pause that lasts, and those that would begin until it is called
// with 0, or the next isolate of the app starts: what waits for the isolate's thread must not wait
// for a client.
void nano_inspector_release(nano_inspector*, int is_released);
// nano_session_open begins a session of a client; NULL: there are too many, or it was stopped.
nano_session* nano_session_open(nano_inspector*);
// nano_session_send brings a message of the client, in UTF-8. -1: the session has ended, or more
// wait than is sensible.
int nano_session_send(nano_session*, nano_bytes message);
// nano_session_receive waits for a message to the client, given back with nano_free. -1: the
// session has ended.
int nano_session_receive(nano_session*, nano_bytes* message);
void nano_session_close(nano_session*);
// nano_session_free: after the session was closed, and nothing waits for its messages any more.
void nano_session_free(nano_session*);

// nano_isolate_terminate may be called from any thread while the isolate lives.
void nano_isolate_terminate(nano_isolate*, int death);

// nano_map_find looks up a place in a table of package sourcemap. 0: it comes from nowhere.
int nano_map_find(nano_bytes table, uint32_t line, uint32_t column, nano_place* place);

void nano_free(void*);

#ifdef __cplusplus
}
#endif
#endif  // NANO_SHIM_H_
