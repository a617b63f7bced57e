// The linear form of V8's snapshots: see docs/RATIONALE.md, "What is a linear snapshot?".
//
// V8's serializer writes objects as a program: each slot is an instruction, a new object is written
// where it is first referred to, and all others refer to it by its number. Its result is the same
// each time but for addresses. In a linear snapshot the objects of a section (the startup heap, the
// strings that are internalized, one for each context) lie as they will in memory, in blocks that
// are copied at once, with a bitmap of the slots whose address is to be completed. What is more
// than memory, such as entries of V8's tables, is still V8's own instructions, in their order. What
// V8 reads itself (roots, caches) stays what it was, but refers to objects by their number.
//
// A section begins as V8's does. Where V8's has its first object, there is kLinear:
//
//	kLinear 0                   the image follows
//	n, n sizes                  of blocks, in words of 4 bytes: size << 1 | trusted
//	n, n instructions           references to what is no object of the section
//	n blocks                    see below
//	n, n positions              objects that have numbers: those that are referred to below
//	n, n positions              objects of the trusted space that get an entry of its table
//	n, n pairs of positions     slots that hold such an entry, and whose it is
//	n, n positions              functions that get a number (a SharedFunctionInfo's unique id)
//	n, n extras                 what V8 does
//	number + 1                  of the object meant
//
// A block is its words, a bit for each that is a pointer, and a bit for each that is one of these
// references (no such bits if there are none).
//
// Wherever V8's has another object of its own, there is kLinear, number + 1. Numbers are those
// of V8; the words of a block, bitmaps (64 bits each) and positions (32 bits) are as they are in
// memory. A position, and so the content of a pointer's word, is block << kBlockShift | offset,
// with the tag of V8's pointers; that of a reference is its index << 2 with the tag.
//
// An extra is number << 1 | 1 for an object that V8 has to finish (its PostProcessNewObject), or
// number << 1, slot, count, and so many instructions for the slots from there on.
#ifndef NANO_SHIM_LINEAR_H_
#define NANO_SHIM_LINEAR_H_

#include <v8-internal.h>
#include <v8-version.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "heap_layout.h"

namespace nano::linear {

using heap::kWord;
using enum heap::Type;

enum Space : uint8_t { kReadOnlyHeap, kOld, kCode, kTrusted, kSpaces };

// What V8's serializer writes for the slots of an object (its SerializerDeserializer::Bytecode).
enum Code : uint8_t {
  kNewObject = 0x00,  // and a space
  kBackReference = 0x04,
  kReadOnlyReference,
  kStartupObject,
  kRootReference,
  kAttached,
  kSharedObject,
  kNothing,
  kSynchronize,
  kVariableRepeatedRoot,
  kBackingStore,
  kResizableBackingStore,
  kEmbedderFields,
  kApiWrappers,
  kVariableRaw,
  kApiReference,
  kExternalReference,
  kSandboxedApiReference,
  kSandboxedExternalReference,
  kSandboxedRawReference,
  kClearedWeak,
  kWeakPrefix,
  kForwardReference,
  kForwardResolved,
  kContextlessMetaMap,
  kContextfulMetaMap,
  kIndirectPrefix,
  kSelfIndirect,
  kNewDispatchEntry,
  kDispatchEntry,
  kProtectedPrefix,
  kRoot = 0x40,          // to 0x5f: of the first roots
  kFixedRaw = 0x60,      // to 0x7f: one word and more
  kRepeatedRoot = 0x80,  // to 0x8f: twice and more
  kRecent = 0x90,        // to 0x97: one of the last objects referred to
  kEnd = 0x98,
};
static_assert(kProtectedPrefix == 0x21);

// A new object of the read-only heap, which this V8 writes nowhere but when it is built itself.
constexpr uint8_t kLinear = kNewObject | uint8_t{kReadOnlyHeap};

constexpr int kBlockShift = 17;
constexpr uint32_t kOffsetMask = (1 << kBlockShift) - 1;
constexpr size_t kBitmapWords = 64;

inline bool IsExternalString(uint16_t type) { return (type & 0xff87) == 2; }

// Number reads a number of one to four bytes, little-endian. The lowest two bits of the first tell
// how many follow it. Four bytes are read at any rate.
inline uint32_t Number(const uint8_t*& at) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  uint32_t word;
  memcpy(&word, at, sizeof word);
  uint32_t more = word & 3;
  at += more + 1;
  return (word & UINT32_MAX >> (24 - 8 * more)) >> 2;
}

// Linearize gives the linear form of a snapshot of V8's, or "" for one with something in it that it
// does not know. isolate is any one of the process, for the read-only heap.
std::string Linearize(std::string_view blob, v8::Isolate* isolate);

}  // namespace nano::linear

#endif  // NANO_SHIM_LINEAR_H_
