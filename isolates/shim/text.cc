// Text between bytes and V8's strings: UTF-8, UTF-16, Latin-1 and base64.
#include "text.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "engine.h"
#include "heap_layout.h"
#include "ops.h"
#include "simdutf.h"

namespace nano {

#define NANO_FACTORY "_ZN2v88internal11FactoryBaseINS0_7FactoryEE"
#define NANO_TRUNCATE "_ZN2v88internal9SeqString8TruncateEPNS0_7IsolateENS0_6HandleIS1_EEj"

enum class AllocationType : uint8_t { kYoung };

// NewRaw makes a string whose characters are to be written. The receiver is the isolate, the result
// a handle, the place of a pointer, or null if an exception was thrown.
uintptr_t* NewRawOneByte(v8::Isolate* isolate, int length, AllocationType allocation) asm(
    NANO_FACTORY "19NewRawOneByteStringEiNS0_14AllocationTypeE");
uintptr_t* NewRawTwoByte(v8::Isolate* isolate, int length, AllocationType allocation) asm(
    NANO_FACTORY "19NewRawTwoByteStringEiNS0_14AllocationTypeE");

// Truncate makes a string shorter, and gives its handle.
uintptr_t* Truncate(v8::Isolate* isolate, uintptr_t* string, uint32_t length) asm(NANO_TRUNCATE);

namespace {

// Text of this many bytes or more is converted straight into a string. Shorter text is copied into
// one whose length is known then.
constexpr size_t kLargeBytes = 128 << 10;

// Room is memory for text that is being converted to a string in V8's heap: less than
// kLargeBytes of it. There is one for each thread, since memory for each text would be lost if
// the isolate were abandoned.
char* Room() {
  thread_local std::unique_ptr<char[]> room(new char[kLargeBytes]);
  return room.get();
}

using ops::ThrowRange;

bool Give(v8::Isolate* isolate, v8::MaybeLocal<v8::String> text, v8::Local<v8::Value>* result) {
  v8::Local<v8::String> string;
  if (text.ToLocal(&string)) {
    *result = string;
    return true;
  }
  ThrowRange(isolate, "Invalid string length");
  return false;
}

// Fits tells whether a string of so many bytes may be made; if not, an error was thrown.
bool Fits(v8::Isolate* isolate, size_t length, size_t width) {
  nano_isolate* self = nano_isolate::From(isolate);
  const size_t limit = self != nullptr ? self->heap_limit : 0;
  if (length > static_cast<size_t>(v8::String::kMaxLength)) {
    ThrowRange(isolate, "Invalid string length");
    return false;
  }
  if (limit == 0 || length * width <= limit) return true;
  ThrowRange(isolate, "out of memory for a string");
  return false;
}

// Text of one of V8's two widths that a function writes, which returns how long it is: at most
// `length`. It must allocate nothing in V8's heap.
template <typename Unit, typename Write>
bool NewText(v8::Isolate* isolate, size_t length, Write write, v8::Local<v8::Value>* result) {
  constexpr bool kIsOneByte = sizeof(Unit) == 1;
  if (!Fits(isolate, length, sizeof(Unit))) return false;
  const auto length_max = static_cast<int>(length);
  if (length * sizeof(Unit) < kLargeBytes) {
    auto* units = reinterpret_cast<Unit*>(Room());
    const auto count = static_cast<int>(write(units));
    if constexpr (kIsOneByte) {
      auto* bytes = reinterpret_cast<const uint8_t*>(units);
      return Give(isolate,
                  v8::String::NewFromOneByte(isolate, bytes, v8::NewStringType::kNormal, count),
                  result);
    } else {
      return Give(isolate,
                  v8::String::NewFromTwoByte(isolate, units, v8::NewStringType::kNormal, count),
                  result);
    }
  }
  uintptr_t* string = kIsOneByte ? NewRawOneByte(isolate, length_max, AllocationType::kYoung)
                                 : NewRawTwoByte(isolate, length_max, AllocationType::kYoung);
  if (string == nullptr) return false;
  const size_t count = write(reinterpret_cast<Unit*>(*string - heap::kTag + heap::kCharacters));
  if (count < length) string = Truncate(isolate, string, static_cast<uint32_t>(count));
  static_assert(sizeof *result == sizeof string);
  memcpy(static_cast<void*>(result), &string, sizeof string);
  return true;
}

template <typename Write>
bool NewOneByte(v8::Isolate* isolate, size_t length, Write write, v8::Local<v8::Value>* result) {
  return NewText<char>(isolate, length, write, result);
}

template <typename Write>
bool NewTwoByte(v8::Isolate* isolate, size_t length, Write write, v8::Local<v8::Value>* result) {
  return NewText<uint16_t>(isolate, length, write, result);
}

bool NewLatin1(v8::Isolate* isolate, std::string_view text, v8::Local<v8::Value>* result) {
  if (!Fits(isolate, text.size(), 1)) return false;
  auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  return Give(isolate,
              v8::String::NewFromOneByte(isolate, bytes, v8::NewStringType::kNormal,
                                         static_cast<int>(text.size())),
              result);
}

// ---- UTF-8 ----

bool Between(uint8_t c, uint8_t low, uint8_t high) { return low <= c && c <= high; }

// DecodeSome decodes at least `least` bytes, if there are as many, whole sequences of them: the
// UTF-8 decoder of the Encoding Standard, which gives a U+FFFD for each maximal part of a sequence.
void DecodeSome(std::string_view* text, uint16_t** out, size_t least) {
  auto* at = reinterpret_cast<const uint8_t*>(text->data());
  auto* const begin = at;
  auto* const end = at + text->size();
  uint16_t* to = *out;
  while (at < end && at < begin + least) {
    uint8_t lead = *at++;
    if (lead < 0x80) {
      *to++ = lead;
      continue;
    }
    int needed = Between(lead, 0xc2, 0xdf)   ? 1
                 : Between(lead, 0xe0, 0xef) ? 2
                 : Between(lead, 0xf0, 0xf4) ? 3
                                             : 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    uint32_t code = lead & (0x3f >> needed);
    bool is_good = needed != 0;
    for (; needed > 0; needed--, low = 0x80, high = 0xbf) {
      if (at == end || !Between(*at, low, high)) {
        is_good = false;
        break;
      }
      code = code << 6 | (*at++ & 0x3f);
    }
    if (!is_good) {
      *to++ = 0xfffd;
    } else if (code < 0x10000) {
      *to++ = static_cast<uint16_t>(code);
    } else {
      *to++ = static_cast<uint16_t>(0xd7c0 + (code >> 10));
      *to++ = static_cast<uint16_t>(0xdc00 | (code & 0x3ff));
    }
  }
  text->remove_prefix(static_cast<size_t>(at - begin));
  *out = to;
}

// Lossy decodes malformed UTF-8 and returns the number of code units, no more than the bytes.
size_t Lossy(std::string_view text, uint16_t* out) {
  // Errors come in company: what is near one is decoded byte by byte.
  constexpr size_t kNear = 32;
  uint16_t* to = out;
  while (!text.empty()) {
    auto* units = reinterpret_cast<char16_t*>(to);
    simdutf::result done =
        simdutf::convert_utf8_to_utf16le_with_errors(text.data(), text.size(), units);
    if (done.error == simdutf::SUCCESS) return static_cast<size_t>(to - out) + done.count;
    to += simdutf::convert_valid_utf8_to_utf16le(text.data(), done.count, units);
    text.remove_prefix(done.count);
    DecodeSome(&text, &to, kNear);
  }
  return static_cast<size_t>(to - out);
}

// IsLatin1 tells whether the first character beyond ASCII is in Latin-1: mostly, so are the others.
bool MayBeLatin1(std::string_view text) {
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x80) return byte <= 0xc3;
  }
  return true;
}

