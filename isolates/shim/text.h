// Text between bytes and V8's strings, at the speed of memory.
#ifndef NANO_TEXT_H_
#define NANO_TEXT_H_

#include <v8.h>

#include <string_view>

namespace nano {

// DecodeUtf8 makes a string of UTF-8, without looking for a byte order mark. Malformed sequences
// become U+FFFD as the Encoding Standard says or, in fatal mode, give null in *result. False: an
// error was thrown, since the string would be too long.
bool DecodeUtf8(v8::Isolate* isolate, std::string_view text, bool fatal,
                v8::Local<v8::Value>* result);

// DecodeUtf16 makes a string of code units; lone surrogates stay.
bool DecodeUtf16(v8::Isolate* isolate, const uint16_t* units, size_t length,
                 v8::Local<v8::Value>* result);

// Flatten makes a string one piece. Where it happens later on, when there is memory for a result,
// that could end the turn, and the memory would be lost.
void Flatten(v8::Isolate* isolate, v8::Local<v8::String> text);

}  // namespace nano

#endif  // NANO_TEXT_H_
