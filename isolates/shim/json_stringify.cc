// JSON.stringify of plain data. V8's own function stands behind this one (see -wrap in shim.go) and
// makes of a kilobyte what this does in a fifth of the time: here objects are read in place, which
// is possible as long as nothing is allocated in V8's heap and no JavaScript runs.
//
// Data is plain if JSON.stringify observably does nothing but read it: objects and arrays of data
// properties without `toJSON` anywhere on their prototypes, strings, numbers, true, false, null.
// Of anything else, such as a getter, a Proxy, a Date, a BigInt or a cycle, V8 makes everything
// from the beginning: nothing has been observable before.
#include <sys/mman.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>

#include "engine.h"
#include "heap_layout.h"

namespace nano::json {

using namespace heap;

// V8's objects are known as they are on x86-64.
#if defined(__x86_64__)

namespace {

// What is longer, or takes as many steps, is left to V8, which looks for interrupts on the way. It
// is two thirds of a millisecond for each megabyte here. After kUnasked steps, some two
// milliseconds, the watchdog's wish for an interrupt counts as well.
constexpr size_t kMostUnits = 4 << 20, kMostSteps = 4 << 20, kUnasked = 512 << 10;

// Steps by what they take at worst, when nothing is in a cache. Of elements some are counted at
// once.
constexpr size_t kObjectSteps = 16, kPieceSteps = 8, kDoubleSteps = 8, kElementsAtOnce = 1024;
constexpr size_t kMostSorted = 32 << 10;  // properties of one object
constexpr int kMostDepth = 100;

// Memory is written to without looking at its end as long as this much is left.
constexpr size_t kMargin = 256;

// Room is memory for the text, one for each thread: there is none to lose where an isolate is
// abandoned.
class Room {
 public:
  ~Room() {
    if (memory_ != nullptr) munmap(memory_, kBytes);
  }
  // Get gives room for kMostUnits and more of two bytes each, or null.
  char* Get() {
    if (memory_ != nullptr) return memory_;
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    memory_ = static_cast<char*>(memory);
    mprotect(memory_ + kBytes - kGuard, kGuard, PROT_NONE);  // nothing gets there
    return memory_;
  }
  // Shrink gives memory back after a long text.
  void Shrink(size_t used) {
    if (used > kKept) madvise(memory_ + kKept, kBytes - kKept, MADV_DONTNEED);
  }

 private:
  static constexpr size_t kGuard = 64 << 10, kKept = 1 << 20;
  static constexpr size_t kBytes = 2 * kMostUnits + kGuard;

