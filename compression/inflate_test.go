package compression

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/flate"
)

// samples are data of all kinds that deflate knows to compress differently.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	skewed := make([]byte, 300_000) // with codes of all lengths
	for i := range skewed {
		for skewed[i] = 0; random.IntN(2) == 0 && skewed[i] < 60; skewed[i]++ {
		}
	}
	var text bytes.Buffer
	for i := 0; text.Len() < 400_000; i++ {
		fmt.Fprintf(&text, `{"id":%d,"name":"user %d","score":%f}`+"\n", i, random.IntN(1000), random.Float64())
	}
	return map[string][]byte{
		"empty": {}, "one byte": []byte("x"), "short": []byte("expected output"), "zeros": make([]byte, 1_000_000),
		"noise": noise, "skewed": skewed, "text": text.Bytes(), "far": append(append(bytes.Clone(noise[:32768]), noise[:32768]...), noise[:100]...),
		"period 3":  bytes.Repeat([]byte("abc"), 50_000),
		"period 15": bytes.Repeat(noise[:15], 20_000), "period 16": bytes.Repeat(noise[:16], 20_000),
		"period 17": bytes.Repeat(noise[:17], 20_000),
	}
}

func deflated(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := stdflate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inflateAll feeds an inflater pieces whose lengths size gives.
func inflateAll(input []byte, size func() int) (output, rest []byte, err error) {
	f := new(inflater)
	f.reset()
	for !f.isDone() {
		piece := input[:min(size(), len(input))]
		left, err := f.inflate(piece)
		taken := f.take()
		output = append(output, taken...)
		if err != nil {
			return output, nil, err
		}
		if len(left) == len(piece) && len(taken) == 0 && len(piece) == len(input) {
			return output, input, io.ErrUnexpectedEOF
		}
		input = input[len(piece)-len(left):]
	}
	return output, append(f.unread(), input...), nil
}

func TestInflate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	sizes := map[string]func() int{
		"whole":  func() int { return 1 << 30 },
		"bytes":  func() int { return 1 },
		"random": func() int { return 1 + random.IntN(3000) },
	}
	for name, data := range samples() {
		for _, level := range []int{stdflate.NoCompression, stdflate.HuffmanOnly, 1, 6, 9} {
			compressed := deflated(t, data, level)
			for how, size := range sizes {
				got, rest, err := inflateAll(append(bytes.Clone(compressed), "behind"...), size)
				if err != nil || !bytes.Equal(got, data) || string(rest) != "behind" {
					t.Errorf("%s, level %d, %s: %d of %d bytes, %v, and %q", name, level, how, len(got), len(data), err, rest)
				}
			}
			if _, _, err := inflateAll(compressed[:len(compressed)-1], sizes["random"]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, level %d: without the last byte: %v", name, level, err)
			}
		}
	}
}

// TestInflateDamaged compares with the standard library what becomes of damaged data.
func TestInflateDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, data := range samples() {
		data = data[:min(len(data), 3000)]
		for _, level := range []int{0, 1, 6, 9} {
			compressed := deflated(t, data, level)
			for range 300 {
				damaged := bytes.Clone(compressed)
				for range 1 + random.IntN(3) {
					damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
				}
				checkAgainstStandard(t, fmt.Sprintf("%s, level %d", name, level), damaged, func() int { return 1 + random.IntN(100) })
			}
		}
	}
}

func checkAgainstStandard(t *testing.T, name string, input []byte, size func() int) {
	t.Helper()
	want, wantErr := io.ReadAll(io.LimitReader(stdflate.NewReader(bytes.NewReader(input)), 10<<20))
	got, _, err := inflateAll(input, size)
	if len(want) == 10<<20 {
		return
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: %x: error %v, standard library %v", name, input, err, wantErr)
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Errorf("%s: %x: other data than the standard library's", name, input)
	}
}

func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		f.Add(deflated(f, data[:min(len(data), 500)], 6), uint8(7))
	}
	f.Fuzz(func(t *testing.T, input []byte, size uint8) {
		checkAgainstStandard(t, "fuzz", input, func() int { return 1 + int(size) })
	})
}

func BenchmarkInflate(b *testing.B) {
	for _, name := range []string{"text", "skewed", "zeros"} {
		data := samples()[name]
		compressed := deflated(b, data, 6)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			f := new(inflater)
			for range b.N {
				f.reset()
				for input := compressed; !f.isDone(); f.take() {
					var err error
					if input, err = f.inflate(input); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(name+", package flate", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			r := flate.NewReader(nil)
			for range b.N {
				if err := r.(flate.Resetter).Reset(bytes.NewReader(compressed), nil); err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
