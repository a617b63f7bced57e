package loop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nano/static"
)

// A keptFlow is a sink that keeps what it gets, and has room for so many pieces.
type keptFlow struct {
	data  []byte
	room  int
	ended bool
	fault *fault
}

func (k *keptFlow) push(data []byte) bool {
	k.data = append(k.data, data...)
	k.room--
	return k.room > 0
}

func (k *keptFlow) end(f *fault) { k.ended, k.fault = true, f }

// TestFileReader answers the reads of a file by hand: short ones, interrupted ones, failures.
func TestFileReader(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 100_000) // 1.6 MB
	for name, each := range map[string]struct {
		results []int32 // of the reads; 0 or an errno, or how many bytes, -1: all
		fault   *fault
	}{
		"whole":              {nil, nil},
		"short reads":        {[]int32{1, 100_000, 7, 65536}, nil},
		"interrupted":        {[]int32{-int32(unix.EINTR), 10, -int32(unix.EAGAIN), -int32(unix.EINTR)}, nil},
		"the disk is broken": {[]int32{100, -int32(unix.EIO)}, faultFileFailed},
		"it ends early":      {[]int32{100, 0}, faultFileChanged},
	} {
		t.Run(name, func(t *testing.T) {
			dir := siteOf(t, map[string]string{"file": content})
			found, err := openSite(t, dir).Find("file", nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			l, _ := newScripted(t, plainRequest, 1, nil)
			a := found.File.Answer(&static.Request{}, nil)
			from := l.fileSource(&a)
			if from.length() != int64(len(content)) {
				t.Fatalf("length %d", from.length())
			}
			to := &keptFlow{room: 1}
			from.attach(to)
			from.resume()
			r := l.files.readers.all[0]
			for i := 0; !to.ended; i++ {
				if r.reading == nil {
					t.Fatalf("nothing is read after %d bytes", len(to.data))
				}
				n := int32(len(r.reading))
				if i < len(each.results) {
					n = min(n, each.results[i])
				}
				if n > 0 {
					copy(r.reading[:n], content[r.offset:])
				}
				l.fileRead(0, n)
				if to.room <= 0 && !to.ended { // one piece is read ahead, not two
					if r.ready != nil && r.reading != nil {
						t.Fatal("two pieces are read ahead")
					}
					to.room = 1 + i%3
					from.resume()
				}
			}
			if to.fault != each.fault || !strings.HasPrefix(content, string(to.data)) || each.fault == nil && len(to.data) != len(content) {
				t.Errorf("%d bytes, fault %v", len(to.data), to.fault)
			}
			if l.operations != 0 || len(l.files.readers.free) != 1 {
				t.Errorf("%d operations, %d free readers", l.operations, len(l.files.readers.free))
			}
		})
	}
}

// TestFileReaderCancelled: a reader that nobody wants any more is free when its read has ended.
func TestFileReaderCancelled(t *testing.T) {
	dir := siteOf(t, map[string]string{"file": strings.Repeat("x", 2<<20)})
	folder := openSite(t, dir)
	found, err := folder.Find("file", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newScripted(t, plainRequest, 1, nil)
	a := found.File.Answer(&static.Request{}, nil)
	before := descriptors(t)
	for step := range 3 {
		from := l.fileSource(&a)
		if step > 0 {
			to := &keptFlow{room: 1}
			from.attach(to)
			from.resume()
			if step == 2 { // with a piece that waits, and one being read
				l.fileRead(0, fileReadMax)
				l.fileRead(0, fileReadMax)
			}
			from.cancel()
			if l.files.readers.all[0].reading != nil {
				l.fileRead(0, fileReadMax)
			}
			if to.ended {
				t.Error("the sink heard of the end after it had cancelled")
			}
		} else {
			from.cancel()
		}
		if len(l.files.readers.free) != 1 || l.operations != 0 {
			t.Fatalf("step %d: %d free, %d operations", step, len(l.files.readers.free), l.operations)
		}
	}
	found.File.GiveUp(nil)
	if after := descriptors(t); after != before-1 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if l.fileSource(&a) != nil {
		t.Error("a source of a file that has been given up")
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
}
