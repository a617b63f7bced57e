package loop

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nano/http1"
	"nano/isolates"
	"nano/static"
)

// Static files are served before the app is asked, on the loop that a connection is on, and without an
// isolate. What package static finds is shared by all loops of a node (fileStore): small files lie in memory,
// large ones are kept open and read through the ring (readfile.go).
//
// Whatever touches the disk beside that read is done by goroutines of the store. A request for a file that
// was looked at within fileFresh does not wait for any: that costs it a look into a map of its loop, and one
// atomic load. Any other waits at the head of its connection's input until the store has looked (again);
// then it is served or goes on to its app.

// fileFresh is for how long, in ns, it is taken for granted that a file has not changed, and that there is
// none.
const fileFresh = int64(time.Second)

// A fileStore is what the loops of a node know of the files that they serve.
type fileStore struct {
	memoryMax      int64 // bytes
	fresh          int64 // fileFresh, or 0 where somebody develops
	descriptorsMax int

	mutex          sync.Mutex
	entries        map[fileKey]*fileEntry // that hold a file or are being looked at
	newest, oldest *fileEntry             // of those that hold a file, by the time of the last look
	memory         int64
	descriptors    int
	queue          []*fileEntry  // to be looked at
	lookers        int           // goroutines at it
	lookEnds       chan struct{} // closed at the end of the next look; nil: nobody waits for that

	lingering atomic.Int64 // bytes of large files in memory that were given up while answers may still be using them
}

const (
	// fileLookersMax bounds the goroutines that look at files.
	fileLookersMax = 8
	// fileDescriptorsMax bounds the large files that a node keeps open without being asked for them.
	fileDescriptorsMax = 256
	fileMemoryDefault  = 64 << 20
	// A file that is asked for again is kept in memory if it is no larger than fileMemoryLargest, and than one of
	// fileMemoryPart parts of what there is for all of them.
	fileMemoryLargest = 8 << 20
	fileMemoryPart    = 8
)

type fileKey struct {
	folder *static.Folder
	path   string // of static.AppendPath
}

// A fileEntry is a path of a folder.
type fileEntry struct {
	key   fileKey
	found atomic.Pointer[fileFound] // nil: it was not looked at yet, or has been given up

	// Guarded by the store's mutex:
	isLooking    bool
	asking       []*Loop // to be told
	asked        int64   // when the look that is under way was asked for, on the loops' clock
	held         *static.File
	memory       int64 // of it
	descriptors  int
	newer, older *fileEntry
}

// fileFound is what a look has brought to light. It does not change.
type fileFound struct {
	static.Found
	folder *static.Folder
	err    error
	until  int64 // on the loops' clock: then somebody has to look again
}

func newFileStore(memoryMax int64) *fileStore {
	return &fileStore{memoryMax: memoryMax, fresh: fileFresh, descriptorsMax: fileDescriptorsMax, entries: map[fileKey]*fileEntry{}}
}

// look has a path looked at for a loop, which is told by messageFile. It gives the entry.
func (s *fileStore) look(key fileKey, l *Loop) *fileEntry {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	entry := s.entries[key]
	if entry == nil {
		entry = &fileEntry{key: key}
		s.entries[key] = entry
	}
	entry.asking = append(entry.asking, l)
	if entry.isLooking {
		return entry
	}
	entry.isLooking, entry.asked = true, l.now
	s.queue = append(s.queue, entry)
	if s.lookers < fileLookersMax {
		s.lookers++
		go s.work()
	}
	return entry
}

// work looks at what is queued, on a goroutine of its own.
func (s *fileStore) work() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for len(s.queue) != 0 {
		entry := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		last := entry.held // nobody else changes it while it is looked at
		s.mutex.Unlock()
		found, err := entry.key.folder.Find(entry.key.path, last, s.largest())
		s.mutex.Lock()
		s.looked(entry, &fileFound{found, entry.key.folder, err, entry.asked + s.fresh})
	}
	s.lookers--
}

