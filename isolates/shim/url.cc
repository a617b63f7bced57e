// URL ops over Ada, the URL parser of Node and workerd: one parser per process, nothing per heap.
#include <ada.h>

#include "engine.h"
#include "ops.h"

namespace nano::ops {

namespace {

std::string Text(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  auto text = value.As<v8::String>();
  std::string utf8(text->Utf8LengthV2(isolate), '\0');
  text->WriteUtf8V2(isolate, utf8.data(), utf8.size(), v8::String::WriteFlags::kReplaceInvalidUtf8);
  return utf8;
}

void Publish(v8::Isolate* isolate, const ada::url_aggregator& url) {
  uint32_t* to = UrlComponents(nano_isolate::From(isolate)->current());
  const ada::url_components& parts = url.get_components();
  to[0] = parts.protocol_end;
  to[1] = parts.username_end;
  to[2] = parts.host_start;
  to[3] = parts.host_end;
  to[4] = parts.port;
  to[5] = parts.pathname_start;
  to[6] = parts.search_start;
  to[7] = parts.hash_start;
  to[8] = static_cast<uint32_t>(url.type);
}

bool Set(ada::url_aggregator& url, uint32_t part, std::string_view value) {
  switch (part) {
    case 0:
      return url.set_href(value);
    case 1:
      return url.set_protocol(value);
    case 2:
      return url.set_username(value);
    case 3:
      return url.set_password(value);
    case 4:
      return url.set_host(value);
    case 5:
      return url.set_hostname(value);
    case 6:
      return url.set_port(value);
    case 7:
      return url.set_pathname(value);
    case 8:
      url.set_search(value);
      return true;
    case 9:
      url.set_hash(value);
      return true;
  }
  return false;
}

ada::result<ada::url_aggregator> Parse(v8::Isolate* isolate, Info info) {
  std::string input = Text(isolate, info[0]);
  if (!info[1]->IsString()) return ada::parse<ada::url_aggregator>(input);
  auto base = ada::parse<ada::url_aggregator>(Text(isolate, info[1]));
  if (!base) return base;
  return ada::parse<ada::url_aggregator>(input, &base.value());
}

}  // namespace

void urlParse(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  auto url = Parse(isolate, info);
  if (!url) return info.GetReturnValue().SetNull();
  Publish(isolate, *url);
  info.GetReturnValue().Set(OneByte(isolate, url->get_href()));
}

void urlSet(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  auto url = ada::parse<ada::url_aggregator>(Text(isolate, info[0]));
  if (!url || !Set(*url, info[1].As<v8::Uint32>()->Value(), Text(isolate, info[2])))
    return info.GetReturnValue().SetNull();
  Publish(isolate, *url);
  info.GetReturnValue().Set(OneByte(isolate, url->get_href()));
}

void urlCanParse(Info info) {
  info.GetReturnValue().Set(static_cast<bool>(Parse(info.GetIsolate(), info)));
}

void urlComponents(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_realm* realm = nano_isolate::From(isolate)->current();
  UrlComponents(realm);
  info.GetReturnValue().Set(realm->url_components.Get(isolate));
}

}  // namespace nano::ops
