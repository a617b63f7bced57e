// V8's parser of JSON finds out for each property of each object how objects with it look, and for
// each string whether there is one already, by functions out of line. Here the objects of documents
// before tell what is likely to come. Bytes become objects in one pass, in the memory where V8
// makes young ones: there is no string of the document, and nothing is entered in V8's books until
// all of it has turned out well. Whatever is unusual is left to V8's parser, from the beginning.
//
// V8's optimized code relies on what the map of an object tells of its fields. So a value is
// written only where the map allows for it at that time; V8's parser changes or replaces maps, if
// it must.
#include "json_parse.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "heap_layout.h"
#include "simdutf.h"

namespace nano::json {

using namespace heap;

namespace {

constexpr int kDepthMax = 64;            // of nested values
constexpr size_t kShapesMax = 512;       // of a realm
constexpr size_t kNameMax = 62;          // bytes of a name
constexpr size_t kObjectMax = 64 << 10;  // bytes; V8 has a space of its own for larger ones
constexpr size_t kChunk = 16;            // bytes that are looked at together

// What all isolates of the process have in common, since they share the heap that is read only.
struct Common {
  uint32_t undefined, null, yes, no, empty_string, empty_array;
  // Maps.
  uint32_t one_byte, two_byte, number, array, doubles;
  std::array<uint32_t, 256> characters;  // strings
  bool works = false;
};
Common common;

// A parsed value is a pointer or a small integer, or else a number. No document has a NaN, so those
// with this in front are free.
constexpr uint64_t kBox = uint64_t{0xffff} << 48;
bool IsWord(uint64_t value) { return value >= kBox; }
uint32_t Word(uint64_t value) { return static_cast<uint32_t>(value); }
uint64_t Box(uint64_t object) { return kBox | static_cast<uint32_t>(object); }
bool IsPointer(uint64_t value) { return IsWord(value) && (value & kTag) != 0; }
uint64_t BoxInteger(int32_t value) { return Box(static_cast<uint32_t>(value) << 1); }
uint64_t BoxNumber(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
double Number(uint64_t value) {
  if (IsWord(value)) return static_cast<int32_t>(Word(value)) >> 1;
  double number;
  memcpy(&number, &value, sizeof number);
  return number;
}

// Values are the numbers of those that belong to objects and arrays without an end so far. A
// document has at most one to every two bytes.
uint64_t* Values() {
  thread_local std::unique_ptr<uint64_t[]> values(new uint64_t[kLengthMax / 2 + kChunk]);
  return values.get();
}

bool IsDigit(uint8_t c) { return static_cast<uint8_t>(c - '0') < 10; }
bool IsSpace(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Special gives a bit for each byte of a chunk that does not stand for itself in a string.
template <Encoding encoding>
uint32_t Special(const uint8_t* chunk) {
#ifdef __SSE2__
  auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(chunk));
  auto special = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                              _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  // As signed numbers, those beyond ASCII are less than a space too.
  auto low = encoding == Encoding::kUtf8
                 ? _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '))
                 : _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ' - 1)), bytes);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(special, low)));
#else
  uint32_t bits = 0;
  for (size_t i = 0; i < kChunk; i++) {
    uint8_t c = chunk[i];
    bool special = c < ' ' || c == '"' || c == '\\' || (encoding == Encoding::kUtf8 && c >= 0x80);
    bits |= uint32_t{special} << i;
  }
  return bits;
#endif
}

}  // namespace

// Parser parses one document. Its methods return false where V8 is to do it.
template <Encoding encoding>
class Parser {
 public:
  Parser(Shapes* shapes, std::string_view text, const Area& area)
      : at_(reinterpret_cast<const uint8_t*>(text.data())),
        end_(at_ + text.size()),
        top_(area.top),
        limit_(area.limit),
        cage_(Cage(area.top)),
        next_(Values()),
        root_(&shapes->root_),
        maps_{static_cast<uint32_t>(shapes->integers_.Get()),
              static_cast<uint32_t>(shapes->doubles_.Get()),
              static_cast<uint32_t>(shapes->values_.Get())} {}

  bool Document(uint64_t* value) {
    Space();
    if (!Value(value, 0)) return false;
    Space();
    return at_ == end_ || Refuse();
  }

  // Boxed gives the word of a value.
  bool Boxed(uint64_t value, uint32_t* word) {
    if (IsWord(value)) {
      *word = Word(value);
      return true;
    }
    uintptr_t number;
    if (!Allocate(kNumberBytes, &number)) return false;
    Write(number, kMap, common.number);
    Write(number, kNumberValue, value);
    *word = static_cast<uint32_t>(number);
    return true;
  }

  uintptr_t top() const { return top_; }
  Outcome outcome() const { return outcome_; }

 private:
  bool Refuse() {
    outcome_ = Outcome::kRefused;
    return false;
  }
  bool Unknown() {
    outcome_ = Outcome::kUnknown;
    return false;
  }
  bool NoRoom() {
    outcome_ = Outcome::kNotNow;
    return false;
  }

  void Space() {
    while (at_ < end_ && IsSpace(*at_)) at_++;
  }