  char* memory_ = nullptr;
};

// WriteDigits writes decimal digits with the point behind the first `point` of them, as Number's
// toString does (ECMA-262, 6.1.6.1.20, which calls that n).
char* WriteDigits(const char* digits, int count, int point, char* to) {
  auto copy = [&](int length) {
    to = std::copy_n(digits, length, to);
    digits += length;
    count -= length;
  };
  if (count <= point && point <= 21) {
    int zeros = point - count;
    copy(count);
    return std::fill_n(to, zeros, '0');
  }
  if (0 < point && point <= 21) {
    copy(point);
    *to++ = '.';
    copy(count);
    return to;
  }
  if (-6 < point && point <= 0) {
    *to++ = '0';
    *to++ = '.';
    to = std::fill_n(to, -point, '0');
    copy(count);
    return to;
  }
  copy(1);
  if (count > 0) {
    *to++ = '.';
    copy(count);
  }
  *to++ = 'e';
  *to++ = point > 0 ? '+' : '-';
  return std::to_chars(to, to + 4, std::abs(point - 1)).ptr;
}

// WriteDecimal writes a positive number that is a decimal one of at most six places, as prices and
// coordinates are. It may be of 15 digits: no two of these are the same double, so that there is no
// shorter one that reads as this. Null: it is not.
char* WriteDecimal(double value, char* to) {
  constexpr double kUnits = 1e6, kMost = 1e15;
  const double units = std::rint(value * kUnits);
  if (!(units < kMost) || units / kUnits != value) return nullptr;
  const auto whole = static_cast<uint64_t>(units) / 1000000;
  auto fraction = static_cast<uint32_t>(static_cast<uint64_t>(units) % 1000000);
  to = std::to_chars(to, to + 10, whole).ptr;
  *to++ = '.';
  for (uint32_t place = 100000; fraction != 0; place /= 10) {
    *to++ = static_cast<char>('0' + fraction / place);
    fraction %= place;
  }
  return to;
}

// WriteNumber writes what JSON has for a number: at most 25 characters.
char* WriteNumber(double value, char* to) {
  constexpr double kExact = 9007199254740992;  // integers below have no fraction nor exponent
  if (!std::isfinite(value)) return std::copy_n("null", 4, to);
  if (std::abs(value) < kExact && value == std::trunc(value))
    return std::to_chars(to, to + 24, static_cast<int64_t>(value)).ptr;
  if (value < 0) *to++ = '-';
  value = std::abs(value);
  if (char* end = WriteDecimal(value, to)) return end;
  // "d.ddde+dd", the shortest that reads as this number and of these the closest.
  char text[32];
  char* end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  char* exponent = std::find(text, end, 'e');
  int power = 0;
  std::from_chars(exponent + (exponent[1] == '+' ? 2 : 1), end, power);
  // The first digit goes where the point is.
  text[1] = text[0];
  int count = exponent - text == 1 ? 1 : static_cast<int>(exponent - text) - 1;
  return WriteDigits(text + 1, count, power + 1, to);
}

// WriteEscape writes a character that JSON must not have in a string as it is.
template <typename Unit>
Unit* WriteEscape(uint32_t unit, Unit* to) {
  *to++ = '\\';
  switch (unit) {
    case '"':
    case '\\':
      *to++ = static_cast<Unit>(unit);
      return to;
    case '\b':
      *to++ = 'b';
      return to;
    case '\t':
      *to++ = 't';
      return to;
    case '\n':
      *to++ = 'n';
      return to;
    case '\f':
      *to++ = 'f';
      return to;
    case '\r':
      *to++ = 'r';
      return to;
  }
  *to++ = 'u';
  for (int shift = 12; shift >= 0; shift -= 4)
    *to++ = static_cast<Unit>("0123456789abcdef"[unit >> shift & 15]);
  return to;
}

// A block is what is looked at in one step: 16 characters of one byte, or 8 of two.
template <typename Unit>
constexpr size_t kBlock = sizeof(__m128i) / sizeof(Unit);

// Load reads the first `count` characters of a block, at least one. What it reads beyond them is in
// the same page of memory.
template <typename Unit>
__m128i Load(const Unit* from, size_t count) {
  constexpr uintptr_t kPage = 4096;
  if (count == kBlock<Unit> || reinterpret_cast<uintptr_t>(from) % kPage <= kPage - sizeof(__m128i))
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  __m128i block = _mm_setzero_si128();
  memcpy(&block, from, count * sizeof(Unit));
  return block;
}

// Special gives a bit for each byte of a block that is, or belongs to, a character that has to be
// escaped, or perhaps has to be: a surrogate.
template <typename Unit>
uint32_t Special(__m128i block) {
  __m128i special;
  if constexpr (sizeof(Unit) == 1) {
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    special = _mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                 _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
  } else {
    __m128i control = _mm_cmpeq_epi16(_mm_subs_epu16(block, _mm_set1_epi16(0x1f)),  //
                                      _mm_setzero_si128());
    __m128i surrogate =
        _mm_cmpeq_epi16(_mm_and_si128(block, _mm_set1_epi16(static_cast<int16_t>(0xf800))),
                        _mm_set1_epi16(static_cast<int16_t>(0xd800)));
    special = _mm_or_si128(_mm_or_si128(control, surrogate),
                           _mm_or_si128(_mm_cmpeq_epi16(block, _mm_set1_epi16('"')),
                                        _mm_cmpeq_epi16(block, _mm_set1_epi16('\\'))));
  }
  return static_cast<uint32_t>(_mm_movemask_epi8(special));
}

// Store writes a whole block.
template <typename Unit, typename Source>
void Store(__m128i block, Unit* to) {
  auto* at = reinterpret_cast<__m128i*>(to);
  if constexpr (sizeof(Unit) == sizeof(Source)) {
    _mm_storeu_si128(at, block);
  } else {
    _mm_storeu_si128(at, _mm_unpacklo_epi8(block, _mm_setzero_si128()));
    _mm_storeu_si128(at + 1, _mm_unpackhi_epi8(block, _mm_setzero_si128()));
  }
}

bool IsPair(uint32_t lead, uint32_t trail) {
  return (lead & 0xfc00) == 0xd800 && (trail & 0xfc00) == 0xdc00;
}

// Why there is no text.
enum class Refusal { kNotPlain, kTwoBytes, kTooLong };

// Stringifier makes text of characters of one or two bytes. Its functions get where to write, and
// return where the text goes on; null: there is none.
template <typename Unit>
class Stringifier {
 public:
  Stringifier(v8::Isolate* isolate, Unit* begin, size_t length)
      : isolate_(isolate),
        undefined_(Root(v8::internal::Internals::kUndefinedValueRootIndex)),
        hole_(Root(v8::internal::Internals::kTheHoleValueRootIndex)),
        null_(Root(v8::internal::Internals::kNullValueRootIndex)),
        true_(Root(v8::internal::Internals::kTrueValueRootIndex)),
        false_(Root(v8::internal::Internals::kFalseValueRootIndex)),
        end_(begin + length - kMargin) {
    static const std::atomic<bool> kNobodyAsks{false};
    const nano_isolate* self = nano_isolate::From(isolate);
    asked_ = self == nullptr ? &kNobodyAsks : &self->meter.asked;
  }

