// Making linear snapshots of V8's: see linear.h.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "engine.h"
#include "linear.h"

namespace nano::linear {

#ifdef __x86_64__

uint32_t Checksum(const uint8_t* data,
                  size_t length) asm("_ZN2v88internal8ChecksumENS_4base6VectorIKhEE");

namespace {

static_assert(V8_MAJOR_VERSION == 13 && V8_MINOR_VERSION == 6);

// Of the roots, those of the read-only heap come first, then the ones that each isolate has.
constexpr size_t kIsolateStrongRoots = 0x22f8, kStrongRoots = 104;
constexpr uint32_t kFirstStrongRoot =
    (kIsolateStrongRoots - v8::internal::Internals::kIsolateRootsOffset) / sizeof(uintptr_t);
// The index that ends the list of external references at the beginning of the startup section.
constexpr uint32_t kExternalReferences = 0x643;
constexpr size_t kMapWords = 10, kExtensionSlot = 11;  // of a map; in an ArrayBuffer
constexpr uint32_t kClearedWord = 3;                   // a weak reference whose object is gone
constexpr uint32_t kBlockBytes = 16 << 10;
constexpr int kPageShift = 18;
constexpr int kDepthMax =
    2000;  // of objects in each other; V8 puts off those that are deeper than 32
constexpr size_t kBlocksMax = size_t{1} << (32 - kBlockShift), kWordsMax = 1 << 27;

// Malformed is thrown by readers of a section for what they do not understand.
struct Malformed {};

void Need(bool condition) {
  if (!condition) throw Malformed();
}

// Ref is what a slot refers to.
struct Ref {
  enum Kind : uint8_t {
    kNone,
    kConstant,  // value: a pointer to the first page of the read-only heap, which is the same in
                // all isolates
    kReadOnly,  // of another page of it: value is page << kPageShift | offset
    kObject,    // of this section
    kStartup,   // of the cache of objects for contexts
    kShared,    // of the cache of internalized strings
    kAttached,
    kRoot,
  };
  Kind kind = kNone;
  uint32_t value = 0;
};

enum class Pointer : uint8_t { kPlain, kIndirect };

struct Descriptor {
  bool weak = false, indirect = false, is_protected = false;
};

struct Object {
  Space space;
  uint16_t type;
  uint32_t words, first;  // its contents in Section::words
};

struct Slot {
  uint32_t object, slot;
  Ref ref;
  uint32_t tag;
  Pointer pointer;
};

struct Extra {
  // When V8 does it. Memory of buffers may take a collection, for which the rest must be done; and
  // V8 gives a view the memory that its buffer has, which may be an object that comes after it.
  enum Turn : uint8_t { kFirst, kBuffers, kViews };
  uint32_t object;
  bool finish;
  uint32_t slot, count;
  std::string code;
  Turn turn = kFirst;
};

// Startup is what contexts refer to in the section of the startup heap.
struct Startup {
  std::vector<uint16_t> roots, cache;  // instance types of the objects that are maps, else 0
};

void PutNumber(std::string* out, uint32_t number) {
  Need(number < 1 << 30);
  number <<= 2;
  int bytes = number < 1 << 8 ? 1 : number < 1 << 16 ? 2 : number < 1 << 24 ? 3 : 4;
  number |= bytes - 1;
  out->append(reinterpret_cast<const char*>(&number), bytes);
}

void PutWord(std::string* out, uint32_t word) {
  out->append(reinterpret_cast<const char*>(&word), sizeof word);
}

class Section {
 public:
  enum Kind { kStartup, kShared, kContext };

  Section(Kind kind, std::string_view text, v8::Isolate* isolate, Startup* startup)
      : kind_(kind), text_(text), isolate_(isolate), startup_(startup) {}

  std::string Linearize() {
    ReadTop();
    if (!began_) return std::string(text_);
    Place();
    std::string image = Image();
    return head_ + image + tail_;
  }

 private:
  // ---- Reading V8's ----

  uint8_t Byte() {
    Need(at_ < text_.size());
    return static_cast<uint8_t>(text_[at_++]);
  }

  uint32_t GetNumber() {
    uint8_t bytes[4] = {};
    Need(at_ < text_.size());
    memcpy(bytes, text_.data() + at_, std::min<size_t>(sizeof bytes, text_.size() - at_));
    const uint8_t* read = bytes;
    uint32_t number = Number(read);
    at_ += read - bytes;
    Need(at_ <= text_.size());
    return number;
  }