  // Is skips a character, with space before it.
  bool Is(uint8_t c) {
    if (at_ < end_ && *at_ == c) [[likely]] {
      at_++;
      return true;
    }
    Space();
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }

  bool Allocate(size_t bytes, uintptr_t* object) {
    if (bytes > kObjectMax) [[unlikely]]
      return Refuse();
    if (limit_ - top_ < bytes) [[unlikely]]
      return NoRoom();
    *object = top_ + kTag;
    top_ += bytes;
    return true;
  }

  bool Value(uint64_t* value, int depth) {
    if (at_ == end_) return Refuse();
    switch (*at_) {
      case '"':
        at_++;
        return String(value);
      case '{':
        at_++;
        return depth < kDepthMax ? Object(value, depth + 1) : Refuse();
      case '[':
        at_++;
        return depth < kDepthMax ? Array(value, depth + 1) : Refuse();
      case 't':
        return Literal("true", common.yes, value);
      case 'f':
        return Literal("false", common.no, value);
      case 'n':
        return Literal("null", common.null, value);
      default:
        return ReadNumber(value);
    }
  }

  bool Literal(std::string_view word, uint32_t object, uint64_t* value) {
    if (static_cast<size_t>(end_ - at_) < word.size() || memcmp(at_, word.data(), word.size()) != 0)
      return Refuse();
    at_ += word.size();
    *value = Box(object);
    return true;
  }

  // ---- Numbers ----

  // Digits adds digits to a number, as long as that holds them all.
  uint64_t Digits(uint64_t number) {
    while (at_ < end_ && IsDigit(*at_)) number = number * 10 + (*at_++ - '0');
    return number;
  }

  bool ReadNumber(uint64_t* value) {
    const uint8_t* const begin = at_;
    const bool is_negative = *at_ == '-';
    if (is_negative) at_++;
    const uint8_t* const whole = at_;
    uint64_t number = Digits(0);
    auto digits = at_ - whole;
    if (digits == 0 || (digits > 1 && *whole == '0')) return Refuse();
    if (at_ == end_ || (*at_ != '.' && (*at_ | 0x20) != 'e')) {
      constexpr int kFitting = 9;  // digits
      if (digits <= kFitting && (number != 0 || !is_negative)) [[likely]] {
        auto integer = static_cast<int32_t>(number);
        *value = BoxInteger(is_negative ? -integer : integer);
        return true;
      }
      return Finish(begin, is_negative, number, digits, 0, value);
    }
    int64_t exponent = 0;
    if (*at_ == '.') {
      const uint8_t* const fraction = ++at_;
      number = Digits(number);
      exponent = fraction - at_;
      if (exponent == 0) return Refuse();
      digits -= exponent;
    }
    if (at_ < end_ && (*at_ | 0x20) == 'e') {
      at_++;
      const bool is_small = at_ < end_ && *at_ == '-';
      if (at_ < end_ && (*at_ == '-' || *at_ == '+')) at_++;
      const uint8_t* const power = at_;
      auto by = static_cast<int64_t>(Digits(0));
      if (at_ == power) return Refuse();
      constexpr int kFitting = 4;                      // digits
      if (at_ - power > kFitting) digits = INT32_MAX;  // not by Finish's short way
      exponent += is_small ? -by : by;
    }
    return Finish(begin, is_negative, number, digits, exponent, value);
  }

  // Finish gives the value of a number that has been read: number, of so many digits, by a power of
  // ten. What doubles hold exactly and one operation is rounded as it has to be.
  bool Finish(const uint8_t* begin, bool is_negative, uint64_t number, int64_t digits,
              int64_t exponent, uint64_t* value) {
    static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                         1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                         1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    constexpr int64_t kDigits = 15, kPower = std::size(kPowers) - 1;
    double result;
    if (digits <= kDigits && exponent >= -kPower && exponent <= kPower) {
      result = static_cast<double>(number);
      result = exponent < 0 ? result / kPowers[-exponent] : result * kPowers[exponent];
      if (is_negative) result = -result;
    } else {
      auto done = std::from_chars(reinterpret_cast<const char*>(begin),
                                  reinterpret_cast<const char*>(at_), result);
      if (done.ec != std::errc() || done.ptr != reinterpret_cast<const char*>(at_)) return Refuse();
    }
    if (result >= kIntegerMin && result <= kIntegerMax) {
      auto integer = static_cast<int32_t>(result);
      if (integer == result && (integer != 0 || !std::signbit(result))) {
        *value = BoxInteger(integer);
        return true;
      }
    }
    *value = BoxNumber(result);
    return true;
  }

  // ---- Strings ----

