// URLs over Ada, the URL parser of Node and workerd: one parser per process, nothing per heap.
#ifndef NANO_URL_H_
#define NANO_URL_H_

#include <ada.h>

#include <optional>
#include <string>
#include <string_view>

#include "engine.h"

namespace nano {

// StringText gives the UTF-8 of a JavaScript string, lone surrogates replaced: a USVString. It
// refers to the string's own characters if these are ASCII and lie in one piece, so that V8 must
// not be called for anything that allocates while it lives.
class StringText {
 public:
  StringText(v8::Isolate* isolate, v8::Local<v8::String> string);
  std::string_view text() const { return text_; }

 private:
  v8::String::ValueView view_;
  std::string copy_;
  std::string_view text_;
};

// An Address is a URL that was parsed.
//
// The standard lets a domain in ASCII be whatever its ToASCII says, `xn--` labels that are no
// Punycode included, and Unicode has grown since Ada's tables were made. A domain of that kind is
// made here and shown to Ada under a disguise: a mark in the place of the last hyphen of "xn--",
// which occurs in none of the texts.
class Address {
 public:
  // Parse follows the basic URL parser (standard 4.4). Null: failure.
  static std::optional<Address> Parse(std::string_view input);
  static std::optional<Address> Parse(std::string_view input, std::string_view base);

  enum class Part {
    kHref,
    kProtocol,
    kUsername,
    kPassword,
    kHost,
    kHostname,
    kPort,
    kPathname,
    kSearch,
    kHash
  };
  // Set does what the setter of a part does (standard 6.1). False: nothing was changed.
  bool Set(Part part, std::string_view value);

  std::string Href() const;
  const ada::url_components& components() const { return url_.get_components(); }
  uint32_t type() const { return static_cast<uint32_t>(url_.type); }

 private:
  Address(ada::url_aggregator&& url, char mark) : url_(std::move(url)), mark_(mark) {}
  static std::optional<Address> ParseDisguised(std::string_view input, const std::string_view* base,
                                               char mark);
  bool SetDisguised(Part part, std::string_view value);

  ada::url_aggregator url_;
  char mark_;  // 0: the host is no disguise
};

// kDomainMax is how many bytes a domain may have. To and from Punycode takes time in proportion to
// the square of a label's length, with nothing to interrupt it; the DNS has 253.
constexpr size_t kDomainMax = 4096;

// HasLongDomain tells whether a URL, or a reference relative to a base (or null), has a longer one.
bool HasLongDomain(std::string_view input, const ada::url_aggregator* base);

// NormalURL tells whether a text is an absolute http or https URL that its parsing would not
// change, and where its components are. False says nothing.
bool NormalURL(std::string_view text, ada::url_components* components);

// ResolveNormal parses a relative reference, if its base is such a URL and the outcome, too. False
// says nothing.
bool ResolveNormal(std::string_view input, std::string_view base, std::string* out,
                   ada::url_components* components);

}  // namespace nano

#endif  // NANO_URL_H_
