// Ops that read a request record in place, and those that write records out.
//
// A request record lies in the arena as words (see isolates/arena.go, which writes it). JavaScript
// passes the Int32Array it lies in and its offset in words.
#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <ada.h>

#include "engine.h"
#include "ops.h"
#include "records.h"
#include "text.h"

namespace nano::ops {

namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool EqualsLower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); i++)
    if (Lower(text[i]) != lower[i]) return false;
  return true;
}

// IsHidden tells of headers that are no longer true when the content coding of a body is removed.
bool IsHidden(const Record& record, std::string_view name) {
  return record.encoded() &&
         (EqualsLower(name, "content-encoding") || EqualsLower(name, "content-length"));
}

// Contains tells whether a comma-separated list has a token.
bool Contains(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (item.size() == token.size() && strncasecmp(item.data(), token.data(), token.size()) == 0)
      return true;
  }
  return false;
}

// IsOfConnection tells of headers that are the server's own business, see isFraming and
// isOfConnection in 10_headers.js.
bool IsOfConnection(std::string_view name, bool of_request) {
  auto is = [name](std::string_view lower) { return EqualsLower(name, lower); };
  switch (name.size()) {
    case 2:
      return of_request && is("te");
    case 4:
      return of_request ? is("host") : is("date");
    case 6:
      return of_request && is("expect");
    case 7:
      return is("upgrade") || is("trailer");
    case 10:
      return is("connection") || is("keep-alive");
    case 14:
      return is("content-length");
    case 16:
      return is("proxy-connection");
    case 17:
      return is("transfer-encoding");
    default:
      return false;
  }
}

// IsPlainTarget tells that a path and query is its own normal form under the URL standard: only
// characters that are never escaped there, and no dot segments, not even encoded ones.
bool IsPlainTarget(std::string_view target) {
  static const auto plain = [] {
    std::array<bool, 256> table = {};
    for (int c = 0x21; c < 0x7f; c++) table[c] = strchr("\"#'<>\\^`{|}", c) == nullptr;
    return table;
  }();
  if (target.empty() || target[0] != '/') return false;
  for (size_t i = 0; i < target.size(); i++) {
    if (!plain[static_cast<uint8_t>(target[i])]) return false;
    if (target[i] == '/' && i + 1 < target.size() && (target[i + 1] == '.' || target[i + 1] == '%'))
      return false;
  }
  return true;
}

// Origin returns "scheme://host[:port]" in normal form. Clients of one app mostly send the same
// host, so the last one is remembered.
const std::string& Origin(std::string_view host, bool secure) {
  thread_local std::string last_host, last_origin;
  thread_local bool last_secure = false;
  if (last_secure == secure && last_host == host && !last_origin.empty()) return last_origin;
  std::string prefix = secure ? "https://" : "http://";
  prefix += host;
  auto url = ada::parse<ada::url_aggregator>(prefix);
  last_origin = url ? url->get_origin() : prefix;
  last_host = host;
  last_secure = secure;
  return last_origin;
}

}  // namespace

void respond(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  Writer writer(self, NANO_RESPOND, Unsigned(info[0]));
  writer.record()->status = static_cast<uint16_t>(Unsigned(info[1]));
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[5]));
  uint32_t reason = writer.Latin1(isolate, info[2]);
  uint32_t head = writer.Latin1(isolate, info[3]);
  writer.record()->reason_length = reason;
  writer.record()->head_length = head;
  if (info.Length() > 6) {
    writer.record()->source = info[6].As<v8::Int32>()->Value();
    writer.record()->number = info[7].As<v8::Number>()->Value();
  }
  writer.Body(isolate, info[4]);
}

void respondChunk(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  Writer writer(nano_isolate::From(isolate), NANO_CHUNK, Unsigned(info[0]));
  writer.Body(isolate, info[1]);
}

void respondEnd(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  Writer writer(nano_isolate::From(isolate), NANO_END, Unsigned(info[0]));
  writer.record()->flags = info[1]->BooleanValue(isolate) ? 1 : 0;
}

void settled(Info info) {
  Writer writer(nano_isolate::From(info.GetIsolate()), NANO_SETTLED, Unsigned(info[0]));
}

void timerSet(Info info) {
  Writer writer(nano_isolate::From(info.GetIsolate()), NANO_TIMER_SET, Unsigned(info[0]));
  writer.record()->number = info[1].As<v8::Number>()->Value();
}

void timerClear(Info info) {
  Writer writer(nano_isolate::From(info.GetIsolate()), NANO_TIMER_CLEAR, Unsigned(info[0]));
}

// Beyond this many bytes a turn's log ends, with a note.
constexpr size_t kLogBytes = 16 << 20;

