// V8 from process start to the end of an isolate: initialisation, the runtime snapshot, restoring
// isolates, loading apps, and the crossing.
#include "engine.h"

#include <malloc.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ops.h"

namespace nano {

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

  const std::string name;
  const bool lazy;

 protected:
  void Dispose() override {}  // lives as long as the process

 private:
  const std::string text_;
};

namespace {

std::vector<std::unique_ptr<Script>> scripts;
std::vector<intptr_t> external_references;
std::shared_ptr<v8::ArrayBuffer::Allocator> array_buffers;
v8::Isolate* sealing_isolate = nullptr;

// While the snapshot is built, this thread's randomness is constant: the same scripts give the same
// bytes, and V8 rehashes with a fresh seed when an isolate is restored.
thread_local bool deterministic = false;

bool Entropy(unsigned char* buffer, size_t length) {
  if (deterministic) {
    memset(buffer, 42, length);
    return true;
  }
  return getrandom(buffer, length, 0) == static_cast<ssize_t>(length);
}

void Fatal(const char* location, const char* message) {
  fprintf(stderr, "nano: V8: %s: %s\n", location, message);
  abort();
}

void OutOfMemory(const char* location, const v8::OOMDetails& details) {
  fprintf(stderr, "nano: V8: out of memory: %s: %s\n", location,
          details.detail ? details.detail : "");
  abort();
}

v8::Isolate::CreateParams Parameters(const v8::StartupData* blob) {
  v8::Isolate::CreateParams parameters;
  parameters.array_buffer_allocator_shared = array_buffers;
  parameters.external_references = external_references.data();
  parameters.snapshot_blob = blob;
  parameters.allow_atomics_wait = false;  // it would block the loop
  parameters.oom_error_callback = OutOfMemory;
  parameters.fatal_error_callback = Fatal;
  return parameters;
}

v8::Local<v8::Object> NullObject(v8::Isolate* isolate) {
  return v8::Object::New(isolate, v8::Null(isolate), nullptr, nullptr, 0);
}

bool Boot(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::Local<v8::Object> internals) {
  v8::Local<v8::Object> ops = NullObject(isolate);
  for (size_t i = 0; i < kOpCount; i++) {
    v8::Local<v8::String> name = OneByte(isolate, kOps[i].name);
    v8::Local<v8::Function> function;
    if (!v8::Function::New(context, kOps[i].callback, {}, kOps[i].length,
                           v8::ConstructorBehavior::kThrow)
             .ToLocal(&function))
      return false;
    function->SetName(name);
    if (ops->Set(context, name, function).IsNothing()) return false;
  }
  for (const auto& script : scripts) {
    if (script->lazy) continue;
    v8::Local<v8::Function> function;
    v8::Local<v8::Value> arguments[] = {ops, internals};
    if (!CompileScript(context, *script).ToLocal(&function) ||
        function->Call(context, v8::Undefined(isolate), 2, arguments).IsEmpty())
      return false;
  }
  return true;
}

v8::MaybeLocal<v8::Function> Hook(nano_isolate* self, v8::Local<v8::Context> context,
                                  std::string_view name) {
  v8::Local<v8::Value> hook;
  v8::Isolate* isolate = self->isolate;
  if (!self->internals.Get(isolate)->Get(context, OneByte(isolate, name)).ToLocal(&hook) ||
      !hook->IsFunction())
    return {};
  return hook.As<v8::Function>();
}

void OnMessage(v8::Local<v8::Message>, v8::Local<v8::Value> error) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr) return;  // the snapshot is being built
  v8::HandleScope handles(isolate);
  v8::Local<v8::Context> context = self->context.Get(isolate);
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> hook;
  if (Hook(self, context, "onError").ToLocal(&hook))
    (void)hook->Call(context, v8::Undefined(isolate), 1, &error);
}