  // String reads what is behind a quote.
  bool String(uint64_t* value) {
    const uint8_t* const begin = at_;
    // The characters are copied as they are looked at.
    uintptr_t to = top_ + kCharacters;
    for (;;) {
      uint32_t special;
      if (end_ - at_ >= static_cast<ptrdiff_t>(kChunk) && limit_ > to && limit_ - to >= kChunk)
          [[likely]] {
        memcpy(reinterpret_cast<void*>(to), at_, kChunk);
        special = Special<encoding>(at_);
      } else {
        // Near the end of the one or the other.
        if (limit_ <= to || limit_ - to < kChunk) return NoRoom();
        uint8_t chunk[kChunk] = {};  // 0 is special
        memcpy(chunk, at_, static_cast<size_t>(end_ - at_));
        memcpy(reinterpret_cast<void*>(to), chunk, kChunk);
        special = Special<encoding>(chunk);
      }
      if (special == 0) {
        at_ += kChunk;
        to += kChunk;
        continue;
      }
      at_ += __builtin_ctz(special);
      break;
    }
    if (at_ == end_) return Refuse();
    if (*at_ != '"') [[unlikely]]
      return UnusualString(begin, value);
    auto length = static_cast<size_t>(at_++ - begin);
    if (length <= 1) {
      *value = Box(length == 0 ? common.empty_string : common.characters[*begin]);
      return true;
    }
    uintptr_t string;
    if (!NewString(common.one_byte, length, 1, &string)) return false;
    *value = Box(string);
    return true;
  }

  // NewString makes a string around characters, which are in their place or will be.
  bool NewString(uint32_t map, size_t length, size_t width, uintptr_t* string) {
    const size_t bytes = kCharacters + length * width;
    if (!Allocate((bytes + kWord - 1) / kWord * kWord, string)) return false;
    for (size_t i = bytes; i % kWord != 0; i++) Write(*string, i, uint8_t{0});
    Write(*string, kMap, map);
    Write(*string, kHash, kNoHash);
    Write(*string, kStringLength, static_cast<uint32_t>(length));
    return true;
  }

  // UnusualString reads a string with characters that do not stand for themselves.
  bool UnusualString(const uint8_t* begin, uint64_t* value) {
    size_t length = 0;
    uint32_t all = 0, unit = 0;
    at_ = begin;
    while (Unit(&unit)) {
      all |= unit;
      length += unit > 0xffff ? 2 : 1;
    }
    if (at_ >= end_ || *at_ != '"') return Refuse();
    if (length == 1 && all <= 0xff) {
      at_ = begin;
      Unit(&unit);
      at_++;
      *value = Box(common.characters[unit]);
      return true;
    }
    uintptr_t string;
    const bool is_wide = all > 0xff;
    if (!NewString(is_wide ? common.two_byte : common.one_byte, length, is_wide ? 2 : 1, &string))
      return false;
    at_ = begin;
    if (is_wide) {
      for (size_t to = kCharacters; Unit(&unit);) {
        if (unit > 0xffff) {
          Write(string, to, static_cast<uint16_t>(0xd7c0 + (unit >> 10)));
          to += 2;
          unit = 0xdc00 | (unit & 0x3ff);
        }
        Write(string, to, static_cast<uint16_t>(unit));
        to += 2;
      }
    } else {
      for (size_t to = kCharacters; Unit(&unit); to++)
        Write(string, to, static_cast<uint8_t>(unit));
    }
    at_++;
    *value = Box(string);
    return true;
  }

  // Unit reads a character of a string, which may be half of a pair if it is escaped. False: its
  // end is there, or an error.
  bool Unit(uint32_t* unit) {
    if (at_ == end_) return false;
    uint8_t c = *at_;
    if (c == '"' || c < ' ') return false;
    if (c == '\\') return Escape(unit);
    if (encoding == Encoding::kUtf8 && c >= 0x80) return Sequence(unit);
    *unit = c;
    at_++;
    return true;
  }

  bool Escape(uint32_t* unit) {
    if (end_ - at_ < 2) return false;
    switch (at_[1]) {
      case '"':
      case '\\':
      case '/':
        *unit = at_[1];
        break;
      case 'b':
        *unit = '\b';
        break;
      case 'f':
        *unit = '\f';
        break;
      case 'n':
        *unit = '\n';
        break;
      case 'r':
        *unit = '\r';
        break;
      case 't':
        *unit = '\t';
        break;
      case 'u':
        return Hex(unit);
      default:
        return false;
    }
    at_ += 2;
    return true;
  }

  bool Hex(uint32_t* unit) {
    constexpr int kLength = 6;
    if (end_ - at_ < kLength) return false;
    uint32_t code = 0;
    for (int i = 2; i < kLength; i++) {
      uint8_t c = at_[i], letter = c | 0x20;
      if (IsDigit(c)) {
        code = code << 4 | (c - '0');
      } else if (letter >= 'a' && letter <= 'f') {
        code = code << 4 | (letter - 'a' + 10);
      } else {
        return false;
      }
    }
    *unit = code;
    at_ += kLength;
    return true;
  }

