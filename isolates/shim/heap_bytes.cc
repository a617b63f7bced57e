// Typed arrays whose bytes are in V8's heap. V8 makes such ones of up to 64 bytes. What it does
// for an ArrayBuffer of its own costs as much as the encoding of some kilobytes of text, so here
// are longer ones: V8's code takes them as it does its own, since nothing but their maker knows of
// the bound. As with those, an ArrayBuffer is made when somebody asks for it.
#include <cstring>

#include "engine.h"
#include "heap_layout.h"

namespace nano::heap_bytes {

using namespace heap;

constexpr size_t kByteArrayHeader = kFirstElement;
constexpr size_t kBuffer = 16, kViewByteLength = 32, kViewLength = 40,
                 kBasePointer = 56;                              // of a JSTypedArray
constexpr size_t kBufferByteLength = 20, kBufferMaxLength = 28;  // of a JSArrayBuffer
constexpr int kLengthShift = 29;                                 // of lengths in the sandbox

enum class AllocationType : uint8_t { kYoung = 0 };

#define NANO_NEW_BYTE_ARRAY \
  "_ZN2v88internal11FactoryBaseINS0_7FactoryEE12NewByteArrayEiNS0_14AllocationTypeE"

// NewByteArray makes an object for bytes. Its receiver is the isolate, its result a handle, the
// place of a pointer.
uintptr_t* NewByteArray(v8::Isolate* isolate, int length,
                        AllocationType allocation) asm(NANO_NEW_BYTE_ARRAY);

// InHeap gives the object that has the bytes of an array, compressed. 0: they are outside the heap.
uint32_t InHeap(uintptr_t view) {
  const auto memory = Read<uint32_t>(view, kBasePointer);
  return memory == Read<uint32_t>(view, kElements) ? memory : 0;
}

// Prefetch has the core fetch the memory where the next array of so many bytes will lie, as likely
// as not. Young objects are made one behind the other in more memory than a core's caches have.
void Prefetch(uintptr_t address, size_t length) {
  constexpr size_t kLine = 64, kOthers = 256;  // what an array has besides its bytes
  for (size_t at = 0; at < length + kOthers; at += kLine)
    __builtin_prefetch(reinterpret_cast<const char*>(address + at), 1);
}

}  // namespace nano::heap_bytes

bool nano::FillInHeap(v8::Isolate* isolate, v8::Local<v8::Uint8Array> array,
                      std::string_view bytes) {
  using namespace heap_bytes;
  // No snapshot is to hold such an array.
  nano_isolate* self = nano_isolate::From(isolate);
  if (bytes.empty() || bytes.size() > kInHeapMax || self == nullptr || !self->in_turn) return false;
  uintptr_t memory = *NewByteArray(isolate, static_cast<int>(bytes.size()), AllocationType::kYoung);
  // From here on nothing is allocated, and nothing moves.
  uintptr_t view = Pointer(array);
  uintptr_t buffer = Cage(view) | Read<uint32_t>(view, kBuffer);
  if (InHeap(view) == 0 || !NeedsNoBarrier(view)) return false;
  memcpy(reinterpret_cast<char*>(memory - kTag + kByteArrayHeader), bytes.data(), bytes.size());
  Prefetch(memory + kByteArrayHeader + bytes.size(), bytes.size());
  const uint64_t length = uint64_t{bytes.size()} << kLengthShift;
  Write(buffer, kBufferByteLength, length);
  Write(buffer, kBufferMaxLength, length);
  Write(view, kViewByteLength, length);
  Write(view, kViewLength, length);
  Write(view, kElements, static_cast<uint32_t>(memory));
  Write(view, kBasePointer, static_cast<uint32_t>(memory));
  return true;
}

v8::MemorySpan<char> nano::WritableBytes(v8::Local<v8::Uint8Array> array) {
  using namespace heap_bytes;
  const uintptr_t view = Pointer(array);
  const uint32_t memory = InHeap(view);
  if (memory != 0)
    return {reinterpret_cast<char*>((Cage(view) | memory) - kTag + kByteArrayHeader),
            Read<uint64_t>(view, kViewByteLength) >> kLengthShift};
  v8::HandleScope handles(v8::Isolate::GetCurrent());
  return {static_cast<char*>(array->Buffer()->Data()) + array->ByteOffset(), array->ByteLength()};
}

std::string_view nano::ViewBytes(v8::Local<v8::ArrayBufferView> view,
                                 v8::MemorySpan<uint8_t> scratch) {
  if (view->ByteLength() > scratch.size() && !view->HasBuffer()) view->Buffer();
  v8::MemorySpan<uint8_t> bytes = view->GetContents(scratch);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