// largest is up to how many bytes a file that is asked for again is read into memory: none while as much as there is
// for all files was given up and is still in use. Clients that take long must not hold more and more of them.
func (s *fileStore) largest() int64 {
	if s.lingering.Load() >= s.memoryMax {
		return 0
	}
	return min(fileMemoryLargest, s.memoryMax/fileMemoryPart)
}

// linger counts what a file that is given up has in memory, but for what next keeps as well, until the garbage collector
// finds that no answer uses it. next may be nil. What is in memory from the first look on is not counted.
func (s *fileStore) linger(file, next *static.File) {
	for i, v := range file.Variants {
		if v == nil || len(v.Content) <= static.InMemoryMax || next != nil && next.Variants[i] == v {
			continue
		}
		size := int64(len(v.Content))
		s.lingering.Add(size)
		runtime.AddCleanup(&v.Content[0], func(size int64) { s.lingering.Add(-size) }, size)
	}
}

// looked takes what a look at an entry has brought to light. The mutex is held.
func (s *fileStore) looked(entry *fileEntry, found *fileFound) {
	entry.isLooking = false
	if entry.held != found.File {
		if entry.held != nil {
			entry.held.GiveUp(found.File)
			s.linger(entry.held, found.File)
		}
		s.memory -= entry.memory
		s.descriptors -= entry.descriptors
		entry.held, entry.memory, entry.descriptors = found.File, 0, 0
		if found.File != nil {
			entry.memory, entry.descriptors = found.File.Memory(), found.File.Descriptors()
		}
		s.memory += entry.memory
		s.descriptors += entry.descriptors
	}
	s.unlist(entry)
	if entry.held != nil {
		s.list(entry)
	} else {
		delete(s.entries, entry.key)
	}
	entry.found.Store(found)
	for i, l := range entry.asking {
		// A loop that takes no more mail has no connections left, either.
		_ = l.mailbox.Post(message{kind: messageFile, file: lookedAt{entry, found}})
		entry.asking[i] = nil
	}
	entry.asking = entry.asking[:0]
	if s.lookEnds != nil {
		close(s.lookEnds)
		s.lookEnds = nil
	}
	for (s.memory > s.memoryMax || s.descriptors > s.descriptorsMax) && s.oldest != nil {
		s.giveUp(s.oldest)
	}
}

// giveUp forgets the file of an entry. Answers that are under way are not touched. The mutex is held.
func (s *fileStore) giveUp(entry *fileEntry) {
	s.unlist(entry)
	s.memory -= entry.memory
	s.descriptors -= entry.descriptors
	entry.held.GiveUp(nil)
	s.linger(entry.held, nil)
	entry.held, entry.memory, entry.descriptors = nil, 0, 0
	entry.found.Store(nil)
	if !entry.isLooking {
		delete(s.entries, entry.key)
	}
}

// forget gives up the files of a folder about which nobody asks any more. When it returns nobody looks into the
// folder, unless ctx has ended before.
func (s *fileStore) forget(ctx context.Context, folder *static.Folder) {
	for {
		ends := s.giveUpAll(folder)
		if ends == nil {
			return
		}
		select {
		case <-ends:
		case <-ctx.Done():
			return
		}
	}
}

// giveUpAll gives up the files of a folder at which nobody looks. If somebody looks at others, the channel is closed
// when the next look ends.
func (s *fileStore) giveUpAll(folder *static.Folder) (ends <-chan struct{}) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	isLooking := false
	for key, entry := range s.entries {
		switch {
		case key.folder != folder:
		case entry.isLooking:
			isLooking = true
		default:
			s.giveUp(entry)
		}
	}
	if !isLooking {
		return nil
	}
	if s.lookEnds == nil {
		s.lookEnds = make(chan struct{})
	}
	return s.lookEnds
}

// list puts an entry first.
func (s *fileStore) list(entry *fileEntry) {
	entry.older = s.newest
	if s.newest != nil {
		s.newest.newer = entry
	} else {
		s.oldest = entry
	}
	s.newest = entry
}