// A piece of text is looked at and copied while the cache of the core has it.
constexpr size_t kPiece = 16 << 10;

// CopyAscii copies text up to the first piece that is not all ASCII, and returns how much that is.
size_t CopyAscii(std::string_view text, char* out) {
  for (size_t at = 0; at < text.size(); at += kPiece) {
    std::string_view piece = text.substr(at, kPiece);
    if (!simdutf::validate_ascii(piece.data(), piece.size())) return at;
    memcpy(out + at, piece.data(), piece.size());
  }
  return text.size();
}

// DecodeMixed is DecodeUtf8 of text that is not all ASCII.
bool DecodeMixed(v8::Isolate* isolate, std::string_view text, bool fatal,
                 v8::Local<v8::Value>* result) {
  bool is_good = true;
  // Of malformed text the length is no more than a guess. simdutf looks ahead, and writes so many
  // units more than it gives, of at least as many bytes.
  constexpr size_t kAhead = 64;
  const size_t guess = simdutf::utf16_length_from_utf8(text.data(), text.size());
  bool fits = NewTwoByte(
      isolate, std::min(guess + kAhead, text.size()),
      [&](uint16_t* out) {
        simdutf::result done = simdutf::convert_utf8_to_utf16le_with_errors(
            text.data(), text.size(), reinterpret_cast<char16_t*>(out));
        is_good = done.error == simdutf::SUCCESS;
        return is_good ? done.count : 0;
      },
      result);
  if (!fits || is_good) return fits;
  if (fatal) {
    *result = v8::Null(isolate);
    return true;
  }
  return NewTwoByte(
      isolate, text.size(), [&](uint16_t* out) { return Lossy(text, out); }, result);
}

