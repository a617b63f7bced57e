// The crossing: records in, microtasks and V8's tasks, records out; and what V8 reports on the way.
#include <algorithm>

#include "engine.h"

namespace nano {

namespace {

void ReportRejections(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  self->reporting.swap(self->rejections);
  for (auto& [promise, reason, exchange] : self->reporting) {
    if (IsDead(self)) break;
    v8::HandleScope handles(isolate);
    v8::Local<v8::Promise> rejected = promise.Get(isolate);
    if (rejected->HasHandler()) continue;  // an op has looked at it
    v8::Local<v8::Context> context;
    if (!rejected->GetCreationContext(isolate).ToLocal(&context)) continue;
    v8::Context::Scope scope(context);
    v8::Local<v8::Value> arguments[] = {rejected, reason.Get(isolate)};
    v8::TryCatch caught(isolate);
    v8::Local<v8::Function> hook;
    isolate->SetContinuationPreservedEmbedderData(exchange.Get(isolate));
    if (Hook(nano_realm::Of(context), context, "onUnhandledRejection").ToLocal(&hook))
      (void)hook->Call(context, v8::Undefined(isolate), 2, arguments);
    isolate->SetContinuationPreservedEmbedderData(v8::Undefined(isolate));
  }
  self->reporting.clear();
}

// ReportHandled tells the scripts of promises that were reported, perhaps, and have a handler now.
void ReportHandled(nano_isolate* self) {
  v8::Isolate* isolate = self->isolate;
  std::vector<v8::Global<v8::Promise>> list;
  list.swap(self->handled_late);
  for (auto& promise : list) {
    if (IsDead(self)) break;
    v8::HandleScope handles(isolate);
    v8::Local<v8::Promise> handled = promise.Get(isolate);
    v8::Local<v8::Context> context;
    if (!handled->GetCreationContext(isolate).ToLocal(&context)) continue;
    v8::Context::Scope scope(context);
    v8::Local<v8::Value> arguments[] = {handled, handled->Result()};
    v8::TryCatch caught(isolate);
    v8::Local<v8::Function> hook;
    if (Hook(nano_realm::Of(context), context, "onRejectionHandled").ToLocal(&hook))
      (void)hook->Call(context, v8::Undefined(isolate), 2, arguments);
  }
}

// So often a turn reports what was rejected by the listeners of such reports. The rest is for the
// next turn: a listener whose own promise is rejected would keep this one going for ever.
constexpr int kReportRounds = 16;

uint32_t* Cells(const nano_realm* realm) { return reinterpret_cast<uint32_t*>(realm->arena.data); }

// What a turn that is foreseen to be longer than this may take, in nanoseconds.
constexpr int64_t kTurnForeseen = 500'000;

// TakeStep calls the tick of a realm for some of its records, and subtracts from the input what was
// taken. False: it was ended by a limit.
bool TakeStep(nano_isolate* self, nano_input& input, uint32_t count) {
  v8::Isolate* isolate = self->isolate;
  nano_realm* realm = self->realms[input.realm].get();
  uint32_t* cells = Cells(realm);
  cells[kCellDrain] = self->drains;
  uint32_t first = input.offset / 4, after = first;
  if (count < input.count)
    for (uint32_t i = 0; i < count; i++) after += cells[after];  // a record begins with its size
  v8::Local<v8::Value> arguments[] = {realm->arena.words.Get(isolate),
                                      v8::Integer::NewFromUnsigned(isolate, first),
                                      v8::Integer::NewFromUnsigned(isolate, count)};
  v8::Local<v8::Context> context = realm->context.Get(isolate);
  v8::Context::Scope scope(context);
  v8::Local<v8::Value> end;
  if (!realm->tick.Get(isolate)->Call(context, v8::Undefined(isolate), 3, arguments).ToLocal(&end))
    return false;
  if (end->IsUint32()) {
    // tick gives the number of records left, and the word where they begin in kCellNext.
    uint32_t left = end.As<v8::Uint32>()->Value();
    input.count -= count - left;
    input.offset = input.count == 0 ? 0 : (left == 0 ? after : cells[kCellNext]) * 4;
  }
  return true;
}

uint32_t Count(const nano_input* inputs, size_t count) {
  uint32_t records = 0;
  for (size_t i = 0; i < count; i++) records += inputs[i].count;
  return records;
}

// TakeRecords takes the records of all realms, until the turn's share of time is over. What was
// taken is subtracted from the inputs.
//
// The watchdog ends a turn at a tick of the kernel, which may be 4 ms. If the records have cost so
// much lately that the turn would be long, it is taken in steps instead, with a look at the clock
// after each.
void TakeRecords(nano_isolate* self, nano_input* inputs, size_t count) {
  const uint32_t records = Count(inputs, count);
  const uint32_t step = self->pace.Step(records, kTurnForeseen);
  for (size_t i = 0; i < count && !IsDead(self); i++) {
    nano_input& input = inputs[i];
    while (input.count != 0) {
      if (Cells(self->realms[input.realm].get())[kCellEnd] != 0) return;
      const uint32_t taking = std::min(step, input.count);
      if (!TakeStep(self, input, taking)) return;
      if (step >= records) break;
      self->isolate->PerformMicrotaskCheckpoint();
      if (IsDead(self) || Clock::NanosecondsSince(self->meter.began) >= kTurnForeseen) return;
    }
  }
}

void RunTurn(nano_isolate* self, nano_input* inputs, size_t count) {
  v8::Isolate* isolate = self->isolate;
  v8::Context::Scope scope(self->main()->context.Get(isolate));
  const uint32_t records = Count(inputs, count);
  TakeRecords(self, inputs, count);
  if (IsDead(self)) return;
  isolate->PerformMicrotaskCheckpoint();
  if (__atomic_load_n(&self->shared.tasks, __ATOMIC_ACQUIRE) != 0 ||
      __atomic_load_n(&self->shared.task_time_ns, __ATOMIC_ACQUIRE) != 0) {
    if (!IsDead(self) && RunTasks(*self->tasks)) isolate->PerformMicrotaskCheckpoint();
  }
  for (int round = 0; round < kReportRounds && !IsDead(self); round++) {
    if (self->rejections.empty() && self->handled_late.empty()) break;
    ReportHandled(self);
    ReportRejections(self);
    isolate->PerformMicrotaskCheckpoint();
  }
  if (__atomic_load_n(&self->shared.tasks, __ATOMIC_ACQUIRE) != 0) WakeForTasks(*self->tasks);
  if (!self->first_run.empty() && !IsDead(self)) KeepCaches(self);
  if (!IsDead(self)) {
    FreeHostObjects(self);
    CheckMemory(self);
    self->footprint.Learn(self);
  }
  self->pace.Learn(records - Count(inputs, count), Clock::NanosecondsSince(self->meter.began));
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
    self->rejections.emplace_back(
        v8::Global<v8::Promise>(isolate, promise),
        v8::Global<v8::Value>(isolate, message.GetValue()),
        v8::Global<v8::Value>(isolate, isolate->GetContinuationPreservedEmbedderData()));
  } else if (message.GetEvent() == v8::kPromiseHandlerAddedAfterReject) {
    auto same = [&](const auto& entry) { return entry.promise == promise; };
    if (std::erase_if(self->rejections, same) == 0 &&
        std::none_of(self->reporting.begin(), self->reporting.end(), same))
      self->handled_late.emplace_back(isolate, promise);
  }
}

size_t OnNearHeapLimit(void* data, size_t current, size_t initial) {
  auto* self = static_cast<nano_isolate*>(data);
  Kill(self, NANO_DEAD_MEMORY);
  // Room for the code to unwind in, and for the young generation to move to. What asks for more
  // than that is abandoned by OnOutOfMemory.
  constexpr size_t kStep = 64 << 20, kSteps = 4;
  return current < initial + kStep * kSteps ? current + kStep : current;
}

void EndTurn(nano_isolate* self) {
  self->drains = true;
  for (size_t i = 0; i < self->input_count; i++)
    Cells(self->realms[self->inputs[i].realm].get())[kCellEnd] = 1;
}

}  // namespace nano

using namespace nano;

int nano_isolate_turn(nano_isolate* self, nano_input* inputs, size_t count) {
  if (self->owner != pthread_self()) Fatal("turn", "an isolate was used by another thread");
  self->out.Clear();
  if (self->start_out.length() > 0) self->out.Swap(self->start_out);
  if (!IsDead(self)) {
    self->inputs = inputs;
    self->input_count = count;
    for (size_t i = 0; i < count; i++) Cells(self->realms[inputs[i].realm].get())[kCellEnd] = 0;
    WatchScope watch(self, self->meter.limit);
    self->in_turn = true;
    Survive(self, [=] { RunTurn(self, inputs, count); });
    self->in_turn = false;
    self->input_count = 0;
  }
  self->shared.records = self->out.data();
  self->shared.length = self->out.length();
  return IsDead(self) ? -1 : 0;
}

void nano_isolate_terminate(nano_isolate* self, int death) {
  Kill(self, static_cast<uint32_t>(death));
}
