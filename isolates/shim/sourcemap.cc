// Places in an app's code, as its author wrote it: source maps, and the stacks of errors.
//
// The tables that places are looked up in are made by package sourcemap, which describes them. They
// are read where they lie, in the mapped file of an image or in memory that all isolates of the app
// share, and nothing of them is kept elsewhere. An app may come with a table of any content: all
// that is read of it is checked against its bounds.
#include <algorithm>
#include <array>
#include <cstring>

#include "engine.h"

namespace nano {

namespace {

constexpr std::string_view kMagic = "NSM1";
constexpr size_t kHeader = 24, kIndex = 12, kSource = 4;
constexpr uint32_t kBlock = 64;
constexpr uint8_t kFlagLine = 1, kFlagNowhere = 2, kFlagSource = 4, kFlagSourceLine = 8;
constexpr int kColumnShift = 4;

// Numbers takes numbers off the data of a table. After a failure it gives zeros.
class Numbers {
 public:
  explicit Numbers(std::string_view rest) : rest_(rest) {}
  bool failed() const { return failed_; }

  uint8_t Byte() {
    if (rest_.empty()) {
      failed_ = true;
      return 0;
    }
    auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  uint32_t Unsigned() {
    uint64_t value = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      uint8_t byte = Byte();
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return static_cast<uint32_t>(value);
    }
    failed_ = true;
    return 0;
  }
  // Signed gives a difference, to be added modulo 2^32.
  uint32_t Signed() {
    uint32_t value = Unsigned();
    return value >> 1 ^ (0 - (value & 1));
  }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

// Segment says where a piece of the generated text comes from. Lines and columns begin with 0.
struct Segment {
  uint32_t line, column;
  uint32_t source, source_line, source_column;
  bool is_nowhere;