  std::string_view Raw(size_t length) {
    Need(length <= text_.size() - at_);
    std::string_view raw = text_.substr(at_, length);
    at_ += length;
    return raw;
  }

  Ref ReadOnlyRoot(uint32_t index) {
    Need(index < kFirstStrongRoot);
    return {Ref::kConstant,
            static_cast<uint32_t>(*v8::internal::Internals::GetRootSlot(isolate_, index))};
  }

  Ref GetRoot(uint32_t index) {
    if (index < kFirstStrongRoot) return ReadOnlyRoot(index);
    index -= kFirstStrongRoot;
    Need(index < kStrongRoots);
    if (kind_ == kContext) return {Ref::kRoot, index + kFirstStrongRoot};
    Need(index < roots_.size() && roots_[index].kind != Ref::kNone);
    return roots_[index];
  }

  void Remember(Ref ref) {
    recent_[next_recent_] = ref;
    next_recent_ = (next_recent_ + 1) & 7;
  }

  // GetRef reads a reference to what is no new object; kNone if code is none.
  Ref GetRef(uint8_t code) {
    switch (code) {
      case kBackReference: {
        Ref ref = {Ref::kObject, GetNumber()};
        Need(ref.value < objects_.size());
        Remember(ref);
        return ref;
      }
      case kRecent ... kEnd - 1:
        Need(recent_[code - kRecent].kind != Ref::kNone);
        return recent_[code - kRecent];
      case kReadOnlyReference: {
        uint32_t page = GetNumber(), offset = GetNumber();
        Need(page <= UINT32_MAX >> kPageShift && offset < 1 << kPageShift);
        if (page == 0) return {Ref::kConstant, offset + 1};
        return {Ref::kReadOnly, page << kPageShift | offset};
      }
      case kStartupObject:
        Need(kind_ == kContext);
        return {Ref::kStartup, GetNumber()};
      case kSharedObject:
        Need(kind_ != kShared);
        return {Ref::kShared, GetNumber()};
      case kAttached:
        return {Ref::kAttached, GetNumber()};
      case kRootReference: {
        Ref ref = GetRoot(GetNumber());
        Remember(ref);
        return ref;
      }
      case kRoot ... kFixedRaw - 1:
        return ReadOnlyRoot(code - kRoot);
      default:
        return {};
    }
  }

  // GetObject reads any reference, to a new object too.
  Ref GetObject(uint8_t code) {
    if (code == kContextfulMetaMap) return {Ref::kObject, ReadMetaMap()};
    if (code < kBackReference) return {Ref::kObject, ReadObject(static_cast<Space>(code))};
    Ref ref = GetRef(code);
    Need(ref.kind != Ref::kNone);
    return ref;
  }

  // OfReadOnly reads a word of an object on the first page of the read-only heap.
  uint32_t OfReadOnly(uint32_t object, size_t slot) {
    Need((object & 3) == 1 && object < (1 << kPageShift) - slot * kWord);
    uintptr_t cage = *v8::internal::Internals::GetRootSlot(isolate_, 0) >> 32 << 32;
    uint32_t word;
    memcpy(&word, reinterpret_cast<const void*>(cage + object - 1 + slot * kWord), sizeof word);
    return word;
  }

  // InstanceType is the type that a map gives its instances, or 0 for what is not known to be one.
  uint16_t InstanceType(Ref ref) {
    constexpr size_t kTypeSlot = 2;
    switch (ref.kind) {
      case Ref::kConstant:
        if (static_cast<uint16_t>(OfReadOnly(OfReadOnly(ref.value, 0), kTypeSlot)) != kMapType)
          return 0;
        return static_cast<uint16_t>(OfReadOnly(ref.value, kTypeSlot));
      case Ref::kObject:
        if (objects_[ref.value].type != kMapType) return 0;
        return static_cast<uint16_t>(words_[objects_[ref.value].first + kTypeSlot]);
      case Ref::kStartup:
        return ref.value < startup_->cache.size() ? startup_->cache[ref.value] : 0;
      case Ref::kRoot:
        return startup_->roots[ref.value - kFirstStrongRoot];
      default:
        return 0;
    }
  }

