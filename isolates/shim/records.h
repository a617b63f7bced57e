// How ops read records in and write records out.
#ifndef NANO_RECORDS_H_
#define NANO_RECORDS_H_

#include <cstring>

#include "engine.h"
#include "ops.h"

namespace nano::ops {

// Words of a request record, and of a response record, see isolates/arena.go.
enum Word {
  kKind = 1,
  kID = 2,
  kFlags = 3,
  kHeadOffset = 4,
  kHeadLength = 5,
  kHost = 6,
  kTarget = 7,
  kFieldCount = 8,
  kBodyOffset = 9,
  kBodyLength = 10,
  kRemote = 11,
  kURLLength = 6,  // of a response
  kReasonLength = 7,
  kURLOffset = 11,  // the reason follows it
  kLogID = 12,      // of a request, low half first
  kFields = 14,
};

// Record is a view of a request record, of a response record, or of a short one.
struct Record {
  explicit Record(Info info) {
    auto array = info[0].As<v8::Int32Array>();
    const Arena& arena = nano_isolate::From(info.GetIsolate())->current()->arena;
    const uint8_t* data =
        arena.words == array ? arena.data : static_cast<const uint8_t*>(array->Buffer()->Data());
    words = reinterpret_cast<const uint32_t*>(data) + info[1].As<v8::Uint32>()->Value();
    head = reinterpret_cast<const char*>(words) + words[kHeadOffset];
  }
  // Span reads a word that packs an offset into the head and a length.
  std::string_view Span(uint32_t word) const { return {head + (word & 0xffff), word >> 16}; }
  std::string_view Body() const {
    return {reinterpret_cast<const char*>(words) + words[kBodyOffset], words[kBodyLength]};
  }
  bool secure() const { return (words[kFlags] >> 16 & 1) != 0; }
  // Bytes are `length` bytes from byte `offset` of the record on.
  std::string_view Bytes(uint32_t offset, uint32_t length) const {
    return {reinterpret_cast<const char*>(words) + offset, length};
  }
  // encoded tells that it is a response whose body JavaScript will see without its content coding.
  bool encoded() const {
    constexpr uint32_t kResponse = 5, kEncoded = 1 << 19;
    return words[kKind] == kResponse && (words[kFlags] & kEncoded) != 0;
  }
  uint32_t field_count() const { return words[kFieldCount]; }
  std::string_view FieldName(uint32_t i) const { return Span(words[kFields + 2 * i]); }
  std::string_view FieldValue(uint32_t i) const { return Span(words[kFields + 2 * i + 1]); }

  const uint32_t* words;
  const char* head;
};

// Words of a note record, and of a data record.
enum NoteWord { kNoteLength = 4, kNoteSlot = 5, kNoteText = 6 };

// Words of the record of a schedule, which is a note.
enum ScheduledWord { kNoteLogID = 3, kNoteLogIDHigh = 5 };

// Of the kinds of records those that have an id for the logs are this one and schedules.
constexpr uint32_t kRequestKind = 1;

// NextHandle gives out a handle that nobody has had for long.
inline int32_t NextHandle(nano_isolate* self) {
  constexpr int32_t kLast = (1 << 30) - 1;
  int32_t& last = self->shared.last_handle;
  last = last == kLast ? 1 : last + 1;
  return last;
}

// TakeStore takes what a data record has brought beside the arena; null: it lies in the record. The
// record is empty from then on.
inline std::unique_ptr<v8::BackingStore> TakeStore(Info info, const Record& record) {
  uint32_t slot = record.words[kNoteSlot];
  if (slot == 0) return nullptr;
  auto* words = const_cast<uint32_t*>(record.words);
  words[kNoteSlot] = words[kNoteLength] = 0;
  return nano_isolate::From(info.GetIsolate())->current()->TakeStore(slot - 1);
}

inline bool IsAscii(const uint8_t* data, size_t length) {
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    memcpy(&word, data + i, 8);
    seen |= word;
  }
  for (; i < length; i++) seen |= data[i];
  return (seen & 0x8080808080808080u) == 0;
}

// Writer appends one record to the isolate's output.
class Writer {
 public:
  Writer(nano_isolate* self, nano_kind kind, uint32_t id) : self_(self) {
    uint8_t* at = self->out.Reserve(sizeof(nano_record));
    memset(at, 0, sizeof(nano_record));
    start_ = self->out.length();
    self->out.Commit(sizeof(nano_record));
    record()->kind = kind;
    record()->id = id;
    if (self->has_realms) record()->realm = self->current()->id;
  }
  ~Writer() {
    size_t size = self_->out.length() - start_;
    size_t padding = (8 - size % 8) % 8;
    self_->out.Reserve(padding);
    self_->out.Commit(padding);
    record()->size = static_cast<uint32_t>(size + padding);
    self_->out.Finish(block_ != nullptr ? record()->body_length : 0);
  }
  // Valid until more is appended.
  nano_record* record() {
    return reinterpret_cast<nano_record*>(const_cast<uint8_t*>(self_->out.data()) + start_);
  }

