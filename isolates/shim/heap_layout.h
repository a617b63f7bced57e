// What is known here of the objects in V8's heap, for those few places that read or make them past
// its API: snapshots, footprint.cc, heap_bytes.cc, plainlines.cc and what is about JSON. The
// program is linked with this version of V8 only, see nano_start. Offsets are in bytes from the
// beginning of an object.
#ifndef NANO_HEAP_LAYOUT_H_
#define NANO_HEAP_LAYOUT_H_

#include <v8-version.h>
#include <v8.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nano::heap {

static_assert(V8_MAJOR_VERSION == 13 && V8_MINOR_VERSION == 6);

// A pointer to an object is 1 more than its address. In objects it is compressed: its lower half,
// of a multiple of 4, as all objects of an isolate lie in one range of 4 GB that begins at a
// multiple of that. An integer in such a word is shifted by one.
constexpr uintptr_t kTag = 1;
constexpr size_t kWord = 4;
constexpr uint32_t kWeak = 2;  // set in a weak reference

// Pages are so large, and begin with their flags.
constexpr uintptr_t kPageBytes = 256 << 10;
constexpr uintptr_t kSharedFlag = 1 << 0, kYoungFlags = 1 << 3 | 1 << 4, kMarkingFlag = 1 << 5;

constexpr size_t kMap = 0;  // of every object

// Of a map, which is what V8 calls a hidden class. The size of its objects is in words; what they
// have used is the same from the object's beginning, or if that is less than a header has, how many
// words are unused.
constexpr size_t kInstanceWords = 4, kFirstProperty = 5, kUsedWords = 6;  // each of one byte
constexpr size_t kInstanceType = 8;                                       // of two bytes
constexpr size_t kBitField = 10, kBitField2 = 11;                         // of one byte
constexpr size_t kBitField3 = 12, kPrototype = 16, kBackPointer = 20, kDescriptors = 24;
constexpr uint32_t kOwnDescriptorsShift = 10, kOwnDescriptorsMask = 1023;  // in kBitField3
constexpr uint32_t kPrototypeMap = 1 << 20, kDictionaryMap = 1 << 21, kDeprecatedMap = 1 << 24,
                   kExtensibleMap = 1 << 27, kConstructionCounter = uint32_t{7} << 29;
constexpr uint32_t kInterestingMap = 1 << 28;  // may have toJSON or some symbols, or a dictionary
// Instance types. What is less than kFirstNonString is a string, in a form.
enum Type : uint16_t {
  kFirstNonString = 0x80,
  kSymbol = 0x80,
  kHeapNumber = 0x82,
  kOddball = 0x83,
  kHandler = 0x89,
  kAllocationSite = 0x8f,
  kFeedbackCell = 0x9d,
  kScript = 0xa7,
  kCodeObject = 0xbb,
  kInstructionStream = 0xc0,
  kEphemeronTable = 0xcf,
  kContext = 0xe1,
  kNativeContext = 0xe3,
  kFunctionTemplate = 0xf7,
  kDescriptorArray = 0xfc,
  kStrongDescriptorArray = 0xfd,
  kWeakList = 0x100,
  kFeedback = 0x10a,
  kMapType = 0x110,
  kPropertyCell = 0x115,
  kSharedFunction = 0x11a,
  kOrdinaryObject = 0x421,
  kDataView = 0x80b,
  kResizableDataView = 0x80c,
  kTypedArray = 0x80d,
  kArrayBuffer = 0x80e,
  kBoundFunction = 0x80f,
  kFunction = 0x811,
  kClassConstructor = 0x821,
  kObjectPrototype = 0x825,
  kArray = 0x847,
};
constexpr uint16_t kStringForm = 7, kOneByteString = 8;
enum StringForm : uint16_t { kSequential, kCons, kExternal, kSliced, kThin = 5 };

