// What turns of an isolate touch, see footprint.cc.
#ifndef NANO_FOOTPRINT_H_
#define NANO_FOOTPRINT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

struct nano_isolate;

namespace nano {

// Footprint knows the cache lines that turns of an isolate touch.
class Footprint {
 public:
  // Learn finds out, at the end of a turn, if that was expected and it is time to.
  void Learn(nano_isolate* self);
  // Fetch asks the processor for the lines. It waits for none of them.
  void Fetch(const nano_isolate* self);
  size_t lines() const;  // that are known so far

 private:
  // A run is the number of a line in its region, and how many follow each other from there.
  static constexpr int kLengthBits = 6, kLineBits = 26;
  static constexpr uint32_t kLengthMask = (1 << kLengthBits) - 1;
  static constexpr size_t kMostRuns = 400;
  // It is learned after 8 turns, 16, 32 … and later each time after so many.
  static constexpr uint32_t kFirst = 8, kRelearn = 512;

  struct Region {
    uintptr_t base = 0;
    uint32_t end = 0;  // of its runs
  };

  void AddRuns(std::vector<uintptr_t>* lines);

  Region regions_[3];  // V8's heap, its table of functions' code, the code that it has compiled
  std::vector<uint32_t> runs_;
  std::vector<uintptr_t> native_;  // addresses of lines outside of the regions
  uint32_t expected_ = 0, learn_at_ = kFirst;
};

// NativeLines gives the addresses of the lines that turns of an isolate touch outside of V8's heap,
// see native_lines.cc.
std::vector<uintptr_t> NativeLines(nano_isolate* self);

// AddExternal adds the line of an entry in the isolate's table of external pointers.
void AddExternal(nano_isolate* self, uint32_t handle, std::vector<uintptr_t>* lines);

}  // namespace nano

#endif  // NANO_FOOTPRINT_H_