// unlist takes an entry off the list, if it is on it.
func (s *fileStore) unlist(entry *fileEntry) {
	switch {
	case entry.newer != nil:
		entry.newer.older = entry.older
	case s.newest == entry:
		s.newest = entry.older
	default:
		return
	}
	if entry.older != nil {
		entry.older.newer = entry.newer
	} else {
		s.oldest = entry.newer
	}
	entry.newer, entry.older = nil, nil
}

// The loop's side

// files is what a loop has of the files of all its apps.
type files struct {
	waits   map[*fileEntry][]fileWaiter
	readers fileReaders
	spare   spares[memorySource]
	request static.Request
}

// A fileWaiter is told what was found at a path for which it waits.
type fileWaiter interface {
	fileFound(l *Loop, at *fileEntry, found *fileFound)
}

// appFiles is what a loop knows of the files of one app.
type appFiles struct {
	folder  *static.Folder
	prefix  string                // of the app's paths, without a slash at its end
	entries map[string]*fileEntry // by the path of a request target, as it was sent
	missing map[string]int64      // until when there is nothing at a path (with a "\x00" after it), or below it
	folders map[string]folderNames
}

// folderNames are all names in a folder, by its path.
type folderNames struct {
	names static.Names
	until int64 // on the loop's clock
}

const (
	// They bound what a loop keeps of one app. These are only shortcuts, so what is over the bound is
	// forgotten at once.
	fileEntriesMax = 8192
	fileMissingMax = 2048
	fileFoldersMax = 128
)

func newAppFiles(folder *static.Folder, path string) *appFiles {
	if folder == nil {
		return nil
	}
	for len(path) != 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return &appFiles{folder: folder, prefix: path, entries: map[string]*fileEntry{}, missing: map[string]int64{},
		folders: map[string]folderNames{}}
}

// below is the path of a request target that is looked for in the folder.
func (f *appFiles) below(target []byte) (path []byte, ok bool) {
	if end := bytes.IndexByte(target, '?'); end >= 0 {
		target = target[:end]
	}
	n := len(f.prefix)
	if len(target) < n || string(target[:n]) != f.prefix || len(target) > n && target[n] != '/' {
		return nil, false
	}
	return target[n:], true
}

// isMissing reports whether nothing was at a path shortly before.
func (f *appFiles) isMissing(path []byte, now int64) bool {
	if len(f.missing) == 0 && len(f.folders) == 0 {
		return false
	}
	for begun := 0; begun < len(path); {
		end := len(path)
		if slash := bytes.IndexByte(path[begun:], '/'); slash >= 0 {
			end = begun + slash
		}
		if end == 0 {
			break
		}
		if in := f.folders[string(path[:max(begun-1, 0)])]; in.until > now {
			if _, isThere := in.names[string(path[begun:end])]; !isThere {
				return true
			}
		}
		if f.missing[string(path[:end])] > now {
			return true
		}
		begun = end + 1
	}
	return f.missing[string(append(path, 0))] > now // it is scratch memory
}

// noteNothing notes that there is nothing at the path of a target.
func (f *appFiles) noteNothing(target []byte, found *fileFound) {
	raw, _ := f.below(target)
	delete(f.entries, string(raw))
	missing := found.Missing
	if found.Names != nil {
		if len(f.folders) >= fileFoldersMax {
			clear(f.folders)
		}
		f.folders[missing[:max(strings.LastIndexByte(missing, '/'), 0)]] = folderNames{found.Names, found.until}
		return
	}
	if missing == "" {
		path, _ := static.AppendPath(nil, raw)
		missing = string(append(path, 0))
	}
	if len(f.missing) >= fileMissingMax {
		clear(f.missing)
	}
	f.missing[missing] = found.until
}