  // Sequence reads a character of UTF-8 that has several bytes.
  bool Sequence(uint32_t* unit) {
    const uint8_t lead = *at_;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || end_ - at_ <= more) return false;
    uint32_t code = lead & (0x3f >> more);
    for (int i = 1; i <= more; i++) {
      if ((at_[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (at_[i] & 0x3f);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    *unit = code;
    at_ += more + 1;
    return true;
  }

  // ---- Arrays ----

  bool Array(uint64_t* value, int depth) {
    uint64_t* const first = next_;
    Space();
    if (!Is(']')) {
      do {
        Space();
        uint64_t element;
        if (!Value(&element, depth)) return false;
        *next_++ = element;
      } while (Is(','));
      if (!Is(']')) return Refuse();
    }
    const uint64_t* const end = next_;
    next_ = first;
    return NewArray(first, end, value);
  }

  // NewArray makes an array as V8 does: its kind of elements is the narrowest that holds all.
  bool NewArray(const uint64_t* first, const uint64_t* end, uint64_t* value) {
    bool has_pointers = false, has_numbers = false;
    for (const uint64_t* at = first; at < end; at++) {
      has_pointers |= IsPointer(*at);
      has_numbers |= !IsWord(*at);
    }
    const bool is_doubles = has_numbers && !has_pointers;
    const uint32_t map = maps_[has_pointers ? 2 : is_doubles];
    if (map == 0) return Unknown();
    const auto length = static_cast<size_t>(end - first);
    uintptr_t array, elements = common.empty_array;
    if (length > 0) {
      const size_t each = is_doubles ? sizeof(double) : kWord;
      if (!Allocate(kFirstElement + length * each, &elements)) return false;
      Write(elements, kMap, is_doubles ? common.doubles : common.array);
      Write(elements, kLength, static_cast<uint32_t>(length << 1));
    }
    size_t at = kFirstElement;
    for (const uint64_t* element = first; element < end; element++) {
      if (is_doubles) {
        Write(elements, at, Number(*element));
        at += sizeof(double);
        continue;
      }
      uint32_t word;
      if (!Boxed(*element, &word)) return false;
      Write(elements, at, word);
      at += kWord;
    }
    if (!Allocate(kArrayBytes, &array)) return false;
    Write(array, kMap, map);
    Write(array, kProperties, common.empty_array);
    Write(array, kElements, static_cast<uint32_t>(elements));
    Write(array, kArrayLength, static_cast<uint32_t>(length << 1));
    *value = Box(array);
    return true;
  }

  // ---- Objects ----

  bool Object(uint64_t* value, int depth) {
    uint64_t* const first = next_;
    Shape* shape = root_;
    if (!Is('}')) {
      do {
        if (!Is('"')) return Refuse();
        shape = Name(shape);
        if (shape == nullptr) return false;
        Space();
        uint64_t property;
        if (!Value(&property, depth)) return false;
        *next_++ = property;
      } while (Is(','));
      if (!Is('}')) return Refuse();
    }
    next_ = first;
    return NewObject(*shape, first, value);
  }

  static bool Matches(const Shape& shape, const uint8_t* at, size_t left) {
#ifdef __SSE2__
    if (left >= kChunk && shape.length <= kChunk) {
      auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      auto start = _mm_load_si128(reinterpret_cast<const __m128i*>(shape.start));
      auto same = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, start)));
      return (~same & shape.mask) == 0;
    }
#endif
    const char* name = shape.name != nullptr ? shape.name.get() : shape.start;
    return left >= shape.length && memcmp(at, name, shape.length) == 0;
  }

  // Name reads a name behind a quote, and the colon. Null: no object like that is known, or it is
  // an error.
  Shape* Name(Shape* parent) {
    auto left = static_cast<size_t>(end_ - at_);
    Shape* shape = parent->likely;
    if (shape == nullptr || !Matches(*shape, at_, left)) [[unlikely]] {
      for (shape = parent->children; shape != nullptr; shape = shape->next)
        if (Matches(*shape, at_, left)) break;
      if (shape == nullptr) return SpacedName(parent);
      parent->likely = shape;
    }
    at_ += shape->length;
    return shape;
  }

  // SpacedName is the same where space stands before the colon.
  Shape* SpacedName(Shape* parent) {
    const uint8_t* const name = at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\\') at_++;
    const auto length = static_cast<size_t>(at_ - name);
    if (at_ == end_ || *at_ == '\\') {
      Refuse();
      return nullptr;
    }
    at_++;
    if (at_ == end_ || !IsSpace(*at_) || length > kNameMax) {
      Unknown();
      return nullptr;
    }
    if (!Is(':')) {
      Refuse();
      return nullptr;
    }
    uint8_t wanted[kNameMax + 2];
    memcpy(wanted, name, length);
    memcpy(wanted + length, "\":", 2);
    for (Shape* shape = parent->children; shape != nullptr; shape = shape->next)
      if (Matches(*shape, wanted, length + 2)) return shape;
    Unknown();
    return nullptr;
  }

