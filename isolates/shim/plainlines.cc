// Header lines of a plain object of strings, which is how most apps give the headers of a response.
//
// By JavaScript they take thousands of instructions in code that has not been optimized, and what
// that touches of its isolate is in no cache where many apps are in use: 10_headers.js is the way
// of whatever this does not take, and the one that says what is wrong with a header.
#include <array>
#include <cstring>

#include "engine.h"
#include "heap_layout.h"
#include "ops.h"

namespace nano::ops {

// V8's objects are known as they are on x86-64.
#if defined(__x86_64__)

namespace {

using namespace heap;

constexpr size_t kMostBytes = 1024;

// kLower is the table of what a token consists of (RFC 9110, 5.6.2), in lower case; 0: no part of
// one.
constexpr auto kLower = [] {
  std::array<char, 256> table = {};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) {
    table[static_cast<uint8_t>(c)] = c;
    if (c >= 'a' && c <= 'z') table[static_cast<uint8_t>(c - 'a' + 'A')] = c;
  }
  return table;
}();

// IsSpecial tells of names that 10_headers.js may treat in a way of their own, by their length as
// well: isFraming and isOfConnection there.
bool IsSpecial(std::string_view name) {
  switch (name.size()) {
    case 2:
      return name == "te";
    case 4:
      return name == "date" || name == "host";
    case 6:
      return name == "expect";
    case 7:
      return name == "upgrade" || name == "trailer";
    case 10:
      return name == "connection" || name == "keep-alive";
    case 14:
      return name == "content-length";
    case 16:
      return name == "proxy-connection";
    case 17:
      return name == "transfer-encoding";
    default:
      return false;
  }
}

// Lines writes lines. While it does nothing is allocated in V8's heap, so that no object moves.
class Lines {
 public:
  explicit Lines(uintptr_t cage) : cage_(cage) {}

  // Add writes a line for each property of an object. False: it is not plain, or too long.
  bool Add(uintptr_t object) {
    const uintptr_t map = At(object, kMap);
    if (Read<uint16_t>(map, kInstanceType) != kOrdinaryObject || Read<uint8_t>(map, kBitField) != 0)
      return false;
    const auto bits = Read<uint32_t>(map, kBitField3);
    if ((bits & kDictionaryMap) != 0 || Read<uint32_t>(At(object, kElements), kLength) != 0)
      return false;
    const uintptr_t others = At(object, kProperties);
    const size_t first = Read<uint8_t>(map, kFirstProperty);
    const size_t inside = Read<uint8_t>(map, kInstanceWords) - first;
    const size_t count = bits >> kOwnDescriptorsShift & kOwnDescriptorsMask;
    uintptr_t descriptor = At(map, kDescriptors) + kFirstDescriptor;
    for (size_t i = 0; i < count; i++, descriptor += kDescriptorBytes) {
      const auto details = Read<uint32_t>(descriptor, kDescriptorDetails);
      if ((details & (kNotEnumerable | kAccessor | kNoField)) != 0) return false;
      const size_t field = details >> kFieldIndexShift & kFieldIndexMask;
      const auto value = field < inside
                             ? Read<uint32_t>(object, (first + field) * kWord)
                             : Read<uint32_t>(others, kFirstElement + (field - inside) * kWord);
      if ((value & kTag) == 0 || !AddName(At(descriptor, kDescriptorName)) || !Put(": ") ||
          !AddValue(cage_ | value) || !Put("\r\n"))
        return false;
    }
    return true;
  }

  // End adds another line unless there is one of the content type.
  bool End(uintptr_t type_line) { return has_type_ || Copy(type_line); }

  std::string_view text() const { return {text_, length_}; }

 private:
  uintptr_t At(uintptr_t object, size_t offset) const {
    return cage_ | Read<uint32_t>(object, offset);
  }

  bool Put(std::string_view text) {
    if (text.size() > kMostBytes - length_) return false;
    memcpy(text_ + length_, text.data(), text.size());
    length_ += text.size();
    return true;
  }

  // Copy writes a string of characters of one byte.
  bool Copy(uintptr_t string) {
    constexpr int kMostPieces = 16;
    for (int i = 0; i < kMostPieces; i++) {
      const auto type = Read<uint16_t>(At(string, kMap), kInstanceType);
      if (type >= kFirstNonString || (type & kOneByteString) == 0) return false;
      const size_t length = Read<uint32_t>(string, kStringLength);
      if (length > kMostBytes - length_) return false;
      switch (type & kStringForm) {
        case kSequential:
          return Put({reinterpret_cast<const char*>(string - kTag + kCharacters), length});
        case kThin:
          string = At(string, kActual);
          continue;
        case kCons:
          // Mostly made by appending: the second half is a piece.
          if (++depth_ > kMostPieces || !Copy(At(string, kFirst))) return false;
          depth_--;
          string = At(string, kSecond);
          continue;
        default:
          return false;
      }
    }
    return false;
  }

  bool AddName(uintptr_t string) {
    const size_t start = length_;
    if (!Copy(string) || length_ == start) return false;
    for (size_t i = start; i < length_; i++)
      if ((text_[i] = kLower[static_cast<uint8_t>(text_[i])]) == 0) return false;
    const std::string_view name(text_ + start, length_ - start);
    if (name == "content-type") has_type_ = true;
    return !IsSpecial(name);
  }

  // AddValue writes a value that is the same after it was stripped of white space.
  bool AddValue(uintptr_t string) {
    const size_t start = length_;
    if (!Copy(string)) return false;
    for (size_t i = start; i < length_; i++)
      if (text_[i] < 0x20 || text_[i] > 0x7e) return false;
    return length_ == start || (text_[start] != ' ' && text_[length_ - 1] != ' ');
  }

  const uintptr_t cage_;
  size_t length_ = 0;
  int depth_ = 0;
  bool has_type_ = false;
  char text_[kMostBytes];
};

}  // namespace

void plainLines(Info info) {
  if (!info[0]->IsObject()) return;
  const uintptr_t object = Pointer(info[0].As<v8::Object>());
  Lines lines(Cage(object));
  if (lines.Add(object) && lines.End(Pointer(info[1].As<v8::String>())))
    info.GetReturnValue().Set(OneByte(info.GetIsolate(), lines.text()));
}

#else

void plainLines(Info) {}

#endif  // __x86_64__

}  // namespace nano::ops
