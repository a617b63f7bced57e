// Building snapshots: of the runtime, and of apps on top of it.
#include <v8-profiler.h>

#include <cstring>

#include "engine.h"
#include "linear.h"
#include "ops.h"

namespace nano {

#define NANO_DISCARD                                                      \
  "_ZN2v88internal18SharedFunctionInfo15DiscardCompiledEPNS0_7IsolateENS" \
  "0_12DirectHandleIS1_EE"

// Discard has V8 forget the code of a function, by a handle of its SharedFunctionInfo. It would be
// compiled again when it is called.
void Discard(v8::Isolate* isolate, v8::UnboundModuleScript* code) asm(NANO_DISCARD);

const v8::StartupData* DefaultSnapshot() asm("_ZN2v88internal8Snapshot19DefaultSnapshotBlobEv");

namespace {

v8::Local<v8::Object> NullObject(v8::Isolate* isolate) {
  return v8::Object::New(isolate, v8::Null(isolate), nullptr, nullptr, 0);
}

v8::MaybeLocal<v8::Function> NewOp(v8::Local<v8::Context> context, const Op& op) {
  constexpr auto kBehavior = v8::ConstructorBehavior::kThrow;
  const v8::CFunction* fast = FastCall(op);
  if (fast == nullptr) return v8::Function::New(context, op.callback, {}, op.length, kBehavior);
  return v8::FunctionTemplate::New(context->GetIsolate(), op.callback, {}, {}, op.length, kBehavior,
                                   v8::SideEffectType::kHasSideEffect, fast)
      ->GetFunction(context);
}

bool Boot(v8::Isolate* isolate, v8::Local<v8::Context> context, v8::Local<v8::Object> internals) {
  v8::Local<v8::Object> ops = NullObject(isolate);
  for (size_t i = 0; i < kOpCount; i++) {
    v8::Local<v8::String> name = OneByte(isolate, kOps[i].name);
    v8::Local<v8::Function> function;
    if (!NewOp(context, kOps[i]).ToLocal(&function)) return false;
    function->SetName(name);
    if (ops->Set(context, name, function).IsNothing()) return false;
  }
  // V8's functions for continuation-preserved embedder data, see 01_infra.js.
  if (internals->Set(context, OneByte(isolate, "extras"), context->GetExtrasBindingObject())
          .IsNothing())
    return false;
  for (const auto& script : Scripts()) {
    if (script->lazy) continue;
    v8::Local<v8::Function> function;
    v8::Local<v8::Value> arguments[] = {ops, internals};
    if (!CompileScript(context, *script).ToLocal(&function) ||
        function->Call(context, v8::Undefined(isolate), 2, arguments).IsEmpty())
      return false;
  }
  return true;
}

// ---- What a snapshot cannot hold ----

// Where is the place of the app's code that runs.
std::string Where(v8::Isolate* isolate) {
  return PlaceOf(isolate, v8::StackTrace::CurrentStackTrace(isolate, 16));
}

// Globals that V8 leaves out of isolates that build a snapshot.
constexpr const char* kMissingGlobals[] = {"WebAssembly", "SharedArrayBuffer"};

// What V8 adds to a context when it restores it, beside the missing globals: what it has behind
// flags. It aborts the process if it cannot.
constexpr struct {
  const char* global;  // or "" for the global object itself
  bool of_prototype;
  const char* name;
} kAdded[] = {
    {"", false, "Float16Array"},
    {"Math", false, "f16round"},
    {"DataView", true, "getFloat16"},
    {"DataView", true, "setFloat16"},
};

bool IsExtensible(v8::Local<v8::Context> context, v8::Local<v8::Object> object) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  v8::Local<v8::Symbol> key = v8::Symbol::New(isolate);
  return object->CreateDataProperty(context, key, v8::Undefined(isolate)).FromMaybe(false) &&
         object->Delete(context, key).FromMaybe(false);
}

// WhyNotRestored says what the app has done that keeps V8 from adding them; "": nothing.
std::string WhyNotRestored(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  v8::TryCatch caught(isolate);
  v8::Local<v8::Object> global = context->Global();
  if (!IsExtensible(context, global))
    return "the app has frozen the global object, or allows no more properties on it";
  for (const auto& added : kAdded) {
    v8::Local<v8::Value> holder = global;
    std::string text = added.global;
    if (!text.empty() && !global->Get(context, OneByte(isolate, added.global)).ToLocal(&holder))
      return "the app has replaced " + text;
    if (added.of_prototype) {
      text += ".prototype";
      if (!holder->IsObject() ||
          !holder.As<v8::Object>()->Get(context, OneByte(isolate, "prototype")).ToLocal(&holder))
        return "the app has replaced " + text;
    }
    if (!holder->IsObject()) return "the app has replaced " + text;
    auto object = holder.As<v8::Object>();
    if (object->HasOwnProperty(context, OneByte(isolate, added.name)).FromMaybe(true))
      return "the app has defined " + (text.empty() ? "" : text + ".") + added.name;
    if (!IsExtensible(context, object)) return "the app has frozen " + text;
  }
  return "";
}

// Why the app in the builder of this thread cannot be snapshotted, as far as traps have told.
thread_local std::string trapped;

// Traps notice that the app asks for one of the missing globals, which it would take for a
// platform without.
void SetTraps(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  trapped.clear();
  for (const char* name : kMissingGlobals)
    (void)context->Global()->SetNativeDataProperty(context, OneByte(isolate, name), ReadTrap,
                                                   nullptr, {}, v8::PropertyAttribute::DontEnum);
}

void RemoveTraps(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  for (const char* name : kMissingGlobals)
    (void)context->Global()->Delete(context, OneByte(isolate, name));
}

// Survey goes through what is alive. It finds instances of the constructors of Intl, which
// CreateBlob would abort for, and the ArrayBuffers and their views.
class Survey final : public v8::QueryObjectPredicate {
 public:
  // The prototypes are taken before the app can change them.
  Survey(v8::Isolate* isolate, v8::Local<v8::Context> context) : prototypes_(isolate) {
    v8::Local<v8::Value> intl, prototype, constructor;
    v8::Local<v8::Array> names;
    if (!context->Global()->Get(context, OneByte(isolate, "Intl")).ToLocal(&intl) ||
        !intl->IsObject() ||
        !intl.As<v8::Object>()
             ->GetOwnPropertyNames(context, v8::PropertyFilter::ALL_PROPERTIES,
                                   v8::KeyConversionMode::kConvertToString)
             .ToLocal(&names))
      return;
    for (uint32_t i = 0; i < names->Length(); i++) {
      v8::Local<v8::Value> name;
      if (!names->Get(context, i).ToLocal(&name) ||
          !intl.As<v8::Object>()->Get(context, name).ToLocal(&constructor) ||
          !constructor->IsFunction() ||
          !constructor.As<v8::Object>()
               ->Get(context, OneByte(isolate, "prototype"))
               .ToLocal(&prototype) ||
          !prototype->IsObject())
        continue;
      prototypes_.push_back(prototype.As<v8::Object>());
      v8::String::Utf8Value text(isolate, name);
      names_.emplace_back(*text, text.length());
    }
  }

