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

// An ES module of an app, its imports already resolved: import_targets[i] is the index of the
// module that import_names[i] means.
typedef struct {
  nano_bytes name;
  nano_bytes source;  // UTF-8
  const nano_bytes* import_names;
  const uint32_t* import_targets;
  size_t import_count;
} nano_module;

// Cells that both sides read without a call. Written by V8's threads too: read them atomically.
typedef struct {
  uint32_t tasks;        // 1: foreground tasks are due, give the isolate a turn
  uint32_t dead;         // an enum nano_death: the isolate must be disposed of
  int64_t task_time_ns;  // CLOCK_MONOTONIC time of the next delayed task, or 0
} nano_shared;

enum nano_death { NANO_ALIVE = 0, NANO_DEAD_MEMORY = 1, NANO_DEAD_CPU = 2 };

// The records of one realm that go in with a turn: `count` of them, from byte `offset` of its
// arena.
typedef struct {
  uint32_t realm;  // 0: the main one
  uint32_t offset;
  uint32_t count;
} nano_input;

// A turn's result: `length` bytes of records (nano_record, each followed by its bytes).
typedef struct {
  const uint8_t* records;
  size_t length;
} nano_output;

enum nano_kind {
  NANO_RESPOND = 1,
  NANO_CHUNK = 2,
  NANO_END = 3,
  NANO_SETTLED = 4,
  NANO_TIMER_SET = 5,
  NANO_TIMER_CLEAR = 6,
  NANO_LOG = 7,
};

// One record out. Its bytes follow the struct: reason, head, body (unless block is set).
typedef struct {
  uint32_t size;  // of struct and bytes, a multiple of 8
  uint8_t kind;
  uint8_t flags;  // NANO_RESPOND: as op respond; NANO_END: failed; NANO_LOG: level
  uint16_t status;
  uint32_t id;
  uint32_t reason_length;
  uint32_t head_length;
  uint32_t body_length;
  uint32_t realm;     // whose code wrote it
  uint32_t reserved;  // 0
  uint8_t* block;     // large body: NANO_HEAD_ROOM bytes, then the body; owned by the receiver
  double delay_ms;
} nano_record;

#define NANO_HEAD_ROOM 1024

typedef struct {
  uint64_t heap_used, heap_total, heap_physical, external, malloced;
} nano_memory;

// nano_start brings V8 up, once per process, and seals the read-only heap with a plain isolate.
// op_names: the op table, one name a line, checked against the one compiled in. NULL, or why not.
const char* nano_start(const nano_script* scripts, size_t count, nano_bytes op_names,
                       nano_bytes flags);
// nano_watch_thread puts what the calling thread runs under the CPU limits of its isolates, for the
// rest of the thread's life. NULL, or why not.
const char* nano_watch_thread(void);
const char* nano_version(void);
uint32_t nano_version_tag(void);

// nano_snapshot builds the runtime snapshot: the same bytes for the same scripts. 0, or -1 and
// *error.
int nano_snapshot(nano_bytes* blob, char** error);

// nano_isolate_new restores an isolate from a runtime snapshot, which must outlive it. wake is an
// eventfd to write to when another thread posts a task, or -1. heap_limit is in bytes, 0: none.
// cpu_limit_ms is per record of a turn, 0: none; it holds on threads that called nano_watch_thread.
// NULL and *error when V8 refuses the blob.
nano_isolate* nano_isolate_new(nano_bytes blob, int wake, size_t heap_limit, int64_t cpu_limit_ms,
                               char** error);
void nano_isolate_dispose(nano_isolate*);
nano_shared* nano_isolate_shared(nano_isolate*);

// nano_isolate_imports compiles a module without running it. *out: lines
// "line:column:specifier". -1 and *error ("name:line:column: SyntaxError: …") if it does not parse.
int nano_isolate_imports(nano_isolate*, nano_bytes name, nano_bytes source, char** out,
                         char** error);
// nano_isolate_load links and evaluates modules (the first is the main one) and starts the app.
int nano_isolate_load(nano_isolate*, const nano_module* modules, size_t count, nano_bytes app_name,
                      nano_bytes env_json, char** error);

// nano_isolate_arena gives memory for at least `need` bytes of records into a realm; capacity is
// its size. A record that lies in it stays readable for as long as JavaScript refers to it; what
// lay in an earlier arena must have been handed over by a turn before.
uint8_t* nano_isolate_arena(nano_isolate*, uint32_t realm, size_t need, size_t* capacity);
// nano_isolate_turn is the crossing: the records of `count` inputs go in, microtasks and due V8
// tasks run, *out describes what came out. -1: the isolate is dead.
// It stops taking records after its share of time: the inputs say then which are left.
int nano_isolate_turn(nano_isolate*, nano_input* inputs, size_t count, nano_output* out);

void nano_isolate_memory(nano_isolate*, nano_memory* out);
void nano_isolate_collect(nano_isolate*);
// nano_context_new restores one more context of the runtime snapshot and drops it (measurement).
int nano_context_new(nano_isolate*);
// nano_isolate_terminate may be called from any thread while the isolate lives.
void nano_isolate_terminate(nano_isolate*, int death);

void nano_free(void*);

#ifdef __cplusplus
}
#endif
#endif  // NANO_SHIM_H_
