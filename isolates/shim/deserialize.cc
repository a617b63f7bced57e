// What of V8's deserializer is worth having twice: the function that reads a number of a snapshot,
// and the one that reads an object, or all objects of a linear snapshot (linear.h). They take V8's
// place when the program is linked, since a template's or inline function of the library gives way
// to others.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine.h"
#include "heap_layout.h"
#include "linear.h"

namespace nano::deserialize {

using namespace linear;

// Bytes is V8's SnapshotByteSource.
struct Bytes {
  const uint8_t* data;
  int length;  // with three more bytes behind
  int position;
};

uint32_t GetUint30(Bytes* bytes) asm("_ZN2v88internal18SnapshotByteSource9GetUint30Ev");

uint32_t GetUint30(Bytes* bytes) {
  const uint8_t* start = bytes->data + bytes->position;
  const uint8_t* at = start;
  uint32_t number = Number(at);
  bytes->position += static_cast<int>(at - start);
  return number;
}

// V8 13.6 as it is built for x86-64: elsewhere the members of its isolate lie at other places.
#ifdef __x86_64__

using Address = uintptr_t;  // of an object, with the tag 1
using Handle = Address*;

// Reader is V8's Deserializer<Isolate>.
struct Reader {
  void* methods;
  char* isolate;
  std::vector<Handle> attached;
  Bytes source;
  uint64_t magic;
  Handle recent[8];
  int next_recent;
  char unused_1[0x150 - 0x84];
  std::vector<Handle> objects;  // all that were made, in order
  std::vector<uint32_t> dispatch_entries;
  char unused_2[0x19d - 0x180];
  bool weak, indirect, by_protected_pointer;  // the next reference
  bool rehash;
};
static_assert(offsetof(Reader, source) == 0x28 && offsetof(Reader, recent) == 0x40 &&
              offsetof(Reader, objects) == 0x150 && offsetof(Reader, rehash) == 0x1a0);

namespace {

// Members of V8's isolate, by their place.
constexpr size_t kReadOnlySpace = 0xf148, kStartupCache = 0x112e8, kSharedCache = 0x11300,
                 kAllocator = 0xf050, kNextFunction = 0x11210, kPublishing = 0x2b0,
                 kDispatchSpace = 0xf478, kGroup = 0xf028;
constexpr size_t kDispatchTable = 0x43318;  // of an isolate's group

template <typename T>
T& Member(char* isolate, size_t place) {
  return *reinterpret_cast<T*>(isolate + place);
}

constexpr uint64_t kYoungOrShared = heap::kYoungFlags | heap::kSharedFlag;

}  // namespace

#define NANO_READER "_ZN2v88internal12DeserializerINS0_7IsolateEE"

Address Allocate(Reader* self, uint8_t type, int bytes,
                 int alignment) asm(NANO_READER
                                    "8AllocateENS0_14AllocationTypeEiNS0_19AllocationAlignmentE");
Address RetryAllocate(void* allocator, int bytes, uint8_t type, int origin, int alignment) asm(
    "_ZN2v88internal13HeapAllocator16RetryAllocateRawEiNS0_14AllocationTypeENS0_16AllocationOriginE"
    "NS0_19AllocationAlignmentE");
void InitSelfIndirect(Address* object, size_t offset, char* isolate, void* publishing) asm(
    "_ZN2v88internal10HeapObject28InitSelfIndirectPointerFieldEmNS0_17IsolateForSandboxEPNS0_"
    "29TrustedPointerPublishingScopeE");
int ReadRootSlot(Reader* self, uint8_t code, Address* slot) asm(
    NANO_READER "22ReadSingleBytecodeDataINS0_24SlotAccessorForRootSlotsEEEihT_");
int ReadHandle(Reader* self, uint8_t code, Handle* object, char* isolate) asm(
    NANO_READER "22ReadSingleBytecodeDataINS0_21SlotAccessorForHandleIS2_EEEEihT_");
uint32_t NewDispatchEntry(char* isolate, uint16_t parameters, Handle code, void* space) asm(
    "_ZN2v88internal11FactoryBaseINS0_7FactoryEE19NewJSDispatchHandleEtNS0_12DirectHandleINS0_"
    "4CodeEEEPNS0_19ExternalEntityTableINS0_"
    "15JSDispatchEntryELm268435456EE31SpaceWithBlackAllocationSupportE");
void NoteDispatchEntry(Address object, uint32_t entry) asm(
    "_ZN2v88internal12WriteBarrier11MarkingSlowENS0_6TaggedINS0_10HeapObjectEEENS_"
    "4base11StrongAliasINS0_24JSDispatchHandleAliasTagEjEE");
int ReadSlot(Reader* self, uint8_t code, Handle object,
             size_t offset) asm(NANO_READER
                                "22ReadSingleBytecodeDataINS0_25SlotAccessorForHeapObjectEEEihT_");
void PostProcess(Reader* self, Handle map, Handle object,
                 uint8_t space) asm(NANO_READER
                                    "20PostProcessNewObjectENS0_12DirectHandleINS0_3MapEEENS0_"
                                    "6HandleINS0_10HeapObjectEEENS0_13SnapshotSpaceE");
Handle ExtendHandles(char* isolate) asm("_ZN2v88internal11HandleScope6ExtendEPNS0_7IsolateE");
void NoteYoung(Address object, uint32_t* slot, Address value) asm(
    "_ZN2v88internal12WriteBarrier40CombinedGenerationalAndSharedBarrierSlowENS0_"
    "6TaggedINS0_10HeapObjectEEEmS4_");
void NoteMarked(Address object, uint32_t* slot, Address value) asm(
    "_ZN2v88internal12WriteBarrier11MarkingSlowENS0_"
    "6TaggedINS0_10HeapObjectEEENS0_24CompressedHeapObjectSlotES4_");
void NoteProtected(Address object, uint32_t* slot, Address value) asm(
    "_ZN2v88internal12WriteBarrier11MarkingSlowENS0_6TaggedINS0_13TrustedObjectEEENS0_"
    "27OffHeapCompressedObjectSlotINS0_27V8HeapCompressionSchemeImplINS0_11TrustedCageEEEEES4_");

// What V8 has of memory that is written to only by who has a key; -1: whoever may.
struct Protection {
  void* allocator;
  int key;
};
extern Protection protection asm("_ZN2v88internal15ThreadIsolation13trusted_data_E");

namespace {

constexpr uint8_t kAllocations[kSpaces] = {4, 1, 2, 8};  // V8's AllocationType

inline uint32_t* Slots(Address object) { return reinterpret_cast<uint32_t*>(object - 1); }

inline uint16_t TypeOf(Address map) { return heap::Read<uint16_t>(map, heap::kInstanceType); }

// Write writes a reference into a slot. weak: 2, or 0.
inline void Write(Address object, size_t slot, Address value, uint32_t weak = 0) {
  uint32_t* place = Slots(object) + slot;
  *place = static_cast<uint32_t>(value) | weak;
  if (static_cast<uint32_t>(value) < heap::kPageBytes) return;  // read-only
  uint64_t flags = heap::PageFlags(object);
  if ((flags & kYoungOrShared) == 0 && (heap::PageFlags(value) & kYoungOrShared) != 0) [[unlikely]]
    NoteYoung(object, place, value);
  if ((flags & heap::kMarkingFlag) != 0) [[unlikely]]
    NoteMarked(object, place, value);
}

inline Handle NewHandle(char* isolate, Address object) {
  struct Scope {
    Handle next, limit;
  };
  auto& scope = Member<Scope>(isolate, v8::internal::Internals::kIsolateHandleScopeDataOffset);
  Handle handle = scope.next;
  if (handle == scope.limit) [[unlikely]]
    handle = ExtendHandles(isolate);
  scope.next = handle + 1;
  *handle = object;
  return handle;
}

inline Handle Root(char* isolate, size_t index) {
  return &Member<Address>(isolate, v8::internal::Internals::kIsolateRootsOffset) + index;
}

template <typename T>
inline T& At(std::vector<T>& list, uint32_t index) {
  if (index >= list.size()) [[unlikely]]
    Fatal("deserialize", "the snapshot is damaged");
  return list[index];
}

inline Address ReadOnly(char* isolate, const uint8_t*& at) {
  struct Page {
    char unused[0x48];
    Address area;
  };
  struct Space {
    char unused[0x48];
    std::vector<Page*> pages;
  };
  uint32_t page = Number(at), offset = Number(at);
  Address area = At(Member<Space*>(isolate, kReadOnlySpace)->pages, page)->area;
  return (area & ~(heap::kPageBytes - 1)) + offset + 1;
}

inline Handle BackReference(Reader* self, const uint8_t*& at) {
  Handle object = At(self->objects, Number(at));
  self->recent[self->next_recent] = object;
  self->next_recent = (self->next_recent + 1) & 7;
  return object;
}

}  // namespace

Handle ReadReference(Reader* self) asm(NANO_READER "10ReadObjectEv");
Handle ReadObject(Reader* self, uint8_t space) asm(NANO_READER "10ReadObjectENS0_13SnapshotSpaceE");
void VisitRoots(Reader* self, int root, const char*, Address* slot,
                Address* end) asm(NANO_READER
                                  "17VisitRootPointersENS0_4RootEPKcNS0_14FullObjectSlotES7_");

namespace {

// Cursor is where a Reader is, kept in a register. Whoever else reads needs Leave before and Enter
// after it.
class Cursor {
 public:
  explicit Cursor(Reader* self) : self_(self) { Enter(); }
  void Enter() { at = self_->source.data + self_->source.position; }
  void Leave() { self_->source.position = static_cast<int>(at - self_->source.data); }
  const uint8_t* at;