  // Run collects all garbage and looks at what is left.
  void Run(v8::Isolate* isolate, v8::Local<v8::Context> context) {
    intl_.clear();
    buffers_.clear();
    isolate->GetHeapProfiler()->QueryObjects(context, this, &buffers_);
  }

  // The constructor's name of an instance, or "".
  const std::string& intl() const { return intl_; }
  const std::vector<v8::Global<v8::Object>>& buffers() const { return buffers_; }

  bool Filter(v8::Local<v8::Object> object) override {
    if (object->IsArrayBuffer() || object->IsArrayBufferView()) return true;
    if (!object->IsProxy()) FindIntl(object);
    return false;
  }

 private:
  void FindIntl(v8::Local<v8::Object> object) {
    for (v8::Local<v8::Object> prototype : prototypes_)
      if (object == prototype) return;
    v8::Local<v8::Value> parent = object->GetPrototypeV2();
    for (int depth = 0; depth < 8 && parent->IsObject() && !parent->IsProxy(); depth++) {
      for (size_t i = 0; i < prototypes_.size(); i++)
        if (parent == prototypes_[i]) {
          intl_ = names_[i];
          return;
        }
      parent = parent.As<v8::Object>()->GetPrototypeV2();
    }
  }

  v8::LocalVector<v8::Object> prototypes_;
  std::vector<std::string> names_;
  std::string intl_;
  std::vector<v8::Global<v8::Object>> buffers_;
};

std::string IntlReason(std::string_view place, std::string_view name) {
  return (place.empty() ? "" : std::string(place) + ": ") + "an Intl." + std::string(name) +
         " that is made at the top level cannot be in a snapshot; make it when it is first used";
}

// DropStandIns takes away what stood for WebAssembly. If something is left of it after a
// collection, the app has kept it.
bool DropStandIns(nano_realm* realm, v8::Local<v8::Context> context, size_t count) {
  v8::Isolate* isolate = realm->owner->isolate;
  v8::LocalVector<v8::Value> none(isolate);
  for (size_t i = 0; i < count; i++) none.push_back(v8::Undefined(isolate));
  return SetWasm(realm, context, none);
}

std::string WasmReason(const nano_image& image, size_t index) {
  for (const ModuleSource& source : image.modules)
    if (source.wasm != nullptr && index-- == 0)
      return source.name +
             ": the WebAssembly.Module is kept by the top level, and cannot be in a snapshot; use "
             "what is imported where it is needed";
  return "";
}

// ---- Building ----

struct Build {
  std::string error;   // the app does not start
  std::string reason;  // it starts, but cannot be snapshotted
  std::string warmup;  // the warm-up request failed
  std::string blob;
};

struct Source {
  nano_bytes runtime_blob;
  const nano_image* image;
  nano_bytes app_name;
  nano_bytes request;  // to warm up with, or empty
  bool forget;         // the app after that
};

// WarmUp gives the app one request and sees it through. "", or why the state after it is no good.
class WarmUp {
 public:
  WarmUp(nano_realm* realm, v8::Local<v8::Context> context) : realm_(realm), context_(context) {}

