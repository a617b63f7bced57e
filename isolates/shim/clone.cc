// Ops of structuredClone. The walk over a value is JavaScript (76_clone.js), which engines run
// faster than calls into V8 and back for each property; here is what JavaScript cannot find out or
// make by itself without calling something that an app may have patched.
#include <cstring>

#include "engine.h"
#include "ops.h"

namespace nano::ops {

namespace {

// What cloneKind says; 76_clone.js has the same numbers.
enum CloneKind {
  kRefused,  // cannot be cloned, or needs more than its kind to tell
  kOrdinary,
  kArray,
  kArrayWithNames,  // it also has enumerable properties that are no indices
  kDate,
  kRegExp,
  kMap,
  kSet,
  kArrayBuffer,
  kView,
  kPrimitiveObject,
  kError,
  kWasmModule,
};

// IsOrdinary tells an object that has no internal slots from all others, by the type of its map as
// V8's own inline functions read it. Instances of classes, platform objects among them, are
// ordinary to V8.
bool IsOrdinary(v8::Local<v8::Value> value) {
  using v8::internal::Internals;
  auto address = v8::internal::ValueHelper::ValueAsAddress(*value);
  return Internals::GetInstanceType(address) == Internals::kJSObjectType;
}

bool HasNames(v8::Local<v8::Context> context, v8::Local<v8::Array> array) {
  v8::Local<v8::Array> names;
  constexpr auto filter = static_cast<v8::PropertyFilter>(v8::ONLY_ENUMERABLE | v8::SKIP_SYMBOLS);
  return array
             ->GetPropertyNames(context, v8::KeyCollectionMode::kOwnOnly, filter,
                                v8::IndexFilter::kSkipIndices)
             .ToLocal(&names) &&
         names->Length() != 0;
}

CloneKind KindOf(v8::Local<v8::Context> context, v8::Local<v8::Value> value) {
  if (!value->IsObject()) return kRefused;
  if (IsOrdinary(value)) return kOrdinary;
  if (value->IsArray()) return HasNames(context, value.As<v8::Array>()) ? kArrayWithNames : kArray;
  if (value->IsDate()) return kDate;
  if (value->IsRegExp()) return kRegExp;
  if (value->IsMap()) return kMap;
  if (value->IsSet()) return kSet;
  if (value->IsArrayBuffer()) return kArrayBuffer;
  if (value->IsArrayBufferView()) return kView;
  if (value->IsNumberObject() || value->IsStringObject() || value->IsBooleanObject() ||
      value->IsBigIntObject())
    return kPrimitiveObject;
  if (value->IsNativeError()) return kError;
  if (value->IsWasmModuleObject()) return kWasmModule;
  return kRefused;
}

// Delegate gives a serializer memory that is freed after the turn if the turn is ended in its
// middle, and turns V8's complaints into DataCloneError, by the hook that makes DOMExceptions.
class Delegate final : public v8::ValueSerializer::Delegate {
 public:
  explicit Delegate(v8::Isolate* isolate) : isolate_(isolate), self_(nano_isolate::From(isolate)) {}
  void* ReallocateBufferMemory(void* old, size_t size, size_t* actual_size) override {
    void* grown = self_->scratch.Grow(old, size, self_->heap_limit);
    *actual_size = grown != nullptr ? size : 0;
    return grown;
  }
  void FreeBufferMemory(void* buffer) override { self_->scratch.Free(buffer); }
  void ThrowDataCloneError(v8::Local<v8::String> message) override {
    v8::Local<v8::Context> context = isolate_->GetCurrentContext();
    v8::Local<v8::Function> hook;
    v8::Local<v8::Value> argument = message;
    if (Hook(self_->current(), context, "throwDataCloneError").ToLocal(&hook))
      (void)hook->Call(context, v8::Undefined(isolate_), 1, &argument);
  }

