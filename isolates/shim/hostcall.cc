// JavaScript calls Go, for what is computed: see package hostcall, and docs/RATIONALE.md for what
// such a call must not do.
//
// Arguments are handed over as views of where V8 has them. While Go runs, V8 does not: nothing
// moves or is collected, and what would abandon the turn waits (Meter::in_go). Results come back in
// memory of the call, or in blocks that become ArrayBuffers.
//
// A host object is a JavaScript object with the id of a value of Go in its one internal field. The
// isolate has a weak handle of it, by which it knows an object as its own, and hears of its end.
#include <algorithm>
#include <cstring>

#include "engine.h"
#include "ops.h"
#include "records.h"

// The one function of Go that C++ calls, in hostcall.go.
extern "C" void nanoHostCall(nano_call*);

namespace nano {

namespace {

std::vector<std::string> host_names;

int32_t HostIndex(std::string_view name) {
  for (size_t i = 0; i < host_names.size(); i++)
    if (host_names[i] == name) return static_cast<int32_t>(i);
  return -1;
}

// CallGo is how Go is called. Go must return before anything else happens.
void CallGo(nano_isolate* self, nano_call* call) {
  self->meter.in_go.store(true, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  nanoHostCall(call);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  self->meter.in_go.store(false, std::memory_order_relaxed);
}

void Throw(v8::Isolate* isolate, v8::Local<v8::Value> error) { isolate->ThrowException(error); }

void ThrowType(v8::Isolate* isolate, const char* text) {
  Throw(isolate, v8::Exception::TypeError(OneByte(isolate, text)));
}

void ThrowRange(v8::Isolate* isolate, const char* text) {
  Throw(isolate, v8::Exception::RangeError(OneByte(isolate, text)));
}

}  // namespace

// Host is what an isolate that has called Go keeps for it.
class Host {
 public:
  explicit Host(nano_isolate* self) : self_(self) {}
  ~Host() {
    for (Object* object : objects_) delete object;
    for (const auto& [data, length] : blocks_) self_->allocator->Free(data, length);
  }

  static Host& Of(nano_isolate* self) {
    if (self->host == nullptr) self->host = {new Host(self), [](Host* host) { delete host; }};
    return *self->host;
  }

  void Call(int32_t function, const void* arguments, uint32_t count, nano_call* call) {
    call->isolate = self_;
    call->objects = go;
    call->function = function;
    call->arguments = arguments;
    call->argument_count = count;
    call->result_count = call->failed = 0;
    CallGo(self_, call);
    go = call->objects;
  }

  // End drops everything on Go's side.
  void End() {
    if (go == nullptr) return;
    nano_call call;
    Call(NANO_HOST_END, nullptr, 0, &call);
  }

  // Free tells Go of the objects that were collected.
  void Free() {
    if (dropped_.empty()) return;
    for (uint32_t id : dropped_) {
      delete objects_[id];
      objects_[id] = nullptr;
    }
    if (go != nullptr) {
      nano_call call;
      Call(NANO_HOST_FREE, dropped_.data(), static_cast<uint32_t>(dropped_.size()), &call);
    }
    dropped_.clear();
    self_->isolate->AdjustAmountOfExternalAllocatedMemory(-dropped_bytes_);
    dropped_bytes_ = 0;
  }

