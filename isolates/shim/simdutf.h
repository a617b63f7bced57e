// What we use of simdutf, which is part of V8's library; its header is not. The declarations are
// those of third_party/simdutf/simdutf.h in V8 13.6.
#ifndef NANO_SIMDUTF_H_
#define NANO_SIMDUTF_H_

#include <cstddef>
#include <cstdint>

namespace simdutf {

enum error_code : int { SUCCESS = 0 };  // everything else is an error

struct result {
  error_code error;
  size_t count;  // what was written or, after an error, where in the input that is
};

enum base64_options : uint64_t { base64_default = 0 };
enum last_chunk_handling_options : uint64_t { loose = 0 };

bool validate_ascii(const char* text, size_t length) noexcept;

size_t utf16_length_from_utf8(const char* text, size_t length) noexcept;
size_t convert_valid_utf8_to_utf16le(const char* text, size_t length, char16_t* out) noexcept;
result convert_utf8_to_utf16le_with_errors(const char* text, size_t length, char16_t* out) noexcept;
result convert_utf8_to_latin1_with_errors(const char* text, size_t length, char* out) noexcept;

size_t utf8_length_from_latin1(const char* text, size_t length) noexcept;
size_t utf8_length_from_utf16le(const char16_t* text, size_t length) noexcept;
size_t convert_latin1_to_utf8(const char* text, size_t length, char* out) noexcept;
result convert_utf16le_to_utf8_with_errors(const char16_t* text, size_t length, char* out) noexcept;
result convert_utf16le_to_latin1_with_errors(const char16_t* text, size_t length,
                                             char* out) noexcept;

size_t base64_length_from_binary(size_t length, base64_options options) noexcept;
size_t binary_to_base64(const char* bytes, size_t length, char* out,
                        base64_options options) noexcept;
size_t maximal_binary_length_from_base64(const char* text, size_t length) noexcept;
// Forgiving-base64 decode of the Infra standard, if options are default and loose.
result base64_to_binary(const char* text, size_t length, char* out, base64_options options,
                        last_chunk_handling_options last) noexcept;

}  // namespace simdutf

#endif  // NANO_SIMDUTF_H_
