#include "url.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ops.h"
#include "records.h"
#include "text.h"

namespace nano {

namespace {

bool IsAscii(std::string_view text) {
  return ops::IsAscii(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// ---- The fast path: URLs that are normal already ----

enum Class : uint8_t { kHostClass = 1, kPathClass = 2, kQueryClass = 4, kFragmentClass = 8 };

// What of a normal URL's parts is left as it is; "%" and what needs a closer look is in none.
constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0x21; c < 0x7f; c++) {
    auto is = [&](const char* list) {
      for (; *list != 0; list++)
        if (*list == c) return true;
      return false;
    };
    bool letter = (c >= 'a' && c <= 'z'), digit = (c >= '0' && c <= '9');
    if (letter || digit || c == '-' || c == '.' || c == '_') classes[c] |= kHostClass;
    if (!is("\"#<>?`{}^\\|")) classes[c] |= kPathClass;
    if (!is("\"#<>'")) classes[c] |= kQueryClass;
    if (!is("\"<>`")) classes[c] |= kFragmentClass;
  }
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

size_t SkipClass(std::string_view text, size_t at, Class wanted) {
  while (at < text.size() && (kClasses[static_cast<uint8_t>(text[at])] & wanted) != 0) at++;
  return at;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// IsNormalHost: an IPv4 address as the serializer writes it, or a domain that is none and has no
// label in Punycode.
bool IsNormalHost(std::string_view host) {
  if (host.empty() || host.size() > kDomainMax) return false;
  size_t last = host.rfind('.');
  last = last == std::string_view::npos ? 0 : last + 1;
  if (last == host.size() || host.find("xn--") != std::string_view::npos) return false;
  if (!IsDigit(host[last])) return true;
  int parts = 0;
  for (size_t at = 0; at <= host.size(); parts++) {
    size_t end = std::min(host.find('.', at), host.size());
    if (end == at || end - at > 3 || (host[at] == '0' && end - at > 1)) return false;
    int value = 0;
    for (; at < end; at++) {
      if (!IsDigit(host[at])) return false;
      value = value * 10 + (host[at] - '0');
    }
    if (value > 255) return false;
    at = end + 1;
  }
  return parts == 4;
}

}  // namespace

bool NormalURL(std::string_view text, ada::url_components* components) {
  bool secure = text.starts_with("https://");
  if (!secure && !text.starts_with("http://")) return false;
  constexpr uint32_t kNone = ada::url_components::omitted;
  auto offset = [](size_t at) { return static_cast<uint32_t>(at); };
  ada::url_components& parts = *components;
  parts.protocol_end = secure ? 6 : 5;
  parts.username_end = parts.host_start = parts.protocol_end + 2;
  size_t at = SkipClass(text, parts.host_start, kHostClass);
  if (!IsNormalHost(text.substr(parts.host_start, at - parts.host_start))) return false;
  parts.host_end = offset(at);
  parts.port = parts.search_start = parts.hash_start = kNone;
  if (at < text.size() && text[at] == ':') {
    size_t first = ++at;
    uint32_t port = 0;
    for (; at < text.size() && IsDigit(text[at]) && port <= 0xffff; at++)
      port = port * 10 + static_cast<uint32_t>(text[at] - '0');
    if (at == first || (text[first] == '0' && at > first + 1) || port > 0xffff ||
        port == (secure ? 443u : 80u))
      return false;
    parts.port = port;
  }
  if (at == text.size() || text[at] != '/') return false;
  parts.pathname_start = offset(at);
  while (at < text.size() && text[at] == '/') {
    // "." and ".." are removed, encoded ones as well. Other names may begin with a dot, too.
    if (++at < text.size() && (text[at] == '.' || text[at] == '%')) return false;
    while (at < text.size() && text[at] != '/' &&
           (kClasses[static_cast<uint8_t>(text[at])] & kPathClass) != 0)
      at++;
  }
  if (at < text.size() && text[at] == '?') {
    parts.search_start = offset(at);
    at = SkipClass(text, at + 1, kQueryClass);
  }
  if (at < text.size() && text[at] == '#') {
    parts.hash_start = offset(at);
    at = SkipClass(text, at + 1, kFragmentClass);
  }
  return at == text.size();
}

namespace {

// AppendPath appends the segments of a path to one that ends with a slash, and resolves "." and
// ".." among them. It gives the position after the path; npos: it would be changed, or may be a
// scheme.
size_t AppendPath(std::string_view input, size_t at, size_t path_start, std::string* out) {
  for (bool first = true;; first = false) {
    size_t end = SkipClass(input, at, kPathClass);
    size_t slash = input.substr(0, end).find('/', at);
    std::string_view segment = input.substr(at, std::min(slash, end) - at);
    if (segment.starts_with('%') || segment.starts_with(".%")) return std::string_view::npos;
    if (first && at == 0 && segment.find(':') != std::string_view::npos)
      return std::string_view::npos;
    const bool last = slash == std::string_view::npos;
    if (segment == "..") {
      if (out->size() > path_start + 1) {
        out->pop_back();
        out->resize(out->rfind('/') + 1);
      }
    } else if (segment != ".") {
      out->append(segment);
      if (!last) out->push_back('/');
    }
    if (last) return end;
    at = slash + 1;
  }
}

}  // namespace

bool ResolveNormal(std::string_view input, std::string_view base, std::string* out,
                   ada::url_components* components) {
  ada::url_components& parts = *components;
  if (!NormalURL(base, &parts)) return false;
  const size_t base_path_end =
      std::min({size_t{parts.search_start}, size_t{parts.hash_start}, base.size()});
  size_t at = 0;
  if (input.empty() || input[0] == '?' || input[0] == '#') {
    bool keeps_query = input.empty() || input[0] == '#';
    out->assign(base.substr(0, keeps_query ? parts.hash_start : base_path_end));
    if (!keeps_query) parts.search_start = ada::url_components::omitted;
  } else {
    if (input[0] == '/') {
      if (input.size() > 1 && (input[1] == '/' || input[1] == '\\')) return false;
      out->assign(base.substr(0, parts.pathname_start + 1));
      at = 1;
    } else {
      out->assign(base.substr(0, base.substr(0, base_path_end).rfind('/') + 1));
    }
    at = AppendPath(input, at, parts.pathname_start, out);
    if (at == std::string_view::npos) return false;
    parts.search_start = ada::url_components::omitted;
  }
  parts.hash_start = ada::url_components::omitted;
  auto append = [&](char mark, Class wanted, uint32_t* start) {
    if (at == input.size() || input[at] != mark) return;
    size_t end = SkipClass(input, at + 1, wanted);
    *start = static_cast<uint32_t>(out->size());
    out->append(input.substr(at, end - at));
    at = end;
  };
  append('?', kQueryClass, &parts.search_start);
  append('#', kFragmentClass, &parts.hash_start);
  return at == input.size();
}

// ---- Domains that Ada refuses ----

namespace {

// Ideographs that Unicode 17 has added; Ada's tables are of an earlier version. Each is valid, maps
// to itself and is like any other ideograph, such as the stand-in, which no character maps to.
bool IsNewIdeograph(char32_t c) {
  return (c >= 0x323b0 && c <= 0x33479) || (c >= 0x2b73a && c <= 0x2b73f) ||
         (c >= 0x2cea2 && c <= 0x2cead);
}
constexpr char32_t kStandIn = 0x30000;

// HideNew puts the stand-in for new ideographs and notes them, and itself, in order.
std::u32string HideNew(std::u32string_view text, std::u32string* hidden) {
  std::u32string shown(text);
  for (char32_t& c : shown) {
    if (c != kStandIn && !IsNewIdeograph(c)) continue;
    hidden->push_back(c);
    c = kStandIn;
  }
  return shown;
}

// IsValidPunycode tells whether a label with its "xn--" taken off is what ToASCII makes of a label.
bool IsValidPunycode(std::string_view encoded) {
  std::u32string decoded, hidden;
  if (!ada::idna::punycode_to_utf32(encoded, decoded)) return false;
  if (std::ranges::all_of(decoded, [](char32_t c) { return c < 0x80; })) return false;
  std::u32string shown = HideNew(decoded, &hidden);
  std::u32string mapped = ada::idna::map(shown);
  if (mapped != shown) return false;
  ada::idna::normalize(mapped);
  return mapped == shown && ada::idna::is_label_valid(mapped);
}

// AppendLabel appends a mapped label as ToASCII of UTS #46 writes it. False: it is not valid.
bool AppendLabel(std::u32string_view label, const char32_t** hidden, std::string* out) {
  if (std::ranges::all_of(label, [](char32_t c) { return c < 0x80; })) {
    std::string ascii(label.begin(), label.end());
    if (ascii.starts_with("xn--") && !IsValidPunycode(std::string_view(ascii).substr(4)))
      return false;
    out->append(ascii);
    return true;
  }
  if (!ada::idna::is_label_valid(label)) return false;
  std::u32string real(label);
  for (char32_t& c : real)
    if (c == kStandIn) c = *(*hidden)++;
  out->append("xn--");
  return ada::idna::utf32_to_punycode(real, *out);
}

std::u32string Utf32(std::string_view text) {
  std::u32string wide;
  for (size_t i = 0; i < text.size();) {
    auto first = static_cast<uint8_t>(text[i]);
    int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    char32_t c = more == 0 ? first : first & (0x3f >> more);
    for (i++; more > 0 && i < text.size(); more--, i++)
      c = c << 6 | (static_cast<uint8_t>(text[i]) & 0x3f);
    wide.push_back(c);
  }
  return wide;
}

// DomainToASCII is the "domain to ASCII" of the standard (3.3) where Ada's is another: for ASCII,
// and where there are new ideographs. Empty: for any other domain, or it is not valid.
std::string DomainToASCII(std::string_view domain) {
  std::string ascii;
  if (IsAscii(domain)) {
    ascii.assign(domain);
    ada::idna::ascii_map(ascii.data(), ascii.size());
    return ascii.find("xn--") == std::string::npos ? std::string() : ascii;
  }
  std::u32string hidden;
  std::u32string shown = HideNew(Utf32(domain), &hidden);
  if (std::ranges::none_of(hidden, IsNewIdeograph)) return {};
  shown = ada::idna::map(shown);
  if (shown.empty()) return {};
  ada::idna::normalize(shown);
  const char32_t* next = hidden.data();
  for (size_t at = 0;;) {
    size_t end = std::min(shown.find(U'.', at), shown.size());
    if (end > at && !AppendLabel(std::u32string_view(shown).substr(at, end - at), &next, &ascii))
      return {};
    if (end == shown.size()) return ascii;
    ascii.push_back('.');
    at = end + 1;
  }
}

// Replace gives the well-formed part of percent-decoded bytes; a domain with others is invalid.
std::optional<std::string> PercentDecoded(std::string_view host) {
  std::string decoded = ada::unicode::percent_decode(host, host.find('%'));
  for (size_t i = 0; i < decoded.size();) {
    auto first = static_cast<uint8_t>(decoded[i]);
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || i + length > decoded.size()) return {};
    for (size_t k = 1; k < length; k++)
      if ((decoded[i + k] & 0xc0) != 0x80) return {};
    i += length;
  }
  return decoded;
}

// Disguised is a host that Ada takes for the given one. Null: Ada is right about it.
std::optional<std::string> Disguised(std::string_view host, char mark) {
  std::optional<std::string> decoded = PercentDecoded(host);
  if (!decoded || decoded->empty()) return {};
  std::string ascii = DomainToASCII(*decoded);
  if (ascii.find('%') != std::string::npos) return {};  // not allowed in a domain
  for (size_t at = 0; (at = ascii.find("xn--", at)) != std::string::npos; at += 4)
    if (at == 0 || ascii[at - 1] == '.') ascii[at + 3] = mark;
  if (ascii.empty()) return {};
  return ascii;
}

// Trimmed is the input without what the parser removes first.
std::string Trimmed(std::string_view input) {
  auto is_trimmed = [](char c) { return static_cast<uint8_t>(c) <= 0x20; };
  while (!input.empty() && is_trimmed(input.front())) input.remove_prefix(1);
  while (!input.empty() && is_trimmed(input.back())) input.remove_suffix(1);
  std::string trimmed(input);
  std::erase_if(trimmed, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
  return trimmed;
}

struct Span {
  size_t begin, end;
};

bool IsSlash(char c) { return c == '/' || c == '\\'; }

// SchemeEnd is the position after the ":" of a scheme, or 0.
size_t SchemeEnd(std::string_view input) {
  auto is_alpha = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  if (input.empty() || !is_alpha(input[0])) return 0;
  for (size_t i = 1; i < input.size(); i++) {
    char c = input[i];
    if (c == ':') return i + 1;
    if (!is_alpha(c) && !IsDigit(c) && c != '+' && c != '-' && c != '.') return 0;
  }
  return 0;
}

// FindHost finds the domain in a trimmed input, as the states of the basic URL parser come to it.
std::optional<Span> FindHost(std::string_view input, const ada::url_aggregator* base) {
  size_t at = SchemeEnd(input);
  auto two_slashes = [&] {
    return at + 1 < input.size() && IsSlash(input[at]) && IsSlash(input[at + 1]);
  };
  ada::scheme::type type;
  if (at > 0) {
    std::string scheme(input.substr(0, at - 1));
    ada::idna::ascii_map(scheme.data(), scheme.size());
    type = ada::scheme::get_scheme_type(scheme);
    if (base != nullptr && base->type == type && !two_slashes()) return {};  // relative
  } else {
    if (base == nullptr || !two_slashes()) return {};
    type = base->type;
  }
  if (type == ada::scheme::NOT_SPECIAL) return {};
  if (type == ada::scheme::FILE) {
    if (!two_slashes()) return {};
    at += 2;
    return Span{at, std::min(input.find_first_of("/\\?#", at), input.size())};
  }
  while (at < input.size() && IsSlash(input[at])) at++;
  size_t end = std::min(input.find_first_of("/\\?#", at), input.size());
  size_t credentials = input.substr(0, end).rfind('@');
  if (credentials != std::string_view::npos && credentials >= at) at = credentials + 1;
  return Span{at, std::min(input.find(':', at), end)};
}

// ChooseMark gives a character that a domain may have and that does not occur in the texts, not
// encoded either. 0: there is none.
char ChooseMark(std::initializer_list<std::string_view> texts) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (char mark : {'~', '_', '!', '$', '*', ';', '=', '(', ')', '\''}) {
    std::string encoded = {'%', kHex[mark >> 4], kHex[mark & 15]};
    bool free = true;
    for (std::string_view text : texts) {
      std::string lower(text);
      ada::idna::ascii_map(lower.data(), lower.size());
      free =
          free && lower.find(mark) == std::string::npos && lower.find(encoded) == std::string::npos;
    }
    if (free) return mark;
  }
  return 0;
}

}  // namespace

bool HasLongDomain(std::string_view input, const ada::url_aggregator* base) {
  if (input.size() <= kDomainMax) return false;
  std::string text = Trimmed(input);
  std::optional<Span> span = FindHost(text, base);
  return span && span->end - span->begin > kDomainMax;
}

std::optional<Address> Address::Parse(std::string_view input) {
  if (HasLongDomain(input, nullptr)) return {};
  auto url = ada::parse<ada::url_aggregator>(input);
  if (url) return Address(std::move(*url), 0);
  char mark = ChooseMark({input});
  if (mark == 0) return {};
  return ParseDisguised(input, nullptr, mark);
}

std::optional<Address> Address::Parse(std::string_view input, std::string_view base) {
  if (HasLongDomain(base, nullptr)) return {};
  auto parsed = ada::parse<ada::url_aggregator>(base);
  if (parsed) {
    if (HasLongDomain(input, &parsed.value())) return {};
    auto url = ada::parse<ada::url_aggregator>(input, &parsed.value());
    if (url) return Address(std::move(*url), 0);
  }
  char mark = ChooseMark({input, base});
  if (mark == 0) return {};
  return ParseDisguised(input, &base, mark);
}

std::optional<Address> Address::ParseDisguised(std::string_view input, const std::string_view* base,
                                               char mark) {
  std::optional<Address> from;
  if (base != nullptr) {
    auto parsed = ada::parse<ada::url_aggregator>(*base);
    if (parsed)
      from = Address(std::move(*parsed), 0);
    else
      from = ParseDisguised(*base, nullptr, mark);
    if (!from) return {};
  }
  std::string text = Trimmed(input);
  const ada::url_aggregator* relative_to = from ? &from->url_ : nullptr;
  if (HasLongDomain(text, relative_to)) return {};
  if (std::optional<Span> span = FindHost(text, relative_to)) {
    std::string_view host = std::string_view(text).substr(span->begin, span->end - span->begin);
    if (std::optional<std::string> disguised = Disguised(host, mark))
      text.replace(span->begin, span->end - span->begin, *disguised);
  }
  auto url = ada::parse<ada::url_aggregator>(text, relative_to);
  if (!url) return {};
  return Address(std::move(*url), mark);
}

bool Address::Set(Part part, std::string_view value) {
  switch (part) {
    case Part::kHref: {
      std::optional<Address> parsed = Parse(value);
      if (parsed) *this = std::move(*parsed);
      return parsed.has_value();
    }
    case Part::kProtocol:
      return url_.set_protocol(value);
    case Part::kUsername:
      return url_.set_username(value);
    case Part::kPassword:
      return url_.set_password(value);
    case Part::kHost:
    case Part::kHostname:
      if (url_.type != ada::scheme::NOT_SPECIAL &&
          std::min(value.find_first_of("/\\?#"), value.size()) > kDomainMax)
        return false;
      return (part == Part::kHost ? url_.set_host(value) : url_.set_hostname(value)) ||
             SetDisguised(part, value);
    case Part::kPort:
      return url_.set_port(value);
    case Part::kPathname:
      return url_.set_pathname(value);
    case Part::kSearch:
      url_.set_search(value);
      return true;
    case Part::kHash:
      url_.set_hash(value);
      return true;
  }
  return false;
}

bool Address::SetDisguised(Part part, std::string_view value) {
  if (url_.type == ada::scheme::NOT_SPECIAL || url_.has_opaque_path) return false;
  char mark = ChooseMark({url_.get_href(), value});
  if (mark == 0) return false;
  std::string text(value);
  std::erase_if(text, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
  size_t end = std::min(text.find_first_of("/\\?#:"), text.size());
  std::optional<std::string> disguised = Disguised(std::string_view(text).substr(0, end), mark);
  if (!disguised) return false;
  text.replace(0, end, *disguised);
  if (!(part == Part::kHost ? url_.set_host(text) : url_.set_hostname(text))) return false;
  mark_ = mark;
  return true;
}

std::string Address::Href() const {
  std::string href(url_.get_href());
  if (mark_ != 0) {
    const ada::url_components& parts = url_.get_components();
    std::replace(href.begin() + parts.host_start, href.begin() + parts.host_end, mark_, '-');
  }
  return href;
}

// ---- Ops ----

StringText::StringText(v8::Isolate* isolate, v8::Local<v8::String> string)
    : view_(isolate, string) {
  const auto length = static_cast<size_t>(view_.length());
  if (view_.is_one_byte()) {
    std::string_view latin1(reinterpret_cast<const char*>(view_.data8()), length);
    if (IsAscii(latin1)) {
      text_ = latin1;
      return;
    }
    copy_.reserve(length + length / 4);
    for (char c : latin1) {
      auto unit = static_cast<uint8_t>(c);
      if (unit >= 0x80) copy_.push_back(static_cast<char>(0xc0 | unit >> 6));
      copy_.push_back(static_cast<char>(unit < 0x80 ? unit : 0x80 | (unit & 0x3f)));
    }
  } else {
    const uint16_t* units = view_.data16();
    copy_.reserve(length + length / 2);
    for (size_t i = 0; i < length; i++) {
      uint32_t c = units[i];
      if ((c & 0xf800) == 0xd800) {
        bool pair = (c & 0x400) == 0 && i + 1 < length && (units[i + 1] & 0xfc00) == 0xdc00;
        c = pair ? 0x10000 + ((c & 0x3ff) << 10 | (units[++i] & 0x3ff)) : 0xfffd;
      }
      if (c < 0x80) {
        copy_.push_back(static_cast<char>(c));
        continue;
      }
      constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
      int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
      copy_.push_back(static_cast<char>(kLead[more] | c >> 6 * more));
      while (more-- > 0) copy_.push_back(static_cast<char>(0x80 | (c >> 6 * more & 0x3f)));
    }
  }
  text_ = copy_;
}

namespace ops {

namespace {

void Publish(v8::Isolate* isolate, const ada::url_components& parts, uint32_t type) {
  uint32_t* to = UrlComponents(nano_isolate::From(isolate)->current());
  to[0] = parts.protocol_end;
  to[1] = parts.username_end;
  to[2] = parts.host_start;
  to[3] = parts.host_end;
  to[4] = parts.port;
  to[5] = parts.pathname_start;
  to[6] = parts.search_start;
  to[7] = parts.hash_start;
  to[8] = type;
}

// No URL is longer, as in Firefox: a parser that cannot be interrupted takes 30 ns for a character
// that it has to encode. A data: URL that is ASCII costs a tenth of that.
constexpr int kLongest = 1 << 20, kLongestData = 32 << 20;  // code units

bool IsTooLong(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  if (!value->IsString()) return false;
  v8::Local<v8::String> string = value.As<v8::String>();
  if (string->Length() <= kLongest) return false;
  if (string->Length() > kLongestData || !string->IsOneByte()) return true;
  Flatten(isolate, string);
  v8::String::ValueView view(isolate, string);
  std::string_view text(reinterpret_cast<const char*>(view.data8()),
                        static_cast<size_t>(view.length()));
  return !text.starts_with("data:") || !nano::IsAscii(text);
}

std::optional<Address> Parse(v8::Isolate* isolate, Info info) {
  if (info[1]->IsString()) Flatten(isolate, info[1].As<v8::String>());
  StringText input(isolate, info[0].As<v8::String>());
  if (!info[1]->IsString()) return Address::Parse(input.text());
  StringText base(isolate, info[1].As<v8::String>());
  return Address::Parse(input.text(), base.text());
}

// kLarge is from how many bytes on ReturnText takes care of what a text holds.
constexpr size_t kLarge = 64 << 10;

// ReturnText gives what was parsed. It is a failure if it has become longer than a string can be,
// or than the isolate may have memory. V8 may end the isolate for the new string, and no destructor
// runs then: a large text lies in memory that goes with the isolate.
void ReturnText(v8::Isolate* isolate, Info info, std::string href) {
  const size_t size = href.size();
  if (size > static_cast<size_t>(v8::String::kMaxLength)) return info.GetReturnValue().SetNull();
  nano_isolate* self = nano_isolate::From(isolate);
  if (size < kLarge || self == nullptr) return info.GetReturnValue().Set(OneByte(isolate, href));
  void* copy = self->scratch.Grow(nullptr, size, self->heap_limit);
  if (copy == nullptr) return info.GetReturnValue().SetNull();
  memcpy(copy, href.data(), size);
  std::string().swap(href);
  info.GetReturnValue().Set(OneByte(isolate, {static_cast<const char*>(copy), size}));
  self->scratch.Free(copy);
}

// Return leaves nothing of the URL behind, for the same reason.
void Return(v8::Isolate* isolate, Info info, std::optional<Address>* url) {
  Publish(isolate, (*url)->components(), (*url)->type());
  std::string href = (*url)->Href();
  url->reset();
  ReturnText(isolate, info, std::move(href));
}

std::string_view OneByteText(const v8::String::ValueView& view) {
  if (!view.is_one_byte()) return {};  // which is no URL
  return {reinterpret_cast<const char*>(view.data8()), static_cast<size_t>(view.length())};
}

enum class Normal { kNot, kAsItIs, kResolved };

// ParseNormal parses what is a normal URL as it stands, or becomes one with the front of a base
// that is.
Normal ParseNormal(v8::Isolate* isolate, Info info, std::string* out,
                   ada::url_components* components) {
  if (!info[1]->IsString()) {
    v8::String::ValueView view(isolate, info[0].As<v8::String>());
    return NormalURL(OneByteText(view), components) ? Normal::kAsItIs : Normal::kNot;
  }
  Flatten(isolate, info[1].As<v8::String>());
  v8::String::ValueView view(isolate, info[0].As<v8::String>());
  if (!view.is_one_byte()) return Normal::kNot;
  v8::String::ValueView base_view(isolate, info[1].As<v8::String>());
  std::string_view input = OneByteText(view), base = OneByteText(base_view);
  if (ResolveNormal(input, base, out, components)) return Normal::kResolved;
  return NormalURL(base, components) && NormalURL(input, components) ? Normal::kAsItIs
                                                                     : Normal::kNot;
}

}  // namespace

void urlParse(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (IsTooLong(isolate, info[0])) return info.GetReturnValue().SetNull();
  ada::url_components components;
  std::string resolved;
  if (Normal normal = ParseNormal(isolate, info, &resolved, &components); normal != Normal::kNot) {
    bool secure = components.protocol_end == 6;
    Publish(isolate, components, secure ? ada::scheme::HTTPS : ada::scheme::HTTP);
    if (normal == Normal::kAsItIs) return info.GetReturnValue().Set(info[0]);
    return ReturnText(isolate, info, std::move(resolved));
  }
  std::optional<Address> url = Parse(isolate, info);
  if (!url) return info.GetReturnValue().SetNull();
  Return(isolate, info, &url);
}

void urlSet(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (IsTooLong(isolate, info[2])) return info.GetReturnValue().SetNull();
  std::optional<Address> url;
  bool set = false;
  Flatten(isolate, info[2].As<v8::String>());
  {
    StringText href(isolate, info[0].As<v8::String>());
    StringText value(isolate, info[2].As<v8::String>());
    url = Address::Parse(href.text());
    set = url &&
          url->Set(static_cast<Address::Part>(info[1].As<v8::Uint32>()->Value()), value.text());
  }
  if (!set) return info.GetReturnValue().SetNull();
  Return(isolate, info, &url);
}

void urlCanParse(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  if (IsTooLong(isolate, info[0])) return info.GetReturnValue().Set(false);
  ada::url_components components;
  std::string resolved;
  bool can = ParseNormal(isolate, info, &resolved, &components) != Normal::kNot;
  info.GetReturnValue().Set(can || Parse(isolate, info).has_value());
}

void urlComponents(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  nano_realm* realm = nano_isolate::From(isolate)->current();
  UrlComponents(realm);
  info.GetReturnValue().Set(realm->url_components.Get(isolate));
}

}  // namespace ops

}  // namespace nano