  std::string Run(nano_bytes request) {
    v8::Isolate* isolate = realm_->owner->isolate;
    std::string problem;
    if (!CallHook(realm_, context_, "resume", OneByte(isolate, "{}"), &problem)) return problem;
    if (!Tick(request)) return "no memory for the request";
    for (int chunks = 0; !ended_; chunks++) {
      bool sent_chunk = false;
      problem = ReadRecords(&sent_chunk);
      if (!problem.empty() || ended_) break;
      if (!sent_chunk) return answered_ ? "its work did not end" : "it was not answered";
      if (chunks == kChunksMax) return "its answer does not end";
      uint32_t words[] = {3, kRecordSent, id_};
      if (!Tick({reinterpret_cast<const char*>(words), sizeof words})) return "no memory";
    }
    CallHook(realm_, context_, "suspend", v8::Undefined(isolate), nullptr);
    realm_->owner->out.Clear();
    return problem;
  }

 private:
  static constexpr int kChunksMax = 1000;
  // See isolates/arena.go.
  static constexpr uint32_t kRecordSent = 3;
  static constexpr size_t kRecordOffset = 16;

  bool Tick(nano_bytes record) {
    v8::Isolate* isolate = realm_->owner->isolate;
    realm_->owner->out.Clear();
    v8::Local<v8::ArrayBuffer> buffer;
    size_t size = kRecordOffset + record.length;
    if (!v8::ArrayBuffer::MaybeNew(isolate, size).ToLocal(&buffer)) return false;
    memcpy(static_cast<char*>(buffer->Data()) + kRecordOffset, record.data, record.length);
    realm_->arena.Use(isolate, v8::Int32Array::New(buffer, 0, size / 4));
    v8::Local<v8::Value> arguments[] = {realm_->arena.words.Get(isolate),
                                        v8::Integer::New(isolate, kRecordOffset / 4),
                                        v8::Integer::New(isolate, 1)};
    v8::TryCatch caught(isolate);
    (void)realm_->tick.Get(isolate)->Call(context_, v8::Undefined(isolate), 3, arguments);
    isolate->PerformMicrotaskCheckpoint();
    if (RunTasks(*realm_->owner->tasks)) isolate->PerformMicrotaskCheckpoint();
    return true;
  }