// DecodeLarge is DecodeUtf8 of long text: what turns out to be ASCII has been copied then.
bool DecodeLarge(v8::Isolate* isolate, std::string_view text, bool fatal,
                 v8::Local<v8::Value>* result) {
  if (simdutf::validate_ascii(text.data(), kPiece)) {
    size_t length = 0;
    auto copy = [&](char* out) { return length = CopyAscii(text, out); };
    if (!NewOneByte(isolate, text.size(), copy, result)) return false;
    if (length == text.size()) return true;
  }
  return DecodeMixed(isolate, text, fatal, result);
}

}  // namespace

bool DecodeUtf8(v8::Isolate* isolate, std::string_view text, bool fatal,
                v8::Local<v8::Value>* result) {
  if (text.size() >= kLargeBytes) return DecodeLarge(isolate, text, fatal, result);
  if (simdutf::validate_ascii(text.data(), text.size())) return NewLatin1(isolate, text, result);
  if (MayBeLatin1(text)) {
    simdutf::result done =
        simdutf::convert_utf8_to_latin1_with_errors(text.data(), text.size(), Room());
    if (done.error == simdutf::SUCCESS)
      return Give(isolate, OneByte(isolate, {Room(), done.count}), result);
  }
  return DecodeMixed(isolate, text, fatal, result);
}

bool DecodeUtf16(v8::Isolate* isolate, const uint16_t* units, size_t length,
                 v8::Local<v8::Value>* result) {
  if (length * 2 < kLargeBytes)
    return Give(isolate,
                v8::String::NewFromTwoByte(isolate, units, v8::NewStringType::kNormal,
                                           static_cast<int>(length)),
                result);
  return NewTwoByte(
      isolate, length,
      [&](uint16_t* out) {
        memcpy(out, units, length * 2);
        return length;
      },
      result);
}

void Flatten(v8::Isolate* isolate, v8::Local<v8::String> text) {
  v8::String::ValueView flat(isolate, text);
}

