// Memory below V8: the pages of its spaces, the ranges that these lie in, and what malloc keeps.
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "engine.h"
#include "heap_layout.h"

namespace nano::pages {

#define NANO_SHRINK "_ZN2v88internal14PagedSpaceBase28ShrinkImmortalImmovablePagesEv"

void Shrink(void* space) asm("__wrap_" NANO_SHRINK);

// Shrink stands for what V8 does to the pages of each space at the end of deserialization: it cuts
// what is still free off them, and the first object allocated later takes a page of its own. That
// saves nothing, since no free memory was touched, and costs an isolate two pages of 256 KB address
// space more, one of them of the trusted space, whose 1 GB all isolates of a process share: it is
// what the number of isolates is bounded by. Kept, the free memory stays on the free lists, where
// the end of deserialization has put it.
void Shrink(void*) {}

// Where length bytes from address on are about to be given back to the kernel, Empty does the
// larger part of it, kAtOnce at a time. A hundred megabytes take the kernel a millisecond or more,
// in which a thread that gives way to loops is not asked to: between two calls it is.
void Empty(void* address, size_t length) {
  constexpr size_t kAtOnce = 2 << 20;
  for (auto* bytes = static_cast<char*>(address); length > kAtOnce;
       bytes += kAtOnce, length -= kAtOnce)
    madvise(bytes, kAtOnce, MADV_DONTNEED);
}

// V8 gives an object of more than 128 KB pages of its own, makes them accessible and, when the
// object is dead, inaccessible again. The kernel takes their memory then, and clears it for whoever
// is next to touch them: for text of a megabyte that takes ten times as long as its decoding. So
// some such pages keep their memory while no object is on them, to V8 inaccessible and anybody's.
// V8 expects nothing of what new pages contain. It makes them accessible in any case, which is
// little work if they are: not all have to be, as V8 also frees what it had freed before, the end
// of an object's pages that was made shorter.
class Spare {
 public:
  // Keep tells whether pages stay as they are.
  bool Keep(uintptr_t address, size_t length) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (length > kBytes) return false;
    // What V8 has not come back to for longest goes.
    while (length > kBytes - bytes_ || count_ == kRangesMax) {
      const Range oldest = ranges_[0];
      Drop(0);
      Release(oldest);
    }
    Range range = {address, address + length};
    for (size_t i = count_; i-- > 0;) {
      const Range other = ranges_[i];
      if (other.end != range.begin && other.begin != range.end) continue;
      range = {std::min(range.begin, other.begin), std::max(range.end, other.end)};
      Drop(i);
    }
    Add(range);
    return true;
  }

  // Take forgets pages that are about to be used.
  void Take(uintptr_t address, size_t length) {
    const uintptr_t end = address + length;
    std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = count_; i-- > 0;) {
      const Range range = ranges_[i];
      if (range.end <= address || range.begin >= end) continue;
      Drop(i);
      for (const Range rest : {Range{range.begin, address}, Range{end, range.end}})
        if (rest.begin < rest.end && !Add(rest)) Release(rest);
    }
  }

  void GiveBack() {
    std::lock_guard<std::mutex> lock(mutex_);
    while (count_ > 0) {
      const Range range = ranges_[count_ - 1];
      Drop(count_ - 1);
      Release(range);
    }
  }

 private:
  static constexpr size_t kBytes = 16 << 20, kRangesMax = 64;
  struct Range {
    uintptr_t begin, end;
  };

  bool Add(Range range) {
    if (count_ == kRangesMax) return false;
    ranges_[count_++] = range;
    bytes_ += range.end - range.begin;
    return true;
  }

  void Drop(size_t index) {
    bytes_ -= ranges_[index].end - ranges_[index].begin;
    std::move(ranges_.begin() + index + 1, ranges_.begin() + count_, ranges_.begin() + index);
    count_--;
  }

  // As V8 does it.
  static void Release(Range range) {
    auto* address = reinterpret_cast<void*>(range.begin);
    const size_t length = range.end - range.begin;
    Empty(address, length);
    if (mprotect(address, length, PROT_NONE) == 0) madvise(address, length, MADV_DONTNEED);
  }

  std::mutex mutex_;
  std::array<Range, kRangesMax> ranges_;  // oldest first
  size_t count_ = 0, bytes_ = 0;
};
Spare spare;