  // Make makes the object for a value of Go. Empty: the isolate is ending.
  v8::MaybeLocal<v8::Value> Make(v8::Local<v8::Context> context, uint32_t id, uint64_t size) {
    v8::Isolate* isolate = self_->isolate;
    MakeRoom(id);
    objects_[id] = new Object{this, id, Weigh(size), {}, {}};
    if (template_.IsEmpty()) {
      v8::Local<v8::ObjectTemplate> made = v8::ObjectTemplate::New(isolate);
      made->SetInternalFieldCount(1);
      template_.Reset(isolate, made);
    }
    v8::Local<v8::Object> object;
    if (!template_.Get(isolate)->NewInstance(context).ToLocal(&object)) {
      Drop(id);
      return {};
    }
    object->SetInternalField(0, v8::Integer::NewFromUnsigned(isolate, id));
    (void)object->SetPrototypeV2(context, v8::Null(isolate));
    if (Deterministic::Active())
      objects_[id]->place =
          PlaceOf(isolate, v8::StackTrace::CurrentStackTrace(isolate, kPlaceFrames));
    objects_[id]->handle.Reset(isolate, object);
    objects_[id]->handle.SetWeak(objects_[id], OnCollected, v8::WeakCallbackType::kParameter);
    Count(objects_[id]->size);
    return object;
  }

  // Drop notes an object of Go that has none in JavaScript.
  void Drop(uint32_t id) {
    MakeRoom(id);
    dropped_.push_back(id);
  }

  // Find gives the id of a host object of this isolate.
  bool Find(v8::Local<v8::Value> value, uint32_t* id) const {
    if (!value->IsObject()) return false;
    auto object = value.As<v8::Object>();
    if (object->InternalFieldCount() != 1) return false;
    v8::Local<v8::Data> field = object->GetInternalField(0);
    if (!field->IsValue() || !field.As<v8::Value>()->IsUint32()) return false;
    *id = field.As<v8::Value>().As<v8::Uint32>()->Value();
    return *id < objects_.size() && objects_[*id] != nullptr && objects_[*id]->handle == object;
  }

  // Weight is what an object weighs.
  uint64_t Weight(uint32_t id) const { return static_cast<uint64_t>(objects_[id]->size); }
  void SetWeight(uint32_t id, uint64_t size) {
    int64_t change = Weigh(size) - objects_[id]->size;
    if (change == 0) return;
    objects_[id]->size += change;
    Count(change);
  }

  std::string Place() const {
    for (const Object* object : objects_)
      if (object != nullptr && !object->handle.IsEmpty())
        return object->place.empty() ? "the app" : object->place;
    return "";
  }

  uint8_t* Block(size_t length) {
    auto* data = static_cast<uint8_t*>(self_->allocator->TakeHere(length, false));
    if (data != nullptr) blocks_.emplace_back(data, length);
    return data;
  }

  // TakeBlock makes an ArrayBuffer of a block. Empty: data is none.
  v8::Local<v8::ArrayBuffer> TakeBlock(void* data) {
    for (size_t i = 0; i < blocks_.size(); i++) {
      if (blocks_[i].first != data) continue;
      size_t length = blocks_[i].second;
      blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(i));
      // The memory may outlive the isolate.
      auto* owner = new std::shared_ptr<Allocator>(self_->allocator);
      return v8::ArrayBuffer::New(self_->isolate,
                                  v8::ArrayBuffer::NewBackingStore(data, length, FreeBlock, owner));
    }
    return {};
  }
  void FreeBlocks() {
    for (const auto& [data, length] : blocks_) self_->allocator->Free(data, length);
    blocks_.clear();
  }

  void* go = nullptr;  // Go's objects, which it has pinned

 private:
  static constexpr int kPlaceFrames = 16;

  // Weigh bounds what an object weighs: V8 takes no larger numbers.
  static int64_t Weigh(uint64_t size) {
    return static_cast<int64_t>(std::min(size, uint64_t{1} << 40));
  }

  struct Object {
    Host* const host;
    const uint32_t id;
    int64_t size;
    v8::Global<v8::Object> handle;  // weak
    std::string place;              // in a builder: where it was made
  };

  void MakeRoom(uint32_t id) {
    if (id >= objects_.size()) objects_.resize(id + 1);
  }

