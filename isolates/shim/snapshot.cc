// Building snapshots: of the runtime.
#include <cstring>

#include "engine.h"
#include "ops.h"

namespace nano {

namespace {

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

}  // namespace
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
  blob->data = CopyOut(std::string_view(data.data, data.raw_size));
  blob->length = data.raw_size;
  delete[] data.data;
  return 0;
}
