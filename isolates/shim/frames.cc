// Memory of V8's C++ frames that an abandoned turn leaves behind.
//
// No destructor runs in a frame that is skipped. What most hold is small. JSON.parse and
// JSON.stringify hold stacks as large as their argument: such allocations are noted, by the
// linker's -wrap (see shim.go), and freed with the isolate. So are the segments of V8's zones,
// which hold what the parser and the compilers make: 128 MB for five million statements.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>

#include "engine.h"

extern "C" {
// Functions of V8's json-parser.o and json-stringifier.o, which stand side by side.
extern char nano_json_parse asm(
    "_ZN2v88internal10JsonParserIhE5ParseEPNS0_7IsolateENS0_6HandleINS0_6StringEEENS5_INS0_"
    "6ObjectEEE");
extern char nano_json_stringify asm(
    "__real__ZN2v88internal13JsonStringifyEPNS0_7IsolateENS0_6HandleINS0_5UnionIJNS0_3SmiENS0_"
    "10HeapNumberENS0_6BigIntENS0_6StringENS0_6SymbolENS0_7BooleanENS0_4NullENS0_9UndefinedENS0_"
    "10JSReceiverEEEEEESF_NS3_INS0_6ObjectEEE");
}

namespace nano {

namespace {

constexpr size_t kNoted = 64 << 10;      // bytes from which on an allocation is worth it
constexpr uintptr_t kAround = 96 << 10;  // how far the code of the two files may reach

bool IsJSON(const void* caller) {
  auto at = reinterpret_cast<uintptr_t>(caller);
  auto parse = reinterpret_cast<uintptr_t>(&nano_json_parse);
  auto stringify = reinterpret_cast<uintptr_t>(&nano_json_stringify);
  return at >= std::min(parse, stringify) - kAround && at < std::max(parse, stringify) + kAround;
}

void* Noted(void* memory, size_t size, const void* caller) {
  if (size < kNoted || memory == nullptr) return memory;
  Rescue* rescue = RescuedHere();
  if (rescue != nullptr && IsJSON(caller)) rescue->self->frames.Note(memory);
  return memory;
}

// Segments of zones that were made in turns. One that is handed to a thread of V8's is given back
// there.
std::mutex segments_mutex;
std::unordered_map<void*, Frames*> segments;

// The bytes of all segments of zones in the process.
std::atomic<size_t> zone_bytes = 0;

void Forget(void* memory) {
  Rescue* rescue = RescuedHere();
  if (rescue != nullptr) rescue->self->frames.Forget(memory);
}

}  // namespace

Frames::~Frames() {
  for (void* memory : held_) free(memory);
  if (segments_ == 0) return;
  std::lock_guard<std::mutex> lock(segments_mutex);
  for (auto at = segments.begin(); at != segments.end();) {
    if (at->second != this) {
      ++at;
      continue;
    }
    zone_bytes.fetch_sub(malloc_usable_size(at->first), std::memory_order_relaxed);
    free(at->first);
    at = segments.erase(at);
  }
}

void Frames::NoteSegment(void* segment) {
  std::lock_guard<std::mutex> lock(segments_mutex);
  segments[segment] = this;
  segments_++;
}

void Frames::ForgetSegment(void* segment) {
  std::lock_guard<std::mutex> lock(segments_mutex);
  auto found = segments.find(segment);
  if (found == segments.end()) return;
  found->second->segments_--;
  segments.erase(found);
}

void Frames::Note(void* memory) { held_.push_back(memory); }

void Frames::Forget(void* memory) {
  if (!held_.empty()) std::erase(held_, memory);
}

// AccountingAllocator of V8. A segment is its first byte; it comes from malloc.
void* Allocate(void* allocator, size_t size, bool compressed) asm(
    "__wrap__ZN2v88internal19AccountingAllocator15AllocateSegmentEmb");
void* RealAllocate(void* allocator, size_t size, bool compressed) asm(
    "__real__ZN2v88internal19AccountingAllocator15AllocateSegmentEmb");
void* Allocate(void* allocator, size_t size, bool compressed) {
  void* segment = RealAllocate(allocator, size, compressed);
  if (segment != nullptr)
    zone_bytes.fetch_add(malloc_usable_size(segment), std::memory_order_relaxed);
  Rescue* rescue = RescuedHere();
  if (segment != nullptr && rescue != nullptr) rescue->self->frames.NoteSegment(segment);
  return segment;
}

void Return(void* allocator, void* segment, bool compressed) asm(
    "__wrap__ZN2v88internal19AccountingAllocator13ReturnSegmentEPNS0_7SegmentEb");
void RealReturn(void* allocator, void* segment, bool compressed) asm(
    "__real__ZN2v88internal19AccountingAllocator13ReturnSegmentEPNS0_7SegmentEb");
void Return(void* allocator, void* segment, bool compressed) {
  Frames::ForgetSegment(segment);
  zone_bytes.fetch_sub(malloc_usable_size(segment), std::memory_order_relaxed);
  RealReturn(allocator, segment, compressed);
}

// A function that has become hot is optimized by V8's worker, one after the other, from what the
// isolate's thread has prepared: half a megabyte and more in zones, which the result keeps until
// the isolate runs again. Where a thousand apps become hot together, that was a gigabyte. So while
// the zones of all isolates take kZonesMost, only one function is taken every kPause, since those
// whose isolates do not run must not keep others from it for good. The rest stay as they are, and
// V8 asks again when they have run some more.
#define NANO_REQUEST_OPTIMIZATION                                                               \
  "_ZN2v88internal10JSFunction19RequestOptimizationEPNS0_7IsolateENS0_8CodeKindENS0_15Concurre" \
  "ncyModeE"
constexpr size_t kZonesMost = 64 << 20;
constexpr int64_t kPause = 10'000'000;  // ns
enum class CodeKind : uint8_t {};
enum class ConcurrencyMode : uint8_t {};

void RequestOptimization(void* function, v8::Isolate* isolate, CodeKind kind,
                         ConcurrencyMode mode) asm("__wrap_" NANO_REQUEST_OPTIMIZATION);
void RealRequestOptimization(void* function, v8::Isolate* isolate, CodeKind kind,
                             ConcurrencyMode mode) asm("__real_" NANO_REQUEST_OPTIMIZATION);
void RequestOptimization(void* function, v8::Isolate* isolate, CodeKind kind,
                         ConcurrencyMode mode) {
  if (zone_bytes.load(std::memory_order_relaxed) >= kZonesMost) {
    static std::atomic<int64_t> taken = 0;
    int64_t last = taken.load(std::memory_order_relaxed);
    const int64_t now = MonotonicNanoseconds();
    if (now - last < kPause || !taken.compare_exchange_strong(last, now)) return;
  }
  RealRequestOptimization(function, isolate, kind, mode);
}

// The operators that V8 uses.
void* New(size_t size) asm("__wrap__Znwm");
void* RealNew(size_t size) asm("__real__Znwm");
void* New(size_t size) { return Noted(RealNew(size), size, __builtin_return_address(0)); }

void* NewArray(size_t size) asm("__wrap__Znam");
void* RealNewArray(size_t size) asm("__real__Znam");
void* NewArray(size_t size) { return Noted(RealNewArray(size), size, __builtin_return_address(0)); }

void* TryNewArray(size_t size, const std::nothrow_t& tag) asm("__wrap__ZnamRKSt9nothrow_t");
void* RealTryNewArray(size_t size, const std::nothrow_t& tag) asm("__real__ZnamRKSt9nothrow_t");
void* TryNewArray(size_t size, const std::nothrow_t& tag) {
  return Noted(RealTryNewArray(size, tag), size, __builtin_return_address(0));
}

void Delete(void* memory, size_t size) asm("__wrap__ZdlPvm");
void RealDelete(void* memory, size_t size) asm("__real__ZdlPvm");
void Delete(void* memory, size_t size) {
  if (size >= kNoted) Forget(memory);
  RealDelete(memory, size);
}

void DeleteArray(void* memory) asm("__wrap__ZdaPv");
void RealDeleteArray(void* memory) asm("__real__ZdaPv");
void DeleteArray(void* memory) {
  Forget(memory);
  RealDeleteArray(memory);
}

}  // namespace nano