  // NewObject makes an object of properties, if its map allows for them. That is asked each time:
  // maps change, and a collection may have dropped the map.
  bool NewObject(const Shape& shape, const uint64_t* values, uint64_t* value) {
    const uintptr_t map = shape.map.Get();
    if (map == 0 || (Read<uint32_t>(map, kBitField3) & kDeprecatedMap) != 0) return Unknown();
    uintptr_t object;
    if (!Allocate(shape.words * kWord, &object)) return false;
    Write(object, kMap, static_cast<uint32_t>(map));
    Write(object, kProperties, common.empty_array);
    Write(object, kElements, common.empty_array);
    uintptr_t descriptor = (cage_ | Read<uint32_t>(map, kDescriptors)) + kFirstDescriptor;
    size_t at = kObjectHeader;
    for (size_t i = 0; i < shape.properties; i++) {
      const auto details = Read<uint32_t>(descriptor, kDescriptorDetails);
      const auto type = Read<uint32_t>(descriptor, kDescriptorType);
      uint32_t word;
      if (!Field(details >> kRepresentationShift & kRepresentationMask, type, values[i], &word))
        return false;
      Write(object, at, word);
      at += kWord;
      descriptor += kDescriptorBytes;
    }
    for (; at < shape.words * kWord; at += kWord) Write(object, at, common.undefined);
    *value = Box(object);
    return true;
  }

  // Field gives the word for a value in a field of a representation and a type.
  bool Field(uint32_t representation, uint32_t type, uint64_t value, uint32_t* word) {
    switch (representation) {
      case kInteger:
        if (!IsWord(value) || IsPointer(value)) return Unknown();
        *word = Word(value);
        return true;
      case kDouble:
        if (IsPointer(value)) return Unknown();
        // Stores to the field change the number, which is the object's own.
        return Boxed(BoxNumber(Number(value)), word);
      case kHeapObject:
        if (IsWord(value) && !IsPointer(value)) return Unknown();
        break;
      case kTagged:
        break;
      default:
        return Unknown();
    }
    // No shape is known of a number.
    if (type != kAnyValue && (!IsPointer(value) || type != (MapOf(value) | kWeak)))
      return Unknown();
    return Boxed(value, word);
  }

  uint32_t MapOf(uint64_t pointer) { return Read<uint32_t>(cage_ | Word(pointer), kMap); }

