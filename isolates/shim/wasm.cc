// WebAssembly that is compiled beside the loop: V8 decodes and compiles on its worker threads and
// comes back by foreground tasks (platform.cc). Here is what belongs to the node: what feeds a
// streaming compilation, whose memory it is, and who pays for the threads' time.
#include <memory>
#include <utility>

#include "engine.h"
#include "ops.h"

// Not in an anonymous namespace: the linker must see the functions (-wrap, see shim.go).
namespace nano::wasm {

namespace {

// What a compilation takes beside its bytes, at least.
constexpr size_t kOverhead = 32 << 10;

v8::Local<v8::Value> TooMuch(v8::Isolate* isolate) {
  return v8::Exception::RangeError(
      OneByte(isolate, "WebAssembly modules that are being compiled take too much memory"));
}

}  // namespace

// Resolver is V8's CompilationResultResolver, as far as the ABI goes. Handles are pointers to
// slots, like v8::Local.
class Resolver {
 public:
  virtual void OnCompilationSucceeded(v8::Local<v8::Value> module) = 0;
  virtual void OnCompilationFailed(v8::Local<v8::Value> error) = 0;
  virtual ~Resolver() = default;
};

// Counted holds the memory of a compilation against its isolate until that has its result.
class Counted final : public Resolver {
 public:
  Counted(nano_isolate* self, size_t bytes, bool streaming, std::shared_ptr<Resolver> resolver)
      : compilations_(self->compilations),
        bytes_(bytes),
        streaming_(streaming),
        resolver_(std::move(resolver)) {
    compilations_->bytes += bytes_;
    if (!streaming_) return;
    std::lock_guard<std::mutex> lock(compilations_->mutex);
    compilations_->streaming++;
  }
  ~Counted() override { Release(); }
  void OnCompilationSucceeded(v8::Local<v8::Value> module) override {
    Release();
    resolver_->OnCompilationSucceeded(module);
  }
  void OnCompilationFailed(v8::Local<v8::Value> error) override {
    Release();
    resolver_->OnCompilationFailed(error);
  }

 private:
  void Release() {
    if (released_) return;
    released_ = true;
    compilations_->bytes -= bytes_;
    if (streaming_) compilations_->StreamEnded();
  }

  const std::shared_ptr<Compilations> compilations_;
  const size_t bytes_;
  const bool streaming_;
  const std::shared_ptr<Resolver> resolver_;
  bool released_ = false;
};

// What V8 passes by value and we hand on.
struct Features {
  uintptr_t bits[1];
};
struct Imports;  // CompileTimeImports, passed by its address
struct Bytes {   // base::OwnedVector, passed by its address
  const uint8_t* data;
  size_t length;
};

#define NANO_ASYNC_COMPILE                                                                        \
  "_ZN2v88internal4wasm10WasmEngine12AsyncCompileEPNS0_7IsolateENS1_19WasmEnabledFeaturesENS1_"   \
  "18CompileTimeImportsESt10shared_ptrINS1_25CompilationResultResolverEENS_4base11OwnedVectorIKh" \
  "EEPKc"
#define NANO_START_STREAMING                                                       \
  "_ZN2v88internal4wasm10WasmEngine25StartStreamingCompilationEPNS0_7IsolateENS1_" \
  "19WasmEnabledFeaturesENS1_18CompileTimeImportsENS0_12DirectHandleINS0_"         \
  "7ContextEEEPKcSt10shared_"                                                      \
  "ptrINS1_25CompilationResultResolverEE"

void RealAsyncCompile(void* engine, v8::Isolate* isolate, Features features, Imports& imports,
                      std::shared_ptr<Resolver>& resolver, Bytes& bytes,
                      const char* name) asm("__real_" NANO_ASYNC_COMPILE);
void AsyncCompile(void* engine, v8::Isolate* isolate, Features features, Imports& imports,
                  std::shared_ptr<Resolver>& resolver, Bytes& bytes,
                  const char* name) asm("__wrap_" NANO_ASYNC_COMPILE);
void AsyncCompile(void* engine, v8::Isolate* isolate, Features features, Imports& imports,
                  std::shared_ptr<Resolver>& resolver, Bytes& bytes, const char* name) {
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr)
    return RealAsyncCompile(engine, isolate, features, imports, resolver, bytes, name);
  if (!self->compilations->Fits(self, bytes.length + kOverhead))
    return resolver->OnCompilationFailed(TooMuch(isolate));
  std::shared_ptr<Resolver> counted =
      std::make_shared<Counted>(self, bytes.length + kOverhead, false, resolver);
  BillScope bill(self->billed);
  RealAsyncCompile(engine, isolate, features, imports, counted, bytes, name);
}

