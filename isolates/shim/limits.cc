// Surviving what V8 treats as fatal, and the limit on memory.
//
// V8 aborts the process when an allocation fails at a place that has no way to throw: `new
// Array(2**27).fill(1)` is enough. Its callbacks for that must not return, but nothing says where
// they have to go: ours longjmp to the start of the turn. The isolate is left as it was in the
// middle of an operation; it is exited and disposed of, and only what disposal touches must be in
// order. That is so between garbage collections (V8 allocates outside its locks). During one it is
// not, and such an isolate is leaked.
#include "guard.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "engine.h"

// Not in V8's headers, but of its library: who is told of failed checks.
namespace v8::base {
void SetFatalFunction(void (*)(const char* file, int line, const char* message));
}

namespace nano {

namespace {

thread_local Rescue* rescue = nullptr;

uint32_t leaked_isolates = 0;

// What V8 says, by FATAL, of an object that would be too large. Everything else is a bug.
bool MeansTooLarge(std::string_view message) {
  return message.starts_with("Fatal JavaScript invalid size error") ||
         message.starts_with("Fatal JavaScript invalid array length");
}

// MeansNoBuffer tells that a context could not be restored, since the allocator has refused memory
// for one of its ArrayBuffers.
bool MeansNoBuffer(std::string_view message) {
  return rescue->self->in_restore && message.find("(backing_store) != nullptr") != message.npos;
}

// InIsolate tells that this thread runs an isolate that can be abandoned.
bool InIsolate() {
  return rescue != nullptr && v8::Isolate::TryGetCurrent() == rescue->self->isolate;
}

[[noreturn]] void Die(const char* what, const char* why) {
  fprintf(stderr, "nano: V8: %s: %s%s%s\n", what, why, rescue != nullptr ? ", in the app " : "",
          rescue != nullptr ? rescue->self->name.c_str() : "");
  abort();
}

[[noreturn]] void GoBack() { _longjmp(rescue->point, 1); }

void OnFailedCheck(const char* file, int line, const char* message) {
  if (InIsolate() && (MeansTooLarge(message) || MeansNoBuffer(message))) OutOfMemory(message);
  char where[512];
  snprintf(where, sizeof where, "%s:%d", file, line);
  Die(where, message);
}

void OnCollectionBegins(v8::Isolate*, v8::GCType, v8::GCCallbackFlags, void* data) {
  auto* self = static_cast<nano_isolate*>(data);
  AbandonIfForced(self);
  self->meter.collecting.store(true, std::memory_order_relaxed);
}

void OnCollectionEnds(v8::Isolate*, v8::GCType type, v8::GCCallbackFlags, void* data) {
  auto* self = static_cast<nano_isolate*>(data);
  self->meter.collecting.store(false, std::memory_order_relaxed);
  if (type == v8::kGCTypeMarkSweepCompact) self->meter.collections++;
}

}  // namespace

// Source that is made at run time may be this long. What the parser holds of it is many times as
// large, and lost if it is abandoned.
constexpr int kGeneratedSourceMax = 256 << 10;

v8::ModifyCodeGenerationFromStringsResult OnGeneratedSource(v8::Local<v8::Context>,
                                                            v8::Local<v8::Value> source, bool) {
  return {!source->IsString() || source.As<v8::String>()->Length() <= kGeneratedSourceMax, {}};
}

void IdleState::Save(v8::Isolate* isolate) {
  memcpy(bytes, reinterpret_cast<uint8_t*>(isolate) + kBegin, sizeof bytes);
}

void IdleState::Restore(v8::Isolate* isolate) const {
  memcpy(reinterpret_cast<uint8_t*>(isolate) + kBegin, bytes, sizeof bytes);
}

Rescue::Rescue(nano_isolate* self) : self(self), isolate(self->isolate), outer(rescue) {
  isolate->Enter();
  rescue = this;
}

Rescue::~Rescue() {
  rescue = outer;
  do {
    isolate->Exit();
  } while (abandoned && v8::Isolate::TryGetCurrent() == isolate);
}

void Rescue::Abandoned() {
  abandoned = self->abandoned = true;
  if (self->meter.collecting.load(std::memory_order_relaxed)) self->unsound = true;
  self->idle.Restore(isolate);
  self->out.Truncate();
}

void Kill(nano_isolate* self, uint32_t death) {
  uint32_t alive = NANO_ALIVE;
  __atomic_compare_exchange_n(&self->shared.dead, &alive, death, false, __ATOMIC_ACQ_REL,
                              __ATOMIC_ACQUIRE);
  self->isolate->TerminateExecution();
}

void Revive(nano_isolate* self) {
  // V8 may still hold an interrupt of the watchdog, which would charge this and end what runs then.
  self->meter.pending.store(0, std::memory_order_relaxed);
  self->meter.force.store(0, std::memory_order_relaxed);
  uint32_t death = NANO_DEAD_CPU;
  if (__atomic_compare_exchange_n(&self->shared.dead, &death, NANO_ALIVE, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    self->isolate->CancelTerminateExecution();
}

bool IsDead(const nano_isolate* self) {
  return __atomic_load_n(&self->shared.dead, __ATOMIC_ACQUIRE) != NANO_ALIVE;
}

void AbandonIfForced(nano_isolate* self) {
  if (self->meter.force.load(std::memory_order_relaxed) != 0 && InIsolate() && rescue->self == self)
    GoBack();
}

Rescue* RescuedHere() { return rescue; }

void Abandon() {
  if (!InIsolate()) Die("Abandon", "no isolate runs on this thread");
  GoBack();
}

void OutOfMemory(const char* where) {
  if (!InIsolate()) Die(where, "out of memory");
  Kill(rescue->self, NANO_DEAD_MEMORY);
  GoBack();
}

void OnOutOfMemory(const char* location, const v8::OOMDetails&) { OutOfMemory(location); }

void OnFatal(const char* location, const char* message) {
  // An operation on the isolate's behalf that gave nothing because it is being ended.
  if (InIsolate() && IsDead(rescue->self)) GoBack();
  Die(location, message);
}

void InstallFatalHandler() { v8::base::SetFatalFunction(OnFailedCheck); }

void WatchLimits(nano_isolate* self) {
  self->idle.Save(self->isolate);
  const void* builtins;
  void* code;
  self->isolate->GetEmbeddedCodeRange(&builtins, &self->builtins.length);
  self->builtins.start = reinterpret_cast<uintptr_t>(builtins);
  self->isolate->GetCodeRange(&code, &self->code.length);
  self->code.start = reinterpret_cast<uintptr_t>(code);
  self->isolate->AddGCPrologueCallback(OnCollectionBegins, self);
  self->isolate->AddGCEpilogueCallback(OnCollectionEnds, self);
}

void Leak(nano_isolate* self) {
  uint32_t count = __atomic_add_fetch(&leaked_isolates, 1, __ATOMIC_RELAXED);
  fprintf(stderr,
          "nano: app %s: its isolate ran out of memory during a garbage collection and cannot be "
          "freed (%u so far)\n",
          self->name.c_str(), count);
}

// ---- Memory ----

namespace {

v8::ArrayBuffer::Allocator* Sandboxed() {
  static auto* allocator = v8::ArrayBuffer::Allocator::NewDefaultAllocator();
  return allocator;
}

// Reserve keeps what ArrayBuffers have left, for the next ones of this thread. V8's own allocator
// inside of the sandbox has one lock for all isolates, a tree of regions, and gives pages back to
// the kernel as soon as they are free: that costs a buffer more than everything else that is done
// for it.
class Reserve {
 public:
  ~Reserve() { Trim(); }

  // Take gives at least `length` bytes, which may hold anything. Null: there is nothing of that
  // size.
  void* Take(size_t length) {
    takes_ = true;
    std::vector<void*>& blocks = blocks_[ClassOf(length)];
    if (blocks.empty()) return nullptr;
    void* block = blocks.back();
    blocks.pop_back();
    held_ -= Rounded(length);
    return block;
  }
  // Keep takes memory of Rounded(length) bytes; false: there is enough already, or the thread only
  // frees.
  bool Keep(void* block, size_t length) {
    if (!takes_) return false;
    size_t size = Rounded(length);
    if (held_ + size > kHeldMax && !Evict(size)) return false;
    blocks_[ClassOf(length)].push_back(block);
    held_ += size;
    return true;
  }
  void Trim() {
    for (size_t i = 0; i < kClasses; i++) {
      for (void* block : blocks_[i]) Sandboxed()->Free(block, SizeOf(i));
      blocks_[i] = {};
    }
    held_ = 0;
  }

  // Rounded is the size that a length gets: four sizes for each power of two.
  static size_t Rounded(size_t length) {
    size_t shift = Shift(length);
    return ((Above(length) >> shift) + 1) << shift;
  }
  static bool Covers(size_t length) { return length <= kLengthMax; }

 private:
  static constexpr size_t kLengthMin = 128;  // which V8's allocator rounds to
  static constexpr size_t kLengthMax = 4 << 20;
  static constexpr size_t kClasses = 21 * 4;
  static constexpr size_t kHeldMax =
      20 << 20;  // more than is garbage when it is collected, see stores.cc

  static size_t Above(size_t length) { return std::max(length, kLengthMin) - 1; }
  static size_t Shift(size_t length) {
    return static_cast<size_t>(std::bit_width(Above(length))) - 3;
  }
  // ClassOf is an index by which the size can be told: 4 to 8 quarters of a power of two.
  static size_t ClassOf(size_t length) {
    size_t size = Rounded(length), shift = static_cast<size_t>(std::bit_width(size)) - 3;
    return shift << 2 | (size >> shift & 3);
  }

  static size_t SizeOf(size_t index) { return (4 + (index & 3)) << (index >> 2); }

  // Evict makes room for a block among what is held: of the other sizes, the one that holds most
  // loses some.
  bool Evict(size_t size) {
    size_t most = 0, bytes = 0;
    for (size_t i = 0; i < kClasses; i++) {
      size_t held = SizeOf(i) != size ? SizeOf(i) * blocks_[i].size() : 0;
      if (held > bytes) most = i, bytes = held;
    }
    if (bytes < std::max(size, kHeldMax / 4)) return false;
    for (size_t freed = 0; freed < std::max(size, kEvicted); freed += SizeOf(most)) {
      Sandboxed()->Free(blocks_[most].back(), SizeOf(most));
      blocks_[most].pop_back();
      held_ -= SizeOf(most);
    }
    return true;
  }
  static constexpr size_t kEvicted = 256 << 10;

  std::vector<void*> blocks_[kClasses];
  size_t held_ = 0;
  bool takes_ = false;  // the thread has ever asked for memory
};

thread_local Reserve reserve;

}  // namespace

void DropFreeBlocks() { reserve.Trim(); }

Allocator::Allocator(nano_isolate* self, size_t limit) : self_(self), limit_(limit) {}

v8::PageAllocator* Allocator::GetPageAllocator() { return Sandboxed()->GetPageAllocator(); }

bool Allocator::Charge(size_t length) {
  size_t before = used_.fetch_add(length, std::memory_order_relaxed);
  if (limit_ == 0 || (length <= limit_ && before <= limit_ - length)) {
    refused_ = 0;
    return true;
  }
  Refund(length);
  if (self_ != nullptr && length <= limit_) Refuse(length);
  return false;
}

// V8 collects all garbage and asks again before it throws a RangeError. What the app holds is too
// much if it is refused still, whether it catches that or not.
void Allocator::Refuse(size_t length) {
  constexpr uint32_t kCollections = 2;
  uint32_t collections = self_->meter.collections;
  if (refused_ != length || collections < refused_at_) {
    refused_ = length;
    refused_at_ = collections;
  } else if (collections - refused_at_ >= kCollections) {
    Kill(self_, NANO_DEAD_MEMORY);
  }
}

void* Allocator::Take(size_t length, bool zeroed) {
  if (self_ != nullptr) AbandonIfForced(self_);
  return TakeHere(length, zeroed);
}

void* Allocator::TakeHere(size_t length, bool zeroed) {
  if (!Charge(length)) return nullptr;
  bool is_covered = Reserve::Covers(length);
  void* memory = is_covered ? reserve.Take(length) : nullptr;
  if (memory != nullptr) {
    if (zeroed) memset(memory, 0, length);
    return memory;
  }
  size_t size = is_covered ? Reserve::Rounded(length) : length;
  memory = zeroed ? Sandboxed()->Allocate(size) : Sandboxed()->AllocateUninitialized(size);
  if (memory == nullptr) Refund(length);
  return memory;
}

void Allocator::Free(void* data, size_t length) {
  Refund(length);
  if (!Reserve::Covers(length)) return Sandboxed()->Free(data, length);
  if (!reserve.Keep(data, length)) Sandboxed()->Free(data, Reserve::Rounded(length));
}

Scratch::~Scratch() {
  for (const Piece& piece : pieces_) free(piece.memory);
}

void* Scratch::Grow(void* old, size_t length, size_t limit) {
  size_t others = 0;
  for (const Piece& piece : pieces_)
    if (piece.memory != old) others += piece.length;
  if (limit != 0 && (length > limit || others > limit - length)) return nullptr;
  void* grown = realloc(old, length);
  if (grown == nullptr) return nullptr;
  if (old != nullptr)
    std::erase_if(pieces_, [=](const Piece& piece) { return piece.memory == old; });
  pieces_.push_back({grown, length});
  return grown;
}

void Scratch::Free(void* memory) {
  std::erase_if(pieces_, [=](const Piece& piece) { return piece.memory == memory; });
  free(memory);
}

size_t ExternalMemory(nano_isolate* self) {
  // V8 counts ArrayBuffers and memories of WebAssembly, our allocator ArrayBuffers that are shared
  // or have not been made yet.
  int64_t counted = self->isolate->AdjustAmountOfExternalAllocatedMemory(0);
  return std::max(self->allocator->used(), static_cast<size_t>(std::max(counted, int64_t{0}))) +
         self->compilations->bytes.load(std::memory_order_relaxed) + self->kept_memory;
}

void CheckMemory(nano_isolate* self) {
  if (self->heap_limit == 0 || ExternalMemory(self) < self->heap_limit / 8) return;
  auto beyond = [&] {
    v8::HeapStatistics heap;
    self->isolate->GetHeapStatistics(&heap);
    return heap.used_heap_size() + ExternalMemory(self) > self->heap_limit;
  };
  if (!beyond()) return;
  self->isolate->LowMemoryNotification();
  FreeHostObjects(self);
  if (beyond()) Kill(self, NANO_DEAD_MEMORY);
}

}  // namespace nano