namespace ops {

namespace {

// View gives the bytes of a buffer or a view of one; false: the value is neither. Bytes in V8's
// heap are copied to `scratch`, which has kInHeapMax bytes.
bool View(v8::Local<v8::Value> value, v8::MemorySpan<uint8_t> scratch, std::string_view* bytes) {
  if (value->IsArrayBufferView()) {
    *bytes = ViewBytes(value.As<v8::ArrayBufferView>(), scratch);
    return true;
  }
  if (value->IsArrayBuffer()) {
    auto buffer = value.As<v8::ArrayBuffer>();
    *bytes = {static_cast<const char*>(buffer->Data()), buffer->ByteLength()};
    return true;
  }
  if (value->IsSharedArrayBuffer()) {
    auto buffer = value.As<v8::SharedArrayBuffer>();
    *bytes = {static_cast<const char*>(buffer->Data()), buffer->ByteLength()};
    return true;
  }
  return false;
}

v8::Local<v8::Uint8Array> NewBytes(v8::Isolate* isolate, size_t length, char** data) {
  v8::Local<v8::ArrayBuffer> buffer;
  if (!v8::ArrayBuffer::MaybeNew(isolate, length,
                                 v8::BackingStoreInitializationMode::kUninitialized)
           .ToLocal(&buffer)) {
    ThrowRange(isolate, "Array buffer allocation failed");
    return {};
  }
  *data = static_cast<char*>(buffer->Data());
  return v8::Uint8Array::New(buffer, 0, length);
}

// NewCopy gives bytes in an array of their own: in `blank`, as FillInHeap takes it, if there is one
// and they are few.
v8::Local<v8::Uint8Array> NewCopy(v8::Isolate* isolate, std::string_view bytes,
                                  v8::Local<v8::Value> blank) {
  if (blank->IsUint8Array() && FillInHeap(isolate, blank.As<v8::Uint8Array>(), bytes))
    return blank.As<v8::Uint8Array>();
  char* data;
  v8::Local<v8::Uint8Array> copy = NewBytes(isolate, bytes.size(), &data);
  if (!copy.IsEmpty() && !bytes.empty()) memcpy(data, bytes.data(), bytes.size());
  return copy;
}

const char* Chars(const v8::String::ValueView& text) {
  return reinterpret_cast<const char*>(text.data8());
}
const char16_t* Units(const v8::String::ValueView& text) {
  return reinterpret_cast<const char16_t*>(text.data16());
}

// Utf8Length is the length of text in UTF-8 if it has no lone surrogate, and no more than it
// otherwise.
size_t Utf8Length(const v8::String::ValueView& text) {
  return text.is_one_byte() ? simdutf::utf8_length_from_latin1(Chars(text), text.length())
                            : simdutf::utf8_length_from_utf16le(Units(text), text.length());
}

// WriteUtf8 writes text and returns its length in UTF-8. There must be room for Utf8Length bytes.
// *is_good: it has no lone surrogate; otherwise what was written is not whole.
size_t WriteUtf8(const v8::String::ValueView& text, char* out, bool* is_good) {
  if (text.is_one_byte()) {
    *is_good = true;
    const size_t length = text.length();
    if (!simdutf::validate_ascii(Chars(text), length))
      return simdutf::convert_latin1_to_utf8(Chars(text), length, out);
    memcpy(out, Chars(text), length);
    return length;
  }
  simdutf::result done =
      simdutf::convert_utf16le_to_utf8_with_errors(Units(text), text.length(), out);
  *is_good = done.error == simdutf::SUCCESS;
  return done.count;
}

// What windows-1252 has at 0x80 to 0x9f.
constexpr std::array<uint16_t, 32> kWindows1252 = {
    0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
    0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

bool DecodeWindows1252(v8::Isolate* isolate, std::string_view text, v8::Local<v8::Value>* result) {
  bool is_latin1 = true;
  if (!simdutf::validate_ascii(text.data(), text.size()))
    for (char c : text) is_latin1 &= (static_cast<uint8_t>(c) & 0xe0) != 0x80;
  if (is_latin1) return NewLatin1(isolate, text, result);
  return NewTwoByte(
      isolate, text.size(),
      [&](uint16_t* out) {
        for (size_t i = 0; i < text.size(); i++) {
          auto byte = static_cast<uint8_t>(text[i]);
          out[i] = (byte & 0xe0) == 0x80 ? kWindows1252[byte & 0x1f] : byte;
        }
        return text.size();
      },
      result);
}

}  // namespace

// EncodeLongLatin1 encodes Latin-1, which mostly is ASCII and takes as many bytes.
static v8::Local<v8::Uint8Array> EncodeLongLatin1(v8::Isolate* isolate,
                                                  v8::Local<v8::String> text) {
  char* data;
  size_t length = static_cast<size_t>(text->Length()), longer = length, done;
  v8::Local<v8::Uint8Array> bytes = NewBytes(isolate, length, &data);
  if (bytes.IsEmpty()) return bytes;
  {
    v8::String::ValueView view(isolate, text);
    done = CopyAscii({Chars(view), length}, data);
    if (done == length) return bytes;
    longer = done + simdutf::utf8_length_from_latin1(Chars(view) + done, length - done);
  }
  bytes = NewBytes(isolate, longer, &data);
  if (bytes.IsEmpty()) return bytes;
  v8::String::ValueView view(isolate, text);
  memcpy(data, Chars(view), done);
  simdutf::convert_latin1_to_utf8(Chars(view) + done, length - done, data + done);
  return bytes;
}

static v8::Local<v8::Uint8Array> EncodeLong(v8::Isolate* isolate, v8::Local<v8::String> text) {
  if (v8::String::ValueView(isolate, text).is_one_byte()) return EncodeLongLatin1(isolate, text);
  char* data;
  bool is_good;
  size_t length = Utf8Length(v8::String::ValueView(isolate, text));
  v8::Local<v8::Uint8Array> bytes = NewBytes(isolate, length, &data);
  if (bytes.IsEmpty()) return bytes;
  WriteUtf8(v8::String::ValueView(isolate, text), data, &is_good);
  if (is_good) return bytes;
  bytes = NewBytes(isolate, length = text->Utf8LengthV2(isolate), &data);
  if (bytes.IsEmpty()) return bytes;
  text->WriteUtf8V2(isolate, data, length, v8::String::WriteFlags::kReplaceInvalidUtf8);
  return bytes;
}

// EncodeShort converts text at once, into memory from which it is copied: nothing may be allocated
// while a view of the text lives.
static v8::Local<v8::Uint8Array> EncodeShort(v8::Isolate* isolate, v8::Local<v8::String> text,
                                             v8::Local<v8::Value> blank) {
  bool is_good;
  size_t length = WriteUtf8(v8::String::ValueView(isolate, text), Room(), &is_good);
  if (is_good) return NewCopy(isolate, {Room(), length}, blank);
  char* data;
  length = text->Utf8LengthV2(isolate);
  v8::Local<v8::Uint8Array> bytes = NewBytes(isolate, length, &data);
  if (!bytes.IsEmpty())
    text->WriteUtf8V2(isolate, data, length, v8::String::WriteFlags::kReplaceInvalidUtf8);
  return bytes;
}

void encodeUtf8(Info info) {
  auto text = info[0].As<v8::String>();
  bool is_short = static_cast<size_t>(text->Length()) <= kLargeBytes / 3;
  v8::Local<v8::Uint8Array> bytes = is_short ? EncodeShort(info.GetIsolate(), text, info[1])
                                             : EncodeLong(info.GetIsolate(), text);
  if (!bytes.IsEmpty()) info.GetReturnValue().Set(bytes);
}

// IsAscii is for text that may be so short that simdutf's choice of an implementation would count.
static bool IsAscii(const char* text, size_t length) {
  constexpr size_t kShort = 64;
  if (length > kShort) return simdutf::validate_ascii(text, length);
  uint64_t all = 0, word;
  size_t at = 0;
  for (; at + sizeof word <= length; at += sizeof word) {
    memcpy(&word, text + at, sizeof word);
    all |= word;
  }
  for (; at < length; at++) all |= static_cast<uint8_t>(text[at]);
  return (all & 0x8080808080808080) == 0;
}

// Progress is how far some text was written: units read and bytes written.
struct Progress {
  size_t read = 0, written = 0;