 private:
  Reader* const self_;
};

// ReadKnown reads a reference, most likely to an object that is there: to a map, with which an
// object begins, and to what a linear snapshot refers to. scratch may become what the handle
// returned refers to: for objects that no collection moves.
inline Handle ReadKnown(Reader* self, Cursor* cursor, Address* scratch) {
  uint8_t code = *cursor->at;
  if (code == kBackReference) return BackReference(self, ++cursor->at);
  if (code >= kRecent && code < kEnd) return self->recent[*cursor->at++ - kRecent];
  if (code == kReadOnlyReference) {
    *scratch = ReadOnly(self->isolate, ++cursor->at);
    return scratch;
  }
  if (code >= kRoot && code < kFixedRaw) return Root(self->isolate, *cursor->at++ - kRoot);
  if (code == kStartupObject || code == kSharedObject) {
    auto& cache = Member<std::vector<Address>>(
        self->isolate, code == kStartupObject ? kStartupCache : kSharedCache);
    return &At(cache, Number(++cursor->at));  // complete: no more is added to it
  }
  cursor->Leave();
  Handle map = ReadReference(self);
  cursor->Enter();
  return map;
}

// ReadSlots reads the slots of an object from slot on.
inline void ReadSlots(Reader* self, Cursor* cursor, Handle object, size_t slot, size_t end) {
  char* isolate = self->isolate;
  uint32_t weak = 0;
  while (slot < end) {
    uint8_t code = *cursor->at++;
    switch (code) {
      case kNewObject ... kBackReference - 1: {
        cursor->Leave();
        Handle made = ReadObject(self, code);
        cursor->Enter();
        Write(*object, slot++, *made, weak);
        weak = 0;
        break;
      }
      case kBackReference:
        Write(*object, slot++, *BackReference(self, cursor->at), weak);
        weak = 0;
        break;
      case kRecent ... kEnd - 1:
        Write(*object, slot++, *self->recent[code - kRecent], weak);
        weak = 0;
        break;
      case kReadOnlyReference:
        Write(*object, slot++, ReadOnly(isolate, cursor->at), weak);
        weak = 0;
        break;
      case kStartupObject:
      case kSharedObject: {
        auto& cache = Member<std::vector<Address>>(
            isolate, code == kStartupObject ? kStartupCache : kSharedCache);
        Write(*object, slot++, At(cache, Number(cursor->at)), weak);
        weak = 0;
        break;
      }
      case kRoot ... kFixedRaw - 1:
        Slots(*object)[slot++] = static_cast<uint32_t>(*Root(isolate, code - kRoot));
        break;
      case kRepeatedRoot ... kRecent - 1: {
        auto root = static_cast<uint32_t>(*Root(isolate, *cursor->at++));
        uint32_t* slots = Slots(*object);
        for (int left = code - kRepeatedRoot + 2; left > 0; left--) slots[slot++] = root;
        break;
      }
      case kFixedRaw ... kRepeatedRoot - 1: {
        uint32_t* slots = Slots(*object);
        for (int left = code - kFixedRaw + 1; left > 0; left--, cursor->at += 4)
          memcpy(&slots[slot++], cursor->at, 4);
        break;
      }
      case kVariableRaw: {
        size_t words = Number(cursor->at);
        memcpy(Slots(*object) + slot, cursor->at, words * 4);
        cursor->at += words * 4;
        slot += words;
        break;
      }
      case kWeakPrefix:
        weak = 2;
        break;
      default:
        cursor->Leave();
        self->weak = weak != 0;
        weak = 0;
        slot += static_cast<size_t>(ReadSlot(self, code, object, slot * 4));
        // What follows such a prefix V8 has to read as well.
        if (code == kIndirectPrefix || code == kProtectedPrefix)
          slot += static_cast<size_t>(
              ReadSlot(self, self->source.data[self->source.position++], object, slot * 4));
        cursor->Enter();
    }
  }
  if (slot != end) Fatal("deserialize", "the snapshot is damaged");
}

}  // namespace

namespace {

// DispatchEntries makes entries of V8's table of what functions do. Of all functions of a snapshot
// most do one of few things, such as to have themselves compiled: only the first such entry is
// V8's, the others are its copies.
class DispatchEntries {
 public:
  explicit DispatchEntries(char* isolate)
      : isolate_(isolate),
        entries_(Member<Entry*>(Member<char*>(isolate, kGroup), kDispatchTable)) {}

