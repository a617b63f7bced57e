// What turns of an isolate touch is asked for before it has its turn.
//
// On a node with many apps in use nothing of an isolate is in the processor's caches when its turn
// comes, and a turn is mostly waiting for memory, for one line after the other. A loop knows whose
// turn is next (nano_isolate_expect), so that its lines can come while another isolate runs.
//
// Which lines these are, V8 knows: for each call, property and constructor that code meets it notes
// the function or hidden class (map) in the feedback of the function that does. From the function
// tick on, that leads to all that requests have lately had to do with. Code that V8 has optimized
// does without most of it: such code names the objects that it is about, and the functions that it
// has taken in. This is only about what to fetch: nothing breaks if it is incomplete, out of date,
// or wrong. What lies outside of the heap is known from native_lines.cc.
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

// Relocations is V8's iterator of the places in machine code that it would have to change if
// something moved.
struct Relocations {
  const uint8_t *at, *end;
  uintptr_t place;
  uint8_t mode;
  intptr_t data;
  uintptr_t constants;
  bool done;
  int modes;  // those of interest, a bit each
};
void Begin(Relocations* made, uintptr_t code,
           int modes) asm("_ZN2v88internal13RelocIteratorC1ENS0_6TaggedINS0_4CodeEEEi");
void Next(Relocations*) asm("_ZN2v88internal17RelocIteratorBaseINS0_9RelocInfoEE4nextEv");

namespace {

constexpr size_t kLine = 64;

// Of the young generation, what a request takes of it.
constexpr size_t kYoungLines = 12, kOutputLines = 3;

// Slots of objects, in words.
constexpr uint8_t kPrototypeSlot = 1 << 7;  // in kBitField, of a map of functions
constexpr size_t kDispatchHandle = 3, kFunctionShared = 4, kFunctionContext = 5,
                 kFunctionFeedback = 6, kFunctionMap = 7;
// Of what functions share, and of what stands there if C++ has made the function; in bytes.
constexpr size_t kFunctionData = 8, kTemplateCallback = 60, kTemplateWords = 16;
constexpr size_t kBudget = 3;  // of a feedback cell, which each call writes
// Of the object that stands for machine code, and of what V8 needs to leave optimized code early:
// its objects come after the functions that are part of it.
constexpr size_t kCodeExits = 2, kCodeFlags = 7, kCodeSize = 8;
constexpr uint32_t kCodeKind = 15, kMaglev = 11;  // the first compiler that optimizes
constexpr size_t kInlined = 3, kExitObjects = 5, kExitsLength = 4;
// The relocations that are pointers to objects, of 4 bytes and of 8.
constexpr uint8_t kShortPointer = 2, kFullPointer = 3;
constexpr int kObjects = 1 << kShortPointer | 1 << kFullPointer;

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
  static constexpr size_t kFeedbackHeader = 7;  // words

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