  // Write writes a value.
  Unit* Write(uintptr_t value, Unit* at) {
    cage_ = Cage(value);
    const auto word = static_cast<uint32_t>(value);
    return IsOmitted(word) ? nullptr : WriteValue(word, at);
  }
  Refusal refusal() const { return refusal_; }

 private:
  uint32_t Root(int index) {
    return static_cast<uint32_t>(v8::internal::Internals::GetRoot(isolate_, index));
  }
  uintptr_t Whole(uint32_t word) const { return cage_ | word; }
  uintptr_t At(uintptr_t object, size_t offset) const {
    return cage_ | Read<uint32_t>(object, offset);
  }
  uint16_t TypeOf(uintptr_t object) const {
    return Read<uint16_t>(At(object, kMap), kInstanceType);
  }

  // IsOmitted tells of values that an object's properties are left out for.
  bool IsOmitted(uint32_t word) const {
    if ((word & kTag) == 0) return false;
    return word == undefined_ || TypeOf(Whole(word)) == kSymbol;
  }

  Unit* WriteValue(uint32_t word, Unit* at) {
    if (at >= end_) return Refuse(Refusal::kTooLong);
    if ((word & kTag) == 0) return WriteInteger(static_cast<int32_t>(word) >> 1, at);
    const uintptr_t value = Whole(word), map = At(value, kMap);
    const auto type = Read<uint16_t>(map, kInstanceType);
    if (type < kFirstNonString) return WriteString(value, type, at);
    switch (type) {
      case kOrdinaryObject:
        return WriteObject(value, map, at);
      case kArray:
        return WriteArray(value, map, at);
      case kHeapNumber:
        return WriteDouble(Read<double>(value, kNumberValue), at);
      case kSymbol:
        return WriteAscii("null", at);
      case kOddball:
        if (word == true_) return WriteAscii("true", at);
        if (word == false_) return WriteAscii("false", at);
        if (word == null_ || word == undefined_) return WriteAscii("null", at);
    }
    return nullptr;
  }

  Unit* WriteAscii(std::string_view text, Unit* at) {
    for (char c : text) *at++ = static_cast<Unit>(c);
    return at;
  }

  Unit* WriteInteger(int32_t value, Unit* at) {
    constexpr size_t kMost = 11;
    if constexpr (sizeof(Unit) == 1) {
      auto* to = reinterpret_cast<char*>(at);
      return reinterpret_cast<Unit*>(std::to_chars(to, to + kMost, value).ptr);
    } else {
      char text[kMost];
      char* const end = std::to_chars(text, text + kMost, value).ptr;
      return WriteAscii({text, static_cast<size_t>(end - text)}, at);
    }
  }

  Unit* WriteDouble(double value, Unit* at) {
    if constexpr (sizeof(Unit) == 1) {
      return reinterpret_cast<Unit*>(WriteNumber(value, reinterpret_cast<char*>(at)));
    } else {
      char text[32];
      return WriteAscii({text, static_cast<size_t>(WriteNumber(value, text) - text)}, at);
    }
  }

  // ---- Strings ----

  Unit* WriteString(uintptr_t string, uint16_t type, Unit* at) {
    const auto length = Read<uint32_t>(string, kStringLength);
    if ((type & kStringForm) == kSequential) {
      if ((type & kOneByteString) != 0)
        return Quote(reinterpret_cast<const uint8_t*>(string - kTag + kCharacters), length, at);
      return Quote(reinterpret_cast<const uint16_t*>(string - kTag + kCharacters), length, at);
    }
    return (type & kOneByteString) != 0 ? WriteOtherString<uint8_t>(string, length, at)
                                        : WriteOtherString<uint16_t>(string, length, at);
  }