  std::string ReadRecords(bool* sent_chunk) {
    const Output& out = realm_->owner->out;
    for (size_t at = 0; at < out.length();) {
      const auto* record = reinterpret_cast<const nano_record*>(out.data() + at);
      at += record->size;
      free(record->block);
      switch (record->kind) {
        case NANO_RESPOND:
          if (record->status >= 500)
            return "it was answered with status " + std::to_string(record->status) + Text(record);
          answered_ = true;
          id_ = record->id;
          ended_ = (record->flags & (kFlagStreaming | kFlagPending)) == 0;
          streaming_ = (record->flags & kFlagStreaming) != 0;
          pending_ = (record->flags & kFlagPending) != 0;
          break;
        case NANO_CHUNK:
          *sent_chunk = true;
          break;
        case NANO_END:
          if (record->flags != 0) return "its answer broke";
          streaming_ = false;
          ended_ = !pending_;
          break;
        case NANO_SETTLED:
          pending_ = false;
          ended_ = true;
          break;
      }
    }
    return "";
  }

  static std::string Text(const nano_record* record) {
    if (record->block != nullptr || record->body_length == 0) return "";
    return ": " + std::string(reinterpret_cast<const char*>(record + 1) + record->reason_length +
                                  record->head_length,
                              record->body_length);
  }

  static constexpr int kFlagStreaming = 1, kFlagPending = 2;  // of the op respond

