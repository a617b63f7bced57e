package encodings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func decodeAll(t testing.TB, label, input string) string {
	t.Helper()
	units, state, ok := Lookup(label).Decode(nil, 0, []byte(input), false, true)
	if !ok || state != 0 {
		t.Fatalf("%s of %q: ok %v, state %#x", label, input, ok, state)
	}
	return string(utf16.Decode(units))
}

func TestLookup(t *testing.T) {
	count := 0
	for _, entry := range encodings {
		for label := range strings.FieldsSeq(entry.labels) {
			count++
			for _, variant := range []string{label, strings.ToUpper(label), " \t\r\n\f" + label + "\n "} {
				if got := Lookup(variant); got == nil || got.Name != entry.name {
					t.Errorf("Lookup(%q) = %v, not %s", variant, got, entry.name)
				}
			}
			if len(label) > labelBytesMax {
				t.Errorf("%s has %d bytes, more than labelBytesMax", label, len(label))
			}
		}
		if Lookup(entry.name) == nil {
			t.Errorf("%s is no label of itself", entry.name)
		}
	}
	if count != 228 {
		t.Errorf("%d labels; the standard has 228", count)
	}
	for _, label := range []string{
		"", " ", "utf-7", "utf-32", "\vutf-8", "utf-8\x00", "\u212aoi8-r", "utf\u20118", "x-user-defined1", strings.Repeat("a", 1000),
	} {
		if got := Lookup(label); got != nil {
			t.Errorf("Lookup(%q) = %s", label, got.Name)
		}
	}
	for _, label := range []string{"utf-8", "utf-16", "utf-16be", "replacement"} {
		if Lookup(label).Decodable() {
			t.Errorf("%s is decodable here", label)
		}
	}
}

// TestDecode has cases of each branch of the standard's decoders; \ufffd are errors.
func TestDecode(t *testing.T) {
	for _, test := range []struct{ label, input, want string }{
		{"windows-1252", "a\x80\x81\x9f\xff", "a\u20ac\u0081\u0178\u00ff"},
		{"windows-1253", "\xaa\xd2\xff\x80", "\ufffd\ufffd\ufffd\u20ac"},
		{"iso-8859-6", "\xa1\x85", "\ufffd\u0085"},
		{"koi8-u", "\xae\xbe", "\u045e\u040e"},
		{"macintosh", "\xdb\xf0", "\u20ac\uf8ff"},
		{"x-user-defined", "A\x80\xff", "A\uf780\uf7ff"},

		{"gbk", "\x80\xff\xc4\xe3\xa2\xe3", "\u20ac\ufffd\u4f60\u20ac"},
		{"gb18030", "\x81\x30\x81\x30\x84\x31\xa4\x37\x81\x35\xf4\x37", "\u0080\ufffd\ue7c7"},
		{"gb18030", "\x90\x30\x81\x30\xe3\x32\x9a\x35\xe3\x32\x9a\x36", "\U00010000\U0010ffff\ufffd"},
		{"gb18030", "\x84\x31\xa4\x38", "\ufffe"},
		{"gb18030", "\xa6\xd9\xa8\xbc\xfe\x59\xaa\xa1\xa1\x40", "\ufe10\u1e3f\u9fb4\ue000\ue4c6"},
		{"gb18030", "\x81\x30\x81\x41", "\ufffd0\u4e04"},
		{"gb18030", "\x81\x30\x81", "\ufffd"},
		{"gb18030", "\x81\x30A", "\ufffd0A"},
		{"gb18030", "\x81 \x81\x7f\x81\xff", "\ufffd \ufffd\x7f\ufffd"},

		{"big5", "\xa4\x40\x88\x62\x88\x64\x88\xa3\x88\xa5", "\u4e00\u00ca\u0304\u00ca\u030c\u00ea\u0304\u00ea\u030c"},
		{"big5", "\x87\x45\x80\xff\x81\x40\xa4\xff\xa4", "\U00027267\ufffd\ufffd\ufffd@\ufffd\ufffd"},

		{"euc-jp", "\xa4\xa2\x8e\xb1\x8f\xb0\xa1", "\u3042\uff71\u4e02"},
		{"euc-jp", "\x8e\xe0\x8eA\x8f\xa2A\x8f\xa1\xa1\x80\xff\xa4", "\ufffd\ufffdA\ufffdA\ufffd\ufffd\ufffd\ufffd"},
		{"euc-jp", "\x8f\xb0", "\ufffd"},

		{"shift_jis", "\x82\xa0\xb1\x80\xf0\x40\xf9\xfc\xfa\x40", "\u3042\uff71\u0080\ue000\ue757\u2170"},
		{"shift_jis", "\xa0\xfd\x81 \x81\xad\x81", "\ufffd\ufffd\ufffd \ufffd\ufffd"},

		{"euc-kr", "\xb0\xa1\x81\x41\xc8\xfe", "\uac00\uac02\ud79d"},
		{"euc-kr", "\x80\xff\xc9\xa1\xb0A\x81\x40\x81", "\ufffd\ufffd\ufffd\uce9a\ufffd@\ufffd"},

		{"iso-2022-jp", "a\x1b$B$\"\x1b(B\\~\x1b(J\\~\x1b(I1", "a\u3042\\~\u00a5\u203e\uff71"},
		{"iso-2022-jp", "\x1b$@$\"\x1b$B$$", "\u3042\u3044"},
		{"iso-2022-jp", "\x0e\x0f\x80\x1b", "\ufffd\ufffd\ufffd\ufffd"},
		{"iso-2022-jp", "\x1b(B\x1b(Ba", "\ufffda"},
		{"iso-2022-jp", "\x1b(Z\x1b$", "\ufffd(Z\ufffd$"},
		{"iso-2022-jp", "\x1b$B$\x1b(Ba", "\ufffda"},
		{"iso-2022-jp", "\x1b$B$", "\ufffd"},
		{"iso-2022-jp", "\x1b$B\x1b$", "\ufffd\ufffd"},
		{"iso-2022-jp", "\x1b$B\x1b(\x1b(Ba", "\ufffd\ufffda"},
		{"iso-2022-jp", "\x1b$B\x20$\"$\x20$\"", "\ufffd\u3042\ufffd\u3042"},
		{"iso-2022-jp", "\x1b(I\x20\x60", "\ufffd\ufffd"},
	} {
		if got := decodeAll(t, test.label, test.input); got != test.want {
			t.Errorf("%s of %q is %+q, not %+q", test.label, test.input, got, test.want)
		}
	}
}

