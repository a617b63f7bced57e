// What the shim's own files share. Go sees only shim.h.
#ifndef NANO_ENGINE_H_
#define NANO_ENGINE_H_

#include <pthread.h>
#include <v8.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "footprint.h"
#include "guard.h"
#include "json_parse.h"
#include "shim.h"

namespace nano {

// Output collects the records of a turn in one buffer that grows and is kept for the next turn.
class Output {
 public:
  ~Output();
  void Clear();  // also gives memory back after an unusually large turn
  void Rest();   // clears, and gives all of it back
  const uint8_t* data() const { return data_; }
  size_t length() const { return length_; }
  // Reserve makes room for n more bytes and returns where they go.
  uint8_t* Reserve(size_t n);
  void Commit(size_t n) { length_ += n; }
  // Block is memory for a body that is not copied; the record that is being written owns it.
  uint8_t* Block(size_t n);
  void DropBlock();
  // Finish ends a record: all that was committed is whole. Truncate drops what was not finished.
  void Finish(size_t block_bytes);
  void Limit(size_t heap_limit) { limit_ = heap_limit; }
  void Truncate();
  // Discard clears with the blocks of records that nobody has received.
  void Discard();
  void Swap(Output& other);
  // Bytes of this turn so far.
  size_t total() const { return length_ + blocks_; }
  size_t logged = 0;  // of them, lines of the log

 private:
  uint8_t* data_ = nullptr;
  size_t length_ = 0;
  size_t capacity_ = 0;
  size_t limit_ = 0;          // 0: none
  size_t finished_ = 0;       // bytes of whole records
  size_t blocks_ = 0;         // bytes of the blocks of this turn
  uint8_t* block_ = nullptr;  // of the record that is not finished
};

// The first words of an arena are cells for C++ and the function tick of 90_dispatch.js.
enum ArenaCell {
  kCellEnd,    // not 0: the turn's share of time is over, take no more records
  kCellDrain,  // not 0: drain microtasks after each record, since they may be long
  kCellNext,   // by tick: the word where the records begin that it left
  kCells = 4,
};

// Arena is the ArrayBuffer that records in are written to. Requests of JavaScript keep it alive.
struct Arena {
  v8::Global<v8::Int32Array> words;
  uint8_t* data = nullptr;
  size_t capacity = 0;
  bool fresh = false;  // the one of the snapshot, not used so far

  void Use(v8::Isolate* isolate, v8::Local<v8::Int32Array> memory) {
    words.Reset(isolate, memory);
    data = static_cast<uint8_t*>(memory->Buffer()->Data());
    capacity = memory->ByteLength();
  }
};

class Host;
struct Inspection;  // see inspector.cc
struct Profile;     // see profile.cc
class Script;
class Tasks;  // foreground tasks of an isolate, see platform.cc
struct Linking;

// Compilations of WebAssembly that go on beside the loop, of one isolate: see wasm.cc.
struct Compilations {
  std::atomic<size_t> bytes{0};  // that they take
  std::mutex mutex;              // of the others; V8 may drop a compilation on a thread of its own
  uint32_t streaming = 0;        // streamed ones without a result
  std::deque<size_t> finished;   // bytes of those that have been streamed whole, in order

  bool Fits(nano_isolate* self, size_t more) const;
  void StreamEnded();
};

// A streamed compilation that JavaScript feeds.
struct Streaming {
  std::shared_ptr<v8::WasmStreaming> wasm;
  size_t bytes;  // that it was given
};

// What V8 does on its worker threads is on the bill of an isolate, in nanoseconds of CPU time, if
// it was begun in a BillScope of that.
using Bill = std::shared_ptr<std::atomic<int64_t>>;
class BillScope {
 public:
  explicit BillScope(const Bill& bill);
  ~BillScope();
  BillScope(const BillScope&) = delete;

 private:
  const Bill* const outer_;
};

// GiveWay is nano_give_way.
void GiveWay(bool works);

// SourceText is a module's source outside all heaps. Snapshots refer to it by its address's index
// in the external references of its image.
class SourceText final : public v8::String::ExternalOneByteStringResource {
 public:
  explicit SourceText(nano_bytes text) : text_(text) {}
  const char* data() const override { return text_.data; }
  size_t length() const override { return text_.length; }

 protected:
  void Dispose() override {}  // lives as long as its image