  // Handle is a record's id that is a handle.
  static uint32_t Handle(v8::Local<v8::Value> value) {
    return static_cast<uint32_t>(value.As<v8::Int32>()->Value());
  }

  // Latin1 appends a string whose characters are all below 256.
  uint32_t Latin1(v8::Isolate* isolate, v8::Local<v8::Value> value) {
    if (!value->IsString()) return 0;
    auto text = value.As<v8::String>();
    uint32_t length = static_cast<uint32_t>(text->Length());
    if (length == 0) return 0;
    text->WriteOneByteV2(isolate, 0, length, self_->out.Reserve(length));
    self_->out.Commit(length);
    return length;
  }

  // Utf8 appends a string as UTF-8.
  uint32_t Utf8(v8::Isolate* isolate, v8::Local<v8::Value> value) {
    if (!value->IsString()) return 0;
    auto text = value.As<v8::String>();
    size_t capacity = text->Utf8LengthV2(isolate);
    char* at = reinterpret_cast<char*>(self_->out.Reserve(capacity));
    size_t length =
        text->WriteUtf8V2(isolate, at, capacity, v8::String::WriteFlags::kReplaceInvalidUtf8);
    self_->out.Commit(length);
    return static_cast<uint32_t>(length);
  }

  // Text appends text as it is.
  uint32_t Text(std::string_view text) {
    if (text.empty()) return 0;
    memcpy(self_->out.Reserve(text.size()), text.data(), text.size());
    self_->out.Commit(text.size());
    return static_cast<uint32_t>(text.size());
  }

  // Body appends a string as UTF-8, or bytes; large ones go to a block of their own.
  void Body(v8::Isolate* isolate, v8::Local<v8::Value> value) {
    if (value->IsString()) {
      Text(isolate, value.As<v8::String>());
    } else if (value->IsArrayBufferView()) {
      auto view = value.As<v8::ArrayBufferView>();
      size_t length = view->ByteLength();
      view->CopyContents(Take(length), length);
      Done(length);
    } else if (value->IsArrayBuffer()) {
      auto buffer = value.As<v8::ArrayBuffer>();
      size_t length = buffer->ByteLength();
      if (length > 0) memcpy(Take(length), buffer->Data(), length);
      Done(length);
    }
  }

  // Bytes makes room for a body of so many bytes, to be written before anything else is.
  uint8_t* Bytes(size_t length) {
    uint8_t* at = Take(length);
    Done(length);
    return at;
  }

 private:
  // Beyond this a body is not copied a second time into the connection's buffer.
  static constexpr size_t kInline = 16 << 10;

  uint8_t* Take(size_t capacity) {
    if (capacity <= kInline) return self_->out.Reserve(capacity);
    block_ = self_->out.Block(NANO_HEAD_ROOM + capacity);
    return block_ + NANO_HEAD_ROOM;
  }
  void Done(size_t length) {
    record()->body_length = static_cast<uint32_t>(length);
    record()->block = block_;
    if (block_ == nullptr) self_->out.Commit(length);
  }
  void Text(v8::Isolate* isolate, v8::Local<v8::String> text) {
    size_t length = static_cast<size_t>(text->Length());
    if (text->IsOneByte()) {
      uint8_t* at = Take(length);
      text->WriteOneByteV2(isolate, 0, static_cast<uint32_t>(length), at);
      if (IsAscii(at, length)) return Done(length);
      self_->out.DropBlock();
      block_ = nullptr;
    }
    // A Latin-1 character becomes at most two bytes, a UTF-16 unit at most three.
    size_t capacity = length <= kInline / 3 ? length * 3 : text->Utf8LengthV2(isolate);
    uint8_t* at = Take(capacity);
    Done(text->WriteUtf8V2(isolate, reinterpret_cast<char*>(at), capacity,
                           v8::String::WriteFlags::kReplaceInvalidUtf8));
  }

  nano_isolate* self_;
  size_t start_;
  uint8_t* block_ = nullptr;
};

inline uint32_t Unsigned(v8::Local<v8::Value> value) { return value.As<v8::Uint32>()->Value(); }

}  // namespace nano::ops

#endif  // NANO_RECORDS_H_
