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
  if (MeansTooLarge(message) && InIsolate()) OutOfMemory(message);
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

void IdleState::Save(v8::Isolate* isolate) {
  memcpy(bytes, reinterpret_cast<uint8_t*>(isolate) + kBegin, sizeof bytes);
}

void IdleState::Restore(v8::Isolate* isolate) const {
  memcpy(reinterpret_cast<uint8_t*>(isolate) + kBegin, bytes, sizeof bytes);
}

Rescue::Rescue(nano_isolate* self) : self(self), outer(rescue) { rescue = this; }

Rescue::~Rescue() { rescue = outer; }

void Rescue::Abandoned() {
  if (self->meter.collecting.load(std::memory_order_relaxed)) self->unsound = true;
  self->idle.Restore(self->isolate);
  while (v8::Isolate::TryGetCurrent() == self->isolate) self->isolate->Exit();
  self->out.Truncate();
}

void Kill(nano_isolate* self, uint32_t death) {
  uint32_t alive = NANO_ALIVE;
  __atomic_compare_exchange_n(&self->shared.dead, &alive, death, false, __ATOMIC_ACQ_REL,
                              __ATOMIC_ACQUIRE);
  self->isolate->TerminateExecution();
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

}  // namespace

// Pages counts what is committed of the memory of resizable ArrayBuffers and WebAssembly memories:
// address space is reserved for their maximum, and made accessible from its start as they grow.
class Pages final : public v8::PageAllocator {
 public:
  explicit Pages(Allocator* owner) : owner_(owner), pages_(Sandboxed()->GetPageAllocator()) {}

  size_t AllocatePageSize() override { return pages_->AllocatePageSize(); }
  size_t CommitPageSize() override { return pages_->CommitPageSize(); }
  void SetRandomMmapSeed(int64_t seed) override { pages_->SetRandomMmapSeed(seed); }
  void* GetRandomMmapAddr() override { return pages_->GetRandomMmapAddr(); }

  void* AllocatePages(void* hint, size_t size, size_t alignment, Permission access) override {
    if (access != kNoAccess && access != kNoAccessWillJitLater && !owner_->Charge(size))
      return nullptr;
    void* memory = pages_->AllocatePages(hint, size, alignment, access);
    bool committed = access != kNoAccess && access != kNoAccessWillJitLater;
    if (memory == nullptr) {
      if (committed) owner_->Refund(size);
      return nullptr;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    regions_[static_cast<char*>(memory)] = {size, committed ? size : 0};
    return memory;
  }

  bool FreePages(void* address, size_t size) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      auto found = regions_.find(static_cast<char*>(address));
      if (found != regions_.end()) {
        owner_->Refund(found->second.committed);
        regions_.erase(found);
      }
    }
    return pages_->FreePages(address, size);
  }

  bool ReleasePages(void* address, size_t size, size_t new_size) override {
    return pages_->ReleasePages(address, size, new_size);
  }

  bool SetPermissions(void* address, size_t size, Permission access) override {
    if (access != kNoAccess && access != kNoAccessWillJitLater)
      return Commit(static_cast<char*>(address), size) &&
             pages_->SetPermissions(address, size, access);
    bool done = pages_->SetPermissions(address, size, access);
    if (done) Decommit(static_cast<char*>(address));
    return done;
  }
  bool RecommitPages(void* address, size_t size, Permission access) override {
    return Commit(static_cast<char*>(address), size) &&
           pages_->RecommitPages(address, size, access);
  }
  bool DiscardSystemPages(void* address, size_t size) override {
    return pages_->DiscardSystemPages(address, size);
  }
  bool DecommitPages(void* address, size_t size) override {
    bool done = pages_->DecommitPages(address, size);
    if (done) Decommit(static_cast<char*>(address));
    return done;
  }

 private:
  struct Region {
    size_t size;
    size_t committed;  // from its start
  };

  Region* Find(char* address, size_t* offset) {
    auto after = regions_.upper_bound(address);
    if (after == regions_.begin()) return nullptr;
    auto& [start, region] = *--after;
    *offset = static_cast<size_t>(address - start);
    return *offset < region.size ? &region : nullptr;
  }
  bool Commit(char* address, size_t size) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t offset = 0;
    Region* region = Find(address, &offset);
    if (region == nullptr || offset + size <= region->committed) return true;
    if (!owner_->Charge(offset + size - region->committed)) return false;
    region->committed = offset + size;
    return true;
  }
  void Decommit(char* address) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t offset = 0;
    Region* region = Find(address, &offset);
    if (region == nullptr || region->committed <= offset) return;
    owner_->Refund(region->committed - offset);
    region->committed = offset;
  }

  Allocator* const owner_;
  v8::PageAllocator* const pages_;
  std::mutex mutex_;
  std::map<char*, Region> regions_;  // by start
};

Allocator::Allocator(nano_isolate* self, size_t limit) : self_(self), limit_(limit) {}

Allocator::~Allocator() = default;

v8::PageAllocator* Allocator::GetPageAllocator() {
  // Made at first use, which is on the isolate's thread: few apps need it.
  if (!pages_) pages_ = std::make_unique<Pages>(this);
  return pages_.get();
}

bool Allocator::Charge(size_t length) {
  if (self_ != nullptr) AbandonIfForced(self_);
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
  if (!Charge(length)) return nullptr;
  void* memory =
      zeroed ? Sandboxed()->Allocate(length) : Sandboxed()->AllocateUninitialized(length);
  if (memory == nullptr) Refund(length);
  return memory;
}

void Allocator::Free(void* data, size_t length) {
  Sandboxed()->Free(data, length);
  Refund(length);
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

void CheckMemory(nano_isolate* self) {
  if (self->heap_limit == 0) return;
  size_t external = self->allocator->used();
  if (external < self->heap_limit / 8) return;
  auto beyond = [&] {
    v8::HeapStatistics heap;
    self->isolate->GetHeapStatistics(&heap);
    return heap.used_heap_size() + self->allocator->used() > self->heap_limit;
  };
  if (!beyond()) return;
  self->isolate->LowMemoryNotification();
  if (beyond()) Kill(self, NANO_DEAD_MEMORY);
}

}  // namespace nano
