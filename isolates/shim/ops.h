// The op table's callbacks. Their order is webapi.Ops.
#ifndef NANO_OPS_H_
#define NANO_OPS_H_

#define NANO_OPS(X)      \
  X(respond, 6)          \
  X(respondRecord, 6)    \
  X(respondChunk, 2)     \
  X(respondEnd, 2)       \
  X(settled, 1)          \
  X(requestURL, 2)       \
  X(requestMethod, 2)    \
  X(requestHeader, 3)    \
  X(requestHeaders, 2)   \
  X(requestText, 2)      \
  X(requestBytes, 2)     \
  X(remoteAddress, 2)    \
  X(timerSet, 2)         \
  X(timerClear, 1)       \
  X(log, 5)              \
  X(promiseState, 1)     \
  X(promiseResult, 1)    \
  X(enqueueMicrotask, 1) \
  X(now, 0)              \
  X(urlParse, 2)         \
  X(urlSet, 3)           \
  X(urlCanParse, 2)      \
  X(urlComponents, 0)    \
  X(patternParse, 11)    \
  X(patternInput, 9)     \
  X(patternCompare, 5)   \
  X(wasmBytes, 2)        \
  X(wasmFinish, 1)       \
  X(wasmAbort, 2)        \
  X(encodeUtf8, 2)       \
  X(encodeUtf8Into, 2)   \
  X(decodeUtf8, 3)       \
  X(decodeLatin1, 1)     \
  X(decodeUtf16le, 1)    \
  X(copyBytes, 2)        \
  X(indexOfBytes, 3)     \
  X(base64Encode, 1)     \
  X(base64Decode, 1)     \
  X(randomFill, 1)       \
  X(randomUUID, 0)       \
  X(cloneKind, 1)        \
  X(cloneLeaf, 1)        \
  X(cloneBytes, 1)       \
  X(tracksLength, 1)     \
  X(newError, 3)         \
  X(proxyDetails, 1)     \
  X(previewEntries, 1)   \
  X(classify, 1)         \
  X(countOwn, 1)         \
  X(constructorName, 1)  \
  X(exposeMembers, 2)    \
  X(unforgeable, 3)      \
  X(namedKeys, 1)        \
  X(loadScript, 1)       \
  X(lazyGlobal, 2)       \
  X(drainMicrotasks, 0)  \
  X(jsonTooDeep, 1)      \
  X(jsonParse, 1)        \
  X(requestJson, 2)      \
  X(ioOpen, 8)           \
  X(ioRead, 3)           \
  X(ioCancel, 2)         \
  X(ioWrite, 3)          \
  X(ioFinish, 4)         \
  X(takeData, 2)         \
  X(takeDataInto, 4)     \
  X(takeText, 2)         \
  X(dropData, 2)         \
  X(noteText, 2)         \
  X(responseURL, 2)      \
  X(responseReason, 2)   \
  X(headLines, 3)        \
  X(plainLines, 2)       \
  X(contentCoding, 2)    \
  X(hostFunction, 1)     \
  X(hostOpen, 2)         \
  X(refuseSnapshot, 1)   \
  X(hostTake, 2)

#include <v8-fast-api-calls.h>
#include <v8.h>

namespace nano::ops {

using Info = const v8::FunctionCallbackInfo<v8::Value>&;

#define NANO_DECLARE(name, length) void name(Info info);
NANO_OPS(NANO_DECLARE)
#undef NANO_DECLARE

// EncodeLatin1Into is the op encodeUtf8Into of one-byte text in one piece, for optimized code.
double EncodeLatin1Into(v8::Local<v8::Object> receiver, const v8::FastOneByteString& text,
                        v8::Local<v8::Value> destination);

// CountOwn is the op countOwn, for optimized code.
int32_t CountOwn(v8::Local<v8::Object> receiver, v8::Local<v8::Value> object);

// ThrowRange throws a RangeError.
void ThrowRange(v8::Isolate* isolate, const char* text);

// What V8 calls for the value of a global that lazyGlobal has announced.
void ReadLazyGlobal(v8::Local<v8::Name> name, const v8::PropertyCallbackInfo<v8::Value>& info);

}  // namespace nano::ops

#endif  // NANO_OPS_H_