  nano_realm* const realm_;
  const v8::Local<v8::Context> context_;
  uint32_t id_ = 0;
  bool answered_ = false, streaming_ = false, pending_ = false, ended_ = false;
};

// ShowBuffers hangs all ArrayBuffers and their views where the serializer of V8 13.6 comes by
// early. Objects that it first meets deep in the graph it puts off, and it cannot do that with
// these: it writes a backing store before the object, where the deserializer expects none. The
// prototype of the global object is among the first things that it looks at.
bool ShowBuffers(v8::Isolate* isolate, v8::Local<v8::Context> context,
                 const std::vector<v8::Global<v8::Object>>& found) {
  if (found.empty()) return true;
  v8::LocalVector<v8::Value> list(isolate);
  for (const auto& object : found)
    if (object.Get(isolate)->IsArrayBuffer()) list.push_back(object.Get(isolate));
  for (const auto& object : found)
    if (!object.Get(isolate)->IsArrayBuffer()) list.push_back(object.Get(isolate));
  v8::Local<v8::Value> prototype = context->Global()->GetPrototypeV2();
  return prototype->IsObject() && !prototype->IsProxy() &&
         prototype.As<v8::Object>()
             ->SetPrivate(context, BuffersKey(isolate),
                          v8::Array::New(isolate, list.data(), list.size()))
             .FromMaybe(false);
}

class Errors final : public v8::QueryObjectPredicate {
 public:
  bool Filter(v8::Local<v8::Object> object) override { return object->IsNativeError(); }
};

// FormatStacks has V8 make the text of each error's stack now. It does so when the stack is first
// read, and needs for it the bytecode of all its frames, which is not in a snapshot for what ran
// only once.
void FormatStacks(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  Errors predicate;
  std::vector<v8::Global<v8::Object>> found;
  isolate->GetHeapProfiler()->QueryObjects(context, &predicate, &found);
  v8::TryCatch caught(isolate);
  v8::Local<v8::String> name = OneByte(isolate, "stack");
  for (const auto& error : found) (void)error.Get(isolate)->Get(context, name);
}

// DropTopLevels has V8 forget the code of the modules' top levels, which have run and never do
// again. It drops old code by itself, but not that of functions that can be suspended, as these
// are, and with the code it keeps all literals in it, and the functions that were made only there.
// After FormatStacks, which needs the code.
void DropTopLevels(v8::Isolate* isolate, const v8::LocalVector<v8::Module>& modules) {
  for (v8::Local<v8::Module> module : modules)
    if (module->GetStatus() == v8::Module::kEvaluated)
      Discard(isolate, *module->GetUnboundModuleScript());
}

// Finalize surveys the heap, and lets the callbacks of FinalizationRegistry run that are due after
// its collection: V8 aborts for a snapshot with some of them waiting.
void Finalize(nano_isolate* self, v8::Local<v8::Context> context, Survey* survey) {
  for (int round = 0; round < 4; round++) {
    survey->Run(self->isolate, context);
    bool ran = RunTasks(*self->tasks);
    self->isolate->PerformMicrotaskCheckpoint();
    if (!ran) return;
  }
}

// MarkRehashable sets the word of a snapshot's header which says that V8 seeds all hash tables anew
// when it restores it. V8 does so for a module's table of exports, as for all others (see
// HeapObject::RehashBasedOnMap), but its test for what it can do has not heard of it, and calls
// every snapshot with a module in it one that cannot be rehashed. Unmarked, it would have the
// tables of the builder's seed in a process with another. True if V8 takes the mark.
bool MarkRehashable(v8::StartupData* data) {
  constexpr size_t kRehashabilityOffset = 4;
  const uint32_t mark = 1;
  memcpy(const_cast<char*>(data->data) + kRehashabilityOffset, &mark, sizeof mark);
  return data->CanBeRehashed();
}

// After this many full collections V8 has dropped the bytecode of what ran at the top level only.
constexpr int kFlushRounds = 10;

// Evaluate runs the app in the builder's isolate and leaves its context ready for CreateBlob.
void Evaluate(nano_isolate* self, v8::SnapshotCreator& creator, const Source& source,
              Build* build) {
  v8::Isolate* isolate = self->isolate;
  v8::HandleScope handles(isolate);
  creator.SetDefaultContext(v8::Context::New(isolate));
  nano_realm* realm = RestoreRealm(self);
  if (realm == nullptr) {
    build->error = "the snapshot has no runtime in it";
    return;
  }
  v8::Local<v8::Context> context = realm->context.Get(isolate);
  v8::Context::Scope context_scope(context);
  Survey survey(isolate, context);
  std::vector<v8::Global<v8::Object>> stand_ins;  // weak
  SetTraps(isolate, context);
  CallHook(realm, context, "building", v8::True(isolate), nullptr);
  UseMaps(realm, context, source.image);
  {
    WatchScope watch(self, kStartLimit);
    bool from_cache;
    v8::LocalVector<v8::Module> modules(isolate);
    LoadOptions options;
    options.modules = &modules;
    options.wasm = &stand_ins;
    bool loaded =
        Load(realm, context, *source.image, source.app_name, options, &from_cache, &build->error);
    build->reason = trapped;
    // Before DropTopLevels, after which they would be found though nobody keeps them.
    if (loaded && !DropStandIns(realm, context, stand_ins.size())) return;
    if (loaded && trapped.empty()) {
      FormatStacks(isolate, context);
      DropTopLevels(isolate, modules);
    }
    if (!stand_ins.empty() && source.request.length > 0) {
      build->warmup = "it imports WebAssembly, which does not exist while a snapshot is built";
    } else if (loaded && trapped.empty() && source.request.length > 0) {
      CallHook(realm, context, "setStarting",
               OneByte(isolate, "during the warm-up request, whose outcome all isolates share"),
               nullptr);
      for (int i = 0; i < kFlushRounds; i++)
        isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kCritical);
      isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kNone);
      build->warmup = WarmUp(realm, context).Run(source.request);
      FormatStacks(isolate, context);
      CallHook(realm, context, "setStarting", v8::False(isolate), nullptr);
      if (!trapped.empty()) build->warmup = trapped;
    }
  }
  Revive(self);
  if (!build->reason.empty()) build->error.clear();  // the app missed what it asked for
  if (!build->error.empty() || !build->reason.empty() || !build->warmup.empty()) return;
  if (source.forget) CallHook(realm, context, "forget", v8::Undefined(isolate), nullptr);
  RemoveTraps(isolate, context);
  build->reason = WhyNotRestored(isolate, context);
  if (!build->reason.empty()) return;
  if (!CallHook(realm, context, "building", v8::False(isolate), nullptr)) {
    build->reason = "the app has made Error.stackTraceLimit a property that cannot be removed";
    return;
  }
  self->rejections.clear();
  auto memory = v8::ArrayBuffer::New(isolate, kFirstArenaBytes);
  v8::Local<v8::Int32Array> arena = v8::Int32Array::New(memory, 0, kFirstArenaBytes / 4);
  Finalize(self, context, &survey);
  self->rejections.clear();
  for (size_t i = 0; i < stand_ins.size(); i++)
    if (!stand_ins[i].IsEmpty() && build->reason.empty())
      build->reason = WasmReason(*source.image, i);
  if (!build->reason.empty()) return;
  if (!survey.intl().empty()) {
    build->reason = IntlReason("", survey.intl());
    return;
  }
  if (std::string place = HostObjectPlace(self); !place.empty()) {
    build->reason = place +
                    ": an object of native code (such as a key) that is made at the top level "
                    "cannot be in a snapshot; make it when it is first used";
    return;
  }
  if (!ShowBuffers(isolate, context, survey.buffers())) {
    build->reason = "the app has replaced the prototype of the global object";
    return;
  }
  context->SetEmbedderData(nano_realm::kSlot, v8::Undefined(isolate));
  creator.AddContext(context);
  creator.AddData(context, realm->internals.Get(isolate));
  creator.AddData(context, arena);
  if (realm->url_components_data != nullptr)
    creator.AddData(context, realm->url_components.Get(isolate));
}