 private:
  v8::Isolate* const isolate_;
  nano_isolate* const self_;
};

v8::MaybeLocal<v8::Value> CopyLeaf(v8::Local<v8::Context> context, v8::Local<v8::Value> value) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  if (value->IsDate()) return v8::Date::New(context, value.As<v8::Date>()->ValueOf());
  if (value->IsRegExp()) {
    auto expression = value.As<v8::RegExp>();
    v8::Local<v8::RegExp> copy;
    if (!v8::RegExp::New(context, expression->GetSource(), expression->GetFlags()).ToLocal(&copy))
      return {};
    return copy;
  }
  if (value->IsMap()) return v8::Map::New(isolate);
  if (value->IsSet()) return v8::Set::New(isolate);
  if (value->IsNumberObject())
    return v8::NumberObject::New(isolate, value.As<v8::NumberObject>()->ValueOf());
  if (value->IsStringObject())
    return v8::StringObject::New(isolate, value.As<v8::StringObject>()->ValueOf());
  if (value->IsBooleanObject())
    return v8::BooleanObject::New(isolate, value.As<v8::BooleanObject>()->ValueOf());
  if (value->IsBigIntObject()) return value.As<v8::BigIntObject>()->ValueOf()->ToObject(context);
  if (value->IsWasmModuleObject()) {
    auto module = value.As<v8::WasmModuleObject>();
    v8::Local<v8::WasmModuleObject> copy;
    if (!v8::WasmModuleObject::FromCompiledModule(isolate, module->GetCompiledModule())
             .ToLocal(&copy))
      return {};
    return copy;
  }
  return {};
}

}  // namespace

void cloneKind(Info info) {
  info.GetReturnValue().Set(KindOf(info.GetIsolate()->GetCurrentContext(), info[0]));
}

void cloneLeaf(Info info) {
  v8::Local<v8::Value> copy;
  if (CopyLeaf(info.GetIsolate()->GetCurrentContext(), info[0]).ToLocal(&copy))
    info.GetReturnValue().Set(copy);
}

void cloneBytes(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (!info[0]->IsArrayBuffer()) return;
  auto source = info[0].As<v8::ArrayBuffer>();
  const size_t length = source->ByteLength();
  v8::Local<v8::ArrayBuffer> copy;
  if (!v8::ArrayBuffer::MaybeNew(isolate, length,
                                 v8::BackingStoreInitializationMode::kUninitialized)
           .ToLocal(&copy)) {
    isolate->ThrowException(
        v8::Exception::RangeError(OneByte(isolate, "Array buffer allocation failed")));
    return;
  }
  if (length != 0) memcpy(copy->Data(), source->Data(), length);
  info.GetReturnValue().Set(copy);
}

// There is no other way to ask V8: its serializer ends what it writes of a view with a number whose
// lowest bit says so. The buffer is declared transferred, of which it writes nothing.
void tracksLength(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (!info[0]->IsArrayBufferView()) return;
  auto view = info[0].As<v8::ArrayBufferView>();
  Delegate delegate(isolate);
  v8::ValueSerializer serializer(isolate, &delegate);
  serializer.TransferArrayBuffer(0, view->Buffer());
  serializer.WriteHeader();
  if (serializer.WriteValue(isolate->GetCurrentContext(), view).IsNothing()) return;
  auto [data, size] = serializer.Release();
  info.GetReturnValue().Set(size != 0 && (data[size - 1] & 1) != 0);
  delegate.FreeBufferMemory(data);
}

// Made as V8's deserializer makes an error, which unlike its constructor walks no stack.
void newError(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  Delegate delegate(isolate);
  v8::ValueSerializer serializer(isolate, &delegate);
  serializer.WriteHeader();
  auto tag = [&](char c) { serializer.WriteRawBytes(&c, 1); };
  tag('r');
  v8::String::Utf8Value prototype(isolate, info[0]);
  if (prototype.length() == 1) tag(**prototype);
  if (info[1]->IsString()) {
    tag('m');
    if (serializer.WriteValue(context, info[1]).IsNothing()) return;
  }
  if (info[2]->IsString()) {
    tag('s');
    if (serializer.WriteValue(context, info[2]).IsNothing()) return;
  }
  tag('.');
  auto [data, size] = serializer.Release();
  v8::ValueDeserializer deserializer(isolate, data, size);
  v8::Local<v8::Value> error;
  if (!deserializer.ReadHeader(context).IsNothing() &&
      deserializer.ReadValue(context).ToLocal(&error))
    info.GetReturnValue().Set(error);
  delegate.FreeBufferMemory(data);
}

}  // namespace nano::ops