  // Count counts what objects weigh more now, or less. A turn may make them without end, so its end
  // is not soon enough to look whether that is too much.
  void Count(int64_t change) {
    self_->isolate->AdjustAmountOfExternalAllocatedMemory(change);
    if (change <= 0) return;
    unseen_bytes_ += static_cast<size_t>(change);
    if (unseen_bytes_ <= std::min(kUnseenMax, self_->heap_limit / 8)) return;
    unseen_bytes_ = 0;
    CheckMemory(self_);
  }
  static constexpr size_t kUnseenMax = 4 << 20;

  static void OnCollected(const v8::WeakCallbackInfo<Object>& info) {
    Object* object = info.GetParameter();
    object->handle.Reset();
    object->host->dropped_.push_back(object->id);
    object->host->dropped_bytes_ += object->size;
  }

  static void FreeBlock(void* data, size_t length, void* owner) {
    auto* allocator = static_cast<std::shared_ptr<Allocator>*>(owner);
    (*allocator)->Free(data, length);
    delete allocator;
  }

  nano_isolate* const self_;
  std::vector<Object*> objects_;   // by id
  std::vector<uint32_t> dropped_;  // ids that Go has not heard of
  int64_t dropped_bytes_ = 0;
  size_t unseen_bytes_ = 0;  // that objects weigh more since memory was looked at
  std::vector<std::pair<uint8_t*, size_t>> blocks_;  // of the call that runs
  v8::Global<v8::ObjectTemplate> template_;
};

namespace {

// Arguments are those of a call, as Go reads them, for as long as this lives.
class Arguments {
 public:
  explicit Arguments(nano_isolate* self) : self_(self) {}
  ~Arguments() {
    for (size_t i = 0; i < long_texts_; i++) self_->scratch.Free(long_text_[i]);
  }
  Arguments(const Arguments&) = delete;

  // Take takes a list of values. False: it has thrown. get(i) gives a MaybeLocal.
  template <typename Get>
  bool Take(v8::Isolate* isolate, uint32_t length, Get get) {
    if (length > NANO_ARGUMENTS_MAX) {
      ThrowRange(isolate, "too many arguments");
      return false;
    }
    for (; count < length; count++) {
      v8::Local<v8::Value> value;
      if (!get(count).ToLocal(&value) || !TakeOne(isolate, value)) return false;
    }
    return true;
  }

  nano_value values[NANO_ARGUMENTS_MAX];
  uint32_t count = 0;

 private:
  bool TakeOne(v8::Isolate* isolate, v8::Local<v8::Value> from) {
    nano_value& to = values[count];
    to = {};
    if (from->IsString()) return TakeText(isolate, from.As<v8::String>());
    if (from->IsNumber()) {
      to.kind = NANO_NUMBER;
      to.number = from.As<v8::Number>()->Value();
    } else if (from->IsBoolean()) {
      to.kind = NANO_BOOL;
      to.number = from->IsTrue();
    } else if (from->IsArrayBufferView()) {
      std::string_view bytes =
          ViewBytes(from.As<v8::ArrayBufferView>(), {small_[count], sizeof small_[count]});
      Set(NANO_BYTES, const_cast<char*>(bytes.data()), bytes.size());
    } else if (from->IsArrayBuffer()) {
      auto buffer = from.As<v8::ArrayBuffer>();
      Set(NANO_BYTES, buffer->Data(), buffer->ByteLength());
    } else if (from->IsNullOrUndefined()) {
      to.kind = NANO_NULL;
    } else if (Host::Of(self_).Find(from, &to.id)) {
      to.kind = NANO_OBJECT;
      to.length = Host::Of(self_).Weight(to.id);
    } else {
      ThrowType(isolate, "a value that native code cannot take");
      return false;
    }
    return true;
  }

