// The crossing: records in, microtasks and V8's tasks, records out; and what V8 reports on the way.
#include "engine.h"

namespace nano {

namespace {

void ReportRejections(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  auto pending = std::move(self->rejections);
  self->rejections.clear();
  for (auto& [promise, reason] : pending) {
    v8::HandleScope handles(isolate);
    v8::Local<v8::Promise> rejected = promise.Get(isolate);
    if (rejected->HasHandler()) continue;  // an op has looked at it
    v8::Local<v8::Context> context;
    if (!rejected->GetCreationContext(isolate).ToLocal(&context)) continue;
    v8::Context::Scope scope(context);
    v8::Local<v8::Value> arguments[] = {rejected, reason.Get(isolate)};
    v8::TryCatch caught(isolate);
    v8::Local<v8::Function> hook;
    if (Hook(nano_realm::Of(context), context, "onUnhandledRejection").ToLocal(&hook))
      (void)hook->Call(context, v8::Undefined(isolate), 2, arguments);
  }
}

// TakeRecords calls the tick of each realm that has records.
void TakeRecords(nano_isolate* self, const nano_input* inputs, size_t count) {
  v8::Isolate* isolate = self->isolate;
  for (size_t i = 0; i < count && !isolate->IsExecutionTerminating(); i++) {
    nano_realm* realm = self->realms[inputs[i].realm].get();
    v8::Local<v8::Value> arguments[] = {realm->arena.words.Get(isolate),
                                        v8::Integer::NewFromUnsigned(isolate, inputs[i].offset / 4),
                                        v8::Integer::NewFromUnsigned(isolate, inputs[i].count)};
    v8::Local<v8::Context> context = realm->context.Get(isolate);
    v8::Context::Scope scope(context);
    (void)realm->tick.Get(isolate)->Call(context, v8::Undefined(isolate), 3, arguments);
  }
}

}  // namespace

void OnMessage(v8::Local<v8::Message>, v8::Local<v8::Value> error) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr) return;  // the runtime snapshot is being built
  v8::HandleScope handles(isolate);
  nano_realm* realm = self->current();
  if (realm->context.IsEmpty()) return;  // it was dropped
  v8::Local<v8::Context> context = realm->context.Get(isolate);
  v8::TryCatch caught(isolate);
  v8::Local<v8::Function> hook;
  if (Hook(realm, context, "onError").ToLocal(&hook))
    (void)hook->Call(context, v8::Undefined(isolate), 1, &error);
}

void OnPromiseReject(v8::PromiseRejectMessage message) {
  v8::Local<v8::Promise> promise = message.GetPromise();
  v8::Isolate* isolate = promise->GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  if (message.GetEvent() == v8::kPromiseRejectWithNoHandler) {
    self->rejections.emplace_back(v8::Global<v8::Promise>(isolate, promise),
                                  v8::Global<v8::Value>(isolate, message.GetValue()));
  } else if (message.GetEvent() == v8::kPromiseHandlerAddedAfterReject) {
    std::erase_if(self->rejections, [&](const auto& entry) { return entry.first == promise; });
  }
}

size_t OnNearHeapLimit(void* data, size_t current, size_t) {
  auto* self = static_cast<nano_isolate*>(data);
  __atomic_store_n(&self->shared.dead, NANO_DEAD_MEMORY, __ATOMIC_RELEASE);
  self->isolate->TerminateExecution();
  // Room for whatever allocation was under way, which V8 would otherwise abort the process for. It
  // is address space; the isolate is disposed of as soon as its code has unwound.
  return current + (size_t{1} << 30);
}

}  // namespace nano

using namespace nano;

int nano_isolate_turn(nano_isolate* self, const nano_input* inputs, size_t count,
                      nano_output* out) {
  if (self->owner != pthread_self()) Fatal("turn", "an isolate was used by another thread");
  self->out.Clear();
  {
    RealmScope scope(self->main());
    v8::Isolate* isolate = self->isolate;
    size_t records = 0;
    for (size_t i = 0; i < count; i++) records += inputs[i].count;
    WatchScope watch(self, self->cpu_limit_ms * static_cast<int64_t>(records > 0 ? records : 1));
    TakeRecords(self, inputs, count);
    isolate->PerformMicrotaskCheckpoint();
    if (__atomic_load_n(&self->shared.tasks, __ATOMIC_ACQUIRE) != 0 ||
        __atomic_load_n(&self->shared.task_time_ns, __ATOMIC_ACQUIRE) != 0) {
      if (RunTasks(*self->tasks)) isolate->PerformMicrotaskCheckpoint();
    }
    while (!self->rejections.empty() && !isolate->IsExecutionTerminating()) {
      ReportRejections(self);
      isolate->PerformMicrotaskCheckpoint();
    }
  }
  out->records = self->out.data();
  out->length = self->out.length();
  return __atomic_load_n(&self->shared.dead, __ATOMIC_ACQUIRE) == NANO_ALIVE ? 0 : -1;
}

void nano_isolate_terminate(nano_isolate* self, int death) {
  __atomic_store_n(&self->shared.dead, static_cast<uint32_t>(death), __ATOMIC_RELEASE);
  self->isolate->TerminateExecution();
}