  uint32_t NewObject(Space space, size_t words) {
    Need(words > 0 && words < kWordsMax && words_.size() + words < kWordsMax);
    Need(space == kOld || space == kTrusted);
    objects_.push_back(
        {space, 0, static_cast<uint32_t>(words), static_cast<uint32_t>(words_.size())});
    words_.resize(words_.size() + words);
    return static_cast<uint32_t>(objects_.size() - 1);
  }

  uint32_t ReadMetaMap() {
    uint32_t index = NewObject(kOld, kMapWords);
    objects_[index].type = kMapType;
    SetSlot(index, 0, {Ref::kObject, index}, {});
    ReadSlots(index);
    return index;
  }

  uint32_t ReadObject(Space space) {
    Need(++depth_ < kDepthMax);
    uint32_t words = GetNumber();
    Ref map = GetObject(Byte());
    uint32_t index = NewObject(space, words);
    uint16_t type = objects_[index].type = InstanceType(map);
    Need(type != 0 || map.kind == Ref::kConstant);
    SetSlot(index, 0, map, {});
    ReadSlots(index);
    depth_--;
    switch (type) {
      case kInstructionStream:
        throw Malformed();
      case kSharedFunction:
        functions_.push_back(index);
        break;
      case kCodeObject:
      case kScript:
      case kNativeContext:
      case kDescriptorArray:
      case kStrongDescriptorArray:
        extras_.push_back({index, true, 0, 0, ""});
        break;
      case kArrayBuffer:
        // The builder's entry in a table, which V8 replaces. A collection before that would follow
        // it.
        Need(words > kExtensionSlot);
        words_[objects_[index].first + kExtensionSlot] = 0;
        extras_.push_back({index, true, 0, 0, "", Extra::kBuffers});
        break;
      case kDataView:
      case kResizableDataView:
      case kTypedArray:
        extras_.push_back({index, true, 0, 0, "", Extra::kViews});
        break;
      default:
        if (IsExternalString(type)) extras_.push_back({index, true, 0, 0, ""});
    }
    return index;
  }

  void SetSlot(uint32_t object, uint32_t slot, Ref ref, Descriptor descriptor) {
    Need(slot < objects_[object].words);
    uint32_t tag = descriptor.weak ? 3 : 1;
    if (descriptor.indirect) {
      Need(ref.kind == Ref::kObject && objects_[ref.value].space == kTrusted && !descriptor.weak);
      SetIndirect(object, slot, ref);
      return;
    }
    if (descriptor.is_protected)
      Need(ref.kind == Ref::kObject && objects_[ref.value].space == kTrusted);
    else
      Need(ref.kind != Ref::kObject || objects_[ref.value].space == kOld);
    if (ref.kind == Ref::kConstant)
      words_[objects_[object].first + slot] = (ref.value & ~3u) | tag;
    else
      slots_.push_back({object, slot, ref, tag, Pointer::kPlain});
  }

  // SetIndirect has a slot refer to an object by its entry in a table. Contexts are also read in
  // isolates that run, whose collector V8 tells of it.
  void SetIndirect(uint32_t object, uint32_t slot, Ref ref) {
    if (kind_ == kStartup) {
      slots_.push_back({object, slot, ref, 0, Pointer::kIndirect});
      return;
    }
    std::string text(1, static_cast<char>(kIndirectPrefix));
    PutRef(&text, ref);
    extras_.push_back({object, false, slot, 2, std::move(text)});
  }

  void SetWords(uint32_t object, uint32_t slot, size_t count, const void* from) {
    Need(count <= objects_[object].words && slot <= objects_[object].words - count);
    memcpy(&words_[objects_[object].first + slot], from, count * kWord);
  }

  void Repeat(uint32_t object, uint32_t* slot, uint32_t count) {
    uint32_t root = ReadOnlyRoot(Byte()).value;
    Need(count <= objects_[object].words && *slot <= objects_[object].words - count);
    std::fill_n(&words_[objects_[object].first + *slot], count, root);
    *slot += count;
  }