// findFile gives what there is at the path of a target; nil: nothing. If there is an entry instead, waiter is told
// when somebody has looked.
func (l *Loop) findFile(f *appFiles, target []byte, waiter fileWaiter) (found *fileFound, waits *fileEntry) {
	raw, ok := f.below(target)
	if !ok {
		return nil, nil
	}
	if entry := f.entries[string(raw)]; entry != nil {
		found := entry.found.Load()
		if found != nil && found.until > l.now && found.err == nil {
			return found, nil
		}
		delete(f.entries, string(raw))
	}
	path, ok := static.AppendPath(l.scratch[:0], raw)
	l.scratch = path
	if !ok || f.isMissing(path, l.now) {
		return nil, nil
	}
	entry := l.options.files.look(fileKey{f.folder, string(path)}, l)
	l.files.waits[entry] = append(l.files.waits[entry], waiter)
	if len(f.entries) >= fileEntriesMax {
		clear(f.entries)
	}
	f.entries[string(raw)] = entry
	return nil, entry
}

// A lookedAt is what the store tells a loop.
type lookedAt struct {
	entry *fileEntry
	found *fileFound
}

// fileLooked tells those who waited for a path.
func (l *Loop) fileLooked(m lookedAt) {
	waiters := l.files.waits[m.entry]
	delete(l.files.waits, m.entry)
	for _, waiter := range waiters {
		waiter.fileFound(l, m.entry, m.found)
	}
}

// fileFound implements fileWaiter: the request that waits is looked at again. If the connection has ended and its
// slot waits for something else, nothing happens.
func (c *connection) fileFound(l *Loop, at *fileEntry, found *fileFound) {
	if c.looking == at {
		c.looking, c.found = nil, found
		l.wantReady(c)
	}
}

type fileOutcome uint8

const (
	fileNone   fileOutcome = iota // the app is to be asked
	fileWaits                     // the request has to be looked at again later
	fileServed                    // it is answered
)

// serveFile answers a request for a file of its app. The request has no body.
func (l *Loop) serveFile(c *connection, w *appWorker, head *http1.Head, input []byte) fileOutcome {
	if head.Method != http1.MethodGet && head.Method != http1.MethodHead {
		return fileNone
	}
	if c.looking != nil {
		c.blocked = true
		return fileWaits
	}
	target := input[head.TargetOffset:][:head.TargetLength]
	found := c.found
	if found == nil || found.folder != w.files.folder {
		if found, c.looking = l.findFile(w.files, target, c); c.looking != nil {
			c.blocked = true
			return fileWaits
		}
		if found == nil {
			return fileNone
		}
	}
	c.found = nil
	switch {
	case found.File != nil:
		return l.answerFile(c, w, head, input, found.File)
	case found.IsFolder:
		l.redirectToFolder(c, w, head, input, target)
	case found.err != nil:
		if e := l.openForFile(c, w, head, input); e != nil {
			l.logFor(w, e, isolates.LevelError, []byte("static file: "+found.err.Error()))
			l.answerError(e, 503, "", "nano: "+w.name+": "+fileProblem(found.err))
		}
	default:
		w.files.noteNothing(target, found)
		return fileNone
	}
	return fileServed
}

// fileProblem is what a client is told of an error of the file system.
func fileProblem(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "too many open files"
	case static.IsTransient(err):
		return "the file is being written"
	}
	return "the file cannot be read"
}

// openForFile makes the exchange of a request that no app is asked for. nil: there is none left, and the
// connection is gone.
func (l *Loop) openForFile(c *connection, w *appWorker, head *http1.Head, input []byte) *exchange {
	e := l.open(c, head)
	if e == nil {
		l.abort(c)
		return nil
	}
	c.taken()
	c.unsafeFirst = false
	l.stats.Requests++
	w.load.count++
	if !head.KeepAlive {
		c.stopReading = true
	}
	if l.log != nil {
		l.noteRequest(e, c, w, head, input[:head.Length])
	}
	if head.Traced || l.options.Tracing != nil {
		l.traceRequest(e, c, w, head, input[:head.Length], false)
	}
	if l.options.Developer != nil {
		e.developed = newDevRequest(e, w, head, input)
	}
	return e
}

