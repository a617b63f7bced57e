package compression

import (
	"bytes"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/andybalholm/brotli"
)

var allFormats = []Format{Gzip, Deflate, DeflateRaw, Brotli}

// compressAll compresses data that come in pieces whose lengths size gives.
func compressAll(t testing.TB, format Format, data []byte, size func() int) []byte {
	t.Helper()
	c := NewCompressor(format)
	defer c.Close()
	var out []byte
	for len(data) > 0 {
		n := min(size(), len(data))
		if _, err := c.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
		out = append(out, c.Take()...)
	}
	if err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return append(out, c.Take()...)
}

// decompressAll does the opposite.
func decompressAll(format Format, input []byte, size func() int) (output []byte, err error) {
	d := NewDecompressor(format)
	defer d.Close()
	for len(input) > 0 {
		n := min(size(), len(input))
		piece, err := d.Next(input[:n])
		for ; (len(piece) != 0 || d.IsBusy()) && err == nil; piece, err = d.Next(nil) {
			if len(piece) > pieceBytes+matchMax {
				return nil, fmt.Errorf("a piece of %d bytes", len(piece))
			}
			output = append(output, piece...)
		}
		if err != nil {
			return output, err
		}
		input = input[n:]
	}
	return output, d.Finish()
}

func sizes(random *rand.Rand) map[string]func() int {
	return map[string]func() int{
		"whole":  func() int { return 1 << 30 },
		"bytes":  func() int { return 1 },
		"random": func() int { return 1 + random.IntN(50_000) },
	}
}

func TestCompression(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for name, data := range samples() {
		for _, format := range allFormats {
			for how, size := range sizes(random) {
				if how == "bytes" {
					data = data[:min(len(data), 50_000)]
				}
				compressed := compressAll(t, format, data, size)
				got, err := decompressAll(format, compressed, size)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, format %d, %s: %d of %d bytes, %v", name, format, how, len(got), len(data), err)
				}
				if _, err = decompressAll(format, append(bytes.Clone(compressed), 0), size); err == nil {
					t.Errorf("%s, format %d, %s: a byte behind the end is no error", name, format, how)
				}
				if _, err = decompressAll(format, compressed[:len(compressed)-1], size); err == nil {
					t.Errorf("%s, format %d, %s: a missing byte is no error", name, format, how)
				}
			}
		}
	}
}

// TestCompressionOfLengths compresses data of every small length: their ends are where encoders are special.
func TestCompressionOfLengths(t *testing.T) {
	data := samples()["text"]
	whole := func() int { return 1 << 30 }
	for length := range 600 {
		for _, format := range allFormats {
			got, err := decompressAll(format, compressAll(t, format, data[:length], whole), whole)
			if err != nil || !bytes.Equal(got, data[:length]) {
				t.Fatalf("%d bytes, format %d: %d bytes, %v", length, format, len(got), err)
			}
		}
	}
}

// TestOthersUnderstand has other packages read what is compressed here.
func TestOthersUnderstand(t *testing.T) {
	whole := func() int { return 1 << 30 }
	for name, data := range samples() {
		for format, open := range map[Format]func(io.Reader) (io.Reader, error){
			Gzip:    func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) },
			Deflate: func(r io.Reader) (io.Reader, error) { return stdzlib.NewReader(r) },
			Brotli:  func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		} {
			reader, err := open(bytes.NewReader(compressAll(t, format, data, whole)))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, format %d: %v", name, format, err)
			}
		}
	}
}