// Finished gives a new snapshot the form that is read fastest.
std::string Finished(const v8::StartupData& data) {
  std::string_view blob(data.data, data.raw_size);
  std::string form = linear::Linearize(blob, SealingIsolate());
  return form.empty() ? std::string(blob) : form;
}

Build BuildApp(const Source& source) {
  Build build;
  Deterministic deterministic;
  auto self = std::make_unique<nano_isolate>();
  self->snapshot = {source.runtime_blob.data, static_cast<int>(source.runtime_blob.length)};
  v8::Isolate* isolate = self->isolate = v8::Isolate::Allocate();
  self->tasks = AttachTasks(isolate, &self->shared, -1);
  isolate->SetData(0, self.get());
  v8::Isolate::CreateParams parameters = Parameters(&self->snapshot);
  parameters.external_references = source.image->references.data();
  {
    v8::SnapshotCreator creator(isolate, parameters);
    InstallCallbacks(self.get());
    Evaluate(self.get(), creator, source, &build);
    self->rejections.clear();
    self->handled_late.clear();
    EndHost(self.get());
    self->host.reset();
    self->realms.clear();
    self->dropped.url_components.Reset();
    if (build.error.empty() && build.reason.empty() && build.warmup.empty()) {
      v8::StartupData data = creator.CreateBlob(v8::SnapshotCreator::FunctionCodeHandling::kKeep);
      if (data.data == nullptr) {
        build.reason = "V8 could not make the snapshot";
      } else if (!data.CanBeRehashed() && !MarkRehashable(&data)) {
        build.reason = "it holds an object whose hash table V8 cannot seed anew";
      } else {
        build.blob = Finished(data);
      }
      delete[] data.data;
    }
  }
  isolate->Dispose();
  DetachTasks(isolate);
  return build;
}

// ---- Diagnosis ----

// Wraps the constructors of Intl; note(object, name) is told of each object that they make.
constexpr char kIntlRecorder[] = R"((function (note) {
  for (const name of Object.getOwnPropertyNames(Intl)) {
    const original = Intl[name];
    if (typeof original !== "function" || typeof original.prototype !== "object") continue;
    const wrapped = new Proxy(original, {
      construct(target, list, newTarget) {
        const made = Reflect.construct(target, list, newTarget === wrapped ? target : newTarget);
        note(made, name);
        return made;
      },
      apply(target, self, list) {
        const made = Reflect.apply(target, self, list);
        if (typeof made === "object") note(made, name);
        return made;
      },
    });
    Intl[name] = wrapped;
    Object.defineProperty(original.prototype, "constructor", { value: wrapped });
  }
}))";

struct Made {
  v8::Global<v8::Object> object;  // weak
  std::string name, place;
};

void NoteMade(const v8::FunctionCallbackInfo<v8::Value>& info) {
  v8::Isolate* isolate = info.GetIsolate();
  auto* made = static_cast<std::vector<Made>*>(info.Data().As<v8::External>()->Value());
  v8::String::Utf8Value name(isolate, info[1]);
  made->push_back({v8::Global<v8::Object>(isolate, info[0].As<v8::Object>()),
                   std::string(*name, name.length()), Where(isolate)});
  made->back().object.SetWeak();
}

