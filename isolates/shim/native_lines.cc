// What each turn touches outside of V8's heap: V8's own structures for an isolate, and ours.
//
// They are some eighty lines on thirty pages, and most are reached by pointers of others, so that a
// turn would wait for one after the other. Where they lie does not change while the isolate lives,
// but for what grows. The tables below come from single steps through turns that take a request; an
// entry that is wrong or missing breaks nothing.
#include "engine.h"
#include "heap_layout.h"

namespace nano {

#if defined(__x86_64__)

using namespace heap;

namespace {

constexpr uintptr_t kLine = 64;

struct Span {
  uint32_t begin, end;  // bytes
};
// What a word at an offset points to, and which bytes of that are touched.
struct Pointee {
  uint32_t at;
  Span span;
};

// Of V8's Isolate, which begins with the roots and tables that code reads by its root register.
constexpr Span kIsolate[] = {
    {0, 0x50},          {0xd0, 0xf8},       {0x120, 0x308},     {0x3d8, 0x3e0},
    {0x5b0, 0x5b8},     {0x23d0, 0x23d8},   {0x2580, 0x25e8},   {0x2700, 0x2740},
    {0x2fc0, 0x2fd8},   {0x4588, 0x4590},   {0x4a08, 0x4a10},   {0x4ab0, 0x4ab8},
    {0x5980, 0x5988},   {0xa7a8, 0xa7b0},   {0xf050, 0xf058},   {0xf4c8, 0xf4d0},
    {0xfad0, 0xfae0},   {0xfd80, 0xfdc8},   {0xfe70, 0xfe80},   {0xff18, 0xff38},
    {0xff68, 0xff70},   {0xffb8, 0xffc0},   {0x10068, 0x10070}, {0x10260, 0x10270},
    {0x10298, 0x102a0}, {0x103a0, 0x103a8}, {0x10400, 0x10408}, {0x11218, 0x11240},
    {0x11320, 0x11340}, {0x113c0, 0x113c8}, {0x11410, 0x11438}};

constexpr uint32_t kHandleScopes = 0xffb8, kThreadData = 0x11428, kLocalHeap = 0x113c0;
constexpr Pointee kOfIsolate[] = {
    {0x5978, {0, 0x50}},         // Debug
    {0xf050, {0, 0x10}},         // the allocator of the young generation
    {0xf4c8, {0, 0x40}},         // what the main thread shares with collections
    {0xff18, {0xd98, 0xda0}},    // Counters
    {0xff68, {0, 0x50}},         // the logger
    {kHandleScopes, {8, 0x58}},  // HandleScopeImplementer
    {0x103a0, {8, 0x88}},        // the microtask queue
    {0x111f8, {0, 0x10}},        // the mutex of the table of threads
    {kThreadData, {8, 0x20}},    // what it knows of the thread it runs on
    {0x11418, {0x10, 0x20}},     // the table of threads
};
// The second step: blocks of handles, and contexts that were entered.
constexpr Pointee kOfHandleScopes[] = {
    {8, {0, 8}}, {0x20, {0, 16}}, {0x38, {0, 16}}, {0x50, {0, 0x100}}};
constexpr Pointee kOfThreadData[] = {{0x10, {8, 16}}};
constexpr Pointee kOfLocalHeap[] = {
    {0x128, {0x28, 0x80}}, {0x220, {0x28, 0x80}}, {0x4d8, {0x1e8, 0x1f0}}};

// Of a native context: the object that stands for the global one, and V8's queue of microtasks by
// its place in the table of external pointers.
constexpr size_t kGlobalProxy = 20, kMicrotaskQueue = 0x4c0;
constexpr size_t kContextBytes = 64;

// The table of what V8 knows of pages, by the index that a page has in its head.
constexpr size_t kPageTable = 0x32f8, kPageIndex = 8;
constexpr uint32_t kPageIndexMask = 0x7fff;
constexpr Span kOfPage = {0x40, 0x50};

// The root that numbers were made strings of lately: an array, which begins with its length.
constexpr uint32_t kNumberStrings = 0x2580;

class Collector {
 public:
  explicit Collector(std::vector<uintptr_t>* lines) : lines_(lines) {}