  const uint8_t* at_;
  const uint8_t* const end_;
  uintptr_t top_;
  const uintptr_t limit_, cage_;
  uint64_t* next_;  // of Values
  Shape* const root_;
  const std::array<uint32_t, 3> maps_;  // of arrays
  Outcome outcome_ = Outcome::kParsed;
};

namespace {

// Handles makes handles of pointers.
struct Handles : v8::HandleScope {
  static v8::Local<v8::Value> New(v8::Isolate* isolate, uintptr_t object) {
    uintptr_t* place = CreateHandle(reinterpret_cast<v8::internal::Isolate*>(isolate), object);
    v8::Local<v8::Value> value;
    static_assert(sizeof value == sizeof place);
    memcpy(static_cast<void*>(&value), &place, sizeof place);
    return value;
  }
};

v8::Local<v8::String> Text(v8::Isolate* isolate, std::string_view text) {
  return v8::String::NewFromOneByte(isolate, reinterpret_cast<const uint8_t*>(text.data()),
                                    v8::NewStringType::kNormal, static_cast<int>(text.size()))
      .ToLocalChecked();
}

template <Encoding encoding>
Outcome ParseWith(Shapes* shapes, v8::Isolate* isolate, std::string_view text,
                  v8::Local<v8::Value>* value) {
  Area& area = Area::Of(isolate);
  // While objects are marked, V8 would have to be told of all that is written. At its limit the
  // area may end with its page, or be none.
  if (area.limit - area.top <= text.size() || !NeedsNoBarrier(area.top)) return Outcome::kNotNow;
  Parser<encoding> parser(shapes, text, area);
  uint64_t parsed;
  uint32_t word;
  if (!parser.Document(&parsed) || !parser.Boxed(parsed, &word)) return parser.outcome();
  const uintptr_t cage = Cage(area.top);
  area.top = parser.top();
  *value = Handles::New(
      isolate, (word & kTag) != 0
                   ? cage | word
                   : static_cast<uintptr_t>(static_cast<int64_t>(static_cast<int32_t>(word))));
  return Outcome::kParsed;
}

}  // namespace

void MapReference::Set(v8::Isolate* isolate, uintptr_t map) {
  Reset();
  place_ =
      v8::api_internal::GlobalizeReference(reinterpret_cast<v8::internal::Isolate*>(isolate), map);
  v8::api_internal::MakeWeak(&place_);
}

void MapReference::Reset() {
  if (place_ != nullptr) v8::api_internal::DisposeGlobal(place_);
  place_ = nullptr;
}

Outcome Shapes::Parse(std::string_view text, Encoding encoding, v8::Local<v8::Value>* value) {
  return encoding == Encoding::kUtf8 ? ParseWith<Encoding::kUtf8>(this, isolate_, text, value)
                                     : ParseWith<Encoding::kLatin1>(this, isolate_, text, value);
}

bool Shapes::is_full() const { return shapes_.size() >= kShapesMax; }

bool Shapes::LearnArrays(v8::Local<v8::Context> context) {
  v8::Local<v8::Value> sample;
  if (!v8::JSON::Parse(context, Text(isolate_, "[[1],[1.5],[null]]")).ToLocal(&sample))
    return false;
  const uintptr_t array = Pointer(sample), cage = Cage(array);
  const uintptr_t elements = cage | Read<uint32_t>(array, kElements);
  auto map_of = [&](size_t index) {
    uintptr_t element = cage | Read<uint32_t>(elements, kFirstElement + index * kWord);
    return cage | Read<uint32_t>(element, kMap);
  };
  integers_.Set(isolate_, map_of(0));
  doubles_.Set(isolate_, map_of(1));
  values_.Set(isolate_, map_of(2));
  return true;
}

void Shapes::Learn(v8::Local<v8::Value> value) {
  constexpr size_t kVisits = 1024;  // of values
  visits_ = kVisits;
  LearnValue(Pointer(value), 0);
}

void Shapes::LearnValue(uintptr_t value, int depth) {
  if ((value & kTag) == 0 || depth == kDepthMax || visits_ == 0) return;
  visits_--;
  uintptr_t map = Cage(value) | Read<uint32_t>(value, kMap);
  switch (Read<uint16_t>(map, kInstanceType)) {
    case kOrdinaryObject:
      return LearnObject(value, map, depth + 1);
    case kArray:
      return LearnArray(value, map, depth + 1);
  }
}

void Shapes::LearnArray(uintptr_t array, uintptr_t map, int depth) {
  uintptr_t elements = Cage(array) | Read<uint32_t>(array, kElements);
  auto kind = Read<uint32_t>(elements, kMap);
  if (kind != common.array) return;
  auto length = Read<uint32_t>(elements, kLength) >> 1;
  for (size_t i = 0; i < length && visits_ > 0; i++) {
    auto word = Read<uint32_t>(elements, kFirstElement + i * kWord);
    if ((word & kTag) != 0) LearnValue(Cage(array) | word, depth);
  }
}

namespace {

// NameOf gives a property's name, if it stands for itself in documents. An empty one: it does not.
std::string_view NameOf(uintptr_t name) {
  uintptr_t map = Cage(name) | Read<uint32_t>(name, kMap);
  constexpr uint16_t kInternalizedOneByte = 0x08;
  if (Read<uint16_t>(map, kInstanceType) != kInternalizedOneByte) return {};
  const auto length = Read<uint32_t>(name, kStringLength);
  if (length == 0 || length > kNameMax) return {};
  auto* characters = reinterpret_cast<const char*>(name - kTag + kCharacters);
  for (size_t i = 0; i < length; i++) {
    auto c = static_cast<uint8_t>(characters[i]);
    if (c < ' ' || c >= 0x7f || c == '"' || c == '\\') return {};
  }
  return {characters, length};
}

}  // namespace

void Shapes::LearnObject(uintptr_t object, uintptr_t map, int depth) {
  const auto bits = Read<uint32_t>(map, kBitField3);
  constexpr uint32_t kUnusual =
      kPrototypeMap | kDictionaryMap | kDeprecatedMap | kConstructionCounter;
  if ((bits & (kUnusual | kExtensibleMap)) != kExtensibleMap) return;
  if (Read<uint32_t>(object, kProperties) != common.empty_array ||
      Read<uint32_t>(object, kElements) != common.empty_array)
    return;
  const size_t words = Read<uint8_t>(map, kInstanceWords);
  const size_t count = bits >> kOwnDescriptorsShift & kOwnDescriptorsMask;
  if (Read<uint8_t>(map, kFirstProperty) * kWord != kObjectHeader ||
      words < count + kObjectHeader / kWord)
    return;
  uintptr_t descriptor = (Cage(map) | Read<uint32_t>(map, kDescriptors)) + kFirstDescriptor;
  Shape* shape = &root_;
  for (size_t i = 0; i < count; i++) {
    const auto details = Read<uint32_t>(descriptor, kDescriptorDetails);
    if ((details & kNotPlain) != 0 || (details >> kFieldIndexShift & kFieldIndexMask) != i) return;
    std::string_view name = NameOf(Cage(map) | Read<uint32_t>(descriptor, kDescriptorName));
    if (name.empty()) return;
    shape = Child(shape, name);
    if (shape == nullptr) return;
    descriptor += kDescriptorBytes;
    const auto representation = details >> kRepresentationShift & kRepresentationMask;
    const auto word = Read<uint32_t>(object, kObjectHeader + i * kWord);
    if (representation != kDouble && (word & kTag) != 0) LearnValue(Cage(object) | word, depth);
  }
  for (size_t i = count + kObjectHeader / kWord; i < words; i++)
    if (Read<uint32_t>(object, i * kWord) != common.undefined) return;
  if (shape->map.Get() != map) shape->map.Set(isolate_, map);
  shape->words = static_cast<uint16_t>(words);
}

Shape* Shapes::Child(Shape* parent, std::string_view name) {
  constexpr int kChildrenMax = 32;  // they are looked through
  const size_t length = name.size() + 2;
  auto text = std::make_unique<char[]>(std::max(length, kChunk));
  memcpy(text.get(), name.data(), name.size());
  memcpy(text.get() + name.size(), "\":", 2);
  int children = 0;
  for (Shape* shape = parent->children; shape != nullptr; shape = shape->next) {
    const char* other = shape->name != nullptr ? shape->name.get() : shape->start;
    if (shape->length == length && memcmp(other, text.get(), length) == 0) return shape;
    children++;
  }
  if (is_full() || children == kChildrenMax) return nullptr;
  auto shape = std::make_unique<Shape>();
  shape->properties = static_cast<uint16_t>(parent->properties + 1);
  shape->length = static_cast<uint8_t>(length);
  if (length <= kChunk) {
    memcpy(shape->start, text.get(), length);
    shape->mask = static_cast<uint16_t>((1u << length) - 1);
  } else {
    shape->name = std::move(text);
  }
  shape->next = parent->children;
  parent->children = shape.get();
  shapes_.push_back(std::move(shape));
  return parent->children;
}

// ---- Documents ----

bool Documents::Wants(size_t length) {
  constexpr uint32_t kFirst = 3;  // documents of a realm that may well be its last
  if (!common.works || length == 0 || length > kLengthMax) return false;
  if (skip_ > 0) {
    skip_--;
    return false;
  }
  if (shapes_ != nullptr || seen_ == kFirst) return true;
  seen_++;
  return false;
}

Outcome Documents::Parse(v8::Isolate* isolate, std::string_view text, Encoding encoding,
                         v8::Local<v8::Value>* value) {
  Outcome outcome = shapes_ == nullptr ? Outcome::kUnknown : shapes_->Parse(text, encoding, value);
  switch (outcome) {
    case Outcome::kParsed:
      misses_ = 0;
      return outcome;
    case Outcome::kNotNow:
      return outcome;
    case Outcome::kUnknown:
      if (text.size() > kV8DepthMax && IsDeep(text.data(), text.size()))
        outcome = Outcome::kRefused;
      [[fallthrough]];
    case Outcome::kRefused:
      Missed();
      return outcome;
  }
  return outcome;
}

Outcome Documents::Parse(v8::Isolate* isolate, const uint16_t* units, size_t length,
                         v8::Local<v8::Value>* value) {
  thread_local std::unique_ptr<char[]> bytes(new char[kLengthMax]);
  auto* text = reinterpret_cast<const char16_t*>(units);
  if (simdutf::utf8_length_from_utf16le(text, length) > kLengthMax) return Outcome::kRefused;
  simdutf::result done = simdutf::convert_utf16le_to_utf8_with_errors(text, length, bytes.get());
  if (done.error != simdutf::SUCCESS) return Outcome::kRefused;  // half of a pair
  return Parse(isolate, {bytes.get(), done.count}, Encoding::kUtf8, value);
}

// Missed has ever more documents left to V8 while none is parsed here.
void Documents::Missed() {
  constexpr uint32_t kFree = 2, kDoublings = 10;
  if (misses_ < kFree + kDoublings) misses_++;
  if (misses_ > kFree) skip_ = uint32_t{1} << (misses_ - kFree);
}

bool Documents::Learn(v8::Isolate* isolate, v8::Local<v8::String> text,
                      v8::Local<v8::Value>* value) {
  v8::Local<v8::Context> context = isolate->GetCurrentContext();
  v8::TryCatch caught(isolate);
  caught.SetCaptureMessage(false);
  if (shapes_ == nullptr || shapes_->is_full() || !shapes_->has_arrays()) {
    shapes_ = std::make_unique<Shapes>(isolate);
    if (!shapes_->LearnArrays(context)) shapes_.reset();
  }
  if (shapes_ == nullptr || !v8::JSON::Parse(context, text).ToLocal(value)) {
    if (caught.HasTerminated()) caught.ReThrow();
    return false;
  }
  shapes_->Learn(*value);
  return true;
}

// ---- Before all else ----

namespace {

uint32_t WordOf(v8::Local<v8::Value> value) { return static_cast<uint32_t>(Pointer(value)); }

uint32_t MapWord(v8::Local<v8::Value> value) { return Read<uint32_t>(Pointer(value), kMap); }

// IsAreaKnown tells whether a new object lies where the area says that it will.
bool IsAreaKnown(v8::Isolate* isolate) {
  const Area& area = Area::Of(isolate);
  const uintptr_t top = area.top;
  if (area.start > top || area.limit - top < kLengthMax) return false;
  const uintptr_t number = Pointer(v8::Number::New(isolate, 0.5));
  return number == top + kTag && area.top == top + kNumberBytes;
}

void LearnCommon(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  common.undefined = WordOf(v8::Undefined(isolate));
  common.null = WordOf(v8::Null(isolate));
  common.yes = WordOf(v8::True(isolate));
  common.no = WordOf(v8::False(isolate));
  common.empty_string = WordOf(v8::String::Empty(isolate));
  common.empty_array = Read<uint32_t>(Pointer(v8::Object::New(isolate)), kElements);
  common.number = MapWord(v8::Number::New(isolate, 0.5));
  common.one_byte = MapWord(Text(isolate, "some text"));
  constexpr uint16_t kWide[] = {0x4e2d, 0x6587, 0x5b57};
  common.two_byte = MapWord(
      v8::String::NewFromTwoByte(isolate, kWide, v8::NewStringType::kNormal, std::size(kWide))
          .ToLocalChecked());
  for (size_t i = 0; i < common.characters.size(); i++) {
    const auto character = static_cast<char>(i);
    common.characters[i] = WordOf(Text(isolate, {&character, 1}));
  }
  auto elements_map = [&](const char* text) {
    auto array = v8::JSON::Parse(context, Text(isolate, text)).ToLocalChecked();
    uintptr_t elements = Cage(Pointer(array)) | Read<uint32_t>(Pointer(array), kElements);
    return Read<uint32_t>(elements, kMap);
  };
  common.array = elements_map("[1]");
  common.doubles = elements_map("[1.5]");
}

// IsSame tells whether two values are, with all that V8 keeps of them.
bool IsSame(uintptr_t a, uintptr_t b) {
  if (((a | b) & kTag) == 0 || a == b) return a == b;
  if ((a & b & kTag) == 0 || Read<uint32_t>(a, kMap) != Read<uint32_t>(b, kMap)) return false;
  const uintptr_t cage = Cage(a), map = cage | Read<uint32_t>(a, kMap);
  const auto map_word = static_cast<uint32_t>(map);
  auto same_bytes = [&](size_t bytes) {
    return memcmp(reinterpret_cast<const void*>(a - kTag), reinterpret_cast<const void*>(b - kTag),
                  bytes) == 0;
  };
  auto same_words = [&](size_t from, size_t to) {
    for (size_t at = from; at < to; at += kWord)
      if (!IsSame(cage | Read<uint32_t>(a, at), cage | Read<uint32_t>(b, at))) return false;
    return true;
  };
  const auto length = Read<uint32_t>(a, kLength);
  if (map_word == common.number) return same_bytes(kNumberBytes);
  if (map_word == common.one_byte || map_word == common.two_byte) {
    const auto characters = Read<uint32_t>(a, kStringLength);
    const size_t bytes = kCharacters + characters * (map_word == common.two_byte ? 2 : 1);
    return same_bytes((bytes + kWord - 1) / kWord * kWord);
  }
  if (map_word == common.doubles) return same_bytes(kFirstElement + (length >> 1) * sizeof(double));
  if (map_word == common.array)
    return length == Read<uint32_t>(b, kLength) &&
           same_words(kFirstElement, kFirstElement + (length >> 1) * kWord);
  const auto type = Read<uint16_t>(map, kInstanceType);
  if (type != kOrdinaryObject && type != kArray) return false;
  return same_words(kWord, Read<uint8_t>(map, kInstanceWords) * kWord);
}

// Works tries out that what is made here is the same that V8 makes, and that nothing is written
// where V8 would have had to change a map.
bool Works(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  Shapes shapes(isolate);
  if (!shapes.LearnArrays(context)) return false;
  auto by_v8 = [&](std::string_view text) {
    return v8::JSON::Parse(context, Text(isolate, text)).ToLocalChecked();
  };
  // Names are those of nothing else.
  constexpr std::string_view kSample =
      R"({"nano a":1,"nano b":-1.5e3,"nano c":"fifteen letters","nano d":{"nano e":[]},"nano f":null,)"
      R"("nano g":[-1,2],"nano h":[0.5,2],"nano i":["x",true,false,{}],"nano j":"\u4e2d 12345678"})";
  constexpr std::string_view kOthers[] = {
      R"({"nano a":0.5,"nano b":1.5})",         // no small integer
      R"({"nano a":1,"nano b":"x"})",           // no number
      R"({"nano k":{"nano l":1},"nano m":1})",  // no such names
  };
  constexpr std::string_view kKnown[] = {R"({"nano a":1,"nano b":0.5})",
                                         R"({"nano k":{"nano e":[]},"nano m":"ten letters"})"};
  v8::Local<v8::Value> wanted = by_v8(kSample), got;
  shapes.Learn(wanted);
  for (auto encoding : {Encoding::kUtf8, Encoding::kLatin1})
    if (shapes.Parse(kSample, encoding, &got) != Outcome::kParsed ||
        !IsSame(Pointer(wanted), Pointer(got)))
      return false;
  for (auto known : kKnown) shapes.Learn(by_v8(known));
  for (auto other : kOthers) {
    for (auto known : kKnown)
      if (shapes.Parse(known, Encoding::kUtf8, &got) != Outcome::kParsed ||
          !IsSame(Pointer(by_v8(known)), Pointer(got)))
        return false;
    if (shapes.Parse(other, Encoding::kUtf8, &got) != Outcome::kUnknown) return false;
    // V8 changes maps.
    shapes.Learn(by_v8(other));
    if (shapes.Parse(other, Encoding::kUtf8, &got) != Outcome::kParsed ||
        !IsSame(Pointer(by_v8(other)), Pointer(got)))
      return false;
    for (auto known : kKnown) shapes.Learn(by_v8(known));
  }
  return true;
}

}  // namespace

void Prepare(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  if (!IsAreaKnown(isolate)) return;
  v8::Context::Scope scope(context);
  LearnCommon(isolate, context);
  common.works = Works(isolate, context);
}

bool ParsesAsV8() { return common.works; }

}  // namespace nano::json