// Of an array of descriptors: for each property its name, its details, and what values a field has:
// kAnyValue, or a weak reference to the map of all of them.
constexpr size_t kFirstDescriptor = 16, kDescriptorBytes = 12;
constexpr size_t kDescriptorName = 0, kDescriptorDetails = 4, kDescriptorType = 8;
constexpr uint32_t kAnyValue = 1 << 1;
// In details, which are an integer, shifted. A field that has no kPlain bits is data in the object
// at its index, enumerable, configurable and writable.
constexpr uint32_t kNotPlain = 0b111101 << 1;
constexpr uint32_t kAccessor = 1 << 1, kNotEnumerable = 1 << 4, kNoField = 1 << 6;
constexpr uint32_t kRepresentationShift = 7, kRepresentationMask = 7, kFieldIndexShift = 20,
                   kFieldIndexMask = 1023;
enum Representation : uint32_t { kNone, kInteger, kDouble, kHeapObject, kTagged };

// Of an object. The words of its own properties follow, those of an array its length.
constexpr size_t kProperties = 4, kElements = 8, kObjectHeader = 12;
constexpr size_t kArrayLength = 12, kArrayBytes = 16;

// The kind of elements, in kBitField2. Those of the first kinds are arrays.
constexpr uint32_t kElementsKindShift = 2, kDoubles = 4, kDoublesWithHoles = 5, kLastFastKind = 11;

// Of a hash table of properties. Its entries that are unused have undefined or the hole as name.
constexpr size_t kDictionaryCount = 8, kDictionaryCapacity = 16, kDictionaryFlags = 28;
constexpr size_t kFirstEntry = 32, kEntryBytes = 12;
constexpr size_t kEntryName = 0, kEntryValue = 4, kEntryDetails = 8;
constexpr uint32_t kInterestingDictionary = 1 << 1;  // as kInterestingMap
constexpr uint32_t kEntryOrderShift = 9;             // in details, of when it was made

// Of arrays of words, numbers and bytes: their length as an integer, and what is in them.
constexpr size_t kLength = 4, kFirstElement = 8;

// Of a string whose characters are in it: the hash, or kNoHash; its length, not shifted.
constexpr size_t kHash = 4, kStringLength = 8, kCharacters = 12;
constexpr uint32_t kNoHash = 3;
// Of strings that are made of others, in other forms.
constexpr size_t kFirst = 12, kSecond = 16, kParent = 12, kSliceOffset = 16, kActual = 12;

// Of a number that is no small integer.
constexpr size_t kNumberValue = 4, kNumberBytes = 12;
constexpr int32_t kIntegerMin = -(1 << 30), kIntegerMax = (1 << 30) - 1;

template <typename Value>
Value Read(uintptr_t object, size_t offset) {
  Value value;
  memcpy(&value, reinterpret_cast<const void*>(object - kTag + offset), sizeof value);
  return value;
}

template <typename Value>
void Write(uintptr_t object, size_t offset, Value value) {
  memcpy(reinterpret_cast<void*>(object - kTag + offset), &value, sizeof value);
}

// Pointer gives the pointer to an object. A Local points to the place where that is kept.
template <typename Object>
uintptr_t Pointer(v8::Local<Object> object) {
  return *reinterpret_cast<const uintptr_t*>(*object);
}

// Cage is where the range begins that an object lies in.
constexpr uintptr_t Cage(uintptr_t object) { return object & ~uintptr_t{UINT32_MAX}; }

inline uintptr_t PageFlags(uintptr_t object) {
  return *reinterpret_cast<const uintptr_t*>(object & ~(kPageBytes - 1));
}

// NeedsNoBarrier tells that V8 may be left in the dark about a pointer that an object gets: it
// looks at all of the young generation anyhow, unless it is in the middle of marking objects.
inline bool NeedsNoBarrier(uintptr_t object) {
  uintptr_t flags = PageFlags(object);
  return (flags & kYoungFlags) != 0 && (flags & kMarkingFlag) == 0;
}

// Area is where V8 makes the next young objects, one behind the other; machine code that it has
// compiled takes memory from it as well. All objects from start to top are whole.
struct Area {
  uintptr_t start, top, limit;

  static Area& Of(v8::Isolate* isolate) {
    return *reinterpret_cast<Area*>(reinterpret_cast<char*>(isolate) +
                                    v8::internal::Internals::kNewAllocationInfoOffset);
  }
};

}  // namespace nano::heap

#endif  // NANO_HEAP_LAYOUT_H_