// redirectToFolder answers a request for a folder without the slash after its name: what its index refers to
// would be looked for beside the folder. As the assets of Workers do, with a status that nobody remembers:
// tomorrow that name may be a file.
func (l *Loop) redirectToFolder(c *connection, w *appWorker, head *http1.Head, input, target []byte) {
	e := l.openForFile(c, w, head, input)
	if e == nil {
		return
	}
	lines := append(l.scratch[:0], "location: "...)
	lines = append(static.AppendLocation(lines, target), "\r\n"...)
	l.scratch = lines
	l.beginFile(e, w, 307, lines, 0)
	e.complete = true
	l.pump(c)
}

// beginFile formats the head of an answer with a file.
func (l *Loop) beginFile(e *exchange, w *appWorker, status int, lines []byte, length int64) {
	e.answered, e.status = true, status
	l.countAnswer(w, e, status)
	l.decideClose(e, false)
	head := &l.responseHead
	*head = http1.ResponseHead{Status: status, Head: lines, Date: l.date(), ContentLength: length,
		Close: e.closes, KeepAlive: e.minor == 0 && !e.closes}
	out := l.outputOf(e)
	room := responseHeadRoom + len(lines)
	if length <= fileCopyMax {
		room += int(max(length, 0))
	}
	*out = http1.AppendResponseHead(l.buffers.grow(*out, room), head)
}

const (
	// fileCopyMax is how many bytes of a file in memory are copied behind the head of the answer, to be sent
	// with it; what follows is sent from where it lies.
	fileCopyMax = 16 << 10
	// filePipelinedMax is the largest answer that is prepared while earlier ones are not complete.
	filePipelinedMax = 16 << 10
)

// answerFile answers with a file, or says why the client does not need it.
func (l *Loop) answerFile(c *connection, w *appWorker, head *http1.Head, input []byte, file *static.File) fileOutcome {
	request := &l.files.request
	*request = static.Request{}
	for i := range head.Fields {
		request.Take(head.Fields[i].Name(input), head.Fields[i].Value(input))
	}
	if head.Method == http1.MethodHead {
		request.Range = nil // RFC 9110 §14.2: it is for GET only
	}
	l.scratch = l.buffersScratch(1 << 10)
	a := file.Answer(request, l.scratch)
	length := a.End - a.Start
	if length > filePipelinedMax && c.first != nil {
		c.blocked = true
		return fileWaits
	}
	var from source
	if head.Method == http1.MethodGet && length != 0 && (length > fileCopyMax || a.Variant.Content == nil) {
		if from = l.fileSource(&a); from == nil { // given up meanwhile: looked for again
			return l.serveFile(c, w, head, input)
		}
	}
	e := l.openForFile(c, w, head, input)
	if e == nil {
		if from != nil {
			from.cancel()
		}
		return fileServed
	}
	sent := length
	if a.Status == 304 {
		sent = -1
	} else if e.developed != nil && !e.headOnly {
		sent = l.developPage(e, a.Status, a.Lines, length)
	}
	l.beginFile(e, w, a.Status, a.Lines, sent)
	switch {
	case e.headOnly || sent <= 0:
		e.complete = true
	case from != nil:
		e.streaming, e.isSized, e.remaining = true, true, length
		l.pump(c)
		e.from = from
		from.attach(e)
		from.resume()
		return fileServed
	default:
		out := l.outputOf(e)
		*out = append(append(*out, a.Variant.Content[a.Start:a.End]...), e.addition()...)
		e.complete, e.length = true, sent
	}
	l.pump(c)
	return fileServed
}

// buffersScratch is the scratch memory with room for n bytes.
func (l *Loop) buffersScratch(n int) []byte {
	if cap(l.scratch) < n {
		return make([]byte, 0, n)
	}
	return l.scratch[:0]
}