  bool IsAfter(uint32_t other_line, uint32_t other_column) const {
    return line > other_line || (line == other_line && column > other_column);
  }
  // Next goes on to the segment after this one.
  void Next(Numbers& data) {
    uint8_t flags = data.Byte();
    if (flags & kFlagLine) {
      line += data.Unsigned();
      column = 0;
    }
    uint32_t small = flags >> kColumnShift;
    column += small != 0 ? small : data.Unsigned();
    is_nowhere = (flags & kFlagNowhere) != 0;
    if (is_nowhere) return;
    if (flags & kFlagSource) source += data.Signed();
    if (flags & kFlagSourceLine) source_line += data.Signed();
    source_column += data.Signed();
  }
};

}  // namespace

SourceMap::SourceMap(nano_bytes table) {
  std::string_view text(table.data, table.length);
  if (text.size() < kHeader || text.substr(0, kMagic.size()) != kMagic) return;
  table_ = text;
  segments_ = Number(4);
  sources_ = Number(8);
  blocks_ = segments_ / kBlock + (segments_ % kBlock != 0);
  names_ = Number(12);
  data_ = Number(16);
  uint64_t names = kHeader + uint64_t{blocks_} * kIndex + uint64_t{sources_} * kSource;
  if (names_ != names || data_ < names_ || data_ > text.size()) table_ = {};
}

uint32_t SourceMap::Number(size_t offset) const {
  uint32_t number;
  memcpy(&number, table_.data() + offset, sizeof number);
  return number;
}

bool SourceMap::Source(uint32_t index, std::string_view* name) const {
  if (index >= sources_) return false;
  size_t ends = kHeader + size_t{blocks_} * kIndex;
  uint32_t begin = index == 0 ? 0 : Number(ends + (index - 1) * kSource);
  uint32_t end = Number(ends + index * kSource);
  if (begin > end || end > data_ - names_) return false;
  *name = table_.substr(names_ + begin, end - begin);
  return true;
}

bool SourceMap::Find(uint32_t line, uint32_t column, Place* place) const {
  if (table_.empty()) return false;
  uint32_t low = 0, high = blocks_;  // the block is the last that does not begin after the place
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    size_t entry = kHeader + size_t{middle} * kIndex;
    uint32_t first_line = Number(entry), first_column = Number(entry + 4);
    if (first_line > line || (first_line == line && first_column > column))
      high = middle;
    else
      low = middle + 1;
  }
  if (low == 0) return false;
  uint32_t block = low - 1;
  size_t entry = kHeader + size_t{block} * kIndex;
  size_t offset = data_ + size_t{Number(entry + 8)};
  if (offset >= table_.size()) return false;
  Numbers data(table_.substr(offset));
  Segment at = {Number(entry), Number(entry + 4), data.Unsigned(), 0, 0, false};
  at.is_nowhere = at.source == 0;
  if (!at.is_nowhere) at.source--;
  at.source_line = data.Unsigned();
  at.source_column = data.Unsigned();
  Segment found = at;
  for (uint32_t i = std::min(kBlock, segments_ - block * kBlock); i > 1; i--) {
    at.Next(data);
    if (data.failed() || at.IsAfter(line, column)) break;
    found = at;
  }
  if (found.is_nowhere || found.line != line || !Source(found.source, &place->file)) return false;
  place->line = found.source_line + 1;
  place->column = found.source_column + 1;
  return true;
}

bool MapPlace(const nano_image* image, std::string_view file, int line, int column, Place* place) {
  if (image == nullptr || !image->has_maps || line < 1 || column < 1) return false;
  for (const ModuleSource& module : image->modules)
    if (module.name == file)
      return module.places.Find(static_cast<uint32_t>(line - 1), static_cast<uint32_t>(column - 1),
                                place);
  return false;
}

std::string PlaceText(v8::Isolate* isolate, std::string_view file, int line, int column) {
  nano_isolate* self = nano_isolate::From(isolate);
  Place place = {file, static_cast<uint32_t>(line), static_cast<uint32_t>(column)};
  if (self != nullptr) MapPlace(self->image, file, line, column, &place);
  return std::string(place.file) + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

// ---- Stacks of errors ----

namespace {

constexpr std::u16string_view kFrame = u"\n    at ";

bool IsDigit(char16_t c) { return c >= '0' && c <= '9'; }

// TakeNumber reads a number that is not too large for a place; -1: there is none.
int TakeNumber(std::u16string_view text, size_t* at) {
  int64_t number = 0;
  size_t begin = *at;
  while (*at < text.size() && IsDigit(text[*at]) && number < INT32_MAX)
    number = number * 10 + (text[(*at)++] - '0');
  return *at == begin || number > INT32_MAX ? -1 : static_cast<int>(number);
}

// Frames tells where in the text of a stack its frames begin: it has `count` of them.
size_t Frames(std::u16string_view text, uint32_t count) {
  size_t at = text.size();
  for (uint32_t i = 0; i < count; i++) {
    size_t before = at == 0 ? std::u16string_view::npos : text.rfind(kFrame, at - 1);
    if (before == std::u16string_view::npos) break;
    at = before;
  }
  return at;
}

// ModuleBefore finds the module with a map whose name stands before an offset of the text, between
// brackets or blanks.
const ModuleSource* ModuleBefore(const nano_image& image, std::u16string_view text, size_t end) {
  std::u16string_view before = text.substr(0, end);
  for (const ModuleSource& module : image.modules) {
    if (module.places.empty() || !before.ends_with(module.wide_name)) continue;
    size_t begin = end - module.wide_name.size();
    if (begin > 0 && (text[begin - 1] == '(' || text[begin - 1] == ' ')) return &module;
  }
  return nullptr;
}

void AppendUtf8(std::u16string* to, v8::Isolate* isolate, std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return c > 0; })) {
    to->append(text.begin(), text.end());
    return;
  }
  v8::Local<v8::String> string;
  if (!Utf8(isolate, {text.data(), text.size()}).ToLocal(&string)) return;
  size_t at = to->size(), length = static_cast<size_t>(string->Length());
  to->resize(at + length);
  string->WriteV2(isolate, 0, static_cast<uint32_t>(length),
                  reinterpret_cast<uint16_t*>(to->data() + at));
}

void AppendNumber(std::u16string* to, uint32_t number) {
  std::string digits = std::to_string(number);
  to->append(digits.begin(), digits.end());
}

// MapFrames puts the places of the sources for those of the bundle into the text of a stack. False:
// there is nothing to change.
bool MapFrames(const nano_image& image, v8::Isolate* isolate, std::u16string_view text,
               uint32_t count, std::u16string* mapped) {
  size_t copied = 0;
  for (size_t at = Frames(text, count); (at = text.find(u':', at)) != text.npos;) {
    size_t end = at + 1;  // ":line:column", and then the end of a place
    int line = TakeNumber(text, &end);
    if (line < 1 || end >= text.size() || text[end] != ':') {
      at++;
      continue;
    }
    int column = TakeNumber(text, &++end);
    bool ends = end >= text.size() || text[end] == ')' || text[end] == '\n' || text[end] == ',';
    const ModuleSource* module = column < 1 || !ends ? nullptr : ModuleBefore(image, text, at);
    Place place;
    if (module != nullptr && module->places.Find(static_cast<uint32_t>(line - 1),
                                                 static_cast<uint32_t>(column - 1), &place)) {
      mapped->append(text.substr(copied, at - module->wide_name.size() - copied));
      AppendUtf8(mapped, isolate, place.file);
      mapped->push_back(':');
      AppendNumber(mapped, place.line);
      mapped->push_back(':');
      AppendNumber(mapped, place.column);
      copied = end;
    }
    at = end;
  }
  mapped->append(text.substr(copied));
  return copied != 0;
}