// A std::shared_ptr is returned through an address that comes first.
std::shared_ptr<void> RealStartStreaming(
    void* engine, v8::Isolate* isolate, Features features, Imports& imports,
    v8::Local<v8::Context> context, const char* name,
    std::shared_ptr<Resolver>& resolver) asm("__real_" NANO_START_STREAMING);
std::shared_ptr<void> StartStreaming(
    void* engine, v8::Isolate* isolate, Features features, Imports& imports,
    v8::Local<v8::Context> context, const char* name,
    std::shared_ptr<Resolver>& resolver) asm("__wrap_" NANO_START_STREAMING);
std::shared_ptr<void> StartStreaming(void* engine, v8::Isolate* isolate, Features features,
                                     Imports& imports, v8::Local<v8::Context> context,
                                     const char* name, std::shared_ptr<Resolver>& resolver) {
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr)
    return RealStartStreaming(engine, isolate, features, imports, context, name, resolver);
  std::shared_ptr<Resolver> counted = std::make_shared<Counted>(self, kOverhead, true, resolver);
  BillScope bill(self->billed);
  return RealStartStreaming(engine, isolate, features, imports, context, name, counted);
}

}  // namespace nano::wasm

namespace nano {

v8::MaybeLocal<v8::Object> WasmModule(v8::Isolate* isolate, const ModuleSource& source) {
  // The mutex is not held while V8 works: an isolate that is abandoned there unlocks nothing.
  // Threads that compile the same bytes at once get the same code from V8.
  std::optional<v8::CompiledWasmModule> compiled;
  {
    std::lock_guard<std::mutex> lock(source.wasm->mutex);
    if (source.wasm->compiled.has_value()) compiled.emplace(*source.wasm->compiled);
  }
  v8::Local<v8::WasmModuleObject> module;
  if (compiled.has_value()) {
    if (!v8::WasmModuleObject::FromCompiledModule(isolate, *compiled).ToLocal(&module)) return {};
    return module;
  }
  v8::MemorySpan<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(source.source.data),
                                      source.source.length);
  if (!v8::WasmModuleObject::Compile(isolate, bytes).ToLocal(&module)) return {};
  compiled.emplace(module->GetCompiledModule());
  std::lock_guard<std::mutex> lock(source.wasm->mutex);
  if (!source.wasm->compiled.has_value()) source.wasm->compiled.emplace(*compiled);
  return module;
}

bool SetWasm(nano_realm* realm, v8::Local<v8::Context> context,
             const v8::LocalVector<v8::Value>& values) {
  v8::Isolate* isolate = realm->owner->isolate;
  if (values.empty()) return true;
  v8::Local<v8::Value> setters, setter;
  if (!realm->internals.Get(isolate)->Get(context, OneByte(isolate, "wasm")).ToLocal(&setters) ||
      !setters->IsArray())
    return false;
  for (uint32_t i = 0; i < values.size(); i++) {
    v8::Local<v8::Value> value = values[i];
    if (!setters.As<v8::Array>()->Get(context, i).ToLocal(&setter) || !setter->IsFunction() ||
        setter.As<v8::Function>()->Call(context, v8::Undefined(isolate), 1, &value).IsEmpty())
      return false;
  }
  return true;
}

bool ResumeWasm(nano_realm* realm, v8::Local<v8::Context> context, const nano_image& image,
                std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::LocalVector<v8::Value> values(isolate);
  for (const ModuleSource& source : image.modules) {
    if (source.wasm == nullptr) continue;
    v8::TryCatch caught(isolate);
    v8::Local<v8::Object> module;
    if (!WasmModule(isolate, source).ToLocal(&module)) {
      v8::String::Utf8Value text(isolate, caught.Exception());
      std::string what = *text == nullptr ? "" : std::string(*text, text.length());
      constexpr std::string_view kCaller = "WasmModuleObject::Compile(): ";
      if (size_t at = what.find(kCaller); at != std::string::npos) what.erase(at, kCaller.size());
      *error = source.name + ": " + what;
      return false;
    }
    values.push_back(module);
  }
  if (SetWasm(realm, context, values)) return true;
  *error = "the snapshot has no place for WebAssembly";
  return false;
}