  bool is_even() const { return read == written && read <= INT32_MAX; }
  // Both is what encodeUtf8Into gives.
  double Both() const {
    return static_cast<double>(is_even() ? 0 : read) * 4294967296.0 + static_cast<double>(written);
  }
};

// WriteLatin1 writes as many of the characters as there is room for, and nothing behind them.
static Progress WriteLatin1(const char* text, size_t length, v8::MemorySpan<char> to) {
  if (length <= to.size() && IsAscii(text, length)) {
    if (length > 0) memcpy(to.data(), text, length);
    return {length, length};
  }
  if (length <= to.size() && simdutf::utf8_length_from_latin1(text, length) <= to.size())
    return {length, simdutf::convert_latin1_to_utf8(text, length, to.data())};
  Progress done;
  for (; done.read < length; done.read++) {
    const auto byte = static_cast<uint8_t>(text[done.read]);
    const size_t bytes = byte < 0x80 ? 1 : 2;
    if (to.size() - done.written < bytes) break;
    char* at = to.data() + done.written;
    at[0] = static_cast<char>(bytes == 1 ? byte : 0xc0 | byte >> 6);
    if (bytes == 2) at[1] = static_cast<char>(0x80 | (byte & 0x3f));
    done.written += bytes;
  }
  return done;
}

double EncodeLatin1Into(v8::Local<v8::Object>, const v8::FastOneByteString& text,
                        v8::Local<v8::Value> destination) {
  if (!destination->IsUint8Array()) return -1;
  return WriteLatin1(text.data, text.length, WritableBytes(destination.As<v8::Uint8Array>()))
      .Both();
}

static Progress EncodeInto(v8::Isolate* isolate, v8::Local<v8::String> text,
                           v8::Local<v8::Uint8Array> destination) {
  Progress done{static_cast<size_t>(text->Length()), 0};
  v8::String::ValueView view(isolate, text);
  // Now that the text is in one piece, nothing is allocated any more.
  v8::MemorySpan<char> to = WritableBytes(destination);
  if (view.is_one_byte()) return WriteLatin1(Chars(view), done.read, to);
  bool is_good = false;
  if (done.read * 3 <= to.size()) done.written = WriteUtf8(view, to.data(), &is_good);
  if (!is_good)
    done.written = text->WriteUtf8V2(isolate, to.data(), to.size(),
                                     v8::String::WriteFlags::kReplaceInvalidUtf8, &done.read);
  return done;
}

void encodeUtf8Into(Info info) {
  if (!info[1]->IsUint8Array()) return info.GetReturnValue().Set(-1);
  Progress done =
      EncodeInto(info.GetIsolate(), info[0].As<v8::String>(), info[1].As<v8::Uint8Array>());
  if (done.is_even()) return info.GetReturnValue().Set(static_cast<int32_t>(done.written));
  info.GetReturnValue().Set(done.Both());
}

void decodeUtf8(Info info) {
  uint8_t scratch[kInHeapMax];
  std::string_view text;
  if (!View(info[0], {scratch, sizeof scratch}, &text)) return;
  if (!info[2]->IsTrue() && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  v8::Local<v8::Value> result;
  if (DecodeUtf8(info.GetIsolate(), text, info[1]->IsTrue(), &result))
    info.GetReturnValue().Set(result);
}

void decodeLatin1(Info info) {
  uint8_t scratch[kInHeapMax];
  std::string_view text;
  if (!View(info[0], {scratch, sizeof scratch}, &text)) return;
  v8::Local<v8::Value> result;
  if (info[1]->IsTrue() ? DecodeWindows1252(info.GetIsolate(), text, &result)
                        : NewLatin1(info.GetIsolate(), text, &result))
    info.GetReturnValue().Set(result);
}

void copyBytes(Info info) {
  uint8_t scratch[kInHeapMax];
  std::string_view bytes;
  if (!View(info[0], {scratch, sizeof scratch}, &bytes)) return;
  v8::Local<v8::Uint8Array> copy = NewCopy(info.GetIsolate(), bytes, info[1]);
  if (!copy.IsEmpty()) info.GetReturnValue().Set(copy);
}

// Find gives where pattern is in text, or null. memchr is fastest where the first byte is rare, as
// in most files that of a line break before a boundary is; memmem where it is not. The latter alone
// takes four times as long for some patterns as for others.
static const char* Find(std::string_view text, std::string_view pattern) {
  constexpr size_t kRare = 64, kFew = 64;
  if (pattern.empty()) return text.data();
  size_t misses = 0;
  for (size_t at = 0; text.size() - at >= pattern.size(); at++, misses++) {
    const char* from = text.data() + at;
    size_t rest = text.size() - at;
    if (misses > kFew + at / kRare)
      return static_cast<const char*>(memmem(from, rest, pattern.data(), pattern.size()));
    auto* found = static_cast<const char*>(memchr(from, pattern[0], rest - pattern.size() + 1));
    if (found == nullptr) return nullptr;
    if (memcmp(found, pattern.data(), pattern.size()) == 0) return found;
    at = static_cast<size_t>(found - text.data());
  }
  return nullptr;
}

void indexOfBytes(Info info) {
  uint8_t scratch[kInHeapMax], pattern_scratch[kInHeapMax];
  std::string_view bytes, pattern;
  if (!View(info[0], {scratch, sizeof scratch}, &bytes)) return;
  if (!View(info[1], {pattern_scratch, sizeof pattern_scratch}, &pattern)) return;
  double from = info[2].As<v8::Number>()->Value();
  double index = -1;
  if (from >= 0 && from <= static_cast<double>(bytes.size())) {
    bytes.remove_prefix(static_cast<size_t>(from));
    const char* found = Find(bytes, pattern);
    if (found != nullptr) index = from + static_cast<double>(found - bytes.data());
  }
  info.GetReturnValue().Set(index);
}

void decodeUtf16le(Info info) {
  uint8_t scratch[kInHeapMax];
  std::string_view text;
  if (!View(info[0], {scratch, sizeof scratch}, &text)) return;
  v8::Local<v8::Value> result;
  size_t length = text.size() / 2;
  // The bytes may begin at an odd address.
  if (NewTwoByte(
          info.GetIsolate(), length,
          [&](uint16_t* out) {
            if (length > 0) memcpy(out, text.data(), length * 2);
            return length;
          },
          &result))
    info.GetReturnValue().Set(result);
}

// ---- Base64 ----

void base64Encode(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  auto text = info[0].As<v8::String>();
  Flatten(isolate, text);
  size_t length = static_cast<size_t>(text->Length());
  bool is_latin1 = true;
  v8::Local<v8::Value> result;
  auto write = [&](char* out) -> size_t {
    v8::String::ValueView view(isolate, text);
    if (view.is_one_byte())
      return simdutf::binary_to_base64(Chars(view), length, out, simdutf::base64_default);
    std::unique_ptr<char[]> bytes(new char[length]);
    is_latin1 =
        simdutf::convert_utf16le_to_latin1_with_errors(Units(view), length, bytes.get()).error ==
        simdutf::SUCCESS;
    return is_latin1 ? simdutf::binary_to_base64(bytes.get(), length, out, simdutf::base64_default)
                     : 0;
  };
  if (!NewOneByte(isolate, simdutf::base64_length_from_binary(length, simdutf::base64_default),
                  write, &result))
    return;
  if (is_latin1) {
    info.GetReturnValue().Set(result);
  } else {
    info.GetReturnValue().SetNull();
  }
}

void base64Decode(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  auto text = info[0].As<v8::String>();
  Flatten(isolate, text);
  size_t length = static_cast<size_t>(text->Length());
  bool is_good = true;
  v8::Local<v8::Value> result;
  auto write = [&](char* out) -> size_t {
    auto decode = [&](const char* chars) {
      simdutf::result done =
          simdutf::base64_to_binary(chars, length, out, simdutf::base64_default, simdutf::loose);
      is_good = done.error == simdutf::SUCCESS;
      return is_good ? done.count : 0;
    };
    v8::String::ValueView view(isolate, text);
    if (view.is_one_byte()) return decode(Chars(view));
    std::unique_ptr<char[]> bytes(new char[length]);
    is_good =
        simdutf::convert_utf16le_to_latin1_with_errors(Units(view), length, bytes.get()).error ==
        simdutf::SUCCESS;
    return is_good ? decode(bytes.get()) : 0;
  };
  // The decoder may write as much as if no character were white space.
  if (!NewOneByte(isolate, length / 4 * 3 + 3, write, &result)) return;
  if (is_good) {
    info.GetReturnValue().Set(result);
  } else {
    info.GetReturnValue().SetNull();
  }
}

}  // namespace ops
}  // namespace nano
