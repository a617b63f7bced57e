// What the shim's own files share. Go sees only shim.h.
#ifndef NANO_ENGINE_H_
#define NANO_ENGINE_H_

#include <pthread.h>
#include <v8.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shim.h"

namespace nano {

// Output collects the records of a turn in one buffer that grows and is kept for the next turn.
class Output {
 public:
  ~Output();
  void Clear();  // also gives memory back after an unusually large turn
  const uint8_t* data() const { return data_; }
  size_t length() const { return length_; }
  // Reserve makes room for n more bytes and returns where they go.
  uint8_t* Reserve(size_t n);
  void Commit(size_t n) { length_ += n; }

 private:
  uint8_t* data_ = nullptr;
  size_t length_ = 0;
  size_t capacity_ = 0;
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

// WatchScope puts a turn under the CPU limit of the watchdog, if its thread is watched.
class Watch;
class WatchScope {
 public:
  WatchScope(nano_isolate* isolate, int64_t limit_ms);
  ~WatchScope();

 private:
  Watch* watch_;
};

class Tasks;  // foreground tasks of an isolate, see platform.cc

}  // namespace nano

struct nano_isolate {
  v8::Isolate* isolate = nullptr;
  pthread_t owner = pthread_self();
  v8::StartupData snapshot = {};  // V8 refers to it for new contexts
  nano_shared shared = {};
  int64_t cpu_limit_ms = 0;
  std::shared_ptr<nano::Tasks> tasks;
  v8::Global<v8::Context> context;
  v8::Global<v8::Object> internals;
  v8::Global<v8::Function> tick;
  nano::Arena arena;
  nano::Output out;
  // Components of the URL parsed last, the memory of internals.urlComponents.
  v8::Global<v8::Uint32Array> url_components;
  uint32_t* url_components_data = nullptr;
  // Promises rejected in this turn and not handled so far, with their reasons.
  std::vector<std::pair<v8::Global<v8::Promise>, v8::Global<v8::Value>>> rejections;
  // The app's modules in the order of the graph that Go passed, and their URLs for import.meta.
  std::vector<v8::Global<v8::Module>> modules;
  std::vector<std::string> urls;
  const nano_module* graph = nullptr;  // while they are linked

  static nano_isolate* From(v8::Isolate* isolate) {
    return static_cast<nano_isolate*>(isolate->GetData(0));
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

// The boot scripts of this process.
class Script;
const std::vector<std::unique_ptr<Script>>& Scripts();
v8::MaybeLocal<v8::Function> CompileScript(v8::Local<v8::Context> context, const Script& script);
const Script* FindScript(std::string_view name);

// platform.cc
std::unique_ptr<v8::Platform> NewPlatform();
std::shared_ptr<Tasks> AttachTasks(v8::Isolate* isolate, nano_shared* shared, int wake);
void DetachTasks(v8::Isolate* isolate);
// RunTasks runs what is due; true if anything ran.
bool RunTasks(Tasks& tasks);

inline v8::Local<v8::String> OneByte(v8::Isolate* isolate, std::string_view text) {
  return v8::String::NewFromOneByte(isolate, reinterpret_cast<const uint8_t*>(text.data()),
                                    v8::NewStringType::kNormal, static_cast<int>(text.size()))
      .ToLocalChecked();
}

// Describe formats a caught exception as "name:line:column: text" (or just the text).
std::string Describe(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::TryCatch& caught);

char* CopyOut(std::string_view text);

}  // namespace nano

#endif  // NANO_ENGINE_H_