 private:
  const nano_bytes text_;
};

// WideText is the same for a source with characters beyond Latin-1.
class WideText final : public v8::String::ExternalStringResource {
 public:
  explicit WideText(nano_bytes text) : text_(text) {}
  const uint16_t* data() const override { return reinterpret_cast<const uint16_t*>(text_.data); }
  size_t length() const override { return text_.length / 2; }

 protected:
  void Dispose() override {}

 private:
  const nano_bytes text_;
};

// WebAssembly of an image: compiled once, by whoever needs it first, for the isolates of all
// threads.
struct SharedWasm {
  std::mutex mutex;
  std::optional<v8::CompiledWasmModule> compiled;
};

// Place is where something stands in a file: lines and columns begin with 1, columns are UTF-16
// units.
struct Place {
  std::string_view file;
  uint32_t line, column;
};

// SourceMap is a view of a table that package sourcemap has made.
class SourceMap {
 public:
  SourceMap() = default;
  explicit SourceMap(nano_bytes table);  // of no valid table it is empty
  bool empty() const { return table_.empty(); }
  // Find tells where a place of the generated text comes from, which is counted from 0. False: from
  // nowhere that is known.
  bool Find(uint32_t line, uint32_t column, Place* place) const;

 private:
  uint32_t Number(size_t offset) const;
  bool Source(uint32_t index, std::string_view* name) const;

  std::string_view table_;
  uint32_t segments_ = 0, sources_ = 0, blocks_ = 0, names_ = 0, data_ = 0;
};

// A module of an image.
struct ModuleSource {
  std::string name;
  std::unique_ptr<SharedWasm> wasm;  // set if it is WebAssembly
  std::u16string wide_name;          // if it has a map
  SourceMap places;
  nano_bytes source;
  nano_bytes cache;
  // One of them is set, unless the source is short.
  std::unique_ptr<SourceText> external;
  std::unique_ptr<WideText> wide;
  std::vector<std::pair<std::string, uint32_t>> imports;
  std::string map;  // the URL of its source map, for debuggers; or empty
};

// Rejection is a promise that was rejected, the reason, and the exchange that it happened for.
struct Rejection {
  v8::Global<v8::Promise> promise;
  v8::Global<v8::Value> reason, exchange;
};

}  // namespace nano

struct nano_image {
  v8::StartupData blob = {nullptr, 0};
  std::vector<nano::ModuleSource> modules;
  std::vector<intptr_t> references;  // those of the process, and the external sources
  bool has_maps = false;
};

// A realm is one context with what belongs to it: its runtime, its app, its records in. Most
// isolates have one; with a fresh context for each request they have several.
struct nano_realm {
  nano_realm(nano_isolate* owner, uint32_t id) : owner(owner), id(id) {}

  nano_isolate* const owner;
  const uint32_t id;  // its index in nano_isolate::realms
  v8::Global<v8::Context> context;
  v8::Global<v8::Object> internals;
  v8::Global<v8::Function> tick;
  // Error, and what reads the stacks of errors, as they were before the app: see UseMaps.
  v8::Global<v8::Object> error_constructor;
  v8::Global<v8::Function> stack_getter;
  nano::Arena arena;
  // Components of the URL parsed last, the memory of internals.urlComponents.
  v8::Global<v8::Uint32Array> url_components;
  uint32_t* url_components_data = nullptr;
  nano::json::Documents json;        // what its documents look like
  nano::Linking* linking = nullptr;  // while the app's modules are linked
  // What data records that were staged have brought, by slot, until JavaScript takes it.
  std::vector<std::unique_ptr<v8::BackingStore>> stores;
  std::vector<uint32_t> free_stores;
  bool from_snapshot = false;  // the app came with the snapshot, evaluated

  std::unique_ptr<v8::BackingStore> TakeStore(uint32_t slot);

  // Of is the realm of a context of ours.
  static nano_realm* Of(v8::Local<v8::Context> context) {
    return static_cast<nano_realm*>(context->GetAlignedPointerFromEmbedderData(kSlot));
  }
  // The embedder slot of a context that holds its realm. A snapshot cannot hold the pointer, but
  // must have made room for it: see ReserveRealmSlot.
  static constexpr int kSlot = 1;
};