void OnPromiseReject(v8::PromiseRejectMessage message) {
  v8::Local<v8::Promise> promise = message.GetPromise();
  v8::Isolate* isolate = promise->GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr) return;
  if (message.GetEvent() == v8::kPromiseRejectWithNoHandler) {
    self->rejections.emplace_back(v8::Global<v8::Promise>(isolate, promise),
                                  v8::Global<v8::Value>(isolate, message.GetValue()));
  } else if (message.GetEvent() == v8::kPromiseHandlerAddedAfterReject) {
    std::erase_if(self->rejections, [&](const auto& entry) { return entry.first == promise; });
  }
}

void ReportRejections(nano_isolate* self, v8::Local<v8::Context> context) {
  auto pending = std::move(self->rejections);
  self->rejections.clear();
  v8::Local<v8::Function> hook;
  if (!Hook(self, context, "onUnhandledRejection").ToLocal(&hook)) return;
  for (auto& [promise, reason] : pending) {
    if (promise.Get(self->isolate)->HasHandler()) continue;  // an op has looked at it
    v8::Local<v8::Value> arguments[] = {promise.Get(self->isolate), reason.Get(self->isolate)};
    v8::TryCatch caught(self->isolate);
    (void)hook->Call(context, v8::Undefined(self->isolate), 2, arguments);
  }
}

void OnImportMeta(v8::Local<v8::Context> context, v8::Local<v8::Module> module,
                  v8::Local<v8::Object> meta) {
  v8::Isolate* isolate = context->GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  for (size_t i = 0; i < self->modules.size(); i++) {
    if (self->modules[i] != module) continue;
    const std::string& url = self->urls[i];
    v8::Local<v8::String> value;
    if (v8::String::NewFromUtf8(isolate, url.data(), v8::NewStringType::kNormal,
                                static_cast<int>(url.size()))
            .ToLocal(&value))
      (void)meta->CreateDataProperty(context, OneByte(isolate, "url"), value);
  }
}

v8::MaybeLocal<v8::Promise> OnDynamicImport(v8::Local<v8::Context> context, v8::Local<v8::Data>,
                                            v8::Local<v8::Value>, v8::Local<v8::String> specifier,
                                            v8::Local<v8::FixedArray>) {
  v8::Isolate* isolate = context->GetIsolate();
  v8::Local<v8::Promise::Resolver> resolver;
  if (!v8::Promise::Resolver::New(context).ToLocal(&resolver)) return {};
  v8::Local<v8::String> text = v8::String::Concat(
      isolate, OneByte(isolate, "import() is not available, use a static import: "), specifier);
  if (resolver->Reject(context, v8::Exception::TypeError(text)).IsNothing()) return {};
  return resolver->GetPromise();
}

size_t OnNearHeapLimit(void* data, size_t current, size_t) {
  auto* self = static_cast<nano_isolate*>(data);
  __atomic_store_n(&self->shared.dead, NANO_DEAD_MEMORY, __ATOMIC_RELEASE);
  self->isolate->TerminateExecution();
  // Room for whatever allocation was under way, which V8 would otherwise abort the process for. It
  // is address space; the isolate is disposed of as soon as its code has unwound.
  return current + (size_t{1} << 30);
}

// CPU time that an app's top level may take.
constexpr int64_t kStartLimitMilliseconds = 1000;

v8::ScriptOrigin ModuleOrigin(v8::Local<v8::String> name) {
  return v8::ScriptOrigin(name, 0, 0, false, -1, v8::Local<v8::Value>(), false, false, true);
}

v8::MaybeLocal<v8::String> Utf8(v8::Isolate* isolate, nano_bytes text) {
  return v8::String::NewFromUtf8(isolate, text.data, v8::NewStringType::kNormal,
                                 static_cast<int>(text.length));
}

v8::MaybeLocal<v8::Module> CompileModule(v8::Isolate* isolate, nano_bytes name, nano_bytes source) {
  v8::Local<v8::String> name_string, source_string;
  if (!Utf8(isolate, name).ToLocal(&name_string) || !Utf8(isolate, source).ToLocal(&source_string))
    return {};
  v8::ScriptCompiler::Source compiled(source_string, ModuleOrigin(name_string));
  return v8::ScriptCompiler::CompileModule(isolate, &compiled);
}