// Where the objects of all isolates are, but for code. 0: pages are not kept yet.
std::atomic<uintptr_t> heap_begin = 0;
constexpr uintptr_t kHeapBytes = uintptr_t{4} << 30;
uintptr_t code_begin = 0, code_end = 0;

bool IsHeap(uintptr_t address) {
  const uintptr_t begin = heap_begin.load(std::memory_order_acquire);
  return begin != 0 && address - begin < kHeapBytes &&
         (address < code_begin || address >= code_end);
}

enum class Permission { kNoAccess, kRead, kReadWrite };

#define NANO_SET_PERMISSIONS \
  "_ZN2v84base23AddressSpaceReservation14SetPermissionsEPvmNS0_2OS16MemoryPermissionE"
#define NANO_RECOMMIT \
  "_ZN2v84base23AddressSpaceReservation13RecommitPagesEPvmNS0_2OS16MemoryPermissionE"
#define NANO_DECOMMIT "_ZN2v84base23AddressSpaceReservation13DecommitPagesEPvm"

bool RealSetPermissions(void* range, void* pages, size_t length,
                        Permission permission) asm("__real_" NANO_SET_PERMISSIONS);
bool SetPermissions(void* range, void* pages, size_t length,
                    Permission permission) asm("__wrap_" NANO_SET_PERMISSIONS);
bool SetPermissions(void* range, void* pages, size_t length, Permission permission) {
  constexpr size_t kLeast = 128 << 10, kOrdinary = 256 << 10;
  const auto address = reinterpret_cast<uintptr_t>(pages);
  if (IsHeap(address)) {
    if (permission != Permission::kNoAccess)
      spare.Take(address, length);
    else if (length > kLeast && length != kOrdinary && spare.Keep(address, length))
      return true;
  }
  if (permission == Permission::kNoAccess) Empty(pages, length);
  return RealSetPermissions(range, pages, length, permission);
}

bool RealRecommit(void* range, void* pages, size_t length,
                  Permission permission) asm("__real_" NANO_RECOMMIT);
bool Recommit(void* range, void* pages, size_t length,
              Permission permission) asm("__wrap_" NANO_RECOMMIT);
bool Recommit(void* range, void* pages, size_t length, Permission permission) {
  const auto address = reinterpret_cast<uintptr_t>(pages);
  if (IsHeap(address)) spare.Take(address, length);
  return RealRecommit(range, pages, length, permission);
}

bool RealDecommit(void* range, void* pages, size_t length) asm("__real_" NANO_DECOMMIT);
bool Decommit(void* range, void* pages, size_t length) asm("__wrap_" NANO_DECOMMIT);
bool Decommit(void* range, void* pages, size_t length) {
  const auto address = reinterpret_cast<uintptr_t>(pages);
  if (IsHeap(address)) spare.Take(address, length);
  Empty(pages, length);
  return RealDecommit(range, pages, length);
}

// V8 hands the pages of an isolate that ends to the next one that is made, with all that has been
// written to them. A fresh isolate uses the first part of each of its three: where apps come and go
// it would have half a megabyte resident that it has no use for, and that Resident knows nothing
// of. So the kernel takes what is behind kKept bytes, if memory has been short lately; else it is
// not worth a tenth of the next start, which is what clear memory takes. Those bytes are what most
// isolates write to at once, and begin with what V8 has to know of a page to free it. V8 expects
// nothing of what pages that it is given contain.
#define NANO_TEAR_DOWN "_ZN2v88internal8PagePool17ReleaseOnTearDownEPNS0_7IsolateE"

void RealTearDown(void* pool, void* isolate) asm("__real_" NANO_TEAR_DOWN);
void TearDown(void* pool, void* isolate) asm("__wrap_" NANO_TEAR_DOWN);
size_t Count(const void* pool,
             void* isolate) asm("_ZNK2v88internal8PagePool8GetCountEPNS0_7IsolateE");
