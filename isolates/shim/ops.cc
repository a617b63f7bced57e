// The op table, and the ops that need nothing but V8.
#include "ops.h"

#include <sys/random.h>
#include <time.h>

#include <cstring>

#include "engine.h"
#include "heap_layout.h"
#include "text.h"

namespace nano {

const Op kOps[] = {
#define NANO_ENTRY(name, length) {#name, ops::name, length},
    NANO_OPS(NANO_ENTRY)
#undef NANO_ENTRY
};
const size_t kOpCount = sizeof kOps / sizeof kOps[0];

const v8::CFunction* FastCall(const Op& op) {
  static const v8::CFunction encode = v8::CFunction::Make(ops::EncodeLatin1Into);
  static const v8::CFunction count = v8::CFunction::Make(ops::CountOwn);
  if (op.callback == ops::encodeUtf8Into) return &encode;
  return op.callback == ops::countOwn ? &count : nullptr;
}

namespace {

// DocumentsHere is what the realm of the code that runs knows of JSON. Null: no snapshot is to hold
// that, and what belongs to a realm that has ended is not another's.
json::Documents* DocumentsHere(v8::Isolate* isolate) {
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr || !self->in_turn) return nullptr;
  nano_realm* realm = self->current();
  return realm == &self->dropped ? nullptr : &realm->json;
}

}  // namespace

bool ParseJson(v8::Isolate* isolate, std::string_view bytes, v8::Local<v8::Value>* value) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  json::Documents* documents = DocumentsHere(isolate);
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  if (documents == nullptr || !documents->Wants(bytes.size())) return false;
  switch (documents->Parse(isolate, bytes, json::Encoding::kUtf8, value)) {
    case json::Outcome::kParsed:
      return true;
    case json::Outcome::kUnknown: {
      v8::Local<v8::Value> text;
      return DecodeUtf8(isolate, bytes, false, &text) &&
             documents->Learn(isolate, text.As<v8::String>(), value);
    }
    default:
      return false;
  }
}