  // New makes the entry of a function of so many parameters, and returns its handle.
  uint32_t New(Handle code, uint16_t parameters) {
    uint32_t& like = made_[(*code / kCodeBytes + parameters) % kMade];
    if (like != 0 && entries_[like].Is(*code, parameters)) {
      if (uint32_t entry = Take(); entry != 0) {
        entries_[entry] = entries_[like];
        return entry << kHandleShift;
      }
    }
    uint32_t handle = NewDispatchEntry(isolate_, parameters, code, isolate_ + kDispatchSpace);
    if (protection.key == -1) like = handle >> kHandleShift;
    return handle;
  }

 private:
  struct Entry {
    uint64_t start;  // of machine code, scrambled; of a free entry the next one, in the lower half
    uint64_t code;   // its address << 16 | whether it is marked << 16 | parameters

    bool Is(Address object, uint16_t parameters) const {
      return (code & ~(uint64_t{1} << 16)) == ((object - heap::kTag) << 16 | parameters);
    }
  };
  static constexpr size_t kCodeBytes = 64, kMade = 64;
  static constexpr int kHandleShift = 8;

  // Take takes a free entry off the list that the isolate has, as V8 does. 0: it has none.
  uint32_t Take() {
    auto& free = Member<uint64_t>(isolate_, kDispatchSpace);  // first | count << 32
    uint64_t list = __atomic_load_n(&free, __ATOMIC_ACQUIRE), rest;
    do {
      if (list >> 32 == 0) return 0;
      rest = static_cast<uint32_t>(entries_[static_cast<uint32_t>(list)].start) | ((list >> 32) - 1)
                                                                                      << 32;
    } while (!__atomic_compare_exchange_n(&free, &list, rest, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return static_cast<uint32_t>(list);
  }

  char* const isolate_;
  Entry* const entries_;
  uint32_t made_[kMade] = {};  // that V8 has made
};

// Image is the image of a section while it is read. No object of it is one until all are, so
// nothing may be collected meanwhile.
class Image {
 public:
  Image(Reader* self, Cursor* cursor) : self_(self), cursor_(cursor), isolate_(self->isolate) {}

  void Read() {
    if (self_->rehash || !self_->objects.empty()) Fatal("deserialize", "the snapshot is damaged");
    Allocate();
    ReadReferences();
    for (Block& block : blocks_) ReadBlock(&block);
    if (barriers_) TellCollector();
    ReadHandles();
    ReadEntries();
    NumberFunctions();
    ReadExtras();
  }

 private:
  struct Block {
    Address start;  // tagged
    uint32_t words;
    bool trusted;
    const uint8_t* bits;  // of pointers and references
  };

  uint32_t Next() { return Number(cursor_->at); }

  uint32_t NextWord() {
    uint32_t word;
    memcpy(&word, cursor_->at, sizeof word);
    cursor_->at += sizeof word;
    return word;
  }

  Address At(uint32_t position) {
    return blocks_[position >> kBlockShift].start + (position & kOffsetMask);
  }

  void Allocate() {
    constexpr int kRuntime = 1;  // V8's AllocationOrigin
    blocks_.resize(Next());
    lows_.resize(blocks_.size());
    for (size_t i = 0; i < blocks_.size(); i++) {
      uint32_t size = Next();
      Block& block = blocks_[i];
      block.words = size >> 1;
      block.trusted = (size & 1) != 0;
      // Does not collect garbage, and may go beyond the limit of the heap, which the next one
      // finds.
      block.start =
          RetryAllocate(Member<void*>(isolate_, kAllocator), static_cast<int>(block.words * kWord),
                        kAllocations[block.trusted ? kTrusted : kOld], kRuntime, 0);
      if (static_cast<uint32_t>(block.start) == 0) OutOfMemory("a snapshot");
      lows_[i] = static_cast<uint32_t>(block.start) - 1;
      if ((heap::PageFlags(block.start) & heap::kMarkingFlag) != 0) barriers_ = true;
    }
  }

  void ReadReferences() {
    references_.resize(Next());
    for (uint32_t& reference : references_) {
      Address scratch;
      Address object = *ReadKnown(self_, cursor_, &scratch);
      if ((heap::PageFlags(object) & kYoungOrShared) != 0) barriers_ = true;
      reference = static_cast<uint32_t>(object) & ~3u;
    }
  }

  // ForBits calls visit with the index of each bit that is set in a bitmap, and returns where that
  // ends.
  template <typename Visit>
  static const uint8_t* ForBits(const uint8_t* at, uint32_t words, Visit visit) {
    for (uint32_t first = 0; first < words; first += kBitmapWords, at += kBitmapWords / 8) {
      uint64_t bits;
      memcpy(&bits, at, sizeof bits);
      for (; bits != 0; bits &= bits - 1) visit(first + __builtin_ctzll(bits));
    }
    return at;
  }

  void ReadBlock(Block* block) {
    uint32_t* words = Slots(block->start);
    memcpy(words, cursor_->at, block->words * kWord);
    block->bits = cursor_->at + block->words * kWord;
    const uint32_t* lows = lows_.data();
    cursor_->at = ForBits(block->bits, block->words, [=](uint32_t i) {
      uint32_t position = words[i];
      words[i] = lows[position >> kBlockShift] + (position & kOffsetMask);
    });
    if (references_.empty()) return;
    const uint32_t* references = references_.data();
    cursor_->at = ForBits(cursor_->at, block->words, [=](uint32_t i) {
      words[i] = references[words[i] >> 2] + (words[i] & 3);
    });
  }

  // TellCollector tells V8 of all pointers, where it is in the middle of marking what is in use, or
  // some of them are to objects of the young generation.
  void TellCollector() {
    for (const Block& block : blocks_) {
      uint32_t* words = Slots(block.start);
      const uint8_t* content = block.bits - block.words * kWord;
      auto tell = [&](uint32_t i) {
        Write(block.start, i, cage_ | (words[i] & ~2u), words[i] & 2);
      };
      const uint8_t* references = ForBits(block.bits, block.words, [&](uint32_t i) {
        uint32_t position;
        memcpy(&position, content + i * kWord, kWord);
        const Block& target = blocks_[position >> kBlockShift];
        if (!target.trusted)
          tell(i);
        else if ((heap::PageFlags(block.start) & heap::kMarkingFlag) != 0)
          NoteProtected(block.start, words + i, target.start + (position & kOffsetMask) - 1);
      });
      if (!references_.empty()) ForBits(references, block.words, tell);
    }
  }

  void ReadHandles() {
    uint32_t count = Next();
    self_->objects.reserve(count);
    for (; count > 0; count--) self_->objects.push_back(NewHandle(isolate_, At(NextWord())));
  }

  // ReadEntries gives objects of the trusted space their entry in its table, and those to others
  // that know them by it.
  void ReadEntries() {
    constexpr size_t kSelfSlot = 1;
    for (uint32_t count = Next(); count > 0; count--) {
      Address object = At(NextWord());
      InitSelfIndirect(&object, kSelfSlot * kWord, isolate_, Member<void*>(isolate_, kPublishing));
    }
    for (uint32_t count = Next(); count > 0; count--) {
      uint32_t* slot = Slots(At(NextWord()));
      *slot = Slots(At(NextWord()))[kSelfSlot];
    }
  }

  void NumberFunctions() {
    constexpr size_t kNumberSlot = 10;
    uint32_t count = Next();
    uint32_t next =
        __atomic_fetch_add(&Member<uint32_t>(isolate_, kNextFunction), count, __ATOMIC_RELAXED);
    for (; count > 0; count--) Slots(At(NextWord()))[kNumberSlot] = next++;
  }

  // ReadDispatchEntry gives a function its entry in the table of what functions do.
  void ReadDispatchEntry(Handle function, size_t slot) {
    uint32_t parameters = Next();
    Address scratch;
    Handle code = ReadKnown(self_, cursor_, &scratch);
    uint32_t entry = dispatch_entries_.New(code, static_cast<uint16_t>(parameters));
    self_->dispatch_entries.push_back(entry);
    Slots(*function)[slot] = entry;
    if ((heap::PageFlags(*function) & heap::kMarkingFlag) != 0) NoteDispatchEntry(*function, entry);
  }

  void ReadExtras() {
    for (uint32_t count = Next(); count > 0; count--) {
      uint32_t which = Next();
      Handle object = deserialize::At(self_->objects, which >> 1);
      if ((which & 1) != 0) {
        Address map = cage_ | Slots(*object)[0];
        PostProcess(self_, &map, object, kOld);
        continue;
      }
      size_t slot = Next();
      for (uint32_t codes = Next(); codes > 0; codes--) {
        uint8_t code = *cursor_->at++;
        if (code == kNewDispatchEntry) {
          ReadDispatchEntry(object, slot++);
          continue;
        }
        cursor_->Leave();
        slot += static_cast<size_t>(ReadSlot(self_, code, object, slot * kWord));
        cursor_->Enter();
      }
    }
  }

  Reader* const self_;
  Cursor* const cursor_;
  char* const isolate_;
  const Address cage_ = *Root(isolate_, 0) & ~Address{UINT32_MAX};
  std::vector<Block> blocks_;
  std::vector<uint32_t> lows_, references_;
  DispatchEntries dispatch_entries_{isolate_};
  bool barriers_ = false;
};

Handle ReadLinear(Reader* self) {
  Cursor cursor(self);
  uint32_t number = Number(cursor.at);
  if (number == 0) {
    Image(self, &cursor).Read();
    number = Number(cursor.at);
  }
  cursor.Leave();
  return At(self->objects, number - 1);
}

}  // namespace

// ReadObject reads a new object and what it refers to. V8's calls a function for each slot, which
// begins by saving all registers, and clears each object with an instruction that takes longer to
// start than most objects to clear.
Handle ReadObject(Reader* self, uint8_t space) {
  if (space == kReadOnlyHeap) return ReadLinear(self);
  constexpr size_t kEphemeronTableHeader = 5;  // slots
  Cursor cursor(self);
  const size_t slots = Number(cursor.at);
  Address scratch;
  const Handle map = ReadKnown(self, &cursor, &scratch);
  const Address raw = Allocate(self, kAllocations[space], static_cast<int>(slots * 4), 0);
  Write(raw, 0, *map);
  const uint16_t type = TypeOf(*map);
  // An object that is nothing but bytes is copied. All others have to be fit for a collection,
  // which may come with each allocation.
  const bool bytes = slots - 2 < 32 && *cursor.at == kFixedRaw + slots - 2;
  if (!bytes) {
    uint32_t* place = Slots(raw);
    memset(place + 1, 0, (slots - 1) * sizeof *place);
    if (type == kEphemeronTable) [[unlikely]] {
      using v8::internal::Internals;
      auto undefined =
          static_cast<uint32_t>(*Root(self->isolate, Internals::kUndefinedValueRootIndex));
      for (size_t i = kEphemeronTableHeader; i < slots; i++) place[i] = undefined;
    }
  }
  const Handle object = NewHandle(self->isolate, raw);
  self->objects.push_back(object);
  ReadSlots(self, &cursor, object, 1, slots);
  cursor.Leave();
  if (type < heap::kFirstNonString && (type & heap::kStringForm) != heap::kExternal &&
      !self->rehash)
    return object;
  PostProcess(self, map, object, space);
  return object;
}

// ReadReference reads a reference for V8: to a string that is internalized, above all.
Handle ReadReference(Reader* self) {
  Cursor cursor(self);
  uint8_t code = *cursor.at++;
  if (code == kBackReference) {
    Handle object = BackReference(self, cursor.at);
    cursor.Leave();
    return object;
  }
  cursor.Leave();
  if (code == kLinear) return ReadLinear(self);
  Handle object = nullptr;
  if (ReadHandle(self, code, &object, self->isolate) != 1)
    Fatal("deserialize", "the snapshot is damaged");
  return object;
}

// VisitRoots reads what is not in the heap: V8's roots and its caches.
void VisitRoots(Reader* self, int, const char*, Address* slot, Address* end) {
  while (slot < end) {
    Cursor cursor(self);
    uint8_t code = *cursor.at++;
    if (code == kReadOnlyReference) {
      *slot++ = ReadOnly(self->isolate, cursor.at);
      cursor.Leave();
    } else if (code == kBackReference) {
      *slot++ = *BackReference(self, cursor.at);
      cursor.Leave();
    } else if (cursor.Leave(); code == kLinear) {
      *slot++ = *ReadLinear(self);
    } else {
      slot += ReadRootSlot(self, code, slot);
    }
  }
  if (slot != end) Fatal("deserialize", "the snapshot is damaged");
}

// StringTable is V8's table of the strings that are internalized, and Content what is in it.
struct StringTable {
  struct Content {
    void* previous;
    uint32_t count, deleted, capacity;  // which is a power of two
    uint32_t strings[];                 // 0: none
  };
  std::atomic<Content*> content;
  char mutex[];
};

// Strings is V8's vector of handles.
struct Strings {
  const Handle* start;
  size_t count;
};

#define NANO_STRINGS "_ZN2v88internal11StringTable"
#define NANO_INSERT                                                   \
  NANO_STRINGS                                                        \
  "31InsertForIsolateDeserializationEPNS0_7IsolateERKNS_4base6Vector" \
  "INS0_12DirectHandleINS0_6StringEEEEE"

void RealInsert(StringTable* self, char* isolate, const Strings* all) asm("__real_" NANO_INSERT);
void Insert(StringTable* self, char* isolate, const Strings* all) asm("__wrap_" NANO_INSERT);
StringTable::Content* EnsureCapacity(StringTable* self, Address cage,
                                     int more) asm(NANO_STRINGS
                                                   "14EnsureCapacityENS0_16PtrComprCageBaseEi");
void Lock(void* mutex) asm("_ZN2v84base5Mutex4LockEv");
void Unlock(void* mutex) asm("_ZN2v84base5Mutex6UnlockEv");

// Insert puts the strings of a snapshot into the table of a new isolate. Only what is likely there
// already, or has no hash, is left to V8, which makes a key of each string and looks at it for
// long.
void Insert(StringTable* self, char* isolate, const Strings* all) {
  constexpr uint32_t kNotComputed = 1, kHashShift = 2, kDeleted = 2;
  std::vector<Handle> rest;
  const Address cage = *Root(isolate, 0) & ~Address{UINT32_MAX};
  Lock(self->mutex);
  StringTable::Content* content = EnsureCapacity(self, cage, static_cast<int>(all->count));
  const uint32_t mask = content->capacity - 1;
  for (const Handle *at = all->start, *end = at + all->count; at != end; at++) {
    const auto hash = heap::Read<uint32_t>(**at, heap::kHash);
    uint32_t index = hash >> kHashShift & mask;
    bool is_known = (hash & kNotComputed) != 0;
    for (uint32_t step = 1; !is_known && content->strings[index] != 0; step++) {
      uint32_t other = content->strings[index];
      is_known = other == kDeleted || heap::Read<uint32_t>(cage | other, heap::kHash) == hash;
      index = (index + step) & mask;
    }
    if (is_known) {
      rest.push_back(*at);
      continue;
    }
    content->strings[index] = static_cast<uint32_t>(**at);
    content->count++;
  }
  Unlock(self->mutex);
  Strings others = {rest.data(), rest.size()};
  if (!rest.empty()) RealInsert(self, isolate, &others);
}

#endif  // __x86_64__

}  // namespace nano::deserialize