  // WriteOtherString writes a string whose characters are elsewhere, perhaps in many places: it
  // makes them one piece first, so far behind that what is written of them does not get there.
  template <typename Source>
  Unit* WriteOtherString(uintptr_t string, size_t length, Unit* at) {
    constexpr size_t kMostEscaped = 6, kMostPieced = 64 << 10;  // for one character; characters
    if constexpr (sizeof(Source) > sizeof(Unit)) {
      return Refuse(Refusal::kTwoBytes);
    } else {
      if (const Source* whole = FindWhole<Source>(string)) return Quote(whole, length, at);
      if (length > kMostPieced) return nullptr;
      const size_t behind = kMostEscaped * length + kMargin;
      if (static_cast<size_t>(end_ - at) < behind + length) return nullptr;
      auto* const copy = reinterpret_cast<Source*>(at + behind);
      return Collect(string, copy) ? Quote(copy, length, at) : nullptr;
    }
  }

  // FindWhole gives the characters of a string that are one piece; null: they are not, or they are
  // of another width than it said.
  template <typename Source>
  const Source* FindWhole(uintptr_t string) const {
    size_t offset = 0;
    for (;;) {
      const uint16_t type = TypeOf(string);
      if (((type & kOneByteString) != 0) != (sizeof(Source) == 1)) return nullptr;
      switch (type & kStringForm) {
        case kSequential:
          return reinterpret_cast<const Source*>(string - kTag + kCharacters) + offset;
        case kExternal:
          return ExternalCharacters<Source>(string) + offset;
        case kThin:
          string = At(string, kActual);
          break;
        case kSliced:
          offset += Read<uint32_t>(string, kSliceOffset) >> 1;
          string = At(string, kParent);
          break;
        default:
          // One that was made one piece has nothing as its second half.
          if (Read<uint32_t>(At(string, kSecond), kStringLength) != 0) return nullptr;
          string = At(string, kFirst);
      }
    }
  }

  template <typename Source>
  const Source* ExternalCharacters(uintptr_t string) const {
    using OneByte = v8::String::ExternalOneByteStringResource;
    using TwoByte = v8::String::ExternalStringResource;
    v8::String::Encoding encoding;
    auto* text = reinterpret_cast<v8::String*>(&string);  // what a Local refers to
    v8::String::ExternalStringResourceBase* resource =
        text->GetExternalStringResourceBase(&encoding);
    if constexpr (sizeof(Source) == 1) {
      return reinterpret_cast<const Source*>(static_cast<OneByte*>(resource)->data());
    } else {
      return static_cast<TwoByte*>(resource)->data();
    }
  }

  // Collect copies the characters of all pieces of a string. It calls itself for the shorter half
  // only, and so no more often than the length has bits.
  template <typename Target>
  bool Collect(uintptr_t string, Target* to) {
    for (;;) {
      if (!Count(kPieceSteps)) return false;
      const uint16_t type = TypeOf(string);
      const size_t length = Read<uint32_t>(string, kStringLength);
      if ((type & kStringForm) != kCons)
        return (type & kOneByteString) != 0 ? CopyWhole<uint8_t>(string, length, to)
                                            : CopyWhole<uint16_t>(string, length, to);
      const uintptr_t first = At(string, kFirst), second = At(string, kSecond);
      const size_t before = Read<uint32_t>(first, kStringLength);
      if (before < length - before) {
        if (!Collect(first, to)) return false;
        to += before;
        string = second;
      } else {
        if (before < length && !Collect(second, to + before)) return false;
        string = first;
      }
    }
  }

  template <typename Source, typename Target>
  bool CopyWhole(uintptr_t string, size_t length, Target* to) const {
    if constexpr (sizeof(Source) > sizeof(Target)) {
      return false;
    } else {
      const Source* whole = FindWhole<Source>(string);
      if (whole != nullptr) std::copy_n(whole, length, to);
      return whole != nullptr;
    }
  }