v8::MaybeLocal<v8::Module> ResolveImport(v8::Local<v8::Context> context,
                                         v8::Local<v8::String> specifier, v8::Local<v8::FixedArray>,
                                         v8::Local<v8::Module> referrer) {
  v8::Isolate* isolate = context->GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  v8::String::Utf8Value wanted(isolate, specifier);
  std::string_view wanted_view(*wanted, wanted.length());
  for (size_t i = 0; i < self->modules.size(); i++) {
    if (self->modules[i] != referrer) continue;
    const nano_module& module = self->graph[i];
    for (size_t k = 0; k < module.import_count; k++) {
      const nano_bytes& name = module.import_names[k];
      if (std::string_view(name.data, name.length) == wanted_view)
        return self->modules[module.import_targets[k]].Get(isolate);
    }
  }
  isolate->ThrowException(v8::Exception::Error(
      v8::String::Concat(isolate, OneByte(isolate, "module was not resolved: "), specifier)));
  return {};
}

// Scope enters an isolate and its context for the length of a call from Go.
struct Scope {
  explicit Scope(nano_isolate* self)
      : isolate_scope(self->isolate),
        handles(self->isolate),
        context(self->context.Get(self->isolate)),
        context_scope(context) {}
  v8::Isolate::Scope isolate_scope;
  v8::HandleScope handles;
  v8::Local<v8::Context> context;
  v8::Context::Scope context_scope;
};

// What the context of the snapshot carries, by index of its data.
constexpr size_t kInternals = 0, kFirstArena = 1;

// The first arena is small, for isolates that are hardly used; later ones are for those that fill
// it again and again.
constexpr size_t kFirstArenaBytes = 4 << 10, kArenaBytes = 32 << 10;

bool RestoreContext(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  v8::Isolate::Scope scope(isolate);
  v8::HandleScope handles(isolate);
  v8::Local<v8::Context> context;
  v8::Local<v8::Object> internals;
  v8::Local<v8::Int32Array> words;
  v8::Local<v8::Value> tick;
  if (!v8::Context::FromSnapshot(isolate, 0).ToLocal(&context) ||
      !context->GetDataFromSnapshotOnce<v8::Object>(kInternals).ToLocal(&internals) ||
      !context->GetDataFromSnapshotOnce<v8::Int32Array>(kFirstArena).ToLocal(&words) ||
      !internals->Get(context, OneByte(isolate, "tick")).ToLocal(&tick) || !tick->IsFunction())
    return false;
  self->context.Reset(isolate, context);
  self->internals.Reset(isolate, internals);
  self->arena.Use(isolate, words);
  self->arena.fresh = true;
  self->tick.Reset(isolate, tick.As<v8::Function>());
  return true;
}

bool LinkAndEvaluate(nano_isolate* self, v8::Local<v8::Context> context, size_t count,
                     std::string* error) {
  v8::Isolate* isolate = self->isolate;
  v8::TryCatch caught(isolate);
  for (size_t i = 0; i < count; i++) {
    v8::Local<v8::Module> module;
    if (!CompileModule(isolate, self->graph[i].name, self->graph[i].source).ToLocal(&module)) {
      *error = Describe(isolate, context, caught);
      return false;
    }
    self->modules.emplace_back(isolate, module);
    self->urls.push_back("file:///" +
                         std::string(self->graph[i].name.data, self->graph[i].name.length));
  }
  v8::Local<v8::Module> main = self->modules[0].Get(isolate);
  v8::Local<v8::Value> result;
  if (main->InstantiateModule(context, ResolveImport).IsNothing() ||
      !main->Evaluate(context).ToLocal(&result)) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  isolate->PerformMicrotaskCheckpoint();
  auto promise = result.As<v8::Promise>();
  if (promise->State() == v8::Promise::kPending) {
    *error = std::string(self->graph[0].name.data, self->graph[0].name.length) +
             ": top-level await waits for something that cannot happen before the app has started";
    return false;
  }
  if (promise->State() == v8::Promise::kRejected) {
    promise->MarkAsHandled();
    isolate->ThrowException(promise->Result());
    *error = Describe(isolate, context, caught);
    return false;
  }
  return true;
}