  void Add(uintptr_t address, size_t bytes) {
    for (uintptr_t line = address / kLine; line * kLine < address + bytes; line++)
      lines_->push_back(line * kLine);
  }
  void Add(uintptr_t base, Span span) { Add(base + span.begin, span.end - span.begin); }

  template <size_t kCount>
  void AddPointees(uintptr_t base, const Pointee (&pointees)[kCount]) {
    if (base == 0) return;
    for (const Pointee& pointee : pointees) {
      const auto to = Word(base + pointee.at);
      if (to != 0) Add(to, pointee.span);
    }
  }

  // The place that a persistent handle refers to.
  template <typename Object>
  void Add(const v8::Global<Object>& handle) {
    static_assert(sizeof handle == sizeof(uintptr_t));
    Add(Word(reinterpret_cast<uintptr_t>(&handle)), sizeof(uintptr_t));
  }

  static uintptr_t Word(uintptr_t address) {
    uintptr_t word;
    memcpy(&word, reinterpret_cast<const void*>(address), sizeof word);
    return word;
  }

 private:
  std::vector<uintptr_t>* const lines_;
};

}  // namespace

// Of all isolates of the process.
extern uintptr_t isolate_group asm("_ZN2v88internal12IsolateGroup22default_isolate_group_E");

std::vector<uintptr_t> NativeLines(nano_isolate* self) {
  std::vector<uintptr_t> lines;
  Collector collector(&lines);
  const auto isolate = reinterpret_cast<uintptr_t>(self->isolate);
  collector.Add(reinterpret_cast<uintptr_t>(self), sizeof *self);
  nano_realm* realm = self->main();
  collector.Add(reinterpret_cast<uintptr_t>(self->realms.data()), sizeof(void*));
  collector.Add(reinterpret_cast<uintptr_t>(realm), sizeof *realm);
  collector.Add(reinterpret_cast<uintptr_t>(realm->arena.data), kCells * sizeof(uint32_t));
  collector.Add(reinterpret_cast<uintptr_t>(self->billed.get()), sizeof(int64_t));
  for (const Span& span : kIsolate) collector.Add(isolate, span);
  collector.AddPointees(isolate, kOfIsolate);
  collector.AddPointees(Collector::Word(isolate + kHandleScopes), kOfHandleScopes);
  collector.AddPointees(Collector::Word(isolate + kThreadData), kOfThreadData);
  collector.AddPointees(Collector::Word(isolate + kLocalHeap), kOfLocalHeap);
  collector.Add(realm->context);
  collector.Add(realm->tick);
  collector.Add(realm->arena.words);
  // What entering the context looks at.
  const uintptr_t context = Pointer(realm->context.Get(self->isolate));
  const uintptr_t proxy = Cage(context) | Read<uint32_t>(context, kGlobalProxy);
  const uintptr_t proxy_map = Cage(context) | Read<uint32_t>(proxy, kMap);
  const uintptr_t page = context & ~(kPageBytes - 1);
  collector.Add(page, kLine);
  const uintptr_t entry =
      isolate_group + kPageTable +
      (*reinterpret_cast<const uint32_t*>(page + kPageIndex) & kPageIndexMask) * sizeof(uintptr_t);
  collector.Add(entry, sizeof(uintptr_t));
  collector.Add(Collector::Word(entry), kOfPage);
  collector.Add(Collector::Word(isolate + kNumberStrings) - kTag, kFirstElement);
  collector.Add(context - kTag, kContextBytes);
  collector.Add(context - kTag + kMicrotaskQueue, sizeof(uint32_t));
  collector.Add(proxy - kTag, kObjectHeader);
  collector.Add(proxy_map - kTag, kBitField3);
  AddExternal(self, Read<uint32_t>(context, kMicrotaskQueue), &lines);
  return lines;
}

void AddExternal(nano_isolate* self, uint32_t handle, std::vector<uintptr_t>* lines) {
  const auto* entries = v8::internal::Internals::GetExternalPointerTableBase(self->isolate);
  const size_t index = handle >> v8::internal::kExternalPointerIndexShift;
  lines->push_back(reinterpret_cast<uintptr_t>(entries + index) & ~(kLine - 1));
}

#endif  // __x86_64__

}  // namespace nano