  // Quote writes a string.
  template <typename Source>
  Unit* Quote(const Source* from, size_t length, Unit* at) {
    if constexpr (sizeof(Source) > sizeof(Unit)) {
      return Refuse(Refusal::kTwoBytes);
    } else {
      if (static_cast<ptrdiff_t>(length) > end_ - at) return Refuse(Refusal::kTooLong);
      *at++ = '"';
      while (length > 0) {
        const size_t count = std::min(length, kBlock<Source>);
        const __m128i block = Load(from, count);
        Store<Unit, Source>(block, at);
        const uint32_t special =
            Special<Source>(block) & ((uint32_t{1} << count * sizeof(Source)) - 1);
        const size_t plain =
            special == 0 ? count : static_cast<size_t>(__builtin_ctz(special)) / sizeof(Source);
        at += plain;
        from += plain;
        length -= plain;
        if (special == 0) continue;
        if (length > 1 && IsPair(from[0], from[1])) {
          at = std::copy_n(from, 2, at);
          from += 2;
          length -= 2;
          continue;
        }
        at = WriteEscape(*from++, at);
        length--;
        if (static_cast<ptrdiff_t>(length) > end_ - at) return Refuse(Refusal::kTooLong);
      }
      *at++ = '"';
      return at;
    }
  }

  // ---- Objects and arrays ----

  // IsPlain tells that an object has no hidden ways of its own, and neither it nor its prototypes
  // have a toJSON. V8 keeps in a map whether there may be one.
  bool IsPlain(uintptr_t map) {
    if (Read<uint8_t>(map, kBitField) != 0) return false;
    const auto prototype = Read<uint32_t>(map, kPrototype);
    if (prototype == plain_[0] || prototype == plain_[1]) return true;
    if (!ArePlain(prototype)) return false;
    plain_[1] = plain_[0];
    plain_[0] = prototype;
    return true;
  }

  // ArePlain tells that prototypes have neither a toJSON nor elements, which array's holes would
  // show.
  bool ArePlain(uint32_t prototype) {
    constexpr int kMostPrototypes = 8;
    if (!Count(kObjectSteps)) return false;
    for (int i = 0; i < kMostPrototypes && prototype != null_; i++) {
      const uintptr_t object = Whole(prototype), map = At(object, kMap);
      const auto type = Read<uint16_t>(map, kInstanceType);
      if (type != kOrdinaryObject && type != kObjectPrototype && type != kArray) return false;
      if (Read<uint8_t>(map, kBitField) != 0 || MayHaveToJSON(object, map)) return false;
      if (Read<uint32_t>(At(object, kElements), kLength) != 0) return false;
      prototype = Read<uint32_t>(map, kPrototype);
    }
    return prototype == null_;
  }

  // MayHaveToJSON tells that an object itself may have it: it, or one of some symbols.
  bool MayHaveToJSON(uintptr_t object, uintptr_t map) const {
    const auto bits = Read<uint32_t>(map, kBitField3);
    if ((bits & kInterestingMap) == 0) return false;
    if ((bits & kDictionaryMap) == 0) return true;
    return (Read<uint32_t>(At(object, kProperties), kDictionaryFlags) & kInterestingDictionary) !=
           0;
  }

  Unit* WriteObject(uintptr_t object, uintptr_t map, Unit* at) {
    if (!IsPlain(map) || MayHaveToJSON(object, map) || depth_ == kMostDepth) return nullptr;
    depth_++;
    *at++ = '{';
    const uintptr_t elements = At(object, kElements);
    const size_t length = Read<uint32_t>(elements, kLength) >> 1;
    if (length != 0) [[unlikely]] {
      at = WriteIndexed(elements, map, length, at);
      if (at == nullptr) return nullptr;
    }
    at = (Read<uint32_t>(map, kBitField3) & kDictionaryMap) == 0 ? WriteFields(object, map, at)
                                                                 : WriteDictionary(object, at);
    if (at == nullptr) return nullptr;
    depth_--;
    return Close('}', at);
  }

  // Close ends an object or array: each of its parts has left a comma.
  Unit* Close(char bracket, Unit* at) {
    if (at[-1] == ',') at--;
    *at++ = static_cast<Unit>(bracket);
    return at;
  }

