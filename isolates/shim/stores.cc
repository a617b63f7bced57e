// Memory of ArrayBuffers and WebAssembly. The linker passes V8's calls of these functions to us
// (-wrap, see shim.go).
//
// What V8 takes without its embedder's allocator, for resizable ArrayBuffers and WebAssembly, and
// is not shared it counts itself, as external memory, so that CheckMemory sees it grow; here it is
// only refused when it would be too much from the start. It counts nowhere what is shared, and what
// a memory of WebAssembly grows by whose buffer is resizable: that is counted here, for as long as
// the isolate lives, since nothing tells when it is freed. Isolates have nobody to share with:
// SharedArrayBuffers that can grow are refused, and shared memories of WebAssembly get few pages,
// in all of the isolate's life, for programs that look whether they are there.
#include <algorithm>

#include <optional>

#include "engine.h"

// Not in an anonymous namespace: the linker must see the functions.
namespace nano::stores {

// Store is V8's std::unique_ptr<BackingStore>, as far as the ABI goes. Null: a RangeError follows.
struct Store {
  Store() = default;
  Store(Store&& other) : pointer(other.pointer) { other.pointer = nullptr; }
  ~Store() {}  // it is handed on, never destroyed
  void* pointer = nullptr;
};
enum class Wasm : uint8_t {};
enum class Shared : uint8_t { kNot, kShared };

#define NANO_ALLOCATE_WASM                                                                      \
  "_ZN2v88internal12BackingStore18AllocateWasmMemoryEPNS0_7IsolateEmmNS0_14WasmMemoryFlagENS0_" \
  "10SharedFlagE"
#define NANO_ALLOCATE                                                                          \
  "_ZN2v88internal12BackingStore35TryAllocateAndPartiallyCommitMemoryEPNS0_7IsolateEmmmmmNS0_" \
  "14WasmMemoryFlagENS0_10SharedFlagEb"

Store RealAllocateWasm(v8::Isolate* isolate, size_t pages, size_t pages_max, Wasm wasm,
                       Shared shared) asm("__real_" NANO_ALLOCATE_WASM);
Store RealAllocate(v8::Isolate* isolate, size_t length, size_t length_max, size_t page,
                   size_t pages, size_t pages_max, Wasm wasm, Shared shared,
                   bool guarded) asm("__real_" NANO_ALLOCATE);

inline bool Fits(v8::Isolate* isolate, size_t length) {
  nano_isolate* self = nano_isolate::From(isolate);
  if (self == nullptr || self->heap_limit == 0) return true;
  size_t used = nano::ExternalMemory(self);
  return length <= self->heap_limit && used <= self->heap_limit - length;
}

inline void Keep(v8::Isolate* isolate, size_t length) {
  nano_isolate* self = nano_isolate::From(isolate);
  if (self != nullptr) self->kept_memory += length;
}

// V8 collects its young generation when that holds 16 MiB of ArrayBuffers. An app that a long body
// flows through, one chunk after the other, would keep as much in garbage: here it is kYoungBytes.
// The call is the one that V8 makes at the same place. Not while a context is restored, where V8
// must not collect; so only in what runs by a turn or for one.
//
// Chunks that outlive two such collections are garbage of the old generation then, which V8
// collects when there are 64 MiB more of it than after the last time; here it is kOldBytes, or half
// of what the isolate holds if that is more, since this costs in proportion.
constexpr size_t kYoungBytes = 3 << 20;
constexpr size_t kOldBytes = 16 << 20;
enum class Space : int { kNew = 1, kOld = 2 };
enum class Reason : int { kExternalMemoryPressure = 7 };

#define NANO_COLLECT                                                \
  "_ZN2v88internal4Heap14CollectGarbageENS0_15AllocationSpaceENS0_" \
  "23GarbageCollectionReasonENS_15GCCallbackFlagsE"
#define NANO_ALLOCATE_STORE \
  "_ZN2v88internal4Heap28AllocateExternalBackingStoreERKSt8functionIFPvmEEm"

void CollectGarbage(void* heap, Space space, Reason reason,
                    v8::GCCallbackFlags flags) asm(NANO_COLLECT);
void* RealAllocateStore(void* heap, const void* allocate,
                        size_t length) asm("__real_" NANO_ALLOCATE_STORE);
void* AllocateStore(void* heap, const void* allocate,
                    size_t length) asm("__wrap_" NANO_ALLOCATE_STORE);
void* AllocateStore(void* heap, const void* allocate, size_t length) {
  v8::Isolate* isolate = v8::Isolate::TryGetCurrent();
  nano_isolate* self = isolate != nullptr ? nano_isolate::From(isolate) : nullptr;
  if (self != nullptr && self->in_turn) {
    self->heap = heap;
    CollectBuffers(self);
  }
  return RealAllocateStore(heap, allocate, length);
}

constexpr size_t kWasmPage = 64 << 10;
constexpr size_t kSharedPages = 1024;  // that an isolate gets, counted by how far they may grow

Store AllocateWasm(v8::Isolate* isolate, size_t pages, size_t pages_max, Wasm wasm,
                   Shared shared) asm("__wrap_" NANO_ALLOCATE_WASM);
Store AllocateWasm(v8::Isolate* isolate, size_t pages, size_t pages_max, Wasm wasm, Shared shared) {
  if (!Fits(isolate, pages * kWasmPage)) return {};
  if (shared == Shared::kShared) {
    nano_isolate* self = nano_isolate::From(isolate);
    if (self == nullptr || pages_max > kSharedPages - self->shared_pages) return {};
    self->shared_pages += pages_max;
  }
  Store store = RealAllocateWasm(isolate, pages, pages_max, wasm, shared);
  if (shared == Shared::kShared && store.pointer != nullptr) Keep(isolate, pages * kWasmPage);
  return store;
}
// V8's BackingStore is what its header calls so.
#define NANO_GROW_WASM "_ZN2v88internal12BackingStore21GrowWasmMemoryInPlaceEPNS0_7IsolateEmm"
std::optional<size_t> RealGrowWasm(v8::BackingStore* store, v8::Isolate* isolate, size_t pages,
                                   size_t pages_max) asm("__real_" NANO_GROW_WASM);
std::optional<size_t> GrowWasm(v8::BackingStore* store, v8::Isolate* isolate, size_t pages,
                               size_t pages_max) asm("__wrap_" NANO_GROW_WASM);
std::optional<size_t> GrowWasm(v8::BackingStore* store, v8::Isolate* isolate, size_t pages,
                               size_t pages_max) {
  if (!store->IsShared() && !store->IsResizableByUserJavaScript())
    return RealGrowWasm(store, isolate, pages, pages_max);
  if (pages > pages_max || !Fits(isolate, pages * kWasmPage)) return {};
  std::optional<size_t> before = RealGrowWasm(store, isolate, pages, pages_max);
  if (before) Keep(isolate, pages * kWasmPage);
  return before;
}

Store Allocate(v8::Isolate* isolate, size_t length, size_t length_max, size_t page, size_t pages,
               size_t pages_max, Wasm wasm, Shared shared,
               bool guarded) asm("__wrap_" NANO_ALLOCATE);
Store Allocate(v8::Isolate* isolate, size_t length, size_t length_max, size_t page, size_t pages,
               size_t pages_max, Wasm wasm, Shared shared, bool guarded) {
  const bool is_wasm = static_cast<bool>(wasm);
  if ((shared == Shared::kShared && !is_wasm) || !Fits(isolate, length)) return {};
  return RealAllocate(isolate, length, length_max, page, pages, pages_max, wasm, shared, guarded);
}

}  // namespace nano::stores

void nano::CollectBuffers(nano_isolate* self) {
  using namespace stores;
  if (self->heap == nullptr || !self->in_turn) return;
  size_t used = self->allocator->used();
  if (used < self->buffers_kept) self->buffers_kept = used;
  if (used - self->buffers_kept < kYoungBytes) return;
  CollectGarbage(self->heap, Space::kNew, Reason::kExternalMemoryPressure, v8::kNoGCCallbackFlags);
  self->buffers_kept = self->allocator->used();
  if (self->buffers_kept < self->buffers_old) self->buffers_old = self->buffers_kept;
  if (self->buffers_kept - self->buffers_old < std::max(kOldBytes, self->buffers_old / 2)) return;
  CollectGarbage(self->heap, Space::kOld, Reason::kExternalMemoryPressure, v8::kNoGCCallbackFlags);
  self->buffers_old = self->buffers_kept = self->allocator->used();
}
