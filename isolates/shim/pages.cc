// Memory below V8: the pages of its spaces, the ranges that these lie in, and what malloc keeps.
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <optional>
#include <set>

#include "engine.h"

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

void nano_trim(void) { malloc_trim(0); }