  void ReadSlots(uint32_t object) {
    uint32_t slot = 1;
    Descriptor next;
    auto refer = [&](Ref ref, Descriptor descriptor) {
      SetSlot(object, slot++, ref, descriptor);
      next = {};
    };
    while (slot < objects_[object].words) {
      size_t start = at_;
      uint8_t code = Byte();
      switch (code) {
        case kNewObject ... kBackReference - 1:
        case kContextfulMetaMap: {
          Descriptor descriptor = std::exchange(next, {});
          refer(GetObject(code), descriptor);
          break;
        }
        case kWeakPrefix:
          next.weak = true;
          break;
        case kIndirectPrefix:
          next.indirect = true;
          break;
        case kProtectedPrefix:
          next.is_protected = true;
          break;
        case kNothing:
          break;
        case kForwardReference:
          forward_.push_back({object, slot++, std::exchange(next, {})});
          unresolved_++;
          break;
        case kForwardResolved: {
          uint32_t index = GetNumber();
          Need(index < forward_.size() && unresolved_ > 0);
          SetSlot(forward_[index].object, forward_[index].slot, {Ref::kObject, object},
                  forward_[index].descriptor);
          if (--unresolved_ == 0) forward_.clear();
          break;
        }
        case kFixedRaw ... kRepeatedRoot - 1: {
          uint32_t count = code - kFixedRaw + 1;
          SetWords(object, slot, count, Raw(count * kWord).data());
          slot += count;
          break;
        }
        case kVariableRaw: {
          uint32_t count = GetNumber();
          Need(count < kWordsMax);
          SetWords(object, slot, count, Raw(count * kWord).data());
          slot += count;
          break;
        }
        case kRepeatedRoot ... kRecent - 1:
          Repeat(object, &slot, code - kRepeatedRoot + 2);
          break;
        case kVariableRepeatedRoot:
          Repeat(object, &slot, GetNumber() + kRecent - kRepeatedRoot + 2);
          break;
        case kClearedWeak:
          SetWords(object, slot++, 1, &kClearedWord);
          break;
        case kSelfIndirect:
          Need(slot == 1 && objects_[object].space == kTrusted);
          selves_.push_back(object);
          slot++;
          break;
        case kBackingStore:
        case kResizableBackingStore:
        case kApiReference:
        case kExternalReference:
        case kSandboxedApiReference:
        case kSandboxedExternalReference:
        case kSandboxedRawReference:
        case kNewDispatchEntry:
        case kDispatchEntry:
          ReadExtra(object, &slot, code, start);
          break;
        default: {
          Ref ref = GetRef(code);
          Need(ref.kind != Ref::kNone);
          refer(ref, next);
        }
      }
    }
    Need(slot == objects_[object].words);
  }

  // ReadExtra keeps an instruction that V8 is to follow once the objects are there.
  void ReadExtra(uint32_t object, uint32_t* slot, uint8_t code, size_t start) {
    uint32_t at_slot = *slot;
    std::string text;
    Extra::Turn turn = Extra::kFirst;
    switch (code) {
      case kBackingStore:
      case kResizableBackingStore: {
        uint32_t length;
        memcpy(&length, Raw(sizeof length).data(), sizeof length);
        if (code == kResizableBackingStore) Raw(sizeof length);
        Raw(length);
        turn = Extra::kBuffers;
        break;
      }
      case kApiReference:
      case kExternalReference:
      case kDispatchEntry:
        GetNumber();
        ++*slot;
        break;
      case kSandboxedApiReference:
      case kSandboxedExternalReference:
        GetNumber();
        GetNumber();
        ++*slot;
        break;
      case kSandboxedRawReference:
        Raw(sizeof(uintptr_t));
        GetNumber();
        ++*slot;
        break;
      case kNewDispatchEntry: {
        uint32_t parameters = GetNumber();
        Ref function = GetObject(Byte());
        text = static_cast<char>(code);
        PutNumber(&text, parameters);
        PutRef(&text, function);
        ++*slot;
        break;
      }
    }
    if (text.empty()) text = text_.substr(start, at_ - start);
    extras_.push_back({object, false, at_slot, 1, std::move(text), turn});
  }

  // ---- The top: what V8 reads itself ----

  std::string* Out() { return began_ ? &tail_ : &head_; }

  uint32_t HandleOf(uint32_t object) {
    if (handle_of_.size() < objects_.size()) handle_of_.resize(objects_.size());
    if (handle_of_[object] == 0) {
      handles_.push_back(object);
      handle_of_[object] = static_cast<uint32_t>(handles_.size());
    }
    return handle_of_[object] - 1;
  }

