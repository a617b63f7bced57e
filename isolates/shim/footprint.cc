// What turns of an isolate touch is asked for before it has its turn.
//
// On a node with many apps in use nothing of an isolate is in the processor's caches when its turn
// comes, and a turn is mostly waiting for memory, for one line after the other. A loop knows whose
// turn is next (nano_isolate_expect), so that its lines can come while another isolate runs.
//
// Which lines these are, V8 knows: for each call, property and constructor that code meets it notes
// the function or hidden class (map) in the feedback of the function that does. From the function
// tick on, that leads to all that requests have lately had to do with. This is only about what to
// fetch: nothing breaks if it is incomplete, out of date, or wrong. What lies outside of the heap
// is known from native_lines.cc.
#include "footprint.h"

#include <algorithm>
#include <unordered_set>

#include "engine.h"
#include "heap_layout.h"

namespace nano {

// V8's objects are known as they are on x86-64.
#if defined(__x86_64__)

using namespace heap;

// The table of all functions' code, with an entry of 16 bytes for each.
uintptr_t DispatchTable() asm("_ZN2v88internal17ExternalReference25js_dispatch_table_addressEv");

namespace {

constexpr size_t kLine = 64;

// Of the young generation, what a request takes of it.
constexpr size_t kYoungLines = 12, kOutputLines = 3;

// Slots of objects, in words.
constexpr uint8_t kPrototypeSlot = 1 << 7;  // in kBitField, of a map of functions
constexpr size_t kDispatchHandle = 3, kFunctionShared = 4, kFunctionContext = 5,
                 kFunctionFeedback = 6, kFunctionMap = 7, kCodeSize = 8;
// Of what functions share, and of what stands there if C++ has made the function; in bytes.
constexpr size_t kFunctionData = 8, kTemplateCallback = 60, kTemplateWords = 16;

bool IsFunction(uint16_t type) { return type == kFunction || type == kClassConstructor; }

}  // namespace

// Survey finds what is touched, while nothing moves.
class Survey {
 public:
  Survey(nano_isolate* self, uintptr_t tick) : self_(self), cage_(Cage(tick)) { Push(tick); }

  void Run() {
    while (!open_.empty() && seen_.size() < kMostObjects && steps_ < kMostSteps) {
      const uintptr_t object = open_.back();
      open_.pop_back();
      Visit(object, Read<uint16_t>(At(object, kMap), kInstanceType));
    }
  }

  std::vector<uintptr_t> external;  // addresses of lines of V8's table of external pointers
  std::vector<uintptr_t> heap, table, code;  // lines, by their number from where a region begins

 private:
  static constexpr size_t kMostObjects = 1000, kMostSlots = 400, kMostSteps = 20'000;

  uintptr_t At(uintptr_t object, size_t offset) const {
    return cage_ | Read<uint32_t>(object, offset);
  }

  void Push(uintptr_t object) {
    // What lies on the first page is read-only, and all isolates' own.
    if (object - cage_ < kPageBytes || !seen_.insert(object).second) return;
    open_.push_back(object);
  }

  void PushSlot(uintptr_t object, size_t slot) {
    steps_++;
    const auto word = Read<uint32_t>(object, slot * kWord);
    if ((word & kTag) != 0 && word != (kTag | kWeak)) Push(cage_ | (word & ~kWeak));
  }

  void PushSlots(uintptr_t object, size_t from, size_t to) {
    for (to = std::min(to, kMostSlots); from < to; from++) PushSlot(object, from);
  }

  void Take(uintptr_t object, size_t words) {
    const uintptr_t begin = object - kTag - cage_, end = begin + words * kWord;
    for (uintptr_t line = begin / kLine; line * kLine < end; line++) heap.push_back(line);
  }

  void Visit(uintptr_t object, uint16_t type) {
    switch (type) {
      case kFunction:
      case kClassConstructor:
        return VisitFunction(object);
      case kFeedback:
        return VisitFeedback(object);
      case kContext:
        return VisitContext(object);
      case kFeedbackCell:
        PushSlot(object, 1);
        return Take(object, 2);
      case kBoundFunction:
        PushSlots(object, 3, 4);
        return Take(object, 6);
      case kPropertyCell:
        PushSlot(object, 3);
        return Take(object, 4);
      case kMapType:
        PushSlot(object, kPrototype / kWord);
        PushSlot(object, kDescriptors / kWord);
        return Take(object, 10);
      case kHandler: {
        const size_t words = Read<uint8_t>(At(object, kMap), kInstanceWords);
        PushSlots(object, 1, words);
        return Take(object, words);
      }
      case kAllocationSite:  // of a literal, which it has a copy of
        PushSlot(object, 1);
        return Take(object, 3);
      case kWeakList: {
        const size_t length = Read<uint32_t>(object, kLength) >> 1;
        PushSlots(object, 2, 2 + length);
        return Take(object, 2 + std::min(length, size_t{16}));
      }
      default:
        // Its class, which is what V8 looks at.
        PushSlot(object, 0);
        return Take(object, 8);
    }
  }

  void VisitFunction(uintptr_t function) {
    const bool has_map = (Read<uint8_t>(At(function, kMap), kBitField) & kPrototypeSlot) != 0;
    const size_t words = kFunctionMap + has_map;
    PushSlots(function, kFunctionShared, words);
    PushSlot(function, 0);
    Take(function, words);
    VisitCallback(At(function, kFunctionShared * kWord));
    const size_t index = Read<uint32_t>(function, kDispatchHandle * kWord) >> 8;
    const uintptr_t entry = DispatchTable() + index * 16;
    table.push_back(index * 16 / kLine);
    uintptr_t start, word;
    memcpy(&start, reinterpret_cast<const void*>(entry), sizeof start);
    memcpy(&word, reinterpret_cast<const void*>(entry + sizeof start), sizeof word);
    start -= self_->code.start;
    if (start >= self_->code.length) return;  // one of V8's built-ins
    const size_t size = Read<uint32_t>(word >> 16 | kTag, kCodeSize * kWord);
    const uintptr_t end = start + std::min(size, size_t{4096});
    for (uintptr_t line = start / kLine; line * kLine < end; line++) code.push_back(line);
  }