bool CallStart(nano_isolate* self, v8::Local<v8::Context> context, nano_bytes app_name,
               nano_bytes env_json, std::string* error) {
  v8::Isolate* isolate = self->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> start;
  v8::Local<v8::String> name, env;
  if (!Hook(self, context, "start").ToLocal(&start) || !Utf8(isolate, app_name).ToLocal(&name) ||
      !Utf8(isolate, env_json).ToLocal(&env)) {
    *error = "the runtime has no start hook";
    return false;
  }
  v8::Local<v8::Value> arguments[] = {self->modules[0].Get(isolate)->GetModuleNamespace(), env,
                                      name};
  if (start->Call(context, v8::Undefined(isolate), 3, arguments).IsEmpty()) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  return true;
}

void SetStarting(nano_isolate* self, v8::Local<v8::Context> context, bool starting) {
  v8::Local<v8::Function> hook;
  v8::Local<v8::Value> argument = v8::Boolean::New(self->isolate, starting);
  v8::TryCatch caught(self->isolate);
  if (Hook(self, context, "setStarting").ToLocal(&hook))
    (void)hook->Call(context, v8::Undefined(self->isolate), 1, &argument);
}

const char* Checked(nano_bytes op_names) {
  std::string_view rest(op_names.data, op_names.length);
  for (size_t i = 0; i < kOpCount; i++) {
    size_t end = rest.find('\n');
    if (rest.substr(0, end) != kOps[i].name)
      return "the op table of webapi differs from the one in the C++ shim";
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return rest.empty() ? nullptr : "the op table of webapi is longer than the one in the C++ shim";
}

}  // namespace

Output::~Output() { free(data_); }

uint8_t* Output::Reserve(size_t n) {
  if (capacity_ - length_ < n) {
    size_t wanted = capacity_ ? capacity_ * 2 : 2048;
    while (wanted - length_ < n) wanted *= 2;
    data_ = static_cast<uint8_t*>(realloc(data_, wanted));
    if (data_ == nullptr) Fatal("Output::Reserve", "out of memory");
    capacity_ = wanted;
  }
  return data_ + length_;
}

void Output::Clear() {
  length_ = 0;
  if (capacity_ <= size_t{1} << 20) return;
  free(data_);
  data_ = nullptr;
  capacity_ = 0;
}

const std::vector<std::unique_ptr<Script>>& Scripts() { return scripts; }

const Script* FindScript(std::string_view name) {
  for (const auto& script : scripts)
    if (script->name == name) return script.get();
  return nullptr;
}

v8::MaybeLocal<v8::Function> CompileScript(v8::Local<v8::Context> context, const Script& script) {
  v8::Isolate* isolate = context->GetIsolate();
  v8::Local<v8::String> text;
  if (!v8::String::NewExternalOneByte(isolate, const_cast<Script*>(&script)).ToLocal(&text))
    return {};
  v8::ScriptOrigin origin(OneByte(isolate, "nano:" + script.name));
  v8::ScriptCompiler::Source source(text, origin);
  v8::Local<v8::Script> compiled;
  v8::Local<v8::Value> function;
  if (!v8::ScriptCompiler::Compile(context, &source).ToLocal(&compiled) ||
      !compiled->Run(context).ToLocal(&function) || !function->IsFunction())
    return {};
  return function.As<v8::Function>();
}

std::string Describe(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::TryCatch& caught) {
  if (caught.HasTerminated()) return "terminated: a limit was reached while the app started";
  if (!caught.HasCaught()) return "unknown error";
  v8::String::Utf8Value text(isolate, caught.Exception());
  std::string described = *text ? std::string(*text, text.length()) : "unprintable exception";
  v8::Local<v8::Message> message = caught.Message();
  if (message.IsEmpty()) return described;
  v8::String::Utf8Value file(isolate, message->GetScriptResourceName());
  if (*file == nullptr || strncmp(*file, "nano:", 5) == 0) return described;
  return std::string(*file, file.length()) + ":" +
         std::to_string(message->GetLineNumber(context).FromMaybe(0)) + ":" +
         std::to_string(message->GetStartColumn(context).FromMaybe(-1) + 1) + ": " + described;
}

