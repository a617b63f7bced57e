// Ops of I/O objects: what JavaScript asks of them, and what comes back. JavaScript names them by
// handles; see isolates/records.go for what the records mean.
#include <cstring>

#include "engine.h"
#include "ops.h"
#include "records.h"
#include "text.h"

namespace nano {

namespace ops {

void ioOpen(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  int32_t handle = NextHandle(self);
  Writer writer(self, NANO_OPEN, static_cast<uint32_t>(handle));
  nano_record* record = writer.record();
  record->flags = static_cast<uint8_t>(Unsigned(info[0]));
  record->status = static_cast<uint16_t>(Unsigned(info[1]));
  record->source = info[5].As<v8::Int32>()->Value();
  record->number = info[6].As<v8::Number>()->Value();
  record->request = info[7].As<v8::Int32>()->Value();
  uint32_t target = writer.Latin1(isolate, info[2]);
  uint32_t head = writer.Latin1(isolate, info[3]);
  writer.record()->reason_length = target;
  writer.record()->head_length = head;
  writer.Body(isolate, info[4]);
  info.GetReturnValue().Set(handle);
}

void ioRead(Info info) {
  Writer writer(nano_isolate::From(info.GetIsolate()), NANO_READ, Writer::Handle(info[0]));
  writer.record()->number = info[1].As<v8::Number>()->Value();
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[2]));
}

void ioCancel(Info info) {
  Writer writer(nano_isolate::From(info.GetIsolate()), NANO_CANCEL, Writer::Handle(info[0]));
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[1]));
}

void ioWrite(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  Writer writer(nano_isolate::From(isolate), NANO_WRITE, Writer::Handle(info[0]));
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[2]));
  writer.Body(isolate, info[1]);
  info.GetReturnValue().Set(writer.record()->body_length);
}

void ioFinish(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  Writer writer(nano_isolate::From(isolate), NANO_FINISH, Writer::Handle(info[0]));
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[1]));
  writer.record()->status = static_cast<uint16_t>(Unsigned(info[2]));
  uint32_t reason = writer.Utf8(isolate, info[3]);
  writer.record()->reason_length = reason;
}

void takeData(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  size_t length = record.words[kNoteLength];
  v8::Local<v8::ArrayBuffer> buffer;
  if (auto store = TakeStore(info, record)) {
    buffer = v8::ArrayBuffer::New(isolate, std::move(store));
  } else if (v8::ArrayBuffer::MaybeNew(isolate, length,
                                       v8::BackingStoreInitializationMode::kUninitialized)
                 .ToLocal(&buffer)) {
    if (length > 0) memcpy(buffer->Data(), &record.words[kNoteText], length);
  } else {
    isolate->ThrowException(
        v8::Exception::RangeError(OneByte(isolate, "Array buffer allocation failed")));
    return;
  }
  info.GetReturnValue().Set(v8::Uint8Array::New(buffer, 0, length));
}

void takeDataInto(Info info) {
  Record record(info);
  size_t at = Unsigned(info[3]), length = record.words[kNoteLength];
  auto store = TakeStore(info, record);
  auto view = info[2].As<v8::Uint8Array>();
  if (at > view->ByteLength() || length > view->ByteLength() - at) return;
  const void* from = store != nullptr ? store->Data() : &record.words[kNoteText];
  uint8_t* to = static_cast<uint8_t*>(view->Buffer()->Data()) + view->ByteOffset() + at;
  if (length > 0) memcpy(to, from, length);
}

void takeText(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  size_t length = record.words[kNoteLength];
  auto store = TakeStore(info, record);
  auto* from =
      static_cast<const char*>(store != nullptr ? store->Data() : &record.words[kNoteText]);
  v8::Local<v8::Value> text;
  if (DecodeUtf8(isolate, {from, length}, false, &text)) info.GetReturnValue().Set(text);
}

void dropData(Info info) { TakeStore(info, Record(info)); }

void noteText(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::String> text;
  std::string_view bytes = record.Bytes(kNoteText * 4, record.words[kNoteLength]);
  if (Utf8(isolate, {bytes.data(), bytes.size()}).ToLocal(&text)) info.GetReturnValue().Set(text);
}

void responseURL(Info info) {
  Record record(info);
  info.GetReturnValue().Set(
      OneByte(info.GetIsolate(), record.Bytes(record.words[kURLOffset], record.words[kURLLength])));
}

void responseReason(Info info) {
  Record record(info);
  uint32_t offset = record.words[kURLOffset] + record.words[kURLLength];
  info.GetReturnValue().Set(
      OneByte(info.GetIsolate(), record.Bytes(offset, record.words[kReasonLength])));
}

}  // namespace ops
}  // namespace nano

std::unique_ptr<v8::BackingStore> nano_realm::TakeStore(uint32_t slot) {
  free_stores.push_back(slot);
  return std::move(stores[slot]);
}

uint8_t* nano_isolate_store(nano_isolate* self, uint32_t id, size_t length, uint32_t* slot) {
  nano_realm* realm = self->realms[id].get();
  uint8_t* data = nullptr;
  self->in_turn = true;
  nano::Survive(self, [&] {
    std::unique_ptr<v8::BackingStore> store = v8::ArrayBuffer::NewBackingStore(
        self->isolate, length, v8::BackingStoreInitializationMode::kUninitialized,
        v8::BackingStoreOnFailureMode::kReturnNull);
    if (store == nullptr) return;
    data = static_cast<uint8_t*>(store->Data());
    if (realm->free_stores.empty()) {
      *slot = static_cast<uint32_t>(realm->stores.size());
      realm->stores.push_back(std::move(store));
    } else {
      *slot = realm->free_stores.back();
      realm->free_stores.pop_back();
      realm->stores[*slot] = std::move(store);
    }
  });
  self->in_turn = false;
  return nano::IsDead(self) ? nullptr : data;
}
