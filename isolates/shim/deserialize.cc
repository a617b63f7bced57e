// The one function of V8's deserializer that is worth having twice: the one that reads a number of
// a snapshot. A large app's has some hundred thousand, V8's function takes 8% of the time to
// restore it, and half of that is reading four bytes one by one. This one takes its place when
// the program is linked, since a template's or inline function of the library gives way to others.
#include <cstdint>
#include <cstring>

namespace nano::deserialize {

// Bytes is V8's SnapshotByteSource.
struct Bytes {
  const uint8_t* data;
  int length;  // with three more bytes behind
  int position;
};

uint32_t GetUint30(Bytes* bytes) asm("_ZN2v88internal18SnapshotByteSource9GetUint30Ev");

// GetUint30 reads a number of one to four bytes, little-endian. The lowest two bits of the first
// tell how many follow it.
uint32_t GetUint30(Bytes* bytes) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  uint32_t word;
  memcpy(&word, bytes->data + bytes->position, sizeof word);
  uint32_t more = word & 3;
  bytes->position += static_cast<int>(more) + 1;
  return (word & UINT32_MAX >> (24 - 8 * more)) >> 2;
}

}  // namespace nano::deserialize
