// URL patterns (URL Pattern Standard, https://urlpattern.spec.whatwg.org/): Ada parses them, V8's
// regular expressions match. What a pattern consists of then is JavaScript's (75_urlpattern.js), so
// that snapshots can hold it.
#include <array>

#include "ops.h"
#include "url.h"

namespace nano::ops {

namespace {

// RegExps makes the regular expressions of a pattern while it is parsed. They are handles of the
// op's scope.
struct RegExps {
  using regex_type = v8::Local<v8::RegExp>;

  static std::optional<regex_type> create_instance(std::string_view pattern, bool ignore_case) {
    v8::Isolate* isolate = v8::Isolate::GetCurrent();
    v8::TryCatch caught(isolate);  // a SyntaxError: the caller gives a TypeError
    v8::Local<v8::String> source;
    v8::Local<v8::RegExp> regexp;
    int flags = v8::RegExp::kUnicodeSets | (ignore_case ? v8::RegExp::kIgnoreCase : 0);
    if (!Utf8(isolate, {pattern.data(), pattern.size()}).ToLocal(&source) ||
        !v8::RegExp::New(isolate->GetCurrentContext(), source,
                         static_cast<v8::RegExp::Flags>(flags))
             .ToLocal(&regexp))
      return {};
    return regexp;
  }
  // Never asked for: JavaScript searches.
  static std::optional<std::vector<std::optional<std::string>>> regex_search(std::string_view,
                                                                             const regex_type&) {
    return {};
  }
  // To see whether a pattern's protocol may be a special one.
  static bool regex_match(std::string_view input, const regex_type& regexp) {
    v8::Isolate* isolate = v8::Isolate::GetCurrent();
    v8::TryCatch caught(isolate);
    v8::Local<v8::Object> match;
    return regexp->Exec(isolate->GetCurrentContext(), OneByte(isolate, input)).ToLocal(&match) &&
           match->IsArray();
  }
};

using Pattern = ada::url_pattern<RegExps>;
using Component = ada::url_pattern_component<RegExps>;
using Part = ada::url_pattern_part;
using Options = ada::url_pattern_compile_component_options;

// The order of components in all ops.
enum { kProtocol, kUsername, kPassword, kHostname, kPort, kPathname, kSearch, kHash, kComponents };

std::optional<std::string> Text(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  if (!value->IsString()) return {};
  return std::string(StringText(isolate, value.As<v8::String>()).text());
}

// Init reads the components that an op has as its arguments, from `first` on.
ada::url_pattern_init Init(Info info, int first) {
  v8::Isolate* isolate = info.GetIsolate();
  ada::url_pattern_init init;
  auto text = [&](int component) { return Text(isolate, info[first + component]); };
  init.protocol = text(kProtocol);
  init.username = text(kUsername);
  init.password = text(kPassword);
  init.hostname = text(kHostname);
  init.port = text(kPort);
  init.pathname = text(kPathname);
  init.search = text(kSearch);
  init.hash = text(kHash);
  return init;
}

// What is parsed in time that is not linear is bounded: the patterns, and domains (url.h).
constexpr size_t kPatternMax = 16 << 10;

bool IsLong(const std::optional<std::string>& text, size_t most) {
  return text && text->size() > most;
}

bool HasLongBase(const std::optional<std::string>& base) {
  return base && HasLongDomain(*base, nullptr);
}

bool HasLongPattern(const ada::url_pattern_init& init) {
  for (const auto* pattern : {&init.protocol, &init.username, &init.password, &init.hostname,
                              &init.port, &init.pathname, &init.search, &init.hash})
    if (IsLong(*pattern, kPatternMax)) return true;
  return false;
}

v8::Local<v8::Value> String(v8::Isolate* isolate, std::string_view text) {
  v8::Local<v8::String> string;
  if (Utf8(isolate, {text.data(), text.size()}).ToLocal(&string)) return string;
  return v8::String::Empty(isolate);  // longer than a string can be, which its source was not
}

v8::Local<v8::Value> Matcher(v8::Isolate* isolate, const Component& component) {
  switch (component.type) {
    case ada::url_pattern_component_type::EMPTY:
      return v8::String::Empty(isolate);
    case ada::url_pattern_component_type::EXACT_MATCH:
      return String(isolate, component.exact_match_value);
    case ada::url_pattern_component_type::FULL_WILDCARD:
      return v8::Null(isolate);
    case ada::url_pattern_component_type::REGEXP:
      return component.regexp;
  }
  return v8::Null(isolate);
}

v8::Local<v8::Array> Names(v8::Isolate* isolate, const Component& component) {
  v8::LocalVector<v8::Value> names(isolate);
  for (const std::string& name : component.group_name_list) names.push_back(String(isolate, name));
  return v8::Array::New(isolate, names.data(), names.size());
}

using Callback = ada::result<std::string> (*)(std::string_view);

// Parts gives what the pattern string of a component consists of.
std::optional<std::vector<Part>> Parts(std::string_view pattern, uint32_t component, bool opaque) {
  Options options = component == kHostname              ? Options::HOSTNAME
                    : component == kPathname && !opaque ? Options::PATHNAME
                                                        : Options::DEFAULT;
  Callback encoded = [](std::string_view text) { return ada::result<std::string>(text); };
  auto parts = ada::url_pattern_helpers::parse_pattern_string(pattern, options, encoded);
  if (!parts) return {};
  return std::move(*parts);
}

// Rank orders types and modifiers of parts by how much they leave open.
int Rank(const Part& part) {
  constexpr std::array<int, 4> kTypes = {3, 2, 1, 0};      // as url_pattern_part_type
  constexpr std::array<int, 4> kModifiers = {3, 1, 0, 2};  // as url_pattern_part_modifier
  return kTypes[static_cast<size_t>(part.type)] * 4 +
         kModifiers[static_cast<size_t>(part.modifier)];
}

int Sign(int order) { return (order > 0) - (order < 0); }

int Compare(const Part& left, const Part& right) {
  if (int order = Rank(left) - Rank(right)) return Sign(order);
  if (int order = left.prefix.compare(right.prefix)) return Sign(order);
  if (int order = left.value.compare(right.value)) return Sign(order);
  return Sign(left.suffix.compare(right.suffix));
}

int Compare(const std::vector<Part>& left, const std::vector<Part>& right) {
  const Part nothing(ada::url_pattern_part_type::FIXED_TEXT, "",
                     ada::url_pattern_part_modifier::none);
  for (size_t i = 0; i < std::max(left.size(), right.size()); i++) {
    int order = Compare(i < left.size() ? left[i] : nothing, i < right.size() ? right[i] : nothing);
    if (order != 0 || i >= left.size() || i >= right.size()) return order;
  }
  return 0;
}

}  // namespace

void patternParse(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  std::optional<std::string> text = Text(isolate, info[0]), base = Text(isolate, info[1]);
  ada::url_pattern_options options{.ignore_case = info[2]->IsTrue()};
  std::string_view base_view = base ? std::string_view(*base) : std::string_view();
  std::variant<std::string_view, ada::url_pattern_init> input;
  if (IsLong(text, kPatternMax) || HasLongBase(base)) return info.GetReturnValue().SetNull();
  if (text) {
    input = std::string_view(*text);
  } else {
    ada::url_pattern_init init = Init(info, 3);
    if (HasLongPattern(init)) return info.GetReturnValue().SetNull();
    init.base_url = base;
    input = std::move(init);
  }
  auto pattern = ada::parser::parse_url_pattern_impl<RegExps>(
      std::move(input), text && base ? &base_view : nullptr, &options);
  if (!pattern) return info.GetReturnValue().SetNull();
  const std::array<const Component*, kComponents> components = {
      &pattern->protocol_component, &pattern->username_component, &pattern->password_component,
      &pattern->hostname_component, &pattern->port_component,     &pattern->pathname_component,
      &pattern->search_component,   &pattern->hash_component};
  v8::LocalVector<v8::Value> list(isolate);
  for (const Component* component : components) {
    list.push_back(String(isolate, component->pattern));
    list.push_back(Matcher(isolate, *component));
    list.push_back(Names(isolate, *component));
    list.push_back(v8::Boolean::New(isolate, component->has_regexp_groups));
  }
  list.push_back(
      v8::Boolean::New(isolate, ada::url_pattern_helpers::protocol_component_matches_special_scheme(
                                    pattern->protocol_component)));
  info.GetReturnValue().Set(v8::Array::New(isolate, list.data(), list.size()));
}

void patternInput(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  ada::url_pattern_init init = Init(info, 1);
  init.base_url = Text(isolate, info[0]);
  if (IsLong(init.hostname, kDomainMax) || HasLongBase(init.base_url))
    return info.GetReturnValue().SetNull();
  auto url = ada::url_pattern_init::process(init, ada::url_pattern_init::process_type::url, "", "",
                                            "", "", "", "", "", "");
  if (!url) return info.GetReturnValue().SetNull();
  // What Ada takes from the base begins as its getter has it.
  if (!init.search && url->search && url->search->starts_with('?')) url->search->erase(0, 1);
  if (!init.hash && url->hash && url->hash->starts_with('#')) url->hash->erase(0, 1);
  v8::LocalVector<v8::Value> list(isolate);
  for (const auto* component : {&url->protocol, &url->username, &url->password, &url->hostname,
                                &url->port, &url->pathname, &url->search, &url->hash})
    list.push_back(String(isolate, component->value_or("")));
  info.GetReturnValue().Set(v8::Array::New(isolate, list.data(), list.size()));
}

void patternCompare(Info info) {
  v8::Isolate* isolate = info.GetIsolate();
  uint32_t component = info[0].As<v8::Uint32>()->Value();
  std::optional<std::vector<Part>> left =
      Parts(*Text(isolate, info[1]), component, info[2]->IsTrue());
  std::optional<std::vector<Part>> right =
      Parts(*Text(isolate, info[3]), component, info[4]->IsTrue());
  info.GetReturnValue().Set(left && right ? Compare(*left, *right) : 0);
}

}  // namespace nano::ops