  // WriteIndexed writes the properties of an object whose names are indices.
  Unit* WriteIndexed(uintptr_t elements, uintptr_t map, size_t length, Unit* at) {
    const uint32_t kind = Read<uint8_t>(map, kBitField2) >> kElementsKindShift;
    if (kind > kLastFastKind || kind == kDoubles || kind == kDoublesWithHoles) return nullptr;
    if (!Count(length)) return nullptr;
    for (size_t i = 0; i < length; i++) {
      const auto word = Read<uint32_t>(elements, kFirstElement + i * kWord);
      if (word == hole_ || IsOmitted(word)) continue;
      if (at >= end_) return Refuse(Refusal::kTooLong);
      *at++ = '"';
      at = WriteInteger(static_cast<int32_t>(i), at);
      *at++ = '"';
      *at++ = ':';
      at = WriteValue(word, at);
      if (at == nullptr) return nullptr;
      *at++ = ',';
    }
    return at;
  }

  // WriteFields writes the properties of an object that its map describes.
  Unit* WriteFields(uintptr_t object, uintptr_t map, Unit* at) {
    const uintptr_t others = At(object, kProperties);
    const size_t first = Read<uint8_t>(map, kFirstProperty);
    const size_t inside = Read<uint8_t>(map, kInstanceWords) - first;
    const size_t count =
        Read<uint32_t>(map, kBitField3) >> kOwnDescriptorsShift & kOwnDescriptorsMask;
    if (!Count(kObjectSteps + count)) return nullptr;
    uintptr_t descriptor = At(map, kDescriptors) + kFirstDescriptor;
    for (size_t i = 0; i < count; i++, descriptor += kDescriptorBytes) {
      const auto details = Read<uint32_t>(descriptor, kDescriptorDetails);
      if ((details & kNotEnumerable) != 0) continue;
      const uintptr_t name = At(descriptor, kDescriptorName);
      const uint16_t type = TypeOf(name);
      if (type == kSymbol) continue;
      if ((details & (kAccessor | kNoField)) != 0) return nullptr;
      const size_t field = details >> kFieldIndexShift & kFieldIndexMask;
      const auto word = field < inside
                            ? Read<uint32_t>(object, (first + field) * kWord)
                            : Read<uint32_t>(others, kFirstElement + (field - inside) * kWord);
      at = WriteProperty(name, type, word, at);
      if (at == nullptr) return nullptr;
    }
    return at;
  }

  Unit* WriteProperty(uintptr_t name, uint16_t type, uint32_t word, Unit* at) {
    if (IsOmitted(word)) return at;
    if (at >= end_) return Refuse(Refusal::kTooLong);
    at = WriteString(name, type, at);
    if (at == nullptr) return nullptr;
    *at++ = ':';
    at = WriteValue(word, at);
    if (at == nullptr) return nullptr;
    *at++ = ',';
    return at;
  }

  // WriteDictionary writes the properties of an object that has a hash table of them, in the order
  // in which they were made. The table of that order is at the end of the memory.
  Unit* WriteDictionary(uintptr_t object, Unit* at) {
    const uintptr_t table = At(object, kProperties);
    const size_t count = Read<uint32_t>(table, kDictionaryCount) >> 1;
    const size_t capacity = Read<uint32_t>(table, kDictionaryCapacity) >> 1;
    const size_t units = count * (sizeof(uint64_t) / sizeof(Unit));
    if (count > kMostSorted || !Count(kObjectSteps + capacity + count * kObjectSteps) ||
        at >= end_ || static_cast<size_t>(end_ - at) < units)
      return nullptr;
    end_ -= units;
    auto* const order = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(end_ + kMargin) &
                                                    ~(alignof(uint64_t) - 1));
    size_t found = 0;
    uintptr_t entry = table + kFirstEntry;
    for (size_t i = 0; i < capacity; i++, entry += kEntryBytes) {
      const auto name = Read<uint32_t>(entry, kEntryName);
      if (name == undefined_ || name == hole_) continue;
      const auto details = Read<uint32_t>(entry, kEntryDetails);
      if ((details & kNotEnumerable) != 0 || TypeOf(Whole(name)) == kSymbol) continue;
      if ((details & kAccessor) != 0 || found == count) return nullptr;
      order[found++] = uint64_t{details >> kEntryOrderShift} << 32 | i;
    }
    std::sort(order, order + found);
    for (size_t i = 0; i < found; i++) {
      entry = table + kFirstEntry + static_cast<uint32_t>(order[i]) * kEntryBytes;
      const uintptr_t name = At(entry, kEntryName);
      at = WriteProperty(name, TypeOf(name), Read<uint32_t>(entry, kEntryValue), at);
      if (at == nullptr) return nullptr;
    }
    end_ += units;
    return at;
  }