// LEVEL_UNCAUGHT of 90_dispatch.js: the text has a stack.
constexpr uint32_t kLevelUncaught = 4;

// CallerPlace is where in the app's code the console was called. That is mostly the third frame,
// and each frame costs.
static std::string CallerPlace(v8::Isolate* isolate) {
  constexpr auto kOptions = static_cast<v8::StackTrace::StackTraceOptions>(
      v8::StackTrace::kScriptName | v8::StackTrace::kLineNumber | v8::StackTrace::kColumnOffset);
  for (int frames : {3, 8}) {
    auto stack = v8::StackTrace::CurrentStackTrace(isolate, frames, kOptions);
    std::string place = PlaceOf(isolate, stack);
    if (!place.empty() || stack->GetFrameCount() < frames) return place;
  }
  return "";
}

// LogID is the id that the logs give the request of a record.
static int64_t LogID(const Record& record) {
  const uint32_t* words = record.words;
  bool is_request = words[kKind] == kRequestKind;
  uint64_t low = is_request ? words[kLogID] : words[kNoteLogID];
  uint64_t high = is_request ? words[kLogID + 1] : words[kNoteLogIDHigh];
  return static_cast<int64_t>(high << 32 | low);
}

void log(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_isolate* self = nano_isolate::From(isolate);
  v8::Local<v8::Value> text = info[3];
  size_t length = text->IsString() ? static_cast<size_t>(text.As<v8::String>()->Length()) : 0;
  if (self->out.logged > kLogBytes) return;
  self->out.logged += length + sizeof(nano_record);
  if (self->out.logged > kLogBytes)
    text = OneByte(isolate, "too much for the log at once: this line and the next ones are lost");
  const uint32_t level = Unsigned(info[2]);
  if (self->inspection != nullptr && level == kLevelUncaught) TellUncaught(self, text);
  const std::string source = level == kLevelUncaught
                                 ? PlaceIn(*v8::String::Utf8Value(isolate, text))
                                 : CallerPlace(isolate);
  uint32_t id = 0;
  int64_t log_id = 0;
  bool is_ended = true;
  if (!info[0]->IsUndefined()) {
    Record record(info);
    id = record.words[kID];
    log_id = LogID(record);
    is_ended = info[4]->IsTrue();
  }
  Writer writer(self, NANO_LOG, id);
  writer.record()->status = is_ended ? 0 : 1;
  writer.record()->request = log_id;
  writer.record()->flags = static_cast<uint8_t>(level);
  uint32_t source_length = writer.Text(source);
  writer.record()->reason_length = source_length;
  writer.Body(isolate, text);
}

void requestURL(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  const std::string& origin = Origin(record.Span(record.words[kHost]), record.secure());
  std::string_view target = record.Span(record.words[kTarget]);
  char small[512];
  if (IsPlainTarget(target) && origin.size() + target.size() <= sizeof small) {
    memcpy(small, origin.data(), origin.size());
    memcpy(small + origin.size(), target.data(), target.size());
    info.GetReturnValue().Set(OneByte(isolate, {small, origin.size() + target.size()}));
    return;
  }
  std::string url = origin;
  url += target;
  auto parsed = ada::parse<ada::url_aggregator>(url);
  info.GetReturnValue().Set(OneByte(isolate, parsed ? parsed->get_href() : url));
}

void requestMethod(Info info) {
  Record record(info);
  std::string_view head(record.head, record.words[kHeadLength]);
  if (head.starts_with("\r\n"))
    head.remove_prefix(2);  // one empty line before a request is ignored
  info.GetReturnValue().Set(OneByte(info.GetIsolate(), head.substr(0, head.find(' '))));
}

void requestHeader(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  auto wanted = info[2].As<v8::String>();
  char name[256];
  size_t length = static_cast<size_t>(wanted->Length());
  info.GetReturnValue().SetNull();
  if (length > sizeof name) return;
  wanted->WriteOneByteV2(isolate, 0, static_cast<uint32_t>(length),
                         reinterpret_cast<uint8_t*>(name));
  std::string_view lower(name, length);
  std::string_view first;
  std::string combined;
  bool found = false;
  for (uint32_t i = 0; i < record.field_count(); i++) {
    if (!EqualsLower(record.FieldName(i), lower) || IsHidden(record, lower)) continue;
    if (!found) {
      first = record.FieldValue(i);
      found = true;
      continue;
    }
    if (combined.empty()) combined = first;
    combined += lower == "cookie" ? "; " : ", ";
    combined += record.FieldValue(i);
  }
  if (found) info.GetReturnValue().Set(OneByte(isolate, combined.empty() ? first : combined));
}