char* CopyOut(std::string_view text) {
  char* copy = static_cast<char*>(malloc(text.size() + 1));
  if (copy == nullptr) Fatal("CopyOut", "out of memory");
  memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  return copy;
}

}  // namespace nano

using namespace nano;

const char* nano_start(const nano_script* list, size_t count, nano_bytes op_names,
                       nano_bytes flags) {
  static const std::string header_version =
      std::to_string(V8_MAJOR_VERSION) + "." + std::to_string(V8_MINOR_VERSION) + "." +
      std::to_string(V8_BUILD_NUMBER) + "." + std::to_string(V8_PATCH_LEVEL);
  if (std::string_view(v8::V8::GetVersion()).substr(0, header_version.size()) != header_version)
    return "the V8 library is not of the version of its headers";
  if (const char* problem = Checked(op_names)) return problem;
  for (size_t i = 0; i < count; i++) scripts.push_back(std::make_unique<Script>(list[i]));
  for (size_t i = 0; i < kOpCount; i++)
    external_references.push_back(reinterpret_cast<intptr_t>(kOps[i].callback));
  external_references.push_back(reinterpret_cast<intptr_t>(OnMessage));
  external_references.push_back(reinterpret_cast<intptr_t>(ops::ReadLazyGlobal));
  for (const auto& script : scripts)
    external_references.push_back(reinterpret_cast<intptr_t>(script.get()));
  external_references.push_back(0);

  v8::V8::SetFlagsFromString(flags.data, flags.length);
  v8::V8::SetEntropySource(Entropy);
  static std::unique_ptr<v8::Platform> platform = NewPlatform();
  v8::V8::InitializePlatform(platform.get());
  v8::V8::Initialize();
  // Large bodies come and go: keep their memory instead of faulting it in again each time.
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  array_buffers.reset(v8::ArrayBuffer::Allocator::NewDefaultAllocator());

  // All isolates of a process share the read-only heap that the first one brings. It must be V8's
  // own, or blobs built here and elsewhere do not fit together: a plain isolate first, kept.
  v8::Isolate::CreateParams parameters;
  parameters.array_buffer_allocator_shared = array_buffers;
  sealing_isolate = v8::Isolate::New(parameters);
  v8::Isolate::Scope scope(sealing_isolate);
  v8::HandleScope handles(sealing_isolate);
  v8::Context::New(sealing_isolate);
  return nullptr;
}

const char* nano_version(void) { return v8::V8::GetVersion(); }

uint32_t nano_version_tag(void) { return v8::ScriptCompiler::CachedDataVersionTag(); }

int nano_snapshot(nano_bytes* blob, char** error) {
  deterministic = true;
  v8::StartupData data = {nullptr, 0};
  {
    v8::SnapshotCreator creator(Parameters(nullptr));
    v8::Isolate* isolate = creator.GetIsolate();
    isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
    bool booted = false;
    {
      v8::HandleScope handles(isolate);
      // Isolates get the listener and the first arena from the snapshot. Made after it was
      // restored, they would be young objects, for whose external pointers V8 makes a table segment
      // of 64 KB.
      isolate->AddMessageListener(OnMessage);
      creator.SetDefaultContext(v8::Context::New(isolate));
      v8::Local<v8::Context> context = v8::Context::New(isolate);
      v8::Context::Scope context_scope(context);
      v8::TryCatch caught(isolate);
      v8::Local<v8::Object> internals = NullObject(isolate);
      booted = Boot(isolate, context, internals);
      if (!booted) *error = CopyOut(Describe(isolate, context, caught));
      isolate->PerformMicrotaskCheckpoint();  // queued microtasks are lost in a snapshot
      creator.AddContext(context);
      creator.AddData(context, internals);
      auto memory = v8::ArrayBuffer::New(isolate, kFirstArenaBytes);
      creator.AddData(context, v8::Int32Array::New(memory, 0, kFirstArenaBytes / 4));
    }
    data = creator.CreateBlob(v8::SnapshotCreator::FunctionCodeHandling::kKeep);
    DetachTasks(isolate);
    if (!booted) {
      delete[] data.data;
      data = {nullptr, 0};
    } else if (!data.CanBeRehashed()) {
      *error = CopyOut("the snapshot cannot be rehashed");
      delete[] data.data;
      data = {nullptr, 0};
    }
  }
  deterministic = false;
  if (data.data == nullptr) return -1;
  blob->data = CopyOut(std::string_view(data.data, data.raw_size));
  blob->length = data.raw_size;
  delete[] data.data;
  return 0;
}