struct nano_isolate {
  v8::Isolate* isolate = nullptr;
  pthread_t owner = pthread_self();
  v8::StartupData snapshot = {};      // V8 refers to it for new contexts
  bool has_app_snapshot = false;      // and the app is in it
  const nano_image* image = nullptr;  // that the app was started from
  nano_shared shared = {};
  std::string name = "?";  // of the app, for messages
  size_t heap_limit = 0;   // in bytes, off-heap memory included; 0: none
  nano::Meter meter;
  nano::Pace pace;
  nano::IdleState idle;
  std::shared_ptr<nano::Allocator> allocator;
  struct {
    uintptr_t start = 0;
    size_t length = 0;
  } builtins, code;  // where V8's built-ins and compiled JavaScript lie
  nano::Scratch scratch;
  nano::Frames frames;
  nano::Footprint footprint;
  bool unsound = false;          // abandoned in the middle of a collection
  bool drains = false;           // the turn before was long, see kCellDrain
  nano_input* inputs = nullptr;  // of this turn, as far as they were not taken
  size_t input_count = 0;
  std::shared_ptr<nano::Tasks> tasks;
  nano::Output out;
  // A turn runs, or something for one. Never while a snapshot is built.
  bool in_turn = false;
  bool in_scope = false;    // a WatchScope covers what runs
  bool in_restore = false;  // a context is read from the snapshot
  size_t buffers_kept = 0;  // bytes of ArrayBuffers after the last collection for their sake
  size_t buffers_old = 0;   // the same, of the old generation
  // Lazy scripts that this turn was the first in the process to run, see KeepCaches.
  std::vector<std::pair<const nano::Script*, v8::Global<v8::UnboundScript>>> first_run;
  nano::Output start_out;  // what starting the app has written, for the next turn to bring out
  std::unique_ptr<nano::Host, void (*)(nano::Host*)> host{nullptr, nullptr};  // see hostcall.cc
  size_t shared_pages = 0;  // of WebAssembly's shared memories made so far, see stores.cc
  void* heap = nullptr;     // V8's, once it has made memory for an ArrayBuffer
  // The realms by id, the main one first; null where an id is free.
  std::vector<std::unique_ptr<nano_realm>> realms;
  bool has_realms = false;                       // more than the main one: code of any may run
  nano_realm dropped{this, NANO_DROPPED_REALM};  // of contexts whose realm has ended
  // WebAssembly that is compiled beside the loop.
  std::shared_ptr<nano::Compilations> compilations = std::make_shared<nano::Compilations>();
  std::unordered_map<uint32_t, nano::Streaming> streamings;  // by what JavaScript knows them by
  uint32_t streaming_last = 0;
  size_t kept_memory = 0;            // bytes that are counted until the isolate ends, see stores.cc
  nano::Profile* profile = nullptr;  // the CPU profile that goes on
  nano::Inspection* inspection = nullptr;  // null: nobody can debug it
  bool abandoned = false;                  // frames were skipped, see Rescue
  nano::Bill billed = std::make_shared<std::atomic<int64_t>>(0);
  // Promises rejected in this turn and not handled so far.
  std::vector<nano::Rejection> rejections, reporting;
  // Promises that were rejected before and have got a handler in this turn.
  std::vector<v8::Global<v8::Promise>> handled_late;

  // From is the isolate's own, or null while the runtime snapshot is built.
  static nano_isolate* From(v8::Isolate* isolate) {
    return static_cast<nano_isolate*>(isolate->GetData(0));
  }
  nano_realm* main() const { return realms[0].get(); }
  // current is the realm of the code that runs, also during microtasks: V8 enters a microtask's
  // context.
  nano_realm* current() const {
    if (!has_realms) return main();
    return isolate->InContext() ? nano_realm::Of(isolate->GetCurrentContext()) : main();
  }
};

namespace nano {

// The op table: the order of Ops() is the order of webapi.Ops, which nano_start checks.
struct Op {
  const char* name;
  v8::FunctionCallback callback;
  int length;
};
extern const Op kOps[];
extern const size_t kOpCount;

// FastCall is what optimized code calls instead of an op where the arguments are of the right
// types: a function that neither allocates in V8's heap nor throws. Null: the op has none.
const v8::CFunction* FastCall(const Op& op);

// Script is a boot script whose text all isolates share as an external string. Its resource is
// part of the external references, so that snapshots hold a reference instead of the text.
class Script final : public v8::String::ExternalOneByteStringResource {
 public:
  Script(const nano_script& script)
      : name(script.name.data, script.name.length),
        lazy(script.lazy != 0),
        text_(script.source.data, script.source.length) {}
  const char* data() const override { return text_.data(); }
  size_t length() const override { return text_.size(); }

