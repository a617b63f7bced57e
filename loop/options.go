package loop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"nano/egress"
	"nano/isolates"
	"nano/static"
	"nano/tlsclient"
)

// App is what a loop needs to know of an app.
type App struct {
	Name    string
	Version string        // for accounts, logs and traces; "": Shard.Version tells it when the app was started
	Hosts   []string      // exact or "*.example.com"; none: any host that no other app names
	Path    string        // prefix, "" is "/"
	MaxBody int64         // of a request, in bytes; 0: Options.MaxBody
	Wall    time.Duration // per request, until response headers; 0: Options.Wall
	// ConcurrentRequests is how many requests the app may have in hand, on all loops together,
	// waitUntil work included; 0: no limit of its own.
	ConcurrentRequests int
	WebSocketMessage   int64         // of a message that comes, in bytes; 0: 1 MiB
	Egress             *egress.Rules // whom the app may connect to; nil: every public address
	// Static is the folder whose files are served before the app is asked; nil: none.
	Static *static.Folder
	Cron   []CronTrigger
	// TLS makes the app's TLS connections; nil: one that trusts the system's certificate authorities.
	TLS   *tlsclient.Client
	Proxy *Proxy // that its sub-requests go through; nil: none
	// LogRate is how many lines the app may log a second, for LogEntry; 0: as the Logger has it.
	LogRate int
	// Removed is called at the end of RemoveApp, when nothing of the node refers to the app any more and its id
	// has not been given to another one; nil: nobody wants to know.
	Removed func(id int)
}

// Options set up loops. Zero values take the defaults. The loops of a Node share them, and with them
// Logger and the count of open connections.
type Options struct {
	Apps []App // that the node begins with; their ids are their indexes

	// NewShard makes what starts the isolates of a loop, on the loop's thread. loop counts the
	// node's loops; waker is the loop's eventfd, for V8's threads to write to when they have posted
	// a task.
	NewShard func(loop int, waker int) (Shard, error)
	Blocks   Blocks // nil: those of package isolates
	// GiveWay is called on each thread that has a nice value, when it begins to work (true) and when it is about to
	// wait, to have it let others run meanwhile; may be nil.
	GiveWay func(works bool)

	// Memory is the budget of the warm isolates of all loops together, in bytes of Worker.Resident;
	// default 1 GiB. Those that were idle for longest sleep first.
	Memory int64
	// Crowded reports that the process has little room left for isolates whatever the memory: then
	// apps sleep as if the budget was exceeded. Any loop may call it; nil: there always is room.
	Crowded func() bool
	// StaticCache is how many bytes of static files all loops together keep in memory; default 64 MiB.
	StaticCache int64
	Idle        time.Duration // without a request, after which an app sleeps; default 60 s

	MaxHeader      int   // bytes of a request head; default 32 KiB
	MaxBody        int64 // bytes of a request body; default 100 MiB
	MaxConnections int   // of all loops together; 0: as the file limit allows
	PipelineDepth  int   // requests of a connection that are in hand at once; default 32

	HeaderTimeout time.Duration // for a request head, from accept or its first byte; default 10 s
	IdleTimeout   time.Duration // keep-alive; default 60 s
	BodyTimeout   time.Duration // without progress of a request body; default 30 s
	SendTimeout   time.Duration // for a client to take 256 KiB of an answer, or the rest of it; default 60 s
	LingerTimeout time.Duration // for a client to close after our last answer; default 2 s
	Wall          time.Duration // see App; default 30 s
	FetchHead     time.Duration // for an origin to answer a sub-request; default 60 s
	FetchIdle     time.Duration // without progress of the body of its answer; default 60 s
	Background    time.Duration // for waitUntil work after the answer; default 30 s
	DrainTimeout  time.Duration // for the whole of Drain; default 10 s
	DrainGrace    time.Duration // for idle connections after Drain; default 500 ms

	// Debugged says that apps may stand still at breakpoints: time stands still for their loop meanwhile, and none
	// falls asleep, or is put into the slow lane, which is another thread.
	Debugged bool

	// Developer is who develops on the node: no app is put into the slow lane then, and a drain cuts what is left
	// without a word. nil: nobody.
	Developer Developer

	Logger        Logger    // default: none
	AccessLog     AccessLog // nil: off
	AccessLogJSON bool

	// Tracing records traces; nil: they are only passed on, where a client has begun one.
	Tracing *Tracing

	// Clock is time.Now, whose readings carry the monotonic clock, or the virtual time of a test.
	Clock func() time.Time

	sockets   sockets
	open      *atomic.Int64 // connections of all loops
	listening *atomic.Int64 // loops whose listeners are open
	placement *placement
	usage     func() int64 // see threadUsage; nil: the thread's
	prepared  bool

	requestSeed uint64 // of the requests' ids, see newRequestID

	catalog    *catalog
	handedOver *atomic.Bool // others accept from the listening sockets
	seed       uint64       // of what loops choose at random; 0: a random one
	epoch      time.Time    // of the loops' clocks
	memory     *memory
	newGauge   func() (pressureGauge, error)
	names      *nameFiles
	files      *fileStore
	outbound   *outbound
	works      *workPool
}