  Unit* WriteArray(uintptr_t array, uintptr_t map, Unit* at) {
    const uint32_t kind = Read<uint8_t>(map, kBitField2) >> kElementsKindShift;
    const auto length = Read<uint32_t>(array, kArrayLength);
    const uintptr_t elements = At(array, kElements);
    if (kind > kLastFastKind || (length & kTag) != 0 ||
        length > Read<uint32_t>(elements, kLength) || depth_ == kMostDepth || !IsPlain(map) ||
        MayHaveToJSON(array, map) || !Count(kObjectSteps))
      return nullptr;
    depth_++;
    *at++ = '[';
    at = kind == kDoubles || kind == kDoublesWithHoles ? WriteDoubles(elements, length >> 1, at)
                                                       : WriteElements(elements, length >> 1, at);
    if (at == nullptr) return nullptr;
    depth_--;
    return Close(']', at);
  }

  Unit* WriteElements(uintptr_t elements, size_t length, Unit* at) {
    for (size_t i = 0; i < length; i++) {
      if (i % kElementsAtOnce == kElementsAtOnce - 1 && !Count(kElementsAtOnce)) return nullptr;
      auto word = Read<uint32_t>(elements, kFirstElement + i * kWord);
      if (word == hole_) word = undefined_;
      at = WriteValue(word, at);
      if (at == nullptr) return nullptr;
      *at++ = ',';
    }
    return at;
  }

  // WriteDoubles writes numbers that are no objects. A hole is one of those that are none.
  Unit* WriteDoubles(uintptr_t elements, size_t length, Unit* at) {
    for (size_t i = 0; i < length; i++) {
      if (at >= end_) return Refuse(Refusal::kTooLong);
      if (i % kElementsAtOnce == kElementsAtOnce - 1 && !Count(kElementsAtOnce * kDoubleSteps))
        return nullptr;
      at = WriteDouble(Read<double>(elements, kFirstElement + i * sizeof(double)), at);
      *at++ = ',';
    }
    return at;
  }

  // Count counts steps. False: V8 goes on from the beginning.
  bool Count(size_t steps) {
    steps_ += steps;
    return steps_ <= kUnasked || (steps_ <= kMostSteps && !asked_->load(std::memory_order_relaxed));
  }

  Unit* Refuse(Refusal refusal) {
    refusal_ = refusal;
    return nullptr;
  }

  v8::Isolate* const isolate_;
  const uint32_t undefined_, hole_, null_, true_, false_;
  uintptr_t cage_ = 0;
  Unit* end_;
  const std::atomic<bool>* asked_;
  uint32_t plain_[2] = {};  // prototypes of which ArePlain is known
  int depth_ = 0;
  size_t steps_ = 0;
  Refusal refusal_ = Refusal::kNotPlain;
};

// TryStringify gives the text of plain data; empty: it is not plain, or there is too much of it.
v8::Local<v8::String> TryStringify(v8::Isolate* isolate, uintptr_t value) {
  constexpr auto kNormal = v8::NewStringType::kNormal;
  thread_local Room room;
  char* memory = room.Get();
  if (memory == nullptr) return {};
  v8::MaybeLocal<v8::String> text;
  size_t used = 0;
  auto* bytes = reinterpret_cast<uint8_t*>(memory);
  auto* units = reinterpret_cast<uint16_t*>(memory);
  Stringifier<uint8_t> narrow(isolate, bytes, kMostUnits);
  if (uint8_t* end = narrow.Write(value, bytes)) {
    used = static_cast<size_t>(end - bytes);
    text = v8::String::NewFromOneByte(isolate, bytes, kNormal, static_cast<int>(used));
  } else if (narrow.refusal() == Refusal::kTwoBytes) {
    Stringifier<uint16_t> wide(isolate, units, kMostUnits);
    if (uint16_t* end = wide.Write(value, units)) {
      used = static_cast<size_t>(end - units) * sizeof *units;
      text = v8::String::NewFromTwoByte(isolate, units, kNormal, static_cast<int>(end - units));
    } else if (wide.refusal() == Refusal::kTooLong) {
      used = kMostUnits * sizeof *units;
    }
  } else if (narrow.refusal() == Refusal::kTooLong) {
    used = kMostUnits;
  }
  room.Shrink(used);
  return text.FromMaybe(v8::Local<v8::String>());
}

}  // namespace

#else

namespace {

v8::Local<v8::String> TryStringify(v8::Isolate*, uintptr_t) { return {}; }

}  // namespace

#endif

// What V8 calls a handle.
using Handle = uintptr_t*;