  // A code cache that isolates of all threads share: the first that has run the script makes it.
  // Null if there is none so far.
  const v8::ScriptCompiler::CachedData* cache() const {
    return cache_.load(std::memory_order_acquire);
  }
  void Keep(std::unique_ptr<v8::ScriptCompiler::CachedData> cache) const;

  const std::string name;
  const bool lazy;

 protected:
  void Dispose() override {}  // lives as long as the process

 private:
  const std::string text_;
  mutable std::atomic<const v8::ScriptCompiler::CachedData*> cache_{nullptr};
};

// The boot scripts of this process.
const std::vector<std::unique_ptr<Script>>& Scripts();
// CompileScript gives the function of a script. use_cache: by its code cache; not where a snapshot
// is built, which is to be the same whatever the process has done before.
v8::MaybeLocal<v8::Function> CompileScript(v8::Local<v8::Context> context, const Script& script,
                                           bool use_cache = false);
// KeepCaches makes the code caches of scripts that ran for the first time, at the end of a turn:
// what they have compiled by then is in them.
void KeepCaches(nano_isolate* self);
const Script* FindScript(std::string_view name);

// platform.cc
std::unique_ptr<v8::Platform> NewPlatform();
std::shared_ptr<Tasks> AttachTasks(v8::Isolate* isolate, nano_shared* shared, int wake);
void DetachTasks(v8::Isolate* isolate);
// SealTasks is AttachTasks for the sealing isolate, which no loop runs; TasksSealed says that it is
// ready.
void SealTasks(v8::Isolate* isolate);
void TasksSealed();
// PostTask posts a foreground task.
void PostTask(Tasks& tasks, std::unique_ptr<v8::Task> task);
// RunTasks runs what is due; true if anything ran.
bool RunTasks(Tasks& tasks);
// WakeForTasks wakes the loop for tasks that its own thread has posted, at the end of a turn. Who
// posts on another thread then sees that tasks are due already, and wakes nobody.
void WakeForTasks(Tasks& tasks);

inline v8::Local<v8::String> OneByte(v8::Isolate* isolate, std::string_view text) {
  return v8::String::NewFromOneByte(isolate, reinterpret_cast<const uint8_t*>(text.data()),
                                    v8::NewStringType::kNormal, static_cast<int>(text.size()))
      .ToLocalChecked();
}

inline v8::MaybeLocal<v8::String> Utf8(v8::Isolate* isolate, nano_bytes text) {
  return v8::String::NewFromUtf8(isolate, text.data, v8::NewStringType::kNormal,
                                 static_cast<int>(text.length));
}

// PlaceOf is the innermost place in the app's code, "file:line:column", or "".
std::string PlaceOf(v8::Isolate* isolate, v8::Local<v8::StackTrace> stack);

// PlaceText is "file:line:column" of a place in the app's code, by the app's source maps.
std::string PlaceText(v8::Isolate* isolate, std::string_view file, int line, int column);

// PlaceIn is the innermost place in the app's code of the text of a stack, or "".
std::string PlaceIn(std::string_view stack);

// UseMaps has the stacks of a realm's errors name places in the sources, if the image that its app
// is started from has source maps. Before the app runs.
void UseMaps(nano_realm* realm, v8::Local<v8::Context> context, const nano_image* image);

// Describe formats a caught exception as "name:line:column: text" (or just the text).
// PlaceIn is the same of a stack in words.
std::string PlaceIn(std::string_view stack);

std::string Describe(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::TryCatch& caught);

char* CopyOut(std::string_view text);

[[noreturn]] void Fatal(const char* location, const char* message);

// Parameters are what all isolates of the process are made with.
v8::Isolate::CreateParams Parameters(const v8::StartupData* blob);

// SealingIsolate is the one that was made first, which runs nothing.
v8::Isolate* SealingIsolate();

// ExternalReferences are the addresses that snapshots hold by their index here, ended by a 0.
const std::vector<intptr_t>& ExternalReferences();

// Deterministic makes this thread's randomness constant while a snapshot is built: the same scripts
// give the same bytes, and V8 rehashes with a fresh seed when an isolate is restored.
class Deterministic {
 public:
  Deterministic();
  ~Deterministic();