char* Remove(void* pool, void* isolate) asm("_ZN2v88internal8PagePool6RemoveEPNS0_7IsolateE");
void Add(void* pool, void* isolate,
         char* page) asm("_ZN2v88internal8PagePool3AddEPNS0_7IsolateEPNS0_19MutablePageMetadataE");

// When memory was short, by MonotonicNanoseconds, and for how long that counts.
std::atomic<int64_t> short_at = INT64_MIN / 2;
constexpr int64_t kShort = 10'000'000'000;

void TearDown(void* pool, void* isolate) {
  if (MonotonicNanoseconds() - short_at.load(std::memory_order_relaxed) > kShort)
    return RealTearDown(pool, isolate);
  // Where V8's MutablePageMetadata has the beginning of the part of the page that is for objects.
  constexpr size_t kArea = 0x48;
  constexpr size_t kKept = 64 << 10;
  std::vector<char*> own;
  for (size_t left = Count(pool, isolate); left > 0; left--) {
    char* page = Remove(pool, isolate);
    if (page == nullptr) break;
    own.push_back(page);
    const uintptr_t begin = *reinterpret_cast<uintptr_t*>(page + kArea) & ~(heap::kPageBytes - 1);
    if (IsHeap(begin))
      madvise(reinterpret_cast<char*>(begin) + kKept, heap::kPageBytes - kKept, MADV_DONTNEED);
  }
  for (char* page : own) Add(pool, isolate, page);
  RealTearDown(pool, isolate);
}

// V8 collects the young generation when it has as many bytes of large objects as there is room for
// small ones, which for most apps is less than a megabyte: for each long text, then. Here it is
// kLargeBytes at least.
constexpr size_t kLargeBytes = 4 << 20;

#define NANO_SET_CAPACITY "_ZN2v88internal19NewLargeObjectSpace11SetCapacityEm"
void RealSetCapacity(void* space, size_t bytes) asm("__real_" NANO_SET_CAPACITY);
void SetCapacity(void* space, size_t bytes) asm("__wrap_" NANO_SET_CAPACITY);
void SetCapacity(void* space, size_t bytes) {
  RealSetCapacity(space, std::max(bytes, kLargeBytes));
}

// V8's tables of external pointers: entries of 8 bytes, in segments of 64 KB that belong to spaces.
constexpr size_t kSegmentBytes = 64 << 10;
constexpr uint32_t kSegmentEntries = kSegmentBytes / 8;
constexpr uint64_t kFreeEntry = uint64_t{0xfe} << 48;  // with the index of the next one, or 0

// What V8's ExternalEntityTable, its Space and its FreelistHead are, as far as they are used here.
struct Table {
  uint64_t* entries;
  v8::VirtualAddressSpace* memory;
};
struct alignas(8) FreeList {
  uint32_t next, length;
};
struct Space {
  FreeList free;  // read without a lock
  std::set<uint32_t> segments;
};
static_assert(sizeof(Space) == 56);  // where V8's goes on with what is not used here

#define NANO_EXTEND                                                    \
  "_ZN2v88internal19ExternalEntityTableINS0_25ExternalPointerTableEnt" \
  "ryELm536870912EE9TryExtendEPNS3_5SpaceE"

std::optional<FreeList> Extend(Table* table, Space* space) asm(NANO_EXTEND);