// gzipped is "expected output" with a header that has all parts.
func gzipped(t *testing.T) []byte {
	var out bytes.Buffer
	w := stdgzip.NewWriter(&out)
	w.Name, w.Comment, w.Extra = "name", "comment", bytes.Repeat([]byte("x"), 300)
	if _, err := w.Write([]byte("expected output")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestHeaders(t *testing.T) {
	byByte := func() int { return 1 }
	whole := gzipped(t)
	for _, size := range []func() int{byByte, func() int { return 1 << 20 }} {
		if got, err := decompressAll(Gzip, whole, size); err != nil || string(got) != "expected output" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	change := func(at int, value byte) []byte {
		changed := bytes.Clone(whole)
		changed[at] = value
		return changed
	}
	for name, c := range map[string]struct {
		input []byte
		want  error
	}{
		"magic":            {change(0, 30), errHeader},
		"method":           {change(2, 7), errMethod},
		"reserved flag":    {change(3, 0x20), errHeader},
		"sum of no header": {change(3, gzipExtra|gzipName|gzipComment|gzipHeadSum), errChecksum},
		"checksum":         {change(len(whole)-8, whole[len(whole)-8]^1), errChecksum},
		"length":           {change(len(whole)-4, 99), errLength},
		"two members":      {append(bytes.Clone(whole), whole...), errTrailing},
		"in the header":    {whole[:200], errTruncated},
		"nothing":          {nil, errTruncated},
	} {
		if _, err := decompressAll(Gzip, c.input, byByte); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		input []byte
		want  error
	}{
		"check bits": {[]byte{0x78, 0x9d}, errHeader},
		"method":     {[]byte{0x79, 0x18}, errMethod},
		"window":     {[]byte{0x88, 0x1c}, errMethod},
		"dictionary": {[]byte{0x78, 0xbb}, errDictionary},
	} {
		if _, err := decompressAll(Deflate, c.input, byByte); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
}

// TestBombs asks for a few pieces of what very much comes of.
func TestBombs(t *testing.T) {
	for _, format := range allFormats {
		bomb := compressAll(t, format, make([]byte, 50<<20), func() int { return 1 << 20 })
		d := NewDecompressor(format)
		for i := range 10 {
			input := bomb
			if i > 0 {
				input = nil
			}
			piece, err := d.Next(input)
			if err != nil || len(piece) == 0 || len(piece) > pieceBytes+matchMax {
				t.Fatalf("format %d: piece %d has %d bytes, %v", format, i, len(piece), err)
			}
		}
		if size := d.Size(); size > 2<<20 {
			t.Errorf("format %d: %d bytes are held for an input of %d", format, size, len(bomb))
		}
		if err := d.Close(); err != nil || d.Size() != 0 {
			t.Errorf("format %d: closed, it holds %d bytes, %v", format, d.Size(), err)
		}
		if _, err := d.Next(bomb); err == nil {
			t.Errorf("format %d: input after the end is no error", format)
		}
	}
}

// TestDamaged looks for panics and endless loops.
func TestDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for _, data := range samples() {
		data = data[:min(len(data), 2000)]
		for _, format := range allFormats {
			compressed := compressAll(t, format, data, func() int { return 1000 })
			for range 100 {
				damaged := bytes.Clone(compressed)
				damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
				got, err := decompressAll(format, damaged, func() int { return 1 + random.IntN(100) })
				if err == nil && format == Gzip && !bytes.Equal(got, data) {
					t.Errorf("format %d: %x, of %x: %d bytes that differ from the %d that were compressed, and no error", format, damaged, compressed, len(got), len(data))
				}
			}
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	data := samples()["text"]
	for _, format := range allFormats {
		b.Run(fmt.Sprint(format), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for range b.N {
				compressAll(b, format, data, func() int { return pieceBytes })
			}
		})
	}
}

// TestEmptyBlocks has much input of which nothing comes: no call takes all of it.
func TestEmptyBlocks(t *testing.T) {
	const length = 1 << 20
	// Four blocks of the fixed codes that end at once, 10 bits each; the last block has two bytes.
	input := append(bytes.Repeat([]byte{0x02, 0x08, 0x20, 0x80, 0x00}, length/5), 0x03, 0x00)
	d := NewDecompressor(DeflateRaw)
	defer d.Close()
	piece, err := d.Next(input)
	calls := 1
	for ; d.IsBusy(); calls++ {
		if len(piece) != 0 || err != nil {
			t.Fatalf("%d bytes, %v", len(piece), err)
		}
		piece, err = d.Next(nil)
	}
	if least := length / pieceBytes; len(piece) != 0 || err != nil || calls < least {
		t.Errorf("%d calls, not %d, %d bytes, %v", calls, least, len(piece), err)
	}
	if err := d.Finish(); err != nil {
		t.Error(err)
	}
}

// TestInputWaits decompresses several streams in turn, each of which has more input than it has used, and gets more.
func TestInputWaits(t *testing.T) {
	const streams = 4
	var decompressors [streams]*Decompressor
	var want, got, rest [streams][]byte
	for round := range 3 { // what the first have borrowed, the next borrow
		for i := range streams {
			want[i] = bytes.Repeat(fmt.Appendf(nil, "<p>%d of %d</p>\n", i, round), 20_000*(i+1))
			rest[i] = compressAll(t, Gzip, want[i], func() int { return 1000 })
			got[i] = got[i][:0]
			decompressors[i] = NewDecompressor(Gzip)
		}
		for isOver := false; !isOver; {
			isOver = true
			for i, d := range decompressors {
				n := min(len(rest[i]), 300)
				piece, err := d.Next(rest[i][:n])
				if err != nil {
					t.Fatal(err)
				}
				got[i] = append(got[i], piece...)
				rest[i] = rest[i][n:]
				isOver = isOver && n == 0 && len(piece) == 0 && !d.IsBusy()
			}
		}
		for i, d := range decompressors {
			if err := d.Finish(); err != nil || !bytes.Equal(got[i], want[i]) {
				t.Errorf("stream %d: error %v, %d bytes of %d", i, err, len(got[i]), len(want[i]))
			}
			if held := d.Size(); held > d.decoder.size() {
				t.Errorf("stream %d holds %d bytes of input at its end", i, held-d.decoder.size())
			}
			d.Close()
		}
	}
}