  // PutRef writes a reference as an instruction of V8's.
  void PutRef(std::string* out, Ref ref) {
    auto put = [&](Code code, uint32_t number) {
      out->push_back(static_cast<char>(code));
      PutNumber(out, number);
    };
    switch (ref.kind) {
      case Ref::kObject:
        return put(kBackReference, HandleOf(ref.value));
      case Ref::kConstant:
        put(kReadOnlyReference, 0);
        return PutNumber(out, ref.value - 1);
      case Ref::kReadOnly:
        put(kReadOnlyReference, ref.value >> kPageShift);
        return PutNumber(out, ref.value & ((1 << kPageShift) - 1));
      case Ref::kStartup:
        return put(kStartupObject, ref.value);
      case Ref::kShared:
        return put(kSharedObject, ref.value);
      case Ref::kAttached:
        return put(linear::kAttached, ref.value);
      case Ref::kRoot:
        return put(kRootReference, ref.value);
      case Ref::kNone:
        throw Malformed();
    }
  }

  void ReadTop() {
    if (kind_ == kStartup) {
      // What V8 compares with its table of external references.
      while (GetNumber() != kExternalReferences) GetNumber();
      head_ = text_.substr(0, at_);
    }
    bool in_cache = kind_ == kShared;
    const uint32_t undefined =
        ReadOnlyRoot(v8::internal::Internals::kUndefinedValueRootIndex).value;
    while (at_ < text_.size()) {
      Ref ref;
      if (!ReadTopSlot(&ref)) continue;
      group_.push_back(ref);
      if (kind_ == kStartup && syncs_ == 1 && roots_.size() < kStrongRoots) roots_.push_back(ref);
      if (ref.kind != Ref::kConstant || ref.value != undefined) continue;
      cache_ = group_;
      if (!in_cache) continue;
      in_cache = false;
      size_t start = at_;
      GetNumber();  // of strings
      *Out() += text_.substr(start, at_ - start);
    }
    Need(unresolved_ == 0);
    if (kind_ != kStartup) return;
    Need(roots_.size() == kStrongRoots);
    for (Ref root : roots_) startup_->roots.push_back(InstanceType(root));
    for (Ref object : cache_) startup_->cache.push_back(InstanceType(object));
  }

  // ReadTopSlot reads one instruction for V8's own slots. True if it is a reference, or a small
  // number.
  bool ReadTopSlot(Ref* ref) {
    size_t start = at_;
    uint8_t code = Byte();
    if (code < kBackReference) {
      ref->kind = Ref::kObject;
      ref->value = ReadObject(static_cast<Space>(code));
      uint32_t handle = HandleOf(ref->value);
      if (!began_) {
        head_.push_back(kLinear);
        PutNumber(&head_, 0);
        began_ = true;
      } else {
        tail_.push_back(kLinear);
      }
      PutNumber(&tail_, handle + 1);
      return true;
    }
    switch (code) {
      case kSynchronize:
        syncs_++;
        group_.clear();
        [[fallthrough]];
      case kNothing:
        Out()->push_back(static_cast<char>(code));
        return false;
      case kEmbedderFields:
      case kApiWrappers:
        Need(Byte() == kSynchronize);  // nothing in it
        *Out() += text_.substr(start, at_ - start);
        return false;
      case kBackingStore:
      case kResizableBackingStore: {
        // Before an object that was put off, where V8 itself expects none.
        Need(began_);
        uint32_t slot = 0;
        ReadExtra(0, &slot, code, start);
        return false;
      }
      case kFixedRaw + 1:
        Raw(2 * kWord);
        *Out() += text_.substr(start, at_ - start);
        return true;
      default:
        *ref = GetRef(code);
        Need(ref->kind != Ref::kNone);
        PutRef(Out(), *ref);
        return true;
    }
  }

  // ---- Writing ----

  struct Block {
    bool trusted;
    uint32_t bytes;
    std::vector<uint32_t> objects;
  };

  // Place gives each object its position.
  void Place() {
    constexpr uint32_t kNoBlock = UINT32_MAX;
    uint32_t open[2] = {kNoBlock, kNoBlock};
    positions_.resize(objects_.size());
    for (uint32_t i = 0; i < objects_.size(); i++) {
      bool trusted = objects_[i].space == kTrusted;
      uint32_t bytes = objects_[i].words * kWord;
      uint32_t block = open[trusted];
      if (block == kNoBlock || blocks_[block].bytes + bytes > kBlockBytes) {
        block = static_cast<uint32_t>(blocks_.size());
        Need(block < kBlocksMax);
        blocks_.push_back({trusted, 0, {}});
        if (bytes <= kBlockBytes) open[trusted] = block;
      }
      positions_[i] = block << kBlockShift | blocks_[block].bytes;
      blocks_[block].bytes += bytes;
      blocks_[block].objects.push_back(i);
    }
  }