// TestIndexes checks every sequence of at most two bytes, and those of three and four bytes, by a hash of all that
// they decode to. The hashes were made when encoding_rs, the implementation in Firefox, gave the same results.
func TestIndexes(t *testing.T) {
	for _, entry := range encodings {
		if entry.decode == nil {
			continue
		}
		sum := sha256.New()
		var out []uint16
		try := func(input ...byte) {
			out, _, _ = entry.decode(out[:0], 0, input, false, true)
			for _, unit := range out {
				sum.Write([]byte{byte(unit), byte(unit >> 8)})
			}
			_, _, ok := entry.decode(out[len(out):], 0, input, true, true)
			fmt.Fprintln(sum, ok)
		}
		for first := range 256 {
			try(byte(first))
			for second := range 256 {
				try(byte(first), byte(second))
			}
		}
		switch entry.name {
		case "gb18030":
			for p := range 39420 {
				try(byte(0x81+p/12600), byte('0'+p/1260%10), byte(0x81+p/10%126), byte('0'+p%10))
			}
		case "euc-jp":
			for i := range 94 * 94 {
				try(0x8f, byte(0xa1+i/94), byte(0xa1+i%94))
			}
		case "iso-2022-jp":
			for i := range 94 * 94 {
				try(0x1b, '$', 'B', byte(0x21+i/94), byte(0x21+i%94))
			}
		}
		got := hex.EncodeToString(sum.Sum(nil)[:8])
		if got != indexHashes[entry.name] {
			t.Errorf("%q: %q,", entry.name, got)
		}
	}
}

// randomInput favours bytes that begin, continue or break sequences.
func randomInput(random *rand.Rand, label string) []byte {
	pool := "\x1b\x1b$(B@JI!0~\\\x0e\x30\x39\x81\x84\x8e\x8f\x80\xa0\xa1\xb0\xfe\xff"
	if label == "iso-2022-jp" {
		pool = pool[:14]
	}
	input := make([]byte, random.IntN(14))
	for i := range input {
		if random.IntN(3) == 0 {
			input[i] = byte(random.Uint32())
		} else {
			input[i] = pool[random.IntN(len(pool))]
		}
	}
	return input
}

// TestSplits makes sure that pieces decode to what the whole decodes to, wherever it is cut, and that as many
// units come out as UnitsMax allows.
func TestSplits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, entry := range encodings {
		encoding := Lookup(entry.name)
		if !encoding.Decodable() {
			continue
		}
		for range 3000 {
			input := randomInput(random, entry.name)
			checkSplits(t, encoding, input, random.IntN(len(input)+1), random.IntN(len(input)+1))
		}
	}
}