// A Logger takes log lines. It is called on loop threads and must not block; an entry and its texts
// are valid during the call only.
type Logger interface {
	// App takes a line that an app logged, or one about an app.
	App(entry *LogEntry)
	// Server takes an event of the server.
	Server(level isolates.Level, text string)
}

// Blocks gives access to the memory of large bodies.
type Blocks interface {
	// Memory returns isolates.HeadRoom bytes and after them the body of that length.
	Memory(block Block, bodyLength int) []byte
	Free(block Block)
}

type noLogger struct{}

func (noLogger) App(*LogEntry)                 {}
func (noLogger) Server(isolates.Level, string) {}

type isolateBlocks struct{}

func (isolateBlocks) Memory(block Block, bodyLength int) []byte { return block.Bytes(bodyLength) }
func (isolateBlocks) Free(block Block)                          { isolates.FreeBlock(block) }

// withDefaults returns a copy of o with defaults filled in; o itself if it is such a copy.
func (o *Options) withDefaults() (*Options, error) {
	if o.prepared {
		return o, nil
	}
	filled := *o
	filled.prepared = true
	if filled.requestSeed == 0 {
		filled.requestSeed = rand.Uint64()
	}
	if filled.NewShard == nil && len(filled.Apps) != 0 {
		return nil, errors.New("loop: no NewShard")
	}
	orDefault(&filled.Memory, 1<<30)
	orDefault(&filled.StaticCache, fileMemoryDefault)
	orDefault(&filled.Idle, 60*time.Second)
	orDefault(&filled.MaxHeader, 32<<10)
	orDefault(&filled.MaxBody, 100<<20)
	orDefault(&filled.PipelineDepth, 32)
	orDefault(&filled.HeaderTimeout, 10*time.Second)
	orDefault(&filled.IdleTimeout, 60*time.Second)
	orDefault(&filled.BodyTimeout, 30*time.Second)
	orDefault(&filled.SendTimeout, 60*time.Second)
	orDefault(&filled.LingerTimeout, 2*time.Second)
	orDefault(&filled.Wall, 30*time.Second)
	orDefault(&filled.FetchHead, 60*time.Second)
	orDefault(&filled.FetchIdle, 60*time.Second)
	orDefault(&filled.Background, 30*time.Second)
	orDefault(&filled.DrainTimeout, 10*time.Second)
	orDefault(&filled.DrainGrace, 500*time.Millisecond)
	apps := make([]App, len(o.Apps))
	for i := range apps {
		apps[i] = filled.appWithDefaults(o.Apps[i])
	}
	var err error
	if filled.catalog, err = newCatalog(apps); err != nil {
		return nil, fmt.Errorf("loop: %w", err)
	}
	filled.Apps = nil // the catalog has them
	if filled.Crowded == nil {
		filled.Crowded = func() bool { return false }
	}
	if filled.Blocks == nil {
		filled.Blocks = isolateBlocks{}
	}
	if filled.Logger == nil {
		filled.Logger = noLogger{}
	}
	if filled.Clock == nil {
		filled.Clock = time.Now
	}
	if filled.sockets == nil {
		filled.sockets = kernelSockets{}
	}
	if filled.seed == 0 {
		filled.seed = rand.Uint64()
	}
	filled.epoch = filled.Clock()
	if filled.newGauge == nil {
		filled.newGauge = func() (pressureGauge, error) { return newKernelGauge("") }
	}
	filled.share()
	return &filled, nil
}

// appWithDefaults fills in what an app does not say.
func (o *Options) appWithDefaults(app App) App {
	orDefault(&app.MaxBody, o.MaxBody)
	orDefault(&app.Wall, o.Wall)
	orDefault(&app.WebSocketMessage, socketMessageMax)
	if app.TLS == nil {
		app.TLS = tlsclient.NewClient(nil)
	}
	return app
}

// share makes what the loops have in common.
func (o *Options) share() {
	if o.names == nil {
		o.names = newNameFiles(systemNamePaths)
	}
	if o.outbound == nil {
		o.outbound = newOutbound(o.catalog)
	}
	if o.works == nil {
		o.works = newWorkPool(workersMax(), o.GiveWay)
	}
	o.files = newFileStore(o.StaticCache)
	if o.Developer != nil {
		o.files.fresh = 0
	}
	o.memory = newMemory(o.Memory)
	o.open, o.listening, o.handedOver = new(atomic.Int64), new(atomic.Int64), new(atomic.Bool)
	o.placement = newPlacement(1, o.Clock())
}

func orDefault[T int | int64 | time.Duration](value *T, byDefault T) {
	if *value == 0 {
		*value = byDefault
	}
}