#define NANO_STRINGIFY                                                                            \
  "_ZN2v88internal13JsonStringifyEPNS0_7IsolateENS0_6HandleINS0_5UnionIJNS0_3SmiENS0_10HeapNumbe" \
  "rENS0_6BigIntENS0_6StringENS0_6SymbolENS0_7BooleanENS0_4NullENS0_9UndefinedENS0_10JSReceiverE" \
  "EEEEESF_NS3_INS0_6ObjectEEE"

Handle Stringify(v8::Isolate* isolate, Handle value, Handle replacer,
                 Handle gap) asm("__wrap_" NANO_STRINGIFY);
Handle RealStringify(v8::Isolate* isolate, Handle value, Handle replacer,
                     Handle gap) asm("__real_" NANO_STRINGIFY);

static bool does_as_v8 = false;

Handle Stringify(v8::Isolate* isolate, Handle value, Handle replacer, Handle gap) {
  using v8::internal::Internals;
  const uintptr_t undefined = Internals::GetRoot(isolate, Internals::kUndefinedValueRootIndex);
  const uintptr_t null = Internals::GetRoot(isolate, Internals::kNullValueRootIndex);
  auto is_given = [&](Handle argument) { return *argument != undefined && *argument != null; };
  if (does_as_v8 && !is_given(replacer) && !is_given(gap)) {
    v8::Local<v8::String> text = TryStringify(isolate, *value);
    if (!text.IsEmpty()) return reinterpret_cast<Handle>(*text);
  }
  return RealStringify(isolate, value, replacer, gap);
}

// IsSameText tells whether there is a text of a value here, and it is that of V8.
static bool IsSameText(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  v8::Local<v8::Value> undefined = v8::Undefined(isolate);
  auto handle = [](v8::Local<v8::Value> local) { return reinterpret_cast<Handle>(*local); };
  Handle wanted = RealStringify(isolate, handle(value), handle(undefined), handle(undefined));
  v8::Local<v8::String> got = TryStringify(isolate, Pointer(value));
  if (wanted == nullptr || got.IsEmpty()) return false;
  v8::Local<v8::String> text;
  memcpy(static_cast<void*>(&text), &wanted, sizeof wanted);
  return got->StringEquals(text);
}

void PrepareStringify(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  constexpr std::string_view kSamples[] = {
      R"({"a":-1073741824,"b":1073741823,"c":2147483648,"d":-1.5e-7,"e":1e300,"f":0.1,"g":[]})",
      R"([true,false,null,"","x","a \"line\" with \\ and\n\u0001, and more than a few words",{}])",
      R"({"latin 1":"\u00e9","wide":"\u4e2d\ud83d\ude00\ud800","\u4e2d":{"a":{"b":[[[1]]]}}})",
      R"({"integers":[1,-2,3],"numbers":[0.5,-0,1e21],"mixed":[1,"x",null,1.5,{"a":1},[]]})",
      R"([{"a":1,"b":"x"},{"a":0.5,"b":"y"},{"a":null,"b":[]},{"b":1,"a":2}])",
  };
  v8::Context::Scope scope(context);
  for (std::string_view sample : kSamples) {
    auto* bytes = reinterpret_cast<const uint8_t*>(sample.data());
    v8::Local<v8::String> text;
    v8::Local<v8::Value> value;
    if (!v8::String::NewFromOneByte(isolate, bytes, v8::NewStringType::kNormal,
                                    static_cast<int>(sample.size()))
             .ToLocal(&text) ||
        !v8::JSON::Parse(context, text).ToLocal(&value) || !IsSameText(isolate, value))
      return;
  }
  // Holes, and properties that have come one by one.
  v8::Local<v8::Array> holes = v8::Array::New(isolate, 3);
  v8::Local<v8::Object> object = v8::Object::New(isolate);
  if (holes->Set(context, 1, v8::Number::New(isolate, 0.5)).IsNothing()) return;
  for (uint8_t name : std::string_view("qwertyuiop")) {
    v8::Local<v8::String> text;
    if (!v8::String::NewFromOneByte(isolate, &name, v8::NewStringType::kInternalized, 1)
             .ToLocal(&text) ||
        object->Set(context, text, holes).IsNothing())
      return;
  }
  does_as_v8 = IsSameText(isolate, holes) && IsSameText(isolate, object);
}

bool StringifiesAsV8() { return does_as_v8; }

}  // namespace nano::json