  uint32_t ReferenceOf(Ref ref) {
    auto [known, added] =
        known_.try_emplace({ref.kind, ref.value}, static_cast<uint32_t>(references_.size()));
    if (added) references_.push_back(ref);
    return known->second;
  }

  std::string Image() {
    std::vector<std::vector<uint64_t>> pointers(blocks_.size()), references(blocks_.size());
    for (size_t i = 0; i < blocks_.size(); i++) {
      size_t size = (blocks_[i].bytes / kWord + kBitmapWords - 1) / kBitmapWords;
      pointers[i].resize(size);
      references[i].resize(size);
    }
    std::string indirect;
    uint32_t indirect_count = 0;
    for (const Slot& slot : slots_) {
      uint32_t position = positions_[slot.object];
      uint32_t word = (position & kOffsetMask) / kWord + slot.slot;
      uint32_t& content = words_[objects_[slot.object].first + slot.slot];
      auto& bits = slot.ref.kind == Ref::kObject ? pointers : references;
      if (slot.pointer == Pointer::kIndirect) {
        indirect_count++;
        Need(word * kWord <= kOffsetMask);
        PutWord(&indirect, (position & ~kOffsetMask) | word * kWord);
        PutWord(&indirect, positions_[slot.ref.value]);
        continue;
      }
      bits[position >> kBlockShift][word / kBitmapWords] |= uint64_t{1} << word % kBitmapWords;
      content = slot.tag | (slot.ref.kind == Ref::kObject ? positions_[slot.ref.value]
                                                          : ReferenceOf(slot.ref) << 2);
    }
    std::string out;
    PutNumber(&out, static_cast<uint32_t>(blocks_.size()));
    for (const Block& block : blocks_) PutNumber(&out, block.bytes / kWord << 1 | block.trusted);
    PutNumber(&out, static_cast<uint32_t>(references_.size()));
    for (Ref ref : references_) PutRef(&out, ref);
    auto put_bits = [&](const std::vector<uint64_t>& bits) {
      out.append(reinterpret_cast<const char*>(bits.data()), bits.size() * sizeof bits[0]);
    };
    for (size_t i = 0; i < blocks_.size(); i++) {
      for (uint32_t object : blocks_[i].objects)
        out.append(reinterpret_cast<const char*>(&words_[objects_[object].first]),
                   objects_[object].words * kWord);
      put_bits(pointers[i]);
      if (!references_.empty()) put_bits(references[i]);
    }
    std::string extras;
    std::stable_sort(extras_.begin(), extras_.end(),
                     [](const Extra& a, const Extra& b) { return a.turn < b.turn; });
    for (const Extra& extra : extras_) {
      PutNumber(&extras, HandleOf(extra.object) << 1 | extra.finish);
      if (extra.finish) continue;
      PutNumber(&extras, extra.slot);
      PutNumber(&extras, extra.count);
      extras += extra.code;
    }
    auto put_positions = [&](const std::vector<uint32_t>& objects) {
      PutNumber(&out, static_cast<uint32_t>(objects.size()));
      for (uint32_t object : objects) PutWord(&out, positions_[object]);
    };
    put_positions(handles_);
    put_positions(selves_);
    PutNumber(&out, indirect_count);
    out += indirect;
    put_positions(functions_);
    PutNumber(&out, static_cast<uint32_t>(extras_.size()));
    return out + extras;
  }

  struct Forward {
    uint32_t object, slot;
    Descriptor descriptor;
  };

  const Kind kind_;
  const std::string_view text_;
  v8::Isolate* const isolate_;
  Startup* const startup_;
  size_t at_ = 0;
  int depth_ = 0;

  std::vector<Object> objects_;
  std::vector<uint32_t> words_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> selves_, functions_;
  std::vector<Extra> extras_;
  Ref recent_[8];
  int next_recent_ = 0;
  std::vector<Forward> forward_;
  size_t unresolved_ = 0;

  bool began_ = false;
  std::string head_, tail_;  // before and after the image
  size_t syncs_ = 0;
  std::vector<Ref> group_, cache_, roots_;  // slots since kSynchronize
  std::vector<uint32_t> handle_of_, handles_;