// Extend takes the place of V8's when the program is linked, as a template's function gives way to
// another one. V8's gives a space that has no free entry another segment, and makes a list of all
// its entries. An isolate has two such spaces in use, with 280 and 20 entries, and would pay for
// all pages of both: here the list of the first segment ends after one page, and the memory behind
// it is not touched. The entries there are 0, to V8 as good as a null pointer that nothing has
// marked: the first collection that sweeps the segment puts them on the list. The caller holds the
// lock of the space.
std::optional<FreeList> Extend(Table* table, Space* space) {
  constexpr uint32_t kFirstEntries = 512;
  auto address = table->memory->AllocatePages(v8::VirtualAddressSpace::kNoHint, kSegmentBytes,
                                              kSegmentBytes, v8::PagePermissions::kReadWrite);
  if (address == 0) return {};
  const auto segment = static_cast<uint32_t>((address - table->memory->base()) / kSegmentBytes);
  const uint32_t first = segment * kSegmentEntries;
  FreeList free = {first, space->segments.empty() ? kFirstEntries : kSegmentEntries};
  const uint32_t last = first + free.length - 1;
  for (uint32_t i = first; i < last; i++) table->entries[i] = kFreeEntry | (i + 1);
  table->entries[last] = kFreeEntry;
  space->segments.insert(segment);
  __atomic_store(&space->free, &free, __ATOMIC_RELEASE);
  return free;
}

}  // namespace nano::pages

namespace nano {

void KeepPages(v8::Isolate* isolate) {
  void* code;
  size_t length;
  isolate->GetCodeRange(&code, &length);
  pages::code_begin = reinterpret_cast<uintptr_t>(code);
  pages::code_end = pages::code_begin + length;
  pages::heap_begin.store(heap::Cage(heap::Pointer(v8::Undefined(isolate))),
                          std::memory_order_release);
}

// The first segment of an isolate's table of external pointers is for the read-only heap. V8 makes
// it one free list, 8,192 entries of 8 bytes, takes the 28 that the heap needs, and protects it:
// nothing is ever allocated there again, and no collection sweeps it. What is left of the list is
// at its end, since it is taken from in order, and every entry refers to the next one.
void DropFreePointers(v8::Isolate* isolate) {
  using namespace pages;
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* entries = v8::internal::Internals::GetExternalPointerTableBase(isolate);
  if (entries[kSegmentEntries - 1] != kFreeEntry) return;
  size_t used = kSegmentEntries - 1;
  while (used > 0 && entries[used - 1] == (kFreeEntry | used)) used--;
  size_t kept = (used * sizeof *entries + page - 1) / page * page;
  if (kept < kSegmentBytes)
    madvise(reinterpret_cast<char*>(entries) + kept, kSegmentBytes - kept, MADV_DONTNEED);
}

}  // namespace nano

using namespace nano;

void nano_isolate_ranges(nano_isolate* self, nano_ranges* out) {
  constexpr int64_t kPage = 256 << 10;
  *out = {};
  for (size_t i = 0; i < self->isolate->NumberOfHeapSpaces(); i++) {
    v8::HeapSpaceStatistics space;
    self->isolate->GetHeapSpaceStatistics(&space, i);
    std::string_view name = space.space_name();
    // What all isolates have in common counts for none of them.
    if (name == "read_only_space" || name.starts_with("shared_")) continue;
    auto size = static_cast<int64_t>(space.space_size());
    size = (size + kPage - 1) / kPage * kPage;
    int64_t& range = name.starts_with("trusted_") ? out->trusted
                     : name.starts_with("code_")  ? out->code
                                                  : out->cage;
    range += size;
  }
}

void nano_trim(void) {
  nano::pages::spare.GiveBack();
  malloc_trim(0);
}

void nano_memory_is_short(void) {
  nano::pages::short_at.store(nano::MonotonicNanoseconds(), std::memory_order_relaxed);
}

void nano_unmap_program(void) {
  // The program itself comes first. What cannot be written to has no relocations either: all of it
  // is as in the file.
  auto unmap = [](dl_phdr_info* program, size_t, void*) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    for (size_t i = 0; i < program->dlpi_phnum; i++) {
      const auto& part = program->dlpi_phdr[i];
      if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
      const uintptr_t begin = program->dlpi_addr + part.p_vaddr;
      const uintptr_t first = (begin + page - 1) & ~(page - 1);
      const uintptr_t end = (begin + part.p_filesz) & ~(page - 1);
      if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
    }
    return 1;
  };
  dl_iterate_phdr(unmap, nullptr);
}