nano_isolate* nano_isolate_new(nano_bytes blob, int wake, size_t heap_limit, int64_t cpu_limit_ms,
                               char** error) {
  auto* self = new nano_isolate;
  self->snapshot = {blob.data, static_cast<int>(blob.length)};
  if (!self->snapshot.IsValid()) {
    *error = CopyOut("the snapshot was built by another version of V8 or with other flags");
    delete self;
    return nullptr;
  }
  self->cpu_limit_ms = cpu_limit_ms;
  v8::Isolate* isolate = self->isolate = v8::Isolate::Allocate();
  self->tasks = AttachTasks(isolate, &self->shared, wake);
  isolate->SetData(0, self);
  v8::Isolate::CreateParams parameters = Parameters(&self->snapshot);
  if (heap_limit > 0) parameters.constraints.set_max_old_generation_size_in_bytes(heap_limit);
  v8::Isolate::Initialize(isolate, parameters);
  isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
  isolate->SetPromiseRejectCallback(OnPromiseReject);
  isolate->SetHostInitializeImportMetaObjectCallback(OnImportMeta);
  isolate->SetHostImportModuleDynamicallyCallback(OnDynamicImport);
  isolate->AddNearHeapLimitCallback(OnNearHeapLimit, self);

  if (!RestoreContext(self)) {
    *error = CopyOut("the snapshot has no runtime in it");
    nano_isolate_dispose(self);
    return nullptr;
  }
  return self;
}

void nano_isolate_dispose(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  self->rejections.clear();
  self->modules.clear();
  self->url_components.Reset();
  self->arena.words.Reset();
  self->tick.Reset();
  self->internals.Reset();
  self->context.Reset();
  isolate->Dispose();
  DetachTasks(isolate);
  delete self;
}

nano_shared* nano_isolate_shared(nano_isolate* self) { return &self->shared; }

int nano_isolate_imports(nano_isolate* self, nano_bytes name, nano_bytes source, char** out,
                         char** error) {
  Scope scope(self);
  v8::Isolate* isolate = self->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Module> module;
  if (!CompileModule(isolate, name, source).ToLocal(&module)) {
    *error = CopyOut(Describe(isolate, scope.context, caught));
    return -1;
  }
  std::string lines;
  v8::Local<v8::FixedArray> requests = module->GetModuleRequests();
  for (int i = 0; i < requests->Length(); i++) {
    auto request = requests->Get(scope.context, i).As<v8::ModuleRequest>();
    v8::Location location = module->SourceOffsetToLocation(request->GetSourceOffset());
    v8::String::Utf8Value specifier(isolate, request->GetSpecifier());
    lines += std::to_string(location.GetLineNumber() + 1) + ":" +
             std::to_string(location.GetColumnNumber() + 1) + ":" +
             std::string(*specifier, specifier.length()) + "\n";
  }
  *out = CopyOut(lines);
  return 0;
}