func checkSplits(t *testing.T, encoding *Encoding, input []byte, a, b int) {
	t.Helper()
	a, b = min(a, b), max(a, b)
	whole, _, _ := encoding.Decode(nil, 0, input, false, true)
	_, _, valid := encoding.Decode(nil, 0, input, true, true)
	for _, fatal := range []bool{false, true} {
		var got []uint16
		var state State
		ok := true
		for i, piece := range [][]byte{input[:a], input[a:b], input[b:]} {
			before := len(got)
			got, state, ok = encoding.Decode(got, state, piece, fatal, i == 2)
			if len(got)-before > UnitsMax(len(piece)) || state>>24 != 0 {
				t.Fatalf("%s of %x gave %d units, state %#x", encoding.Name, piece, len(got)-before, state)
			}
			if !ok {
				break
			}
		}
		if ok != (valid || !fatal) {
			t.Fatalf("%s of %x cut at %d and %d: ok is %v in fatal mode", encoding.Name, input, a, b, ok)
		}
		if !fatal && !slices.Equal(got, whole) {
			t.Fatalf("%s of %x cut at %d and %d is %04x, not %04x", encoding.Name, input, a, b, got, whole)
		}
	}
}

func FuzzSplits(f *testing.F) {
	f.Add(uint8(3), []byte("\x1b$B$\"\x1b(B"), uint8(3), uint8(5))
	f.Fuzz(func(t *testing.T, which uint8, input []byte, a, b uint8) {
		entry := encodings[int(which)%len(encodings)]
		if entry.decode == nil {
			return
		}
		checkSplits(t, Lookup(entry.name), input, int(a)%(len(input)+1), int(b)%(len(input)+1))
	})
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, label := range []string{"latin2", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr"} {
		encoding := Lookup(label)
		input := []byte("\x81\x30\x81\xff text \xa4\xa2\x1b$B$\"")
		out := make([]uint16, 0, UnitsMax(len(input)))
		encoding.Decode(out, 0, input, false, true)
		if n := testing.AllocsPerRun(10, func() { encoding.Decode(out, 0, input, false, true) }); n != 0 {
			t.Errorf("%s: %v allocations", label, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, test := range []struct{ name, label, piece string }{
		{"ascii", "latin2", "plain text in ASCII "},
		{"latin2", "latin2", "\xbe\xeblu\xbb"},
		{"gbk", "gbk", "\xc4\xe3\xba\xc3"},
		{"iso-2022-jp", "iso-2022-jp", "\x1b$B$\"$\"$\"\x1b(Ba"},
	} {
		b.Run(test.name, func(b *testing.B) {
			input := []byte(strings.Repeat(test.piece, 65536/len(test.piece)))
			out := make([]uint16, 0, UnitsMax(len(input)))
			b.SetBytes(int64(len(input)))
			for b.Loop() {
				Lookup(test.label).Decode(out, 0, input, false, true)
			}
		})
	}
}

var indexHashes = map[string]string{
	"ibm866":         "8c3ab8ec7907e8c3",
	"iso-8859-2":     "17e58c1ff83fd6a0",
	"iso-8859-3":     "8627252d9a1a8d0a",
	"iso-8859-4":     "be3dcd26eefc526f",
	"iso-8859-5":     "08ace47ff61049e3",
	"iso-8859-6":     "895fd41a55d4c8f1",
	"iso-8859-7":     "50d84be1118fa2f9",
	"iso-8859-8":     "2e1fe2945d314ac2",
	"iso-8859-8-i":   "2e1fe2945d314ac2",
	"iso-8859-10":    "d1e1f7ee15410365",
	"iso-8859-13":    "68285014402a0494",
	"iso-8859-14":    "3495a53235a05535",
	"iso-8859-15":    "228495e69061d7ef",
	"iso-8859-16":    "5d118e6c03f35df8",
	"koi8-r":         "498df5c890dea5b6",
	"koi8-u":         "a9d72f64b3d9565a",
	"macintosh":      "79d6effe79688879",
	"windows-874":    "be240aadb8fb2351",
	"windows-1250":   "54717a9f3eb94734",
	"windows-1251":   "7ca026f330bd5d4a",
	"windows-1252":   "3d117e41d3bc6411",
	"windows-1253":   "29f7a3c6fff903a4",
	"windows-1254":   "b485f01cd387ca38",
	"windows-1255":   "9e6bf6ce52bdb296",
	"windows-1256":   "b3ba2defaad905ea",
	"windows-1257":   "1b1fa21954496f18",
	"windows-1258":   "55aba897e68a3770",
	"x-mac-cyrillic": "daf3262bc3f9d3e5",
	"gbk":            "fdae8d82ca893c5b",
	"gb18030":        "58d9cf44af607d0a",
	"big5":           "8c549ce51de45a70",
	"euc-jp":         "985b49998d05600c",
	"iso-2022-jp":    "90f67ec7ca1d972f",
	"shift_jis":      "acdc4ed6edd61baa",
	"euc-kr":         "90df0ab06a438bd5",
	"x-user-defined": "518a691d1e7a99b2",
}