v8::MaybeLocal<v8::String> NewText(v8::Isolate* isolate, const std::u16string& text) {
  int length = static_cast<int>(text.size());
  if (std::all_of(text.begin(), text.end(), [](char16_t c) { return c < 0x100; })) {
    std::string narrow(text.begin(), text.end());
    return v8::String::NewFromOneByte(isolate, reinterpret_cast<const uint8_t*>(narrow.data()),
                                      v8::NewStringType::kNormal, length);
  }
  return v8::String::NewFromTwoByte(isolate, reinterpret_cast<const uint16_t*>(text.data()),
                                    v8::NewStringType::kNormal, length);
}

// PlainStack has V8 format a stack its own way, which it does while it formats one already.
v8::MaybeLocal<v8::Value> PlainStack(nano_realm* realm, v8::Local<v8::Context> context,
                                     v8::Local<v8::Value> error) {
  v8::Isolate* isolate = context->GetIsolate();
  if (!realm->stack_getter.IsEmpty())
    return realm->stack_getter.Get(isolate)->Call(context, error, 0, nullptr);
  if (!error->IsObject()) return v8::Undefined(isolate);
  return error.As<v8::Object>()->Get(context, OneByte(isolate, "stack"));
}

// OnFormatStack is what V8 calls for the text of an error's stack when that is first read. With it,
// V8 leaves Error.prepareStackTrace to us.
v8::MaybeLocal<v8::Value> OnFormatStack(v8::Local<v8::Context> context, v8::Local<v8::Value> error,
                                        v8::Local<v8::Array> sites) {
  v8::Isolate* isolate = context->GetIsolate();
  nano_realm* realm = nano_realm::Of(context);
  if (!realm->error_constructor.IsEmpty()) {
    v8::Local<v8::Object> constructor = realm->error_constructor.Get(isolate);
    v8::Local<v8::Value> prepare;
    if (!constructor->Get(context, OneByte(isolate, "prepareStackTrace")).ToLocal(&prepare))
      return {};
    if (prepare->IsFunction()) {
      v8::Local<v8::Value> arguments[] = {error, sites};
      return prepare.As<v8::Function>()->Call(context, constructor, 2, arguments);
    }
  }
  v8::Local<v8::Value> plain;
  if (!PlainStack(realm, context, error).ToLocal(&plain)) return {};
  const nano_image* image = realm->owner->image;
  if (!plain->IsString() || image == nullptr) return plain;
  v8::Local<v8::String> string = plain.As<v8::String>();
  std::u16string text(static_cast<size_t>(string->Length()), 0), mapped;
  string->WriteV2(isolate, 0, static_cast<uint32_t>(text.size()),
                  reinterpret_cast<uint16_t*>(text.data()));
  v8::Local<v8::String> result;
  if (!MapFrames(*image, isolate, text, sites->Length(), &mapped) ||
      !NewText(isolate, mapped).ToLocal(&result))
    return plain;
  return result;
}

}  // namespace

void UseMaps(nano_realm* realm, v8::Local<v8::Context> context, const nano_image* image) {
  nano_isolate* self = realm->owner;
  self->image = image;
  if (image == nullptr || !image->has_maps) return;
  v8::Isolate* isolate = self->isolate;
  isolate->SetPrepareStackTraceCallback(OnFormatStack);
  // Before the app can change what they are found by.
  v8::Local<v8::Value> primordials, constructor, descriptor, getter;
  if (realm->internals.Get(isolate)
          ->Get(context, OneByte(isolate, "primordials"))
          .ToLocal(&primordials) &&
      primordials->IsObject() &&
      primordials.As<v8::Object>()->Get(context, OneByte(isolate, "Error")).ToLocal(&constructor) &&
      constructor->IsObject())
    realm->error_constructor.Reset(isolate, constructor.As<v8::Object>());
  v8::Local<v8::Value> error = v8::Exception::Error(v8::String::Empty(isolate));
  if (error->IsObject() &&
      error.As<v8::Object>()
          ->GetOwnPropertyDescriptor(context, OneByte(isolate, "stack"))
          .ToLocal(&descriptor) &&
      descriptor->IsObject() &&
      descriptor.As<v8::Object>()->Get(context, OneByte(isolate, "get")).ToLocal(&getter) &&
      getter->IsFunction())
    realm->stack_getter.Reset(isolate, getter.As<v8::Function>());
}

}  // namespace nano

int nano_map_find(nano_bytes table, uint32_t line, uint32_t column, nano_place* place) {
  nano::Place found;
  if (line == 0 || column == 0) return 0;
  if (!nano::SourceMap(table).Find(line - 1, column - 1, &found)) return 0;
  *place = {{found.file.data(), found.file.size()}, found.line, found.column};
  return 1;
}
