// Optimized code holds the maps (hidden classes) of the objects that it is made for weakly, and is
// thrown away when one of them dies. At a collection between two requests there may be no Response,
// no URL alive; so V8 keeps maps that such code has for as long as somebody could make another
// object of them, whose constructor is marked. But it asks for that before it has marked anything
// but the roots. That is right for a heap of 8 MB and more, which is marked in steps beforehand.
// In a smaller one, as those of most apps are, no constructor is marked, maps die, and what is hot
// was compiled again after each collection: a tenth of the CPU time of a proxy under load.
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "engine.h"

namespace nano::maps {

#define NANO_FIND_MAPS "_ZN2v88internal4Heap19FindAllRetainedMapsEv"

std::vector<uintptr_t> RealFind(char* heap) asm("__real_" NANO_FIND_MAPS);
std::vector<uintptr_t> Find(char* heap) asm("__wrap_" NANO_FIND_MAPS);

// V8 13.6 as it is built for x86-64: elsewhere nobody has tried where its heap has its collector.
#ifdef __x86_64__
static_assert(V8_MAJOR_VERSION == 13 && V8_MINOR_VERSION == 6);

#define NANO_PROCESS_MARKING                                            \
  "_ZN2v88internal20MarkCompactCollector22ProcessMarkingWorklistILNS1_" \
  "29MarkingWorklistProcessingModeE0EEESt4pairImmENS_4base9TimeDeltaEm"

// ProcessMarking marks what can be reached from what is marked, in at most so many microseconds, or
// bytes.
std::pair<size_t, size_t> ProcessMarking(void* collector, int64_t time,
                                         size_t bytes) asm(NANO_PROCESS_MARKING);

// kCollector is where a heap has its collector, whose first member is the heap.
constexpr size_t kCollector = 0x9e0;

// Find stands for the first thing that V8 does when it is about to keep maps: before that, all that
// is reachable is marked, as V8 would do right after it. Nobody else calls it.
std::vector<uintptr_t> Find(char* heap) {
  char** collector = *reinterpret_cast<char***>(heap + kCollector);
  if (*collector == heap) {
    ProcessMarking(collector, std::numeric_limits<int64_t>::max(),
                   std::numeric_limits<size_t>::max());
  }
  return RealFind(heap);
}

#else

std::vector<uintptr_t> Find(char* heap) { return RealFind(heap); }

#endif

}  // namespace nano::maps
