// Memory below V8: the pages of its spaces, the ranges that these lie in, and what malloc keeps.
#include <malloc.h>

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

}  // namespace nano::pages

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