void requestHeaders(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  v8::LocalVector<v8::Value> flat(isolate);
  flat.reserve(2 * record.field_count());
  char lower[256];
  for (uint32_t i = 0; i < record.field_count(); i++) {
    std::string_view name = record.FieldName(i);
    if (IsHidden(record, name)) continue;
    std::string long_name;
    char* to = lower;
    if (name.size() > sizeof lower) {
      long_name.resize(name.size());
      to = long_name.data();
    }
    for (size_t k = 0; k < name.size(); k++) to[k] = Lower(name[k]);
    flat.push_back(v8::String::NewFromOneByte(isolate, reinterpret_cast<uint8_t*>(to),
                                              v8::NewStringType::kInternalized,
                                              static_cast<int>(name.size()))
                       .ToLocalChecked());
    flat.push_back(OneByte(isolate, record.FieldValue(i)));
  }
  info.GetReturnValue().Set(v8::Array::New(isolate, flat.data(), flat.size()));
}

// LinesOf gives the fields of a record as header lines, without those that are of its connection.
// of_request: it is to become a request.
static std::string LinesOf(const Record& record, bool of_request) {
  std::string_view named;  // by Connection
  size_t size = 0;
  for (uint32_t i = 0; i < record.field_count(); i++) {
    size += record.FieldName(i).size() + record.FieldValue(i).size() + 4;
    if (EqualsLower(record.FieldName(i), "connection") && named.empty())
      named = record.FieldValue(i);
  }
  std::string lines;
  lines.reserve(size);
  for (uint32_t i = 0; i < record.field_count(); i++) {
    std::string_view name = record.FieldName(i);
    if (IsOfConnection(name, of_request) || IsHidden(record, name)) continue;
    if (!named.empty() && Contains(named, name)) continue;
    for (char c : name) lines += Lower(c);
    lines += ": ";
    lines += record.FieldValue(i);
    lines += "\r\n";
  }
  return lines;
}

void headLines(Info info) {
  info.GetReturnValue().Set(OneByte(info.GetIsolate(), LinesOf(Record(info), info[2]->IsTrue())));
}

void respondRecord(Info info) {
  Record record(info);
  v8::Isolate* isolate = info.GetIsolate();
  Writer writer(nano_isolate::From(isolate), NANO_RESPOND, Unsigned(info[2]));
  writer.record()->status = static_cast<uint16_t>(Unsigned(info[3]));
  writer.record()->flags = static_cast<uint8_t>(Unsigned(info[5]));
  uint32_t reason = writer.Latin1(isolate, info[4]);
  uint32_t head = writer.Text(LinesOf(record, false));
  writer.record()->reason_length = reason;
  writer.record()->head_length = head;
  std::string_view body = record.Body();
  uint8_t* to = writer.Bytes(body.size());
  if (!body.empty()) memcpy(to, body.data(), body.size());
}

void contentCoding(Info info) {
  Record record(info);
  std::string coding;
  for (uint32_t i = 0; i < record.field_count(); i++) {
    if (!EqualsLower(record.FieldName(i), "content-encoding")) continue;
    if (!coding.empty()) coding += ", ";
    for (char c : record.FieldValue(i)) coding += Lower(c);
  }
  info.GetReturnValue().Set(OneByte(info.GetIsolate(), coding));
}

void requestText(Info info) {
  std::string_view body = Record(info).Body();
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);
  v8::Local<v8::Value> text;
  if (DecodeUtf8(info.GetIsolate(), body, false, &text)) info.GetReturnValue().Set(text);
}

void requestJson(Info info) {
  v8::Local<v8::Value> value;
  if (ParseJson(info.GetIsolate(), Record(info).Body(), &value)) info.GetReturnValue().Set(value);
}

void requestBytes(Info info) {
  std::string_view body = Record(info).Body();
  v8::Isolate* isolate = info.GetIsolate();
  v8::Local<v8::ArrayBuffer> buffer;
  if (!v8::ArrayBuffer::MaybeNew(isolate, body.size(),
                                 v8::BackingStoreInitializationMode::kUninitialized)
           .ToLocal(&buffer)) {
    isolate->ThrowException(
        v8::Exception::RangeError(OneByte(isolate, "out of memory for the body")));
    return;
  }
  if (!body.empty()) memcpy(buffer->Data(), body.data(), body.size());
  info.GetReturnValue().Set(v8::Uint8Array::New(buffer, 0, body.size()));
}

void remoteAddress(Info info) {
  Record record(info);
  uint32_t word = record.words[kRemote];
  info.GetReturnValue().Set(
      OneByte(info.GetIsolate(),
              {reinterpret_cast<const char*>(record.words) + (word & 0xffffff), word >> 24}));
}

}  // namespace nano::ops