  std::vector<Block> blocks_;
  std::vector<uint32_t> positions_;
  std::map<std::pair<Ref::Kind, uint32_t>, uint32_t> known_;
  std::vector<Ref> references_;
};

// V8's header of a snapshot (see its snapshot.cc), and of each section.
constexpr size_t kContexts = 0, kChecksum = 8, kChecked = 12, kReadOnlyOffset = 0x50,
                 kSharedOffset = 0x54, kContextOffsets = 0x58, kSectionHeader = 8,
                 kSectionLength = 4;
constexpr uint32_t kContextsMax = 16;

uint32_t Header(std::string_view blob, size_t at) {
  Need(at + kWord <= blob.size());
  uint32_t value;
  memcpy(&value, blob.data() + at, sizeof value);
  return value;
}

void SetHeader(std::string* blob, size_t at, size_t value) {
  auto word = static_cast<uint32_t>(value);
  memcpy(blob->data() + at, &word, sizeof word);
}

size_t Aligned(size_t size) { return (size + 7) & ~size_t{7}; }

// A Snapshot is what a blob consists of: the startup section, the read-only heap's, the one of the
// strings, and the contexts'.
std::vector<std::string_view> Split(std::string_view blob) {
  uint32_t contexts = Header(blob, kContexts);
  Need(contexts <= kContextsMax);
  std::vector<size_t> starts = {Aligned(kContextOffsets + contexts * kWord),
                                Header(blob, kReadOnlyOffset), Header(blob, kSharedOffset)};
  for (uint32_t i = 0; i < contexts; i++)
    starts.push_back(Header(blob, kContextOffsets + i * kWord));
  starts.push_back(blob.size());
  std::vector<std::string_view> sections;
  for (size_t i = 0; i + 1 < starts.size(); i++) {
    Need(starts[i] < starts[i + 1] && starts[i + 1] <= blob.size());
    sections.push_back(blob.substr(starts[i], starts[i + 1] - starts[i]));
  }
  return sections;
}

std::string LinearSection(Section::Kind kind, std::string_view section, v8::Isolate* isolate,
                          Startup* startup) {
  uint32_t length = Header(section, kSectionLength);
  Need(kSectionHeader + length <= section.size());
  Section reader(kind, section.substr(kSectionHeader, length), isolate, startup);
  std::string out(section.substr(0, kSectionHeader));
  out += reader.Linearize();
  // V8's reader of numbers looks at up to three bytes behind them.
  out.append(3, static_cast<char>(kNothing));
  out.resize(Aligned(out.size()), static_cast<char>(kNothing));
  SetHeader(&out, kSectionLength, out.size() - kSectionHeader);
  return out;
}

std::string LinearBlob(std::string_view blob, v8::Isolate* isolate) {
  std::vector<std::string_view> sections = Split(blob);
  constexpr size_t kReadOnlySection = 1, kSharedSection = 2, kDefaultContext = 3;
  Startup startup;
  std::string out(blob.substr(0, sections[0].data() - blob.data()));
  for (size_t i = 0; i < sections.size(); i++) {
    if (i == kReadOnlySection) SetHeader(&out, kReadOnlyOffset, out.size());
    if (i == kSharedSection) SetHeader(&out, kSharedOffset, out.size());
    if (i > kSharedSection)
      SetHeader(&out, kContextOffsets + (i - kSharedSection - 1) * kWord, out.size());
    // Nothing is made of the read-only heap, and of the default context.
    if (i == kReadOnlySection || i == kDefaultContext) {
      out += sections[i];
      continue;
    }
    auto kind = i == 0                ? Section::kStartup
                : i == kSharedSection ? Section::kShared
                                      : Section::kContext;
    out += LinearSection(kind, sections[i], isolate, &startup);
  }
  SetHeader(
      &out, kChecksum,
      Checksum(reinterpret_cast<const uint8_t*>(out.data()) + kChecked, out.size() - kChecked));
  return out;
}

}  // namespace

std::string Linearize(std::string_view blob, v8::Isolate* isolate) {
  try {
    return LinearBlob(blob, isolate);
  } catch (Malformed) {
    return "";
  }
}

#else

std::string Linearize(std::string_view, v8::Isolate*) { return ""; }

#endif  // __x86_64__

}  // namespace nano::linear
