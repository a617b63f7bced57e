// Isolates and realms from restore to disposal, and loading apps into them.
#include <cstring>

#include "engine.h"

namespace nano {

// Linking is the state of an app's modules while they are linked and evaluated.
struct Linking {
  const nano_module* graph;
  v8::LocalVector<v8::Module> modules;  // in the order of the graph
};

namespace {

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

// CPU time that an app's top level may take.
constexpr int64_t kStartLimitMilliseconds = 1000;

v8::ScriptOrigin ModuleOrigin(v8::Local<v8::String> name) {
  return v8::ScriptOrigin(name, 0, 0, false, -1, v8::Local<v8::Value>(), false, false, true);
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
  const Linking& linking = *nano_realm::Of(context)->linking;
  v8::String::Utf8Value wanted(isolate, specifier);
  std::string_view wanted_view(*wanted, wanted.length());
  for (size_t i = 0; i < linking.modules.size(); i++) {
    if (linking.modules[i] != referrer) continue;
    const nano_module& module = linking.graph[i];
    for (size_t k = 0; k < module.import_count; k++) {
      const nano_bytes& name = module.import_names[k];
      if (std::string_view(name.data, name.length) == wanted_view)
        return linking.modules[module.import_targets[k]];
    }
  }
  isolate->ThrowException(v8::Exception::Error(
      v8::String::Concat(isolate, OneByte(isolate, "module was not resolved: "), specifier)));
  return {};
}

bool LinkAndEvaluate(nano_realm* realm, v8::Local<v8::Context> context, Linking& linking,
                     size_t count, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::TryCatch caught(isolate);
  for (size_t i = 0; i < count; i++) {
    v8::Local<v8::Module> module;
    if (!CompileModule(isolate, linking.graph[i].name, linking.graph[i].source).ToLocal(&module)) {
      *error = Describe(isolate, context, caught);
      return false;
    }
    linking.modules.push_back(module);
  }
  v8::Local<v8::Module> main = linking.modules[0];
  v8::Local<v8::Value> result;
  if (main->InstantiateModule(context, ResolveImport).IsNothing() ||
      !main->Evaluate(context).ToLocal(&result)) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  isolate->PerformMicrotaskCheckpoint();
  auto promise = result.As<v8::Promise>();
  if (promise->State() == v8::Promise::kPending) {
    *error = std::string(linking.graph[0].name.data, linking.graph[0].name.length) +
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

bool CallStart(nano_realm* realm, v8::Local<v8::Context> context, v8::Local<v8::Module> main,
               nano_bytes app_name, nano_bytes env_json, std::string* error) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> start;
  v8::Local<v8::String> name, env;
  if (!Hook(realm, context, "start").ToLocal(&start) || !Utf8(isolate, app_name).ToLocal(&name) ||
      !Utf8(isolate, env_json).ToLocal(&env)) {
    *error = "the runtime has no start hook";
    return false;
  }
  v8::Local<v8::Value> arguments[] = {main->GetModuleNamespace(), env, name};
  if (start->Call(context, v8::Undefined(isolate), 3, arguments).IsEmpty()) {
    *error = Describe(isolate, context, caught);
    return false;
  }
  return true;
}

void SetStarting(nano_realm* realm, v8::Local<v8::Context> context, bool starting) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::Local<v8::Function> hook;
  v8::Local<v8::Value> argument = v8::Boolean::New(isolate, starting);
  v8::TryCatch caught(isolate);
  if (Hook(realm, context, "setStarting").ToLocal(&hook))
    (void)hook->Call(context, v8::Undefined(isolate), 1, &argument);
}

}  // namespace

void ReserveRealmSlot(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  context->SetEmbedderData(nano_realm::kSlot, v8::Undefined(isolate));
}

v8::MaybeLocal<v8::Function> Hook(nano_realm* realm, v8::Local<v8::Context> context,
                                  std::string_view name) {
  v8::Local<v8::Value> hook;
  v8::Isolate* isolate = realm->owner->isolate;
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

nano_realm* RestoreRealm(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  v8::Isolate::Scope scope(isolate);
  v8::HandleScope handles(isolate);
  v8::Local<v8::Context> context;
  v8::Local<v8::Object> internals;
  v8::Local<v8::Int32Array> words;
  v8::Local<v8::Uint32Array> components;
  v8::Local<v8::Value> tick;
  if (!v8::Context::FromSnapshot(isolate, 0).ToLocal(&context) ||
      !context->GetDataFromSnapshotOnce<v8::Object>(kInternals).ToLocal(&internals) ||
      !context->GetDataFromSnapshotOnce<v8::Int32Array>(kFirstArena).ToLocal(&words) ||
      !internals->Get(context, OneByte(isolate, "tick")).ToLocal(&tick) || !tick->IsFunction())
    return nullptr;
  size_t id = 0;
  while (id < self->realms.size() && self->realms[id]) id++;
  if (id == self->realms.size()) self->realms.emplace_back();
  auto realm = std::make_unique<nano_realm>(self, static_cast<uint32_t>(id));
  context->SetAlignedPointerInEmbedderData(nano_realm::kSlot, realm.get());
  realm->context.Reset(isolate, context);
  realm->internals.Reset(isolate, internals);
  realm->arena.Use(isolate, words);
  realm->arena.fresh = true;
  realm->tick.Reset(isolate, tick.As<v8::Function>());
  if (context->GetDataFromSnapshotOnce<v8::Uint32Array>(kUrlComponents).ToLocal(&components)) {
    realm->url_components.Reset(isolate, components);
    realm->url_components_data = static_cast<uint32_t*>(components->Buffer()->Data());
  }
  if (id > 0) self->has_realms = true;
  self->realms[id] = std::move(realm);
  return self->realms[id].get();
}

void DropRealm(nano_isolate* self, uint32_t id) { self->realms[id].reset(); }

}  // namespace nano

using namespace nano;

nano_isolate* nano_isolate_new(nano_bytes blob, int wake, size_t heap_limit, int64_t cpu_limit_ms,
                               char** error) {
  auto* self = new nano_isolate;
  self->snapshot = {blob.data, static_cast<int>(blob.length)};
  if (!self->snapshot.IsValid()) {
    *error = CopyOut("the snapshot was built by another version of V8 or with other flags");
    delete self;
    return nullptr;
  }
  self->heap_limit = heap_limit;
  self->out.Limit(heap_limit);
  self->meter.limit = cpu_limit_ms * 1000000;
  self->allocator = std::make_shared<Allocator>(self, heap_limit);
  v8::Isolate* isolate = self->isolate = v8::Isolate::Allocate();
  self->tasks = AttachTasks(isolate, &self->shared, wake);
  isolate->SetData(0, self);
  v8::Isolate::CreateParams parameters = Parameters(&self->snapshot);
  parameters.array_buffer_allocator_shared = self->allocator;
  if (heap_limit > 0) parameters.constraints.set_max_old_generation_size_in_bytes(heap_limit);
  v8::Isolate::Initialize(isolate, parameters);
  isolate->SetMicrotasksPolicy(v8::MicrotasksPolicy::kExplicit);
  isolate->SetPromiseRejectCallback(OnPromiseReject);
  isolate->SetHostInitializeImportMetaObjectCallback(OnImportMeta);
  isolate->SetHostImportModuleDynamicallyCallback(OnDynamicImport);
  isolate->AddNearHeapLimitCallback(OnNearHeapLimit, self);
  WatchLimits(self);

  if (RestoreRealm(self) == nullptr) {
    *error = CopyOut("the snapshot has no runtime in it");
    nano_isolate_dispose(self);
    return nullptr;
  }
  return self;
}

void nano_isolate_dispose(nano_isolate* self) {
  if (self->unsound) return Leak(self);
  v8::Isolate* isolate = self->isolate;
  self->rejections.clear();
  self->reporting.clear();
  self->realms.clear();
  self->allocator->Detach();
  isolate->Dispose();
  DetachTasks(isolate);
  delete self;
}

nano_shared* nano_isolate_shared(nano_isolate* self) { return &self->shared; }

int nano_isolate_imports(nano_isolate* self, nano_bytes name, nano_bytes source, char** out,
                         char** error) {
  RealmScope scope(self->main());
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
  nano_realm* realm = self->main();
  self->name.assign(app_name.data, app_name.length);
  std::string problem = "terminated: a limit was reached while the app started";
  bool loaded = false;
  WatchScope watch(self, kStartLimitMilliseconds * 1000000);
  Survive(self, [&] {
    RealmScope scope(realm);
    Linking linking{modules, v8::LocalVector<v8::Module>(self->isolate)};
    realm->linking = &linking;
    SetStarting(realm, scope.context, true);
    loaded = LinkAndEvaluate(realm, scope.context, linking, count, &problem) &&
             CallStart(realm, scope.context, linking.modules[0], app_name, env_json, &problem);
    SetStarting(realm, scope.context, false);
  });
  realm->linking = nullptr;
  loaded = loaded && !IsDead(self);
  if (!loaded) *error = CopyOut(problem);
  return loaded ? 0 : -1;
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
}

void nano_isolate_collect(nano_isolate* self) {
  Survive(self, [=] {
    v8::Isolate::Scope scope(self->isolate);
    self->isolate->LowMemoryNotification();
  });
}

int nano_context_new(nano_isolate* self) {
  v8::Isolate::Scope scope(self->isolate);
  v8::HandleScope handles(self->isolate);
  return v8::Context::FromSnapshot(self->isolate, 0).IsEmpty() ? -1 : 0;
}