namespace ops {

void ThrowRange(v8::Isolate* isolate, const char* text) {
  isolate->ThrowException(v8::Exception::RangeError(OneByte(isolate, text)));
}

namespace {

bool FillRandom(void* to, size_t length) {
  auto* at = static_cast<uint8_t*>(to);
  while (length > 0) {
    ssize_t got = getrandom(at, length, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    at += got;
    length -= static_cast<size_t>(got);
  }
  return true;
}

int Classify(v8::Local<v8::Value> value) {
  if (value->IsNativeError()) return 1;
  if (value->IsPromise()) return 2;
  if (value->IsProxy()) return 3;
  if (value->IsMap()) return 4;
  if (value->IsSet()) return 5;
  if (value->IsMapIterator()) return 6;
  if (value->IsSetIterator()) return 7;
  if (value->IsWeakMap()) return 8;
  if (value->IsWeakSet()) return 9;
  if (value->IsRegExp()) return 10;
  if (value->IsDate()) return 11;
  if (value->IsArrayBuffer()) return 12;
  if (value->IsSharedArrayBuffer()) return 13;
  if (value->IsDataView()) return 14;
  if (value->IsTypedArray()) return 15;
  if (value->IsNumberObject() || value->IsStringObject() || value->IsBooleanObject() ||
      value->IsBigIntObject() || value->IsSymbolObject())
    return 16;
  if (value->IsGeneratorObject()) return 17;
  if (value->IsModuleNamespaceObject()) return 18;
  if (value->IsExternal()) return 19;
  if (value->IsArgumentsObject()) return 20;
  if (value->IsWeakRef()) return 21;
  return 0;
}

}  // namespace

void promiseState(Info info) {
  if (!info[0]->IsPromise()) return info.GetReturnValue().Set(-1);
  info.GetReturnValue().Set(static_cast<int32_t>(info[0].As<v8::Promise>()->State()));
}

void promiseResult(Info info) {
  auto promise = info[0].As<v8::Promise>();
  if (promise->State() == v8::Promise::kRejected) promise->MarkAsHandled();
  if (promise->State() != v8::Promise::kPending) info.GetReturnValue().Set(promise->Result());
}

void enqueueMicrotask(Info info) {
  info.GetIsolate()->EnqueueMicrotask(info[0].As<v8::Function>());
}

void jsonTooDeep(Info info) {
  v8::String::ValueView text(info.GetIsolate(), info[0].As<v8::String>());
  info.GetReturnValue().Set(text.is_one_byte() ? json::IsDeep(text.data8(), text.length())
                                               : json::IsDeep(text.data16(), text.length()));
}

void jsonParse(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::Value> value;
  if (info[0]->IsUint8Array()) {
    uint8_t scratch[kInHeapMax];
    std::string_view bytes =
        ViewBytes(info[0].As<v8::ArrayBufferView>(), {scratch, sizeof scratch});
    if (ParseJson(isolate, bytes, &value)) info.GetReturnValue().Set(value);
    return;
  }
  if (!info[0]->IsString()) return;
  auto text = info[0].As<v8::String>();
  json::Documents* documents = DocumentsHere(isolate);
  if (documents == nullptr || !documents->Wants(static_cast<size_t>(text->Length()))) return;
  auto outcome = json::Outcome::kRefused;
  {
    // Read where it lies, as nothing moves meanwhile.
    v8::String::ValueView view(isolate, text);
    outcome = !view.is_one_byte()
                  ? documents->Parse(isolate, view.data16(), view.length(), &value)
                  : documents->Parse(isolate,
                                     {reinterpret_cast<const char*>(view.data8()), view.length()},
                                     json::Encoding::kLatin1, &value);
  }
  if (outcome == json::Outcome::kParsed ||
      (outcome == json::Outcome::kUnknown && documents->Learn(isolate, text, &value)))
    info.GetReturnValue().Set(value);
}

void drainMicrotasks(Info info) { info.GetIsolate()->PerformMicrotaskCheckpoint(); }

void now(Info info) {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  info.GetReturnValue().Set(static_cast<double>(time.tv_sec) * 1e3 +
                            static_cast<double>(time.tv_nsec) / 1e6);
}

void randomFill(Info info) {
  auto view = info[0].As<v8::ArrayBufferView>();
  if (!FillRandom(static_cast<uint8_t*>(view->Buffer()->Data()) + view->ByteOffset(),
                  view->ByteLength()))
    ThrowRange(info.GetIsolate(), "the system has no randomness");
}

void randomUUID(Info info) {
  uint8_t bytes[16];
  if (!FillRandom(bytes, sizeof bytes))
    return ThrowRange(info.GetIsolate(), "the system has no randomness");
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  constexpr char hex[] = "0123456789abcdef";
  char text[36];
  char* at = text;
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
    *at++ = hex[bytes[i] >> 4];
    *at++ = hex[bytes[i] & 15];
  }
  info.GetReturnValue().Set(OneByte(info.GetIsolate(), {text, sizeof text}));
}

void proxyDetails(Info info) {
  if (!info[0]->IsProxy()) return;
  auto proxy = info[0].As<v8::Proxy>();
  v8::Local<v8::Value> parts[] = {proxy->GetTarget(), proxy->GetHandler()};
  info.GetReturnValue().Set(v8::Array::New(info.GetIsolate(), parts, 2));
}

void previewEntries(Info info) {
  if (!info[0]->IsObject()) return;
  bool is_key_value = false;
  v8::Local<v8::Array> entries;
  if (!info[0].As<v8::Object>()->PreviewEntries(&is_key_value).ToLocal(&entries)) return;
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::Value> parts[] = {entries, v8::Boolean::New(isolate, is_key_value)};
  info.GetReturnValue().Set(v8::Array::New(isolate, parts, 2));
}

void classify(Info info) { info.GetReturnValue().Set(Classify(info[0])); }

int32_t CountOwn(v8::Local<v8::Object>, v8::Local<v8::Value> value) {
  v8::Local<v8::Object> object = value.As<v8::Object>();
#if defined(__x86_64__)
  const uintptr_t pointer = heap::Pointer(object);
  const uintptr_t map = heap::Cage(pointer) | heap::Read<uint32_t>(pointer, heap::kMap);
  const auto bits = heap::Read<uint32_t>(map, heap::kBitField3);
  if ((bits & heap::kDictionaryMap) != 0) return -1;
  return static_cast<int32_t>(bits >> heap::kOwnDescriptorsShift & heap::kOwnDescriptorsMask);
#else
  return -1;
#endif
}

void countOwn(Info info) { info.GetReturnValue().Set(CountOwn(info.This(), info[0])); }

void constructorName(Info info) {
  if (info[0]->IsObject())
    info.GetReturnValue().Set(info[0].As<v8::Object>()->GetConstructorName());
}

namespace {

// Makes all properties of an object enumerable but symbols and those that `keep` names.
bool MakeEnumerable(v8::Local<v8::Context> context, v8::Local<v8::Object> holder,
                    std::initializer_list<std::string_view> keep) {
  v8::Isolate* isolate = context->GetIsolate();
  v8::Local<v8::Array> names;
  auto filter = static_cast<v8::PropertyFilter>(v8::ALL_PROPERTIES | v8::SKIP_SYMBOLS);
  if (!holder->GetOwnPropertyNames(context, filter).ToLocal(&names)) return false;
  v8::PropertyDescriptor enumerable;
  enumerable.set_enumerable(true);
  for (uint32_t i = 0; i < names->Length(); i++) {
    v8::Local<v8::Value> name;
    if (!names->Get(context, i).ToLocal(&name) || !name->IsString()) return false;
    char text[16];  // no name of `keep` is longer
    auto string = name.As<v8::String>();
    int length = string->Length();
    if (length < static_cast<int>(sizeof text)) {
      string->WriteOneByteV2(isolate, 0, static_cast<uint32_t>(length),
                             reinterpret_cast<uint8_t*>(text));
      if (std::find(keep.begin(), keep.end(), std::string_view(text, length)) != keep.end())
        continue;
    }
    if (holder->DefineProperty(context, string, enumerable).IsNothing()) return false;
  }
  return true;
}

}  // namespace

void exposeMembers(Info info) {
  v8::Local<v8::Context> context = info.GetIsolate()->GetCurrentContext();
  auto constructor = info[0].As<v8::Object>(), prototype = info[1].As<v8::Object>();
  if (MakeEnumerable(context, prototype, {"constructor"}))
    MakeEnumerable(context, constructor, {"length", "name", "prototype"});
}

void unforgeable(Info info) {
  info[0].As<v8::Object>()->SetAccessorProperty(info[1].As<v8::Name>(), info[2].As<v8::Function>(),
                                                {}, v8::PropertyAttribute::DontDelete);
}

void namedKeys(Info info) {
  v8::Local<v8::Array> keys;
  if (info[0]
          .As<v8::Object>()
          ->GetPropertyNames(info.GetIsolate()->GetCurrentContext(),
                             v8::KeyCollectionMode::kOwnOnly, v8::PropertyFilter::ONLY_ENUMERABLE,
                             v8::IndexFilter::kSkipIndices)
          .ToLocal(&keys))
    info.GetReturnValue().Set(keys);
}

void refuseSnapshot(Info info) { RefuseSnapshot(info.GetIsolate(), info[0]); }

void loadScript(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  v8::String::Utf8Value name(isolate, info[0]);
  const Script* script = FindScript({*name, static_cast<size_t>(name.length())});
  if (script == nullptr) return ThrowRange(isolate, "no such script of the runtime");
  v8::Local<v8::Function> function;
  nano_isolate* self = nano_isolate::From(isolate);
  bool use_cache = self != nullptr && self->in_turn;
  if (CompileScript(isolate->GetCurrentContext(), *script, use_cache).ToLocal(&function))
    info.GetReturnValue().Set(function);
}

void lazyGlobal(Info info) {
  v8::Local<v8::Context> context = info.GetIsolate()->GetCurrentContext();
  auto attributes =
      info[1]->IsTrue() ? v8::PropertyAttribute::None : v8::PropertyAttribute::DontEnum;
  // Without data: V8 keeps it outside the context in a snapshot, where a function would bring along
  // a second copy of everything that it refers to.
  (void)context->Global()->SetLazyDataProperty(context, info[0].As<v8::Name>(), ReadLazyGlobal, {},
                                               attributes);
}

void ReadLazyGlobal(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value>& info) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr) return ThrowRange(isolate, "a boot script reads a lazy global");
  v8::Local<v8::Function> hook;
  v8::Local<v8::Value> value, argument = name;
  if (Hook(self->current(), context, "readLazyGlobal").ToLocal(&hook) &&
      hook->Call(context, v8::Undefined(isolate), 1, &argument).ToLocal(&value))
    info.GetReturnValue().Set(value);
}

}  // namespace ops
}  // namespace nano