  bool TakeText(v8::Isolate* isolate, v8::Local<v8::String> text) {
    constexpr auto kReplace = v8::String::WriteFlags::kReplaceInvalidUtf8;
    size_t capacity = static_cast<size_t>(text->Length()) * 3;
    if (capacity <= sizeof text_ - text_used_) {
      char* at = text_ + text_used_;
      size_t length = text->WriteUtf8V2(isolate, at, capacity, kReplace);
      text_used_ += length;
      Set(NANO_TEXT, at, length);
      return true;
    }
    capacity = text->Utf8LengthV2(isolate);
    void* memory = self_->scratch.Grow(nullptr, capacity, self_->heap_limit);
    if (memory == nullptr) {
      ThrowRange(isolate, "the string is too long");
      return false;
    }
    long_text_[long_texts_++] = memory;
    Set(NANO_TEXT, memory,
        text->WriteUtf8V2(isolate, static_cast<char*>(memory), capacity, kReplace));
    return true;
  }

  void Set(nano_value_kind kind, void* data, size_t length) {
    values[count].kind = kind;
    values[count].data = data;
    values[count].length = data != nullptr ? length : 0;
  }

  // Few typed arrays in V8's heap have more bytes.
  static constexpr size_t kHeapArrayMax = 64;

  nano_isolate* const self_;
  uint8_t small_[NANO_ARGUMENTS_MAX][kHeapArrayMax];
  char text_[1024];
  size_t text_used_ = 0;
  void* long_text_[NANO_ARGUMENTS_MAX];
  size_t long_texts_ = 0;
};

v8::MaybeLocal<v8::Value> BytesOf(nano_isolate* self, const nano_value& value) {
  v8::Isolate* isolate = self->isolate;
  v8::Local<v8::ArrayBuffer> buffer = Host::Of(self).TakeBlock(value.data);
  if (buffer.IsEmpty()) {
    if (!v8::ArrayBuffer::MaybeNew(isolate, value.length,
                                   v8::BackingStoreInitializationMode::kUninitialized)
             .ToLocal(&buffer)) {
      ThrowRange(isolate, "Array buffer allocation failed");
      return {};
    }
    if (value.length > 0) memcpy(buffer->Data(), value.data, value.length);
  }
  return v8::Uint8Array::New(buffer, 0, value.length);
}

v8::MaybeLocal<v8::Value> TextOf(nano_isolate* self, const nano_value& value) {
  v8::Isolate* isolate = self->isolate;
  constexpr auto kNormal = v8::NewStringType::kNormal;
  auto* bytes = static_cast<const uint8_t*>(value.data);
  auto length = static_cast<int>(value.length);
  v8::MaybeLocal<v8::String> text;
  if (value.length > static_cast<uint64_t>(v8::String::kMaxLength)) {
  } else if (value.kind == NANO_UNITS) {
    text = v8::String::NewFromTwoByte(isolate, static_cast<const uint16_t*>(value.data), kNormal,
                                      length / 2);
  } else if (ops::IsAscii(bytes, value.length)) {
    text = v8::String::NewFromOneByte(isolate, bytes, kNormal, length);
  } else {
    text = v8::String::NewFromUtf8(isolate, static_cast<const char*>(value.data), kNormal, length);
  }
  v8::Local<v8::String> result;
  if (!text.ToLocal(&result)) {
    ThrowRange(isolate, "Invalid string length");
    return {};
  }
  return result;
}

v8::MaybeLocal<v8::Value> ValueOf(nano_isolate* self, v8::Local<v8::Context> context,
                                  const nano_value& value) {
  v8::Isolate* isolate = self->isolate;
  switch (value.kind) {
    case NANO_BOOL:
      return v8::Boolean::New(isolate, value.number != 0);
    case NANO_NUMBER:
      return v8::Number::New(isolate, value.number);
    case NANO_TEXT:
    case NANO_UNITS:
      return TextOf(self, value);
    case NANO_BYTES:
      return BytesOf(self, value);
    case NANO_OBJECT:
      return Host::Of(self).Make(context, value.id, value.length);
  }
  return v8::Null(isolate);
}

// ThrowNamed throws the error whose name and text Go gives.
void ThrowNamed(nano_isolate* self, v8::Local<v8::Context> context, const nano_value* values) {
  v8::Isolate* isolate = self->isolate;
  v8::Local<v8::Value> name, text, error;
  if (!TextOf(self, values[0]).ToLocal(&name) || !TextOf(self, values[1]).ToLocal(&text)) return;
  std::string_view plain(static_cast<const char*>(values[0].data), values[0].length);
  if (plain == "TypeError") return Throw(isolate, v8::Exception::TypeError(text.As<v8::String>()));
  if (plain == "RangeError")
    return Throw(isolate, v8::Exception::RangeError(text.As<v8::String>()));
  v8::Local<v8::Value> arguments[] = {text, name};
  v8::Local<v8::Function> hook;
  if (Hook(self->current(), context, "domException").ToLocal(&hook) &&
      hook->Call(context, v8::Undefined(isolate), 2, arguments).ToLocal(&error))
    Throw(isolate, error);
}

// Return gives JavaScript the results: undefined, the only one, or an array.
void Return(nano_isolate* self, const v8::FunctionCallbackInfo<v8::Value>& info,
            const nano_value* values, uint32_t count) {
  v8::Isolate* isolate = self->isolate;
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  v8::Local<v8::Value> results[NANO_RESULTS_MAX];
  for (uint32_t i = 0; i < count; i++) {
    if (ValueOf(self, context, values[i]).ToLocal(&results[i])) continue;
    for (uint32_t k = i + 1; k < count; k++)
      if (values[k].kind == NANO_OBJECT) Host::Of(self).Drop(values[k].id);
    return;
  }
  if (count == 1) info.GetReturnValue().Set(results[0]);
  if (count > 1) info.GetReturnValue().Set(v8::Array::New(isolate, results, count));
}

// A packed list, see hostcall/work.go: number of values, CPU time, values, data.
constexpr size_t kPackedHead = 16, kPackedAlign = 8, kPackedMax = size_t{1} << 30;
constexpr uint64_t kPackedFailed = uint64_t{1} << 32;

size_t Padded(size_t length) { return (length + kPackedAlign - 1) & ~(kPackedAlign - 1); }

bool HasData(const nano_value& value) {
  return value.kind == NANO_TEXT || value.kind == NANO_BYTES;
}

size_t PackedSize(const Arguments& arguments) {
  size_t size = kPackedHead + arguments.count * sizeof(nano_value);
  for (uint32_t i = 0; i < arguments.count; i++) {
    if (!HasData(arguments.values[i])) continue;
    if (arguments.values[i].length > kPackedMax) return kPackedMax + 1;
    size += Padded(arguments.values[i].length);
  }
  return size;
}

void Pack(const Arguments& arguments, uint8_t* to) {
  const uint64_t head[] = {arguments.count, 0};
  memcpy(to, head, sizeof head);
  size_t offset = kPackedHead + arguments.count * sizeof(nano_value);
  for (uint32_t i = 0; i < arguments.count; i++) {
    nano_value value = arguments.values[i];
    if (HasData(value)) {
      if (value.length > 0) memcpy(to + offset, value.data, value.length);
      value.offset = offset;
      offset += Padded(value.length);
    }
    memcpy(to + kPackedHead + i * sizeof value, &value, sizeof value);
  }
}

}  // namespace

void SetHostNames(nano_bytes names) {
  std::string_view rest(names.data, names.length);
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    host_names.emplace_back(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
}

void FreeHostObjects(nano_isolate* self) {
  if (self->host != nullptr) self->host->Free();
}

void EndHost(nano_isolate* self) {
  if (self->host != nullptr) self->host->End();
}

std::string HostObjectPlace(nano_isolate* self) {
  return self->host != nullptr ? self->host->Place() : "";
}

void CallHost(const v8::FunctionCallbackInfo<v8::Value>& info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr) return ThrowType(isolate, "a boot script calls native code");
  Host& host = Host::Of(self);
  host.Free();
  CollectBuffers(self);
  Arguments arguments(self);
  if (!arguments.Take(isolate, static_cast<uint32_t>(info.Length()), [&](uint32_t i) {
        return v8::MaybeLocal<v8::Value>(info[static_cast<int>(i)]);
      }))
    return;
  nano_call call;
  host.Call(info.Data().As<v8::Int32>()->Value(), arguments.values, arguments.count, &call);
  for (uint32_t i = 0; i < arguments.count; i++)
    if (arguments.values[i].kind == NANO_OBJECT)
      host.SetWeight(arguments.values[i].id, arguments.values[i].length);
  if (call.failed != 0) {
    ThrowNamed(self, isolate->GetCurrentContext(), call.results);
  } else {
    Return(self, info, call.results, call.result_count);
  }
  host.FreeBlocks();
}

namespace ops {

void hostFunction(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (!info[0]->IsString()) return;
  v8::String::Utf8Value name(isolate, info[0]);
  int32_t index = HostIndex({*name, name.length()});
  if (index < 0) return ThrowType(isolate, "no such native function");
  v8::Local<v8::Function> function;
  if (v8::Function::New(isolate->GetCurrentContext(), CallHost, v8::Integer::New(isolate, index), 0,
                        v8::ConstructorBehavior::kThrow)
          .ToLocal(&function))
    info.GetReturnValue().Set(function);
}

void hostOpen(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  v8::String::Utf8Value name(isolate, info[1]);
  int32_t index = HostIndex({*name, name.length()});
  if (index < 0) return ThrowType(isolate, "no such native function");
  FreeHostObjects(self);
  Arguments arguments(self);
  auto list = info[2].As<v8::Array>();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  if (!arguments.Take(isolate, list->Length(), [&](uint32_t i) { return list->Get(context, i); }))
    return;
  size_t size = PackedSize(arguments);
  if (size > kPackedMax) return ThrowRange(isolate, "the arguments are too large");
  constexpr uint8_t kWhatHost = 7;
  int32_t handle = NextHandle(self);
  Writer writer(self, NANO_OPEN, static_cast<uint32_t>(handle));
  writer.record()->flags = kWhatHost;
  writer.record()->number = index;
  writer.record()->request = info[0].As<v8::Int32>()->Value();
  Pack(arguments, writer.Bytes(size));
  info.GetReturnValue().Set(handle);
}

void hostTake(Info info) {
  nano_isolate* self = nano_isolate::From(info.GetIsolate());
  Record record(info);
  size_t length = record.words[kNoteLength];
  auto store = TakeStore(info, record);
  auto* from = store != nullptr
                   ? static_cast<uint8_t*>(store->Data())
                   : reinterpret_cast<uint8_t*>(const_cast<uint32_t*>(&record.words[kNoteText]));
  uint64_t head[2];
  if (length < kPackedHead) return;
  memcpy(head, from, sizeof head);
  bool failed = (head[0] & kPackedFailed) != 0;
  auto count = static_cast<uint32_t>(head[0]);
  nano_value values[NANO_RESULTS_MAX];
  if (count > NANO_RESULTS_MAX) return;
  memcpy(values, from + kPackedHead, count * sizeof values[0]);
  for (uint32_t i = 0; i < count; i++) values[i].data = from + values[i].offset;
  ChargeWork(self, static_cast<int64_t>(head[1]));
  if (failed) {
    ThrowNamed(self, info.GetIsolate()->GetCurrentContext(), values);
  } else {
    Return(self, info, values, count);
  }
}

}  // namespace ops
}  // namespace nano

uint8_t* nano_host_block(nano_isolate* self, size_t length) { return self->host->Block(length); }

void** nano_isolate_objects(nano_isolate* self) { return &nano::Host::Of(self).go; }