  // A function of C++ has its address in the table of external pointers.
  void VisitCallback(uintptr_t shared) {
    const auto word = Read<uint32_t>(shared, kFunctionData);
    if ((word & kTag) == 0) return;
    const uintptr_t data = cage_ | word;
    if (Read<uint16_t>(At(data, kMap), kInstanceType) != kFunctionTemplate) return;
    Take(data, kTemplateWords);
    AddExternal(self_, Read<uint32_t>(data, kTemplateCallback), &external);
  }

  void VisitFeedback(uintptr_t feedback) {
    constexpr size_t kHeader = 7;
    const size_t words = kHeader + Read<uint32_t>(feedback, kLength);
    PushSlots(feedback, 4, words);
    Take(feedback, std::min(words, kMostSlots));
  }

  // Of a context those functions are of interest that have feedback, which is those that have run.
  void VisitContext(uintptr_t context) {
    const size_t words = 2 + (Read<uint32_t>(context, kLength) >> 1);
    for (size_t i = 2; i < std::min(words, kMostSlots); i++) {
      steps_++;
      const auto word = Read<uint32_t>(context, i * kWord);
      if ((word & kTag) == 0) continue;
      const uintptr_t object = cage_ | word;
      if (object - cage_ < kPageBytes ||
          !IsFunction(Read<uint16_t>(At(object, kMap), kInstanceType)))
        continue;
      const uintptr_t feedback = At(At(object, kFunctionFeedback * kWord), kWord);
      if (Read<uint16_t>(At(feedback, kMap), kInstanceType) == kFeedback) Push(object);
    }
    Take(context, std::min(words, size_t{32}));
  }

  nano_isolate* const self_;
  const uintptr_t cage_;
  std::unordered_set<uintptr_t> seen_;
  std::vector<uintptr_t> open_;
  size_t steps_ = 0;
};

void Footprint::Learn(nano_isolate* self) {
  if (expected_ < learn_at_) return;
  learn_at_ = expected_ < kRelearn ? 2 * learn_at_ : expected_ + kRelearn;
  v8::HandleScope handles(self->isolate);
  const uintptr_t tick = Pointer(self->main()->tick.Get(self->isolate));
  Survey survey(self, tick);
  survey.Run();
  regions_[0].base = Cage(tick);
  regions_[1].base = DispatchTable();
  regions_[2].base = self->code.start;
  native_ = NativeLines(self);
  native_.insert(native_.end(), survey.external.begin(), survey.external.end());
  std::sort(native_.begin(), native_.end());
  native_.erase(std::unique(native_.begin(), native_.end()), native_.end());
  native_.shrink_to_fit();
  runs_.clear();
  size_t i = 0;
  for (std::vector<uintptr_t>* lines : {&survey.heap, &survey.table, &survey.code}) {
    AddRuns(lines);
    regions_[i++].end = static_cast<uint32_t>(runs_.size());
  }
  runs_.shrink_to_fit();
}

// AddRuns adds lines as runs.
void Footprint::AddRuns(std::vector<uintptr_t>* lines) {
  std::sort(lines->begin(), lines->end());
  uintptr_t next = UINTPTR_MAX;
  const size_t begin = runs_.size();
  for (uintptr_t line : *lines) {
    if (line >> kLineBits != 0 || line + 1 == next || runs_.size() == kMostRuns) continue;
    if (line == next && runs_.size() > begin && (runs_.back() & kLengthMask) < kLengthMask)
      runs_.back()++;
    else
      runs_.push_back(static_cast<uint32_t>(line << kLengthBits | 1));
    next = line + 1;
  }
}

size_t Footprint::lines() const {
  size_t lines = native_.size();
  for (uint32_t run : runs_) lines += run & kLengthMask;
  return lines;
}

void Footprint::Fetch(const nano_isolate* self) {
  // GCC drops functions that only prefetch.
  auto fetch = [](uintptr_t at, size_t lines) {
    for (; lines > 0; lines--, at += kLine) asm volatile("prefetcht0 (%0)" : : "r"(at) : "memory");
  };
  auto lines_of = [](size_t bytes) { return bytes / kLine + 1; };
  // What is to be asked for is itself in no cache.
  fetch(reinterpret_cast<uintptr_t>(native_.data()), lines_of(native_.size() * sizeof native_[0]));
  fetch(reinterpret_cast<uintptr_t>(runs_.data()), lines_of(runs_.size() * sizeof runs_[0]));
  fetch(reinterpret_cast<uintptr_t>(self->out.data()), kOutputLines);
  for (uintptr_t line : native_) fetch(line, 1);
  size_t i = 0;
  for (const Region& region : regions_)
    for (; i < region.end; i++)
      fetch(region.base + (runs_[i] >> kLengthBits) * kLine, runs_[i] & kLengthMask);
  expected_++;
  // By now it is known where the young generation goes on.
  fetch(Area::Of(self->isolate).top, kYoungLines);
}

#else

void Footprint::Learn(nano_isolate*) {}
void Footprint::Fetch(const nano_isolate*) {}
size_t Footprint::lines() const { return 0; }

#endif  // __x86_64__

}  // namespace nano

void nano_isolate_expect(nano_isolate* self) { self->footprint.Fetch(self); }

size_t nano_isolate_footprint(const nano_isolate* self) { return self->footprint.lines(); }