bool Compilations::Fits(nano_isolate* self, size_t more) const {
  if (self->heap_limit == 0) return true;
  size_t used = ExternalMemory(self);
  return more <= self->heap_limit && used <= self->heap_limit - more;
}

void Compilations::StreamEnded() {
  std::lock_guard<std::mutex> lock(mutex);
  if (!finished.empty()) {
    bytes -= finished.front();
    finished.pop_front();
  }
  if (--streaming > 0) return;
  for (size_t left : finished) bytes -= left;
  finished.clear();
}

void OnWasmStreaming(const v8::FunctionCallbackInfo<v8::Value>& info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  nano_realm* realm = self->current();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  std::shared_ptr<v8::WasmStreaming> streaming = v8::WasmStreaming::Unpack(isolate, info.Data());
  CheckMemory(self);  // a turn may begin them without end
  uint32_t id = ++self->streaming_last;
  self->streamings[id] = {streaming, 0};
  v8::TryCatch caught(isolate);
  v8::Local<v8::Value> arguments[] = {info[0], v8::Integer::NewFromUnsigned(isolate, id)};
  v8::Local<v8::Function> hook;
  if (Hook(realm, context, "compileStreaming").ToLocal(&hook) &&
      !hook->Call(context, v8::Undefined(isolate), 2, arguments).IsEmpty())
    return;
  // The hook throws nothing of its own: the isolate is being ended, or out of stack.
  if (self->streamings.erase(id) == 0) return;
  streaming->Abort(caught.HasCaught() && !caught.HasTerminated()
                       ? v8::MaybeLocal<v8::Value>(caught.Exception())
                       : v8::MaybeLocal<v8::Value>());
}

namespace ops {

namespace {

Streaming* Find(Info info) {
  nano_isolate* self = nano_isolate::From(info.GetIsolate());
  auto found = self->streamings.find(info[0].As<v8::Uint32>()->Value());
  return found == self->streamings.end() ? nullptr : &found->second;
}

// Take ends a streaming, whose memory is V8's from then on until it has compiled it.
std::shared_ptr<v8::WasmStreaming> Take(Info info) {
  nano_isolate* self = nano_isolate::From(info.GetIsolate());
  Streaming* streaming = Find(info);
  if (streaming == nullptr) return nullptr;
  std::shared_ptr<v8::WasmStreaming> taken = std::move(streaming->wasm);
  Compilations& compilations = *self->compilations;
  {
    std::lock_guard<std::mutex> lock(compilations.mutex);
    // V8 may have found an error and ended it already. Which ones have ended is not known, only how
    // many.
    if (compilations.streaming > 0)
      compilations.finished.push_back(streaming->bytes);
    else
      compilations.bytes -= streaming->bytes;
  }
  self->streamings.erase(info[0].As<v8::Uint32>()->Value());
  return taken;
}

}  // namespace

void wasmBytes(Info info) {
  nano_isolate* self = nano_isolate::From(info.GetIsolate());
  Streaming* streaming = Find(info);
  if (streaming == nullptr) return info.GetReturnValue().Set(true);
  auto view = info[1].As<v8::Uint8Array>();
  size_t length = view->ByteLength();
  if (!self->compilations->Fits(self, length)) return info.GetReturnValue().Set(false);
  streaming->bytes += length;
  self->compilations->bytes += length;
  uint8_t scratch[kInHeapMax];
  std::string_view bytes = ViewBytes(view, scratch);
  BillScope bill(self->billed);
  std::shared_ptr<v8::WasmStreaming> wasm = streaming->wasm;
  wasm->OnBytesReceived(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  info.GetReturnValue().Set(true);
}

void wasmFinish(Info info) {
  BillScope bill(nano_isolate::From(info.GetIsolate())->billed);
  if (auto streaming = Take(info)) streaming->Finish();
}

void wasmAbort(Info info) {
  if (auto streaming = Take(info)) streaming->Abort(info[1]);
}

}  // namespace ops

}  // namespace nano