int nano_isolate_load(nano_isolate* self, const nano_module* modules, size_t count,
                      nano_bytes app_name, nano_bytes env_json, char** error) {
  Scope scope(self);
  std::string problem;
  self->graph = modules;
  WatchScope watch(self, kStartLimitMilliseconds);
  SetStarting(self, scope.context, true);
  bool loaded = LinkAndEvaluate(self, scope.context, count, &problem) &&
                CallStart(self, scope.context, app_name, env_json, &problem);
  SetStarting(self, scope.context, false);
  self->graph = nullptr;
  if (!loaded) *error = CopyOut(problem);
  return loaded ? 0 : -1;
}

uint8_t* nano_isolate_arena(nano_isolate* self, size_t need, size_t* capacity) {
  if (self->arena.fresh) {
    self->arena.fresh = false;
    *capacity = self->arena.capacity;
    if (need <= *capacity) return self->arena.data;
  }
  size_t size = need <= kArenaBytes ? kArenaBytes : (need + 4095) & ~size_t{4095};
  v8::Isolate::Scope isolate_scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  v8::Context::Scope context_scope(self->context.Get(self->isolate));
  v8::Local<v8::ArrayBuffer> buffer;
  if (!v8::ArrayBuffer::MaybeNew(self->isolate, size,
                                 v8::BackingStoreInitializationMode::kUninitialized)
           .ToLocal(&buffer))
    return nullptr;
  self->arena.Use(self->isolate, v8::Int32Array::New(buffer, 0, size / 4));
  *capacity = size;
  return self->arena.data;
}

int nano_isolate_turn(nano_isolate* self, size_t offset, size_t count, nano_output* out) {
  if (self->owner != pthread_self()) Fatal("turn", "an isolate was used by another thread");
  self->out.Clear();
  {
    Scope scope(self);
    v8::Isolate* isolate = self->isolate;
    WatchScope watch(self, self->cpu_limit_ms * static_cast<int64_t>(count > 0 ? count : 1));
    if (count > 0) {
      v8::Local<v8::Value> arguments[] = {
          self->arena.words.Get(isolate),
          v8::Integer::NewFromUnsigned(isolate, static_cast<uint32_t>(offset / 4)),
          v8::Integer::NewFromUnsigned(isolate, static_cast<uint32_t>(count))};
      (void)self->tick.Get(isolate)->Call(scope.context, v8::Undefined(isolate), 3, arguments);
    }
    isolate->PerformMicrotaskCheckpoint();
    if (__atomic_load_n(&self->shared.tasks, __ATOMIC_ACQUIRE) != 0 ||
        __atomic_load_n(&self->shared.task_time_ns, __ATOMIC_ACQUIRE) != 0) {
      if (RunTasks(*self->tasks)) isolate->PerformMicrotaskCheckpoint();
    }
    while (!self->rejections.empty() && !isolate->IsExecutionTerminating()) {
      ReportRejections(self, scope.context);
      isolate->PerformMicrotaskCheckpoint();
    }
  }
  out->records = self->out.data();
  out->length = self->out.length();
  return __atomic_load_n(&self->shared.dead, __ATOMIC_ACQUIRE) == NANO_ALIVE ? 0 : -1;
}

void nano_isolate_memory(nano_isolate* self, nano_memory* out) {
  v8::HeapStatistics heap;
  self->isolate->GetHeapStatistics(&heap);
  out->heap_used = heap.used_heap_size();
  out->heap_total = heap.total_heap_size();
  out->heap_physical = heap.total_physical_size();
  out->external = heap.external_memory();
  out->malloced = heap.malloced_memory();
}

void nano_isolate_collect(nano_isolate* self) {
  v8::Isolate::Scope scope(self->isolate);
  self->isolate->LowMemoryNotification();
}

int nano_context_new(nano_isolate* self) {
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  return v8::Context::FromSnapshot(self->isolate, 0).IsEmpty() ? -1 : 0;
}

void nano_isolate_terminate(nano_isolate* self, int death) {
  __atomic_store_n(&self->shared.dead, static_cast<uint32_t>(death), __ATOMIC_RELEASE);
  self->isolate->TerminateExecution();
}

void nano_free(void* memory) { free(memory); }
