// JSON to V8's objects, for documents whose objects look like those of documents before.
#ifndef NANO_JSON_PARSE_H_
#define NANO_JSON_PARSE_H_

#include <v8.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace nano::json {

// Prepare learns what all isolates have in common and tries the parser out, in a context of any
// isolate. Where V8's objects are not what heap_layout.h says, nothing is ever parsed here.
void Prepare(v8::Isolate* isolate, v8::Local<v8::Context> context);

// ParsesAsV8 tells whether that is so.
bool ParsesAsV8();

// PrepareStringify tries out the JSON.stringify of json_stringify.cc, which is not used if it does
// not give what V8's own gives.
void PrepareStringify(v8::Isolate* isolate, v8::Local<v8::Context> context);
bool StringifiesAsV8();

// Documents of more bytes are V8's.
constexpr size_t kLengthMax = 64 << 10;

// How deeply JSON may be nested that V8 is to parse. For each level V8's parser holds some 100
// bytes outside the heap, which no limit counts and which are lost if the parser is abandoned.
constexpr size_t kV8DepthMax = 10000;

// IsDeep tells whether more than kV8DepthMax brackets are open at once. It need not be right for
// text that is no JSON, and there V8 says what is wrong.
template <typename Unit>
bool IsDeep(const Unit* text, size_t length) {
  size_t depth = 0;
  for (size_t i = 0; i < length; i++) {
    switch (text[i]) {
      case '"':
        while (++i < length && text[i] != '"')
          if (text[i] == '\\') i++;
        break;
      case '[':
      case '{':
        if (++depth > kV8DepthMax) return true;
        break;
      case ']':
      case '}':
        if (depth > 0) depth--;
        break;
    }
  }
  return false;
}

// MapReference is a weak reference to a map. It must not move.
class MapReference {
 public:
  MapReference() = default;
  ~MapReference() { Reset(); }
  MapReference(const MapReference&) = delete;
  void Set(v8::Isolate* isolate, uintptr_t map);
  uintptr_t Get() const { return place_ == nullptr ? 0 : *place_; }

 private:
  void Reset();

  uintptr_t* place_ = nullptr;  // V8 clears it with the map
};

// Shape is what objects with certain names have in common, in that order: a node of a tree whose
// root is the object without any.
struct Shape {
  Shape* children = nullptr;
  Shape* next = nullptr;    // child of the same parent
  Shape* likely = nullptr;  // the child that was wanted last
  MapReference map;         // of such objects, if there have been any
  uint16_t properties = 0;
  uint16_t words = 0;  // of such an object
  uint8_t length = 0;  // of the last name, with a quote and a colon behind
  uint16_t mask = 0;   // its bits: of 16 bytes, those that must be as in `start`
  alignas(16) char start[16] = {};
  std::unique_ptr<char[]> name;  // if it is longer than that
};

enum class Encoding { kUtf8, kLatin1 };

enum class Outcome {
  kParsed,
  kUnknown,  // one of the objects looks like none so far
  kRefused,  // no JSON, or something that is left to V8
  kNotNow,   // there is no memory for it at hand, or a collection is under way
};

// Shapes are those of the objects of a realm's documents, and what is needed to parse others.
class Shapes {
 public:
  explicit Shapes(v8::Isolate* isolate) : isolate_(isolate) {}
  Shapes(const Shapes&) = delete;

  // Parse gives the value of a document, or V8 is to parse it. Nothing is collected meanwhile.
  Outcome Parse(std::string_view text, Encoding encoding, v8::Local<v8::Value>* value);

  // LearnArrays has to have succeeded before.
  bool LearnArrays(v8::Local<v8::Context> context);
  bool has_arrays() const {
    return integers_.Get() != 0 && doubles_.Get() != 0 && values_.Get() != 0;
  }

  // Learn notes how the objects look of a value that V8 has just parsed.
  void Learn(v8::Local<v8::Value> value);
  // is_full: it learns no more.
  bool is_full() const;

 private:
  template <Encoding encoding>
  friend class Parser;

  Shape* Child(Shape* parent, std::string_view name);
  void LearnValue(uintptr_t value, int depth);
  void LearnObject(uintptr_t object, uintptr_t map, int depth);
  void LearnArray(uintptr_t array, uintptr_t map, int depth);

  v8::Isolate* const isolate_;
  std::vector<std::unique_ptr<Shape>> shapes_;
  Shape root_;
  MapReference integers_, doubles_, values_;  // maps of arrays
  size_t visits_ = 0;                         // left for Learn
};

// Documents is what a realm has of this: next to nothing until it has parsed some documents.
class Documents {
 public:
  // Wants tells whether to try with a document of so many characters, or leave it to V8.
  bool Wants(size_t length);

  // Parse gives the value of a document that was wanted. kRefused, kNotNow: V8 is to parse it.
  // kUnknown: the same, by Learn.
  Outcome Parse(v8::Isolate* isolate, std::string_view text, Encoding encoding,
                v8::Local<v8::Value>* value);

  // The same of UTF-16.
  Outcome Parse(v8::Isolate* isolate, const uint16_t* units, size_t length,
                v8::Local<v8::Value>* value);

  // Learn has V8 parse a document, and learns from the value. False: it is no JSON, and no
  // exception is pending, or V8 ends what runs.
  bool Learn(v8::Isolate* isolate, v8::Local<v8::String> text, v8::Local<v8::Value>* value);

  // Forget gives back the memory of all this.
  void Forget() { *this = Documents(); }

 private:
  void Missed();

  std::unique_ptr<Shapes> shapes_;
  uint32_t seen_ = 0, misses_ = 0, skip_ = 0;
};

}  // namespace nano::json

#endif  // NANO_JSON_PARSE_H_
