// Package webapi is the Web platform that apps see: the JavaScript sources that make their global object,
// in load order, and the table of native functions ("ops") that these sources call.
//
// The package holds text and names only. isolates compiles the scripts and implements the ops; the two
// hashes let it refuse a snapshot that was made with other ones. README.md describes what the scripts offer
// each other.
package webapi

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"fmt"
	"hash"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed js/*.js
var files embed.FS

// Scripts with a number from lazyFirst to lazyLast run when something of theirs is first used, all others
// when the runtime snapshot is built.
const (
	lazyFirst = 50
	lazyLast  = 89
)

// Script is one boot script: a JavaScript function expression of (ops, internals), in ASCII.
type Script struct {
	Name   string // "10_headers"
	Source string
	Lazy   bool // runs at first use, by the op loadScript, instead of at start
}

var scripts = sync.OnceValue(func() []Script {
	entries, err := files.ReadDir("js") // sorted by name, which is load order
	if err != nil {
		panic(err)
	}
	list := make([]Script, 0, len(entries))
	for _, entry := range entries {
		source, err := files.ReadFile(path.Join("js", entry.Name()))
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(entry.Name(), ".js")
		number, err := strconv.Atoi(name[:2])
		if err != nil {
			panic(fmt.Sprintf("webapi: script %s has no number", entry.Name()))
		}
		lazy := lazyFirst <= number && number <= lazyLast
		list = append(list, Script{Name: name, Source: string(source), Lazy: lazy})
	}
	return list
})

// Scripts returns all boot scripts in load order. The caller must not change the slice.
func Scripts() []Script { return scripts() }

// Ops are the names of the native functions in the object `ops`, in the order in which they are registered
// as external references of snapshots. The order is part of the snapshot format: see OpsHash.
//
// In the signatures below, words and offset are a request record: an Int32Array and where the record begins
// in it; id is the request's id.
var Ops = []string{
	"respond",          // (id, status, reason, head, body, flags, source, length): answers; flags: 1 streaming, 2 pending, 4 null body, 8 raw, 16 length known; the last two may be absent
	"respondRecord",    // (words, offset, id, status, reason, flags): respond with the header lines and the body of a response record
	"respondChunk",     // (id, chunk): a piece of a streaming body, as string or view
	"respondEnd",       // (id, failed): the end of a streaming body
	"settled",          // (id): the work of a request that was answered with flag pending is done
	"requestURL",       // (words, offset): absolute URL in normal form
	"requestMethod",    // (words, offset): name of a method that has no index
	"requestHeader",    // (words, offset, lowerName): combined value, or null
	"requestHeaders",   // (words, offset): flat array of lower-case names and values
	"requestText",      // (words, offset): body as string, UTF-8 decoded
	"requestBytes",     // (words, offset): body as new Uint8Array
	"remoteAddress",    // (words, offset): "192.0.2.1:1234"
	"timerSet",         // (id, milliseconds): asks for one TIMER record
	"timerClear",       // (id)
	"log",              // (words or undefined, offset, level, text, is the request over)
	"promiseState",     // (value): 0 pending, 1 fulfilled, 2 rejected, -1 not a promise
	"promiseResult",    // (promise): value or reason; a rejected promise counts as handled from then on
	"enqueueMicrotask", // (function)
	"now",              // (): monotonic milliseconds
	"urlParse",         // (input, base or undefined): href or null; sets the components
	"urlSet",           // (href, part, value): href or null; sets the components
	"urlCanParse",      // (input, base or undefined): boolean
	"urlComponents",    // (): the Uint32Array of nine components
	"patternParse",     // (string or undefined, base or undefined, ignoreCase, ...components): null, or what a URL pattern consists of, see 75_urlpattern
	"patternInput",     // (base or undefined, ...components): what a URL pattern is matched against, as array of eight components, or null
	"patternCompare",   // (component, left, isOpaque, right, isOpaque): -1, 0 or 1, for two pattern strings
	"wasmBytes",        // (streaming, Uint8Array): false if that is too much memory
	"wasmFinish",       // (streaming): it has all of its bytes
	"wasmAbort",        // (streaming, error): its promise is rejected with that
	"encodeUtf8",       // (string, new short Uint8Array or none): that array, if its bytes can lie in V8's heap, or a new one
	"encodeUtf8Into",   // (string, any): units read * 2**32 + bytes written, or what both are if they are the same; -1: no Uint8Array
	"decodeUtf8",       // (any, fatal, ignoreBOM): string; null if fatal and malformed; undefined if it is no BufferSource
	"decodeLatin1",     // (view, is1252): string, of windows-1252 if so
	"decodeUtf16le",    // (view): string, lone surrogates kept
	"copyBytes",        // (bytes, blank Uint8Array or none): that array, if they can lie in V8's heap, or a new one
	"indexOfBytes",     // (view, pattern, from): where the bytes of the view `pattern` are in `view`, at `from` or later; or -1
	"base64Encode",     // (string): string, or null if it is not of Latin-1
	"base64Decode",     // (string): Latin-1 string, or null
	"randomFill",       // (view)
	"randomUUID",       // (): string
	"cloneKind",        // (object): how structuredClone copies it, a CloneKind of clone.cc
	"cloneLeaf",        // (object): a copy of one that refers to no others; a new and empty Map or Set for one
	"cloneBytes",       // (ArrayBuffer): a copy that is not resizable
	"tracksLength",     // (view): whether its length follows that of its resizable buffer; throws DataCloneError if it is out of bounds
	"newError",         // (letter of its prototype in V8's serialization format or "", message or undefined, stack or undefined): an error without a cause
	"proxyDetails",     // (value): [target, handler] or undefined
	"previewEntries",   // (value): [array, isKeyValue] or undefined
	"classify",         // (value): kind of object, 0 to 21
	"countOwn",         // (object): how many properties it has of its own by names and symbols, private ones included; -1: unknown
	"constructorName",  // (value): string
	"exposeMembers",    // (constructor, prototype): makes the members of an interface enumerable
	"unforgeable",      // (object, name, getter): an accessor property of it that is enumerable and not configurable
	"namedKeys",        // (object): array of its own enumerable keys that are no array indices; no proxy
	"loadScript",       // (name): the function of a lazy script
	"lazyGlobal",       // (name, enumerable): a global whose value internals.readLazyGlobal(name) gives when it is first read
	"drainMicrotasks",  // (): runs them now; only from a tick, not from a microtask
	"jsonTooDeep",      // (string): its brackets are nested more deeply than JSON.parse may be asked to follow
	"jsonParse",        // (string or Uint8Array): the value of a document of JSON, or undefined: V8 is to parse it
	"requestJson",      // (words, offset): the same of a request's body
	"ioOpen",           // (what, flags, target, head, body, source, length, id or -1): new handle, see isolates.KindOpen
	"ioRead",           // (handle, bytes, flags): so many bytes more are welcome
	"ioCancel",         // (handle, flags): the rest is not wanted
	"ioWrite",          // (handle, chunk, flags): chunk is a string or a view; returns how many bytes that is
	"ioFinish",         // (handle, flags, code, reason)
	"takeData",         // (words, offset): new Uint8Array of a data record, once
	"takeDataInto",     // (words, offset, Uint8Array, at): writes the bytes of a data record there; once
	"takeText",         // (words, offset): string of a data record that is UTF-8; once
	"dropData",         // (words, offset): frees the bytes of a data record
	"noteText",         // (words, offset): text of an end, closed, opened or scheduled record
	"responseURL",      // (words, offset): of a response record, or ""
	"responseReason",   // (words, offset): reason phrase of a response record
	"headLines",        // (words, offset, ofRequest): header lines of the record, for a response or a request that it is passed on with
	"plainLines",       // (object, string): header lines of a plain object whose names and values need no care, and the string unless it has a content-type; or undefined
	"contentCoding",    // (words, offset): content-encoding of a response record, in lower case, or ""; its headers hide that if the body is decoded
	"hostFunction",     // (name of HostCalls): the function
	"hostOpen",         // (id or -1, name of HostCalls, array of arguments): new handle, of a call on another thread
	"refuseSnapshot",   // (words): why the app that starts cannot be snapshotted; where it is not about to be, nothing
	"hostTake",         // (words, offset): the results in a data record, as the function would have returned them; or throws; once
}

// HostCalls are the functions of Go that scripts call as members of internals.host, in the order of the indices
// by which functions in snapshots know them. Each is registered by the package that has it, by
// hostcall.Register.
var HostCalls = []string{
	"compress",
	"compressor",
	"cryptoCopy",
	"cryptoDecrypt",
	"cryptoDeriveBits",
	"cryptoDeriveKey",
	"cryptoDescribe",
	"cryptoDigest",
	"cryptoDigester",
	"cryptoDigesterFinish",
	"cryptoDigesterWrite",
	"cryptoEncrypt",
	"cryptoEqual",
	"cryptoExport",
	"cryptoGenerate",
	"cryptoImport",
	"cryptoSign",
	"cryptoUnwrap",
	"cryptoVerify",
	"cryptoWrap",
	"decompress",
	"decompressor",
	"endCompression",
	"encodingOf",        // (label): [name, number or -1], or undefined: encodings
	"decodeLegacy",      // (number, state, bytes, isFatal, isEnd): text, or [text, state] if not isEnd, or undefined if malformed
	"htmlApply",         // (rewriter, edits, texts): bytes, or [bytes, holes]: htmlrewriter
	"htmlCheckSelector", // (selector)
	"htmlGet",           // (rewriter, index of an event, what, name): a part of a token
	"htmlRewriter",      // (handlers as JSON, charset): rewriter
	"htmlWrite",         // (rewriter, bytes, isEnd): events, or [null, bytes]
}

// OpsHash is the SHA-256 of Ops and HostCalls. A snapshot refers to both by index: one that was built with other
// tables would call other functions, silently, and must be refused.
func OpsHash() [sha256.Size]byte {
	return hashOf(func(h hash.Hash) {
		for _, name := range Ops {
			writeText(h, name)
		}
		writeText(h, "")
		for _, name := range HostCalls {
			writeText(h, name)
		}
	})
}

// SourcesHash is the SHA-256 of all scripts, names included: what a runtime snapshot was made of.
func SourcesHash() [sha256.Size]byte { return sourcesHash() }

// sourcesHash is asked for with every key of a snapshot.
var sourcesHash = sync.OnceValue(func() [sha256.Size]byte {
	return hashOf(func(h hash.Hash) {
		for _, script := range Scripts() {
			writeText(h, script.Name)
			writeText(h, script.Source)
		}
	})
})

func hashOf(write func(hash.Hash)) (sum [sha256.Size]byte) {
	h := sha256.New()
	write(h)
	h.Sum(sum[:0])
	return sum
}

// writeText writes a string with its length before it, so that no two lists of strings hash alike by
// shifting characters from one to the next.
func writeText(h hash.Hash, text string) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(text)))
	h.Write(length[:])
	h.Write([]byte(text))
}