bool RecordIntl(v8::Isolate* isolate, v8::Local<v8::Context> context, std::vector<Made>* made) {
  v8::TryCatch caught(isolate);
  v8::ScriptOrigin origin(OneByte(isolate, "nano:diagnose"));
  v8::ScriptCompiler::Source text(OneByte(isolate, kIntlRecorder), origin);
  v8::Local<v8::Script> script;
  v8::Local<v8::Value> recorder, result;
  v8::Local<v8::Function> note;
  if (!v8::ScriptCompiler::Compile(context, &text).ToLocal(&script) ||
      !script->Run(context).ToLocal(&recorder) ||
      !v8::Function::New(context, NoteMade, v8::External::New(isolate, made)).ToLocal(&note))
    return false;
  v8::Local<v8::Value> arguments[] = {note};
  return recorder.As<v8::Function>()
      ->Call(context, v8::Undefined(isolate), 1, arguments)
      .ToLocal(&result);
}

}  // namespace

void RefuseSnapshot(v8::Isolate* isolate, v8::Local<v8::Value> words) {
  if (!trapped.empty()) return;
  v8::String::Utf8Value text(isolate, words);
  std::string place = Where(isolate);
  trapped = (place.empty() ? "" : place + ": ") + std::string(*text, text.length());
}

void ReadTrap(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value>&) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  constexpr char kRest[] = " does not exist while a snapshot is built; use it inside fetch() only";
  RefuseSnapshot(isolate,
                 v8::String::Concat(isolate, name.As<v8::String>(), OneByte(isolate, kRest)));
}

}  // namespace nano

using namespace nano;

int nano_snapshot(nano_bytes* blob, char** error) {
  Deterministic deterministic;
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
      ReserveRealmSlot(isolate, context);
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
  if (data.data == nullptr) return -1;
  std::string finished = Finished(data);
  blob->data = CopyOut(finished);
  blob->length = finished.size();
  delete[] data.data;
  return 0;
}

int nano_snapshot_app(nano_bytes runtime_blob, const nano_image* image, nano_bytes app_name,
                      nano_bytes request, int forget, nano_built* built, char** error) {
  *built = {};
  Build build = BuildApp({runtime_blob, image, app_name, request, forget != 0});
  if (!build.warmup.empty()) {
    built->warmup_note = CopyOut(build.warmup);
    build = BuildApp({runtime_blob, image, app_name, {nullptr, 0}, forget != 0});
  }
  if (!build.error.empty()) {
    *error = CopyOut(build.error);
    return -1;
  }
  if (!build.reason.empty()) built->reason = CopyOut(build.reason);
  if (!build.blob.empty()) built->blob = {CopyOut(build.blob), build.blob.size()};
  return 0;
}

void nano_linearize(nano_bytes blob, nano_bytes* linear) {
  std::string form = linear::Linearize({blob.data, blob.length}, SealingIsolate());
  *linear = {nullptr, 0};
  if (!form.empty()) *linear = {CopyOut(form), form.size()};
}

nano_bytes nano_v8_snapshot(void) {
  const v8::StartupData* blob = DefaultSnapshot();
  return {blob->data, static_cast<size_t>(blob->raw_size)};
}

char* nano_diagnose(nano_bytes runtime_blob, const nano_image* image, nano_bytes app_name) {
  char* problem = nullptr;
  nano_isolate* self = nano_isolate_new(runtime_blob, nullptr, -1, 0, 0, nullptr, &problem);
  if (self == nullptr) return problem;
  std::string reason;
  {
    std::vector<Made> made;
    {
      RealmScope scope(self->main());
      std::string error;
      bool from_cache;
      WatchScope watch(self, kStartLimit);
      UseMaps(self->main(), scope.context, image);
      if (RecordIntl(self->isolate, scope.context, &made))
        Load(self->main(), scope.context, *image, app_name, {}, &from_cache, &error);
    }
    nano_isolate_collect(self);
    for (const Made& object : made) {
      if (object.object.IsEmpty()) continue;
      reason = IntlReason(object.place, object.name);
      break;
    }
  }
  nano_isolate_dispose(self);
  return reason.empty() ? nullptr : CopyOut(reason);
}
