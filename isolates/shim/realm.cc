// Isolates and realms from restore to disposal, and loading apps into them.
#include <cstdlib>
#include <cstring>

#include "engine.h"
#include "simdutf.h"

namespace nano {

// Linking is the state of an app's modules while they are linked and evaluated.
struct Linking {
  const nano_image& image;
  v8::LocalVector<v8::Module> modules;  // in the order of the image
};

namespace {

constexpr char kEndedAtStart[] = "terminated: a limit was reached while the app started";

// AddModuleExports gives the import.meta of a module of the runtime, which is one of those in
// isolates/modules.go, what the module exports.
void AddModuleExports(v8::Local<v8::Context> context, v8::Local<v8::String> name,
                      v8::Local<v8::Object> meta) {
  v8::Isolate* isolate = context->GetIsolate();
  v8::Local<v8::Function> hook;
  v8::Local<v8::Value> argument = name, exports;
  if (Hook(nano_realm::Of(context), context, "moduleExports").ToLocal(&hook) &&
      hook->Call(context, v8::Undefined(isolate), 1, &argument).ToLocal(&exports))
    (void)meta->CreateDataProperty(context, OneByte(isolate, "exports"), exports);
}

// OnImportMeta gives import.meta its url. The code that asks is the module's own, and modules that
// came with a snapshot are known by no list: the name is taken from the stack.
void OnImportMeta(v8::Local<v8::Context> context, v8::Local<v8::Module>,
                  v8::Local<v8::Object> meta) {
  v8::Isolate* isolate = context->GetIsolate();
  auto stack = v8::StackTrace::CurrentStackTrace(isolate, 1, v8::StackTrace::kScriptName);
  if (stack->GetFrameCount() == 0) return;
  v8::Local<v8::String> name = stack->GetFrame(isolate, 0)->GetScriptName();
  if (name.IsEmpty()) return;
  (void)meta->CreateDataProperty(context, OneByte(isolate, "url"),
                                 v8::String::Concat(isolate, OneByte(isolate, "file:///"), name));
  v8::String::Utf8Value text(isolate, name);
  if (std::string_view(*text, text.length()).substr(0, 5) == "nano:")
    AddModuleExports(context, name, meta);
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

// Sources that are shorter live in the heap, and in the snapshot. Go knows it as ExternalSourceMin.
constexpr size_t kExternalSourceBytesMin = NANO_EXTERNAL_SOURCE_MIN;

v8::ScriptOrigin ModuleOrigin(v8::Local<v8::String> name, v8::Local<v8::Value> map = {}) {
  return v8::ScriptOrigin(name, 0, 0, false, -1, map, false, false, true);
}

// CompileModule compiles from the code cache if that is wanted and V8 accepts it.
v8::MaybeLocal<v8::Module> CompileModule(v8::Isolate* isolate, const ModuleSource& module,
                                         bool use_cache, bool* from_cache) {
  nano_bytes name{module.name.data(), module.name.size()};
  v8::Local<v8::String> name_string, source_string;
  *from_cache = false;
  if (!Utf8(isolate, name).ToLocal(&name_string)) return {};
  v8::MaybeLocal<v8::String> text =
      module.external ? v8::String::NewExternalOneByte(isolate, module.external.get())
      : module.wide   ? v8::String::NewExternalTwoByte(isolate, module.wide.get())
                      : Utf8(isolate, module.source);
  if (!text.ToLocal(&source_string)) return {};
  if (!use_cache || module.cache.length == 0) {
    v8::Local<v8::String> map;
    if (!module.map.empty()) map = OneByte(isolate, module.map);
    v8::ScriptCompiler::Source source(source_string, ModuleOrigin(name_string, map));
    return v8::ScriptCompiler::CompileModule(isolate, &source);
  }
  auto* cache = new v8::ScriptCompiler::CachedData(
      reinterpret_cast<const uint8_t*>(module.cache.data), static_cast<int>(module.cache.length));
  v8::ScriptCompiler::Source source(source_string, ModuleOrigin(name_string), cache);  // owns it
  v8::MaybeLocal<v8::Module> compiled =
      v8::ScriptCompiler::CompileModule(isolate, &source, v8::ScriptCompiler::kConsumeCodeCache);
  *from_cache = !cache->rejected;
  return compiled;
}

v8::MaybeLocal<v8::Module> ResolveImport(v8::Local<v8::Context> context,
                                         v8::Local<v8::String> specifier, v8::Local<v8::FixedArray>,
                                         v8::Local<v8::Module> referrer) {
  v8::Isolate* isolate = context->GetIsolate();
  const Linking& linking = *nano_realm::Of(context)->linking;
  v8::String::Utf8Value wanted(isolate, specifier);
  std::string_view wanted_view(*wanted, wanted.length());
  for (size_t i = 0; i < linking.modules.size(); i++) {
    if (linking.modules[i] != referrer) continue;
    for (const auto& [name, target] : linking.image.modules[i].imports)
      if (name == wanted_view) return linking.modules[target];
  }
  isolate->ThrowException(v8::Exception::Error(
      v8::String::Concat(isolate, OneByte(isolate, "module was not resolved: "), specifier)));
  return {};
}

// WaitsFor says which top-level await never ends.
std::string WaitsFor(v8::Isolate* isolate, v8::Local<v8::Context> context, const Linking& linking,
                     v8::Local<v8::Module> main) {
  std::string place = linking.image.modules[0].name;
  auto [modules, messages] = main->GetStalledTopLevelAwaitMessages(isolate);
  if (!messages.empty()) {
    v8::String::Utf8Value file(isolate, messages[0]->GetScriptResourceName());
    if (*file != nullptr)
      place = PlaceText(isolate, {*file, static_cast<size_t>(file.length())},
                        messages[0]->GetLineNumber(context).FromMaybe(0),
                        messages[0]->GetStartColumn(context).FromMaybe(-1) + 1);
  }
  return place +
         ": top-level await waits for something that cannot happen before the app has started";
}

// The property of a realm's internals that has the setters of its WebAssembly: they come with the
// realm in a snapshot.
constexpr char kWasmSetters[] = "wasm";

// WebAssembly is imported from a module of this text, whose binding is set from outside: in a
// snapshot, which cannot hold a WebAssembly.Module, and again in each isolate that it is restored
// in.
constexpr char kWasmGlue[] =
    "let module; const set = (value) => { module = value; };"
    "export { module as default, set as \"nano:set\" };";
constexpr char kWasmSetter[] = "nano:set";

// CompileGlue compiles the module for WebAssembly, evaluates it and keeps its setter.
v8::MaybeLocal<v8::Module> CompileGlue(nano_realm* realm, v8::Local<v8::Context> context,
                                       const ModuleSource& source) {
  v8::Isolate* isolate = realm->owner->isolate;
  nano_bytes glue{kWasmGlue, sizeof kWasmGlue - 1};
  ModuleSource text;
  text.name = source.name;
  text.source = glue;
  bool cached;
  v8::Local<v8::Module> module;
  v8::Local<v8::Value> result, setter, setters;
  v8::Local<v8::Object> internals = realm->internals.Get(isolate);
  if (!CompileModule(isolate, text, false, &cached).ToLocal(&module) ||
      module->InstantiateModule(context, ResolveImport).IsNothing() ||
      !module->Evaluate(context).ToLocal(&result) ||
      !module->GetModuleNamespace()
           .As<v8::Object>()
           ->Get(context, OneByte(isolate, kWasmSetter))
           .ToLocal(&setter) ||
      !internals->Get(context, OneByte(isolate, kWasmSetters)).ToLocal(&setters))
    return {};
  if (!setters->IsArray()) {
    setters = v8::Array::New(isolate);
    if (internals->Set(context, OneByte(isolate, kWasmSetters), setters).IsNothing()) return {};
  }
  auto list = setters.As<v8::Array>();
  if (list->CreateDataProperty(context, list->Length(), setter).IsNothing()) return {};
  return module;
}

// ExportWasm gives the modules for WebAssembly their values, or what stands for them.
bool ExportWasm(nano_realm* realm, v8::Local<v8::Context> context, const nano_image& image,
                std::vector<v8::Global<v8::Object>>* stand_ins, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  if (stand_ins == nullptr) return ResumeWasm(realm, context, image, error);
  v8::HandleScope handles(isolate);  // nothing else refers to what stands in
  v8::LocalVector<v8::Value> values(isolate);
  for (const ModuleSource& source : image.modules) {
    if (source.wasm == nullptr) continue;
    values.push_back(v8::Object::New(isolate));
    stand_ins->emplace_back(isolate, values.back().As<v8::Object>());
    stand_ins->back().SetWeak();
  }
  return SetWasm(realm, context, values);
}

bool LinkAndEvaluate(nano_realm* realm, v8::Local<v8::Context> context, Linking& linking,
                     const LoadOptions& options, bool* from_cache, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::TryCatch caught(isolate);
  *from_cache = true;
  for (const ModuleSource& source : linking.image.modules) {
    v8::Local<v8::Module> module;
    bool cached = true;
    v8::MaybeLocal<v8::Module> compiled =
        source.wasm != nullptr ? CompileGlue(realm, context, source)
                               : CompileModule(isolate, source, options.use_caches, &cached);
    if (!compiled.ToLocal(&module)) {
      *error = Describe(isolate, context, caught);
      return false;
    }
    if (!cached) *from_cache = false;
    linking.modules.push_back(module);
  }
  if (!ExportWasm(realm, context, linking.image, options.wasm, error)) return false;
  v8::Local<v8::Module> main = linking.modules[0];
  v8::Local<v8::Value> result;
  bool linked = !main->InstantiateModule(context, ResolveImport).IsNothing();
  if (linked && realm->owner->inspection != nullptr) BreakAtStart(realm->owner);
  if (!linked || !main->Evaluate(context).ToLocal(&result)) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  isolate->PerformMicrotaskCheckpoint();
  auto promise = result.As<v8::Promise>();
  if (promise->State() == v8::Promise::kPending) {
    *error = WaitsFor(isolate, context, linking, main);
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

bool CallStart(nano_realm* realm, v8::Local<v8::Context> context, v8::Local<v8::Module> main,
               nano_bytes app_name, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> start;
  v8::Local<v8::String> name;
  if (!Hook(realm, context, "start").ToLocal(&start) || !Utf8(isolate, app_name).ToLocal(&name)) {
    *error = "the runtime has no start hook";
    return false;
  }
  v8::Local<v8::Value> arguments[] = {main->GetModuleNamespace(), name};
  if (start->Call(context, v8::Undefined(isolate), 2, arguments).IsEmpty()) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  return true;
}

// MakeCaches fills in what the modules have compiled so far, functions that ran included.
void MakeCaches(const Linking& linking, nano_bytes* caches) {
  for (size_t i = 0; i < linking.modules.size(); i++) {
    std::unique_ptr<v8::ScriptCompiler::CachedData> data(
        v8::ScriptCompiler::CreateCodeCache(linking.modules[i]->GetUnboundModuleScript()));
    if (data == nullptr) continue;
    std::string_view bytes(reinterpret_cast<const char*>(data->data), data->length);
    caches[i] = {CopyOut(bytes), bytes.size()};
  }
}

// CompileWasm compiles the WebAssembly of an image that nobody has needed so far. It is not the
// app's time that it takes: all isolates share the result. What is wrong with it, loading tells.
void CompileWasm(nano_realm* realm, const nano_image& image) {
  for (const ModuleSource& source : image.modules) {
    if (source.wasm == nullptr) continue;
    RealmScope scope(realm);
    v8::TryCatch caught(realm->owner->isolate);
    (void)WasmModule(realm->owner->isolate, source);
  }
}

// HideBuffers undoes ShowBuffers.
void HideBuffers(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  v8::Local<v8::Value> prototype = context->Global()->GetPrototypeV2();
  if (prototype->IsObject() && !prototype->IsProxy())
    (void)prototype.As<v8::Object>()->DeletePrivate(context, BuffersKey(isolate));
}

// Widen makes UTF-16 of UTF-8.
std::u16string Widen(std::string_view text) {
  std::u16string wide(text.size(), 0);
  wide.resize(
      simdutf::convert_utf8_to_utf16le_with_errors(text.data(), text.size(), wide.data()).count);
  return wide;
}

}  // namespace

void ReserveRealmSlot(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  context->SetEmbedderData(nano_realm::kSlot, v8::Undefined(isolate));
}

v8::MaybeLocal<v8::Function> Hook(nano_realm* realm, v8::Local<v8::Context> context,
                                  std::string_view name) {
  v8::Local<v8::Value> hook;
  v8::Isolate* isolate = realm->owner->isolate;
  if (realm->internals.IsEmpty()) return {};  // the realm was dropped
  if (!realm->internals.Get(isolate)->Get(context, OneByte(isolate, name)).ToLocal(&hook) ||
      !hook->IsFunction())
    return {};
  return hook.As<v8::Function>();
}

uint32_t* UrlComponents(nano_realm* realm) {
  constexpr size_t kCount = 9;
  if (realm->url_components_data == nullptr) {
    v8::Isolate* isolate = realm->owner->isolate;
    v8::Local<v8::ArrayBuffer> buffer = v8::ArrayBuffer::New(isolate, kCount * sizeof(uint32_t));
    realm->url_components_data = static_cast<uint32_t*>(buffer->Data());
    realm->url_components.Reset(isolate, v8::Uint32Array::New(buffer, 0, kCount));
  }
  return realm->url_components_data;
}

nano_realm* AddRealm(nano_isolate* self, v8::Local<v8::Context> context,
                     v8::Local<v8::Object> internals, v8::Local<v8::Int32Array> arena) {
  v8::Isolate* isolate = self->isolate;
  v8::Local<v8::Value> tick;
  if (!internals->Get(context, OneByte(isolate, "tick")).ToLocal(&tick) || !tick->IsFunction())
    return nullptr;
  size_t id = 0;
  while (id < self->realms.size() && self->realms[id]) id++;
  if (id == self->realms.size()) self->realms.emplace_back();
  self->realms[id] = std::make_unique<nano_realm>(self, static_cast<uint32_t>(id));
  nano_realm* realm = self->realms[id].get();
  context->SetAlignedPointerInEmbedderData(nano_realm::kSlot, realm);
  context->AllowCodeGenerationFromStrings(false);  // OnGeneratedSource decides
  realm->context.Reset(isolate, context);
  realm->internals.Reset(isolate, internals);
  realm->arena.Use(isolate, arena);
  realm->arena.fresh = true;
  realm->tick.Reset(isolate, tick.As<v8::Function>());
  if (id > 0) self->has_realms = true;
  if (self->inspection != nullptr) InspectRealm(realm, context);
  return realm;
}

v8::Local<v8::Private> BuffersKey(v8::Isolate* isolate) {
  return v8::Private::ForApi(isolate, OneByte(isolate, "nano:buffers"));
}

nano_realm* RestoreRealm(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  v8::Isolate::Scope scope(isolate);
  v8::HandleScope handles(isolate);
  v8::Local<v8::Context> context;
  v8::Local<v8::Object> internals;
  v8::Local<v8::Int32Array> words;
  v8::Local<v8::Uint32Array> components;
  self->in_restore = true;
  bool restored = v8::Context::FromSnapshot(isolate, 0).ToLocal(&context);
  self->in_restore = false;
  if (!restored || !context->GetDataFromSnapshotOnce<v8::Object>(kInternals).ToLocal(&internals) ||
      !context->GetDataFromSnapshotOnce<v8::Int32Array>(kFirstArena).ToLocal(&words))
    return nullptr;
  nano_realm* realm = AddRealm(self, context, internals, words);
  if (realm == nullptr) return nullptr;
  realm->from_snapshot = self->has_app_snapshot;
  HideBuffers(isolate, context);
  if (context->GetDataFromSnapshotOnce<v8::Uint32Array>(kUrlComponents).ToLocal(&components)) {
    realm->url_components.Reset(isolate, components);
    realm->url_components_data = static_cast<uint32_t*>(components->Buffer()->Data());
  }
  return realm;
}

void InstallCallbacks(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
  isolate->SetPromiseRejectCallback(OnPromiseReject);
  isolate->SetModifyCodeGenerationFromStringsCallback(OnGeneratedSource);
  isolate->SetHostInitializeImportMetaObjectCallback(OnImportMeta);
  isolate->SetHostImportModuleDynamicallyCallback(OnDynamicImport);
  isolate->AddNearHeapLimitCallback(OnNearHeapLimit, self);
  isolate->SetWasmStreamingCallback(OnWasmStreaming);  // before there is a context
}

bool CallHook(nano_realm* realm, v8::Local<v8::Context> context, std::string_view name,
              v8::Local<v8::Value> argument, std::string* error, v8::Local<v8::Value> second,
              v8::Local<v8::Value> third) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> hook;
  v8::Local<v8::Value> arguments[] = {argument, second, third};
  int count = second.IsEmpty() ? 1 : third.IsEmpty() ? 2 : 3;
  if (Hook(realm, context, name).ToLocal(&hook) &&
      !hook->Call(context, v8::Undefined(isolate), count, arguments).IsEmpty())
    return true;
  if (error != nullptr) *error = Describe(isolate, context, caught);
  return false;
}

bool Load(nano_realm* realm, v8::Local<v8::Context> context, const nano_image& image,
          nano_bytes app_name, const LoadOptions& options, bool* from_cache, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  Linking linking{image, v8::LocalVector<v8::Module>(isolate)};
  realm->linking = &linking;
  CallHook(realm, context, "setStarting", v8::True(isolate), nullptr);
  bool loaded = LinkAndEvaluate(realm, context, linking, options, from_cache, error) &&
                CallStart(realm, context, linking.modules[0], app_name, error);
  CallHook(realm, context, "setStarting", v8::False(isolate), nullptr);
  realm->linking = nullptr;
  if (loaded && options.caches != nullptr) MakeCaches(linking, options.caches);
  if (options.modules != nullptr) *options.modules = std::move(linking.modules);
  return loaded;
}

}  // namespace nano

using namespace nano;

nano_image* nano_image_new(nano_bytes blob, const nano_module* modules, size_t count) {
  auto* image = new nano_image;
  image->blob = {blob.data, static_cast<int>(blob.length)};
  image->references = ExternalReferences();
  image->references.pop_back();
  image->modules.reserve(count);
  for (size_t i = 0; i < count; i++) {
    const nano_module& module = modules[i];
    ModuleSource& source = image->modules.emplace_back();
    source.name = std::string(module.name.data, module.name.length);
    source.source = module.source;
    source.cache = module.cache;
    if (module.kind == NANO_MODULE_WASM) {
      source.wasm = std::make_unique<SharedWasm>();
      continue;
    }
    source.places = SourceMap(module.map_table);
    if (!source.places.empty()) {
      source.wide_name = Widen(source.name);
      image->has_maps = true;
    }
    for (size_t k = 0; k < module.import_count; k++)
      source.imports.emplace_back(
          std::string(module.import_names[k].data, module.import_names[k].length),
          module.import_targets[k]);
    if (module.source.length < kExternalSourceBytesMin) continue;
    nano_bytes text = module.encoding == NANO_ASCII ? module.source : module.text;
    if (module.encoding == NANO_UTF16) {
      source.wide = std::make_unique<WideText>(text);
      image->references.push_back(reinterpret_cast<intptr_t>(source.wide.get()));
    } else {
      source.external = std::make_unique<SourceText>(text);
      image->references.push_back(reinterpret_cast<intptr_t>(source.external.get()));
    }
  }
  image->references.push_back(0);
  return image;
}

void nano_image_map(nano_image* image, size_t module, nano_bytes map) {
  std::string& url = image->modules[module].map;
  url = "data:application/json;charset=utf-8;base64,";
  size_t prefix = url.size();
  url.resize(prefix + simdutf::base64_length_from_binary(map.length, simdutf::base64_default));
  simdutf::binary_to_base64(map.data, map.length, url.data() + prefix, simdutf::base64_default);
}

void nano_image_free(nano_image* image) { delete image; }

nano_isolate* nano_isolate_new(nano_bytes runtime_blob, const nano_image* image, int wake,
                               size_t heap_limit, int64_t cpu_limit_ms, nano_inspector* inspector,
                               char** error) {
  auto* self = new nano_isolate;
  self->has_app_snapshot = image != nullptr && image->blob.data != nullptr;
  self->snapshot = self->has_app_snapshot
                       ? image->blob
                       : v8::StartupData{runtime_blob.data, static_cast<int>(runtime_blob.length)};
  if (!self->snapshot.IsValid()) {
    *error = CopyOut("the snapshot was built by another version of V8 or with other flags");
    delete self;
    return nullptr;
  }
  self->heap_limit = heap_limit;
  self->out.Limit(heap_limit);
  self->start_out.Limit(heap_limit);
  self->meter.limit = cpu_limit_ms * 1000000;
  self->allocator = std::make_shared<Allocator>(self, heap_limit);
  v8::Isolate* isolate = self->isolate = v8::Isolate::Allocate();
  self->tasks = AttachTasks(isolate, &self->shared, wake);
  isolate->SetData(0, self);
  v8::Isolate::CreateParams parameters = Parameters(&self->snapshot);
  parameters.array_buffer_allocator_shared = self->allocator;
  if (self->has_app_snapshot) parameters.external_references = image->references.data();
  if (heap_limit > 0) parameters.constraints.set_max_old_generation_size_in_bytes(heap_limit);
  v8::Isolate::Initialize(isolate, parameters);
  DropFreePointers(isolate);
  InstallCallbacks(self);
  WatchLimits(self);
  bool attached = inspector != nullptr && AttachInspector(self, inspector);
  nano_realm* realm = nullptr;
  bool restored = Survive(self, [&] { realm = RestoreRealm(self); });
  if (realm == nullptr || IsDead(self)) {
    *error =
        CopyOut(restored && !IsDead(self) ? "the snapshot has no runtime in it"
                                          : "the snapshot takes more memory than the heap's limit");
    nano_isolate_dispose(self);
    return nullptr;
  }
  if (attached) ConnectInspector(self);
  return self;
}

int nano_isolate_dispose(nano_isolate* self) {
  EndHost(self);
  EndProfile(self);
  DetachInspector(self);
  if (self->unsound) {
    Leak(self);
    return 1;
  }
  v8::Isolate* isolate = self->isolate;
  self->start_out.Discard();
  self->rejections.clear();
  self->reporting.clear();
  self->handled_late.clear();
  self->first_run.clear();
  self->host.reset();
  self->streamings.clear();
  self->realms.clear();
  self->allocator->Detach();
  self->dropped.url_components.Reset();
  isolate->Dispose();
  DetachTasks(isolate);
  delete self;
  return 0;
}

nano_shared* nano_isolate_shared(nano_isolate* self) { return &self->shared; }

void nano_isolate_compile(nano_isolate* self, const nano_image* image) {
  CompileWasm(self->main(), *image);
}

int nano_isolate_imports(nano_isolate* self, nano_bytes name, nano_bytes source, char** out,
                         char** error) {
  RealmScope scope(self->main());
  v8::Isolate* isolate = self->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Module> module;
  ModuleSource text;
  text.name = std::string(name.data, name.length);
  text.source = source;
  bool from_cache;
  if (!CompileModule(isolate, text, false, &from_cache).ToLocal(&module)) {
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

int nano_isolate_start(nano_isolate* self, uint32_t id, const nano_image* image,
                       nano_bytes app_name, nano_bytes env_json, nano_bytes bindings_json,
                       int* from_cache, nano_bytes** caches, char** error) {
  nano_realm* realm = self->realms[id].get();
  self->name.assign(app_name.data, app_name.length);
  std::string problem = kEndedAtStart;
  LoadOptions options;
  bool cached = false, started = false;
  if (caches != nullptr)
    *caches = options.caches =
        static_cast<nano_bytes*>(calloc(image->modules.size(), sizeof(nano_bytes)));
  CompileWasm(realm, *image);
  WatchScope watch(self, kStartLimit);
  // Go may still be reading what the last turn has brought out.
  self->out.Swap(self->start_out);
  Survive(self, [&] {
    RealmScope scope(realm);
    UseMaps(realm, scope.context, image);
    v8::Local<v8::String> env, bindings, name;
    if (!Utf8(self->isolate, env_json).ToLocal(&env) ||
        !Utf8(self->isolate, bindings_json).ToLocal(&bindings) ||
        !Utf8(self->isolate, app_name).ToLocal(&name))
      return;
    if (!realm->from_snapshot) CallHook(realm, scope.context, "offerEnv", env, nullptr, bindings);
    started = realm->from_snapshot
                  ? ResumeWasm(realm, scope.context, *image, &problem)
                  : Load(realm, scope.context, *image, app_name, options, &cached, &problem);
    if (started) started = CallHook(realm, scope.context, "resume", env, &problem, bindings, name);
  });
  self->out.Truncate();
  self->out.Swap(self->start_out);
  // Perhaps no request follows, whose turn would run what was posted meanwhile.
  if (self->inspection != nullptr) WakeForTasks(*self->tasks);
  *from_cache = cached;
  if (started && !IsDead(self)) return 0;
  *error = CopyOut(started ? kEndedAtStart : problem);
  return -1;
}

void nano_isolate_hush(nano_isolate* self) {
  self->start_out.Discard();
  v8::Isolate::Scope scope(self->isolate);
  self->rejections.clear();
  self->handled_late.clear();
}

void nano_isolate_limit(nano_isolate* self, int64_t cpu_limit_ms) {
  self->meter.limit = cpu_limit_ms * 1000000;
}

int64_t nano_realm_new(nano_isolate* self, char** error) {
  nano_realm* realm = nullptr;
  Survive(self, [&] { realm = RestoreRealm(self); });
  if (realm != nullptr && !IsDead(self)) return realm->id;
  *error = CopyOut("no context of the snapshot can be restored");
  return -1;
}

void nano_realm_drop(nano_isolate* self, uint32_t id) {
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  ForgetRealm(self->realms[id].get(), self->realms[id]->context.Get(self->isolate));
  // Code of the context may still run: when V8 ends a task of it, or in a finalizer.
  self->realms[id]
      ->context.Get(self->isolate)
      ->SetAlignedPointerInEmbedderData(nano_realm::kSlot, &self->dropped);
  self->realms[id].reset();
}

uint8_t* nano_isolate_arena(nano_isolate* self, uint32_t id, size_t need, size_t* capacity) {
  nano_realm* realm = self->realms[id].get();
  if (realm->arena.fresh) {
    realm->arena.fresh = false;
    *capacity = realm->arena.capacity;
    if (need <= *capacity) return realm->arena.data;
  }
  size_t size = need <= kArenaBytes ? kArenaBytes : (need + 4095) & ~size_t{4095};
  bool made = false;
  Survive(self, [&] {
    RealmScope scope(realm);
    v8::Local<v8::ArrayBuffer> buffer;
    made = v8::ArrayBuffer::MaybeNew(self->isolate, size,
                                     v8::BackingStoreInitializationMode::kUninitialized)
               .ToLocal(&buffer);
    if (made) realm->arena.Use(self->isolate, v8::Int32Array::New(buffer, 0, size / 4));
  });
  if (!made || IsDead(self)) return nullptr;
  memset(realm->arena.data, 0, kCells * sizeof(uint32_t));
  *capacity = size;
  return realm->arena.data;
}

void nano_isolate_memory(nano_isolate* self, nano_memory* out) {
  v8::HeapStatistics heap;
  self->isolate->GetHeapStatistics(&heap);
  out->heap_used = heap.used_heap_size();
  out->heap_total = heap.total_heap_size();
  out->heap_physical = heap.total_physical_size();
  out->external = heap.external_memory();
  out->malloced = heap.malloced_memory();
  constexpr size_t kNewSpace = 1;  // in V8's order, as HeapSpaceNames has it
  v8::HeapSpaceStatistics young;
  self->isolate->GetHeapSpaceStatistics(&young, kNewSpace);
  out->young = young.space_used_size();
}

size_t nano_isolate_spaces(nano_isolate* self, nano_space* out, size_t most) {
  size_t count = std::min(most, self->isolate->NumberOfHeapSpaces());
  for (size_t i = 0; i < count; i++) {
    v8::HeapSpaceStatistics space;
    self->isolate->GetHeapSpaceStatistics(&space, i);
    out[i] = {space.space_used_size(), space.physical_space_size()};
  }
  return count;
}

void nano_isolate_collect(nano_isolate* self) {
  Survive(self, [=] {
    v8::Isolate::Scope scope(self->isolate);
    for (auto& realm : self->realms)
      if (realm != nullptr) realm->json.Forget();
    self->isolate->LowMemoryNotification();
    FreeHostObjects(self);
  });
  DropFreeBlocks();
}

void nano_isolate_rest(nano_isolate* self) {
  self->out.Rest();
  self->shared.records = nullptr;
  self->shared.length = 0;
}