  // TakeWord takes the line with a word of an object, whose address has the object's tag.
  void TakeWord(uintptr_t word) { heap.push_back((word - kTag - cage_) / kLine); }

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
    if (inlined_.contains(Read<uint32_t>(function, kFunctionShared * kWord)))
      return VisitCalls(function);
    const bool has_map = (Read<uint8_t>(At(function, kMap), kBitField) & kPrototypeSlot) != 0;
    const size_t words = kFunctionMap + has_map;
    Take(function, words);
    VisitCallback(At(function, kFunctionShared * kWord));
    const uintptr_t optimized = TakeCode(function);
    if (optimized != 0) return VisitOptimized(function, optimized);
    PushSlots(function, kFunctionShared, words);
    PushSlot(function, 0);
  }

  // TakeCode takes what a function does, and returns the object of optimized code, or 0.
  uintptr_t TakeCode(uintptr_t function) {
    const size_t index = Read<uint32_t>(function, kDispatchHandle * kWord) >> 8;
    const uintptr_t entry = DispatchTable() + index * 16;
    table.push_back(index * 16 / kLine);
    uintptr_t start, word;
    memcpy(&start, reinterpret_cast<const void*>(entry), sizeof start);
    memcpy(&word, reinterpret_cast<const void*>(entry + sizeof start), sizeof word);
    start -= self_->code.start;
    if (start >= self_->code.length) return 0;  // one of V8's built-ins
    const uintptr_t object = word >> 16 | kTag;
    const size_t size = Read<uint32_t>(object, kCodeSize * kWord);
    const uintptr_t end = start + std::min(size, size_t{4096});
    for (uintptr_t line = start / kLine; line * kLine < end; line++) code.push_back(line);
    return (Read<uint32_t>(object, kCodeFlags * kWord) & kCodeKind) >= kMaglev ? object : 0;
  }

  // Of an optimized function its own feedback is of interest only for what it calls.
  void VisitOptimized(uintptr_t function, uintptr_t optimized) {
    TakeWord(At(function, kMap) + kInstanceType);
    TakeWord(At(function, kFunctionFeedback * kWord) + kBudget * kWord);
    PushSlot(function, kFunctionContext);
    Relocations places;
    for (Begin(&places, optimized, kObjects); !places.done; Next(&places)) {
      steps_++;
      const uintptr_t object = Embedded(places);
      if (object - cage_ < kPageBytes) continue;
      switch (Read<uint16_t>(At(object, kMap), kInstanceType)) {
        case kMapType:  // compared, and seldom looked into
          Take(object, 8);
          break;
        case kFeedback:
          break;
        default:
          Push(object);
      }
    }
    NoteInlined(optimized);
    VisitCalls(function);
  }

  // Embedded is the object that machine code names at a place. What lies in trusted space, as
  // machine code itself does, is not of interest: the cage is what is given instead.
  uintptr_t Embedded(const Relocations& places) const {
    uintptr_t object;
    if (places.mode == kFullPointer) {
      memcpy(&object, reinterpret_cast<const void*>(places.place), sizeof object);
    } else {
      uint32_t word;
      memcpy(&word, reinterpret_cast<const void*>(places.place), sizeof word);
      object = cage_ | word;
    }
    return (object & kTag) != 0 && Cage(object) == cage_ ? object : cage_;
  }

  // NoteInlined notes which functions are part of optimized code.
  void NoteInlined(uintptr_t optimized) {
    const uintptr_t trusted = Cage(optimized);
    const auto word = Read<uint32_t>(optimized, kCodeExits * kWord);
    const uintptr_t exits = trusted | word;
    if ((word & kTag) == 0 || Read<uint32_t>(exits, kLength) >> 1 < kExitsLength) return;
    const uintptr_t objects = trusted | Read<uint32_t>(exits, kExitObjects * kWord);
    const size_t inlined = Read<uint32_t>(exits, kInlined * kWord) >> 1;
    for (size_t i = 0; i < std::min(inlined, kMostSlots); i++)
      inlined_.insert(Read<uint32_t>(objects, kFirstElement + i * kWord) & ~kWeak);
  }

  // VisitCalls visits what a function calls that is, or is part of, optimized code.
  void VisitCalls(uintptr_t function) {
    const uintptr_t feedback = At(At(function, kFunctionFeedback * kWord), kWord);
    if (Read<uint16_t>(At(feedback, kMap), kInstanceType) != kFeedback ||
        !seen_.insert(feedback).second)
      return;
    const size_t words = kFeedbackHeader + Read<uint32_t>(feedback, kLength);
    for (size_t i = kFeedbackHeader; i < std::min(words, kMostSlots); i++) {
      steps_++;
      const auto word = Read<uint32_t>(feedback, i * kWord);
      const uintptr_t object = cage_ | (word & ~kWeak);
      if ((word & kTag) == 0 || word == (kTag | kWeak) || object - cage_ < kPageBytes) continue;
      switch (Read<uint16_t>(At(object, kMap), kInstanceType)) {
        case kFunction:
        case kClassConstructor:
          Push(object);
          break;
        case kAllocationSite:
          Push(object);
          TakeWord(feedback + i * kWord);
          break;
        case kWeakList:  // of several classes; what deals with them is shared by all code
          TakeWord(object);
          TakeWord(feedback + i * kWord);
      }
    }
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
    const size_t words = kFeedbackHeader + Read<uint32_t>(feedback, kLength);
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
      if (Read<uint16_t>(At(feedback, kMap), kInstanceType) != kFeedback) continue;
      Push(object);
      TakeWord(context + i * kWord);
    }
    Take(context, std::min(words, size_t{32}));
  }

  nano_isolate* const self_;
  const uintptr_t cage_;
  std::unordered_set<uintptr_t> seen_;
  std::unordered_set<uint32_t> inlined_;  // what functions share that are part of optimized code
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