  // Active: the calling thread builds a snapshot.
  static bool Active();
};

// ---- realm.cc ----

// What the context of a snapshot carries, by index of its data. kUrlComponents is absent if nothing
// has parsed a URL.
constexpr size_t kInternals = 0, kFirstArena = 1, kUrlComponents = 2;

// The first arena is small, for isolates that are hardly used; later ones are for those that fill
// it again and again.
constexpr size_t kFirstArenaBytes = 4 << 10, kArenaBytes = 32 << 10;

// RealmScope enters an isolate and the context of one of its realms, for a call from Go.
struct RealmScope {
  explicit RealmScope(nano_realm* realm)
      : isolate_scope(realm->owner->isolate),
        handles(realm->owner->isolate),
        context(realm->context.Get(realm->owner->isolate)),
        context_scope(context) {}
  v8::Isolate::Scope isolate_scope;
  v8::HandleScope handles;
  v8::Local<v8::Context> context;
  v8::Context::Scope context_scope;
};

// ReserveRealmSlot makes room in a context that goes into a snapshot for the pointer to its realm.
void ReserveRealmSlot(v8::Isolate* isolate, v8::Local<v8::Context> context);

// AddRealm makes a realm of a context.
nano_realm* AddRealm(nano_isolate* self, v8::Local<v8::Context> context,
                     v8::Local<v8::Object> internals, v8::Local<v8::Int32Array> arena);

// RestoreRealm makes a realm of a context of the isolate's snapshot; null: there is none in it.
nano_realm* RestoreRealm(nano_isolate* self);

// InstallCallbacks sets what V8 calls of an isolate of ours.
void InstallCallbacks(nano_isolate* self);

// What Load can do on the way.
struct LoadOptions {
  bool use_caches = true;
  nano_bytes* caches = nullptr;  // filled with a code cache for each module, if not null
  v8::LocalVector<v8::Module>* modules = nullptr;  // filled with all modules, if not null
  // Filled with what stands for WebAssembly while a snapshot is built, if not null.
  std::vector<v8::Global<v8::Object>>* wasm = nullptr;
};

// WasmModule gives the WebAssembly.Module of a module of an image, compiling it if it is the first.
v8::MaybeLocal<v8::Object> WasmModule(v8::Isolate* isolate, const ModuleSource& source);
// SetWasm exports values, one for each WebAssembly of the image that a realm was loaded from, in
// its order.
// SetWasm exports values, one for each WebAssembly of the image that a realm was loaded from, in
// its order.
bool SetWasm(nano_realm* realm, v8::Local<v8::Context> context,
             const v8::LocalVector<v8::Value>& values);
// ResumeWasm compiles the WebAssembly of a realm that came with a snapshot.
bool ResumeWasm(nano_realm* realm, v8::Local<v8::Context> context, const nano_image& image,
                std::string* error);

// Load links and evaluates the modules of an image and starts the app, without its env. A problem
// if it does not start. *from_cache: no module was compiled from source.
bool Load(nano_realm* realm, v8::Local<v8::Context> context, const nano_image& image,
          nano_bytes app_name, const LoadOptions& options, bool* from_cache, std::string* error);

// CallHook calls a hook with up to three arguments, for nothing but its effect.
bool CallHook(nano_realm* realm, v8::Local<v8::Context> context, std::string_view name,
              v8::Local<v8::Value> argument, std::string* error,
              v8::Local<v8::Value> second = v8::Local<v8::Value>(),
              v8::Local<v8::Value> third = v8::Local<v8::Value>());

// CPU time that an app's top level may take, in nanoseconds.
constexpr int64_t kStartLimit = 1000000000;

// UrlComponents makes the array that the op urlComponents gives, once for each realm.
uint32_t* UrlComponents(nano_realm* realm);

// BuffersKey is the name of a property of the global object's prototype, see ShowBuffers.
v8::Local<v8::Private> BuffersKey(v8::Isolate* isolate);

// Hook is a function that the runtime's scripts have put on internals.
v8::MaybeLocal<v8::Function> Hook(nano_realm* realm, v8::Local<v8::Context> context,
                                  std::string_view name);

// ---- hostcall.cc ----

// CallHost is the callback of the functions that JavaScript calls Go by. Its data is their index.
void CallHost(const v8::FunctionCallbackInfo<v8::Value>& info);

// SetHostNames makes the table of these functions, one name a line.
void SetHostNames(nano_bytes names);

// FreeHostObjects tells Go of the objects that JavaScript has dropped.
void FreeHostObjects(nano_isolate* self);

// EndHost tells Go that all of them are dropped.
void EndHost(nano_isolate* self);

// HostObjectPlace tells in a builder where an object was made that is alive still. "": there is
// none.
std::string HostObjectPlace(nano_isolate* self);

// ---- pages.cc ----

// KeepPages has pages of large objects kept for other ones from now on. isolate is any one of the
// process; their heaps are in one range.
void KeepPages(v8::Isolate* isolate);

// DropFreePointers gives memory of a new isolate's tables back that V8 has written and never reads.
void DropFreePointers(v8::Isolate* isolate);

// ---- inspector.cc ----

// AttachInspector makes a new isolate the one that an inspector debugs, before it has a realm.
// False: the inspector was stopped, or debugs an isolate of another thread.
bool AttachInspector(nano_isolate* self, nano_inspector* inspector);
// ConnectInspector goes on with the sessions that there are, once the isolate has its main realm.
void ConnectInspector(nano_isolate* self);
void DetachInspector(nano_isolate* self);
// DispatchInspector handles what clients have sent.
void DispatchInspector(nano_isolate* self);
// InspectRealm and ForgetRealm tell of contexts.
void InspectRealm(nano_realm* realm, v8::Local<v8::Context> context);
void ForgetRealm(nano_realm* realm, v8::Local<v8::Context> context);
// BreakAtStart waits for a client if that is wished, and has it stand before the next line of an
// app.
void BreakAtStart(nano_isolate* self);
// TellUncaught tells clients of an error that nothing has caught, by its description.
void TellUncaught(nano_isolate* self, v8::Local<v8::Value> described);

// ---- profile.cc ----

// EndProfile drops the CPU profile that goes on, before the isolate ends.
void EndProfile(nano_isolate* self);

// ---- ops.cc ----

// ParseJson parses a document of JSON in UTF-8 for the code that runs. False: V8 is to parse it.
bool ParseJson(v8::Isolate* isolate, std::string_view bytes, v8::Local<v8::Value>* value);

// ---- heap_bytes.cc ----

// Typed arrays have up to so many bytes in V8's heap.
constexpr size_t kInHeapMax = 4 << 10;

// FillInHeap gives a blank array, a new Uint8Array of one byte to 64, others in V8's heap. False:
// it stays as it is, since they are too many, or V8 could not have it just now.
//
// One byte at least, since V8 clears what an array begins with. Of none it would have the core
// write none of a vector to read-only memory, which takes some processors as long as all else that
// is done here.
bool FillInHeap(v8::Isolate* isolate, v8::Local<v8::Uint8Array> array, std::string_view bytes);

// WritableBytes gives where the bytes of an array lie. If that is in V8's heap, they stay there
// only until something is allocated.
v8::MemorySpan<char> WritableBytes(v8::Local<v8::Uint8Array> array);

// ViewBytes gives the bytes of a view. Those in V8's heap are copied to `scratch` if that has room
// for them, and moved out of the heap otherwise. V8's own GetContents aborts then.
std::string_view ViewBytes(v8::Local<v8::ArrayBufferView> view, v8::MemorySpan<uint8_t> scratch);

// ---- stores.cc ----

// CollectBuffers collects garbage if it is likely to hold many bytes in ArrayBuffers.
void CollectBuffers(nano_isolate* self);

// ---- wasm.cc ----

// OnWasmStreaming begins what WebAssembly.compileStreaming and instantiateStreaming have been
// given.
void OnWasmStreaming(const v8::FunctionCallbackInfo<v8::Value>& info);

// ---- snapshot.cc ----

// ReadTrap is the getter of a global that a builder's isolate does not have.
void ReadTrap(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value>& info);

// RefuseSnapshot notes why the app that runs cannot be snapshotted, with the place of its code. If
// it is not being built, nobody reads that.
void RefuseSnapshot(v8::Isolate* isolate, v8::Local<v8::Value> words);

// ---- turn.cc ----

void OnMessage(v8::Local<v8::Message> message, v8::Local<v8::Value> error);
void OnPromiseReject(v8::PromiseRejectMessage message);
size_t OnNearHeapLimit(void* isolate, size_t current, size_t initial);
// EndTurn makes the turn that runs take no more records.
void EndTurn(nano_isolate* self);

}  // namespace nano

#endif  // NANO_ENGINE_H_
