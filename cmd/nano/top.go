package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"nano/admin"
)

func runTop(s *streams, args []string) error {
	flags := newFlags(s, "top", `Shows live what the apps and loops of a running node do: requests, errors, processor time, memory.
Keys: c, r, e, m and n sort by CPU, requests, errors, memory and name; q ends. Where nobody looks on,
because the output is no terminal, it prints one table and ends.
`)
	at := targetFlags(flags)
	once := flags.Bool("once", false, "print one table, of --interval, and end")
	interval := flags.Duration("interval", 2*time.Second, "the `time` between two looks")
	order := flags.String("sort", "cpu", "what to sort by: cpu, requests, errors, memory or name")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	if *interval < topIntervalMin {
		return usageError{fmt.Sprintf("--interval %v: at least %v", *interval, topIntervalMin)}
	}
	sortBy, ok := topOrders[*order]
	if !ok {
		return usageError{fmt.Sprintf("--sort %q: write cpu, requests, errors, memory or name", *order)}
	}
	c, err := at.connect()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	t := &top{client: c, interval: *interval, order: sortBy}
	if !*once && !c.json && watched(s.out) && isTerminal(os.Stdin) {
		return t.live(ctx, s.out.(*os.File), os.Stdin)
	}
	return t.once(ctx, s.out)
}

const topIntervalMin = 100 * time.Millisecond

// topApp is what an app did between two looks.
type topApp struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Requests float64 `json:"requests_per_second"`
	Errors   float64 `json:"errors_per_second"`
	CPU      float64 `json:"cpu_ratio"`      // of one core
	Answer   float64 `json:"answer_seconds"` // until the head of an answer, on average
	InHand   int     `json:"in_hand"`
	Warm     int     `json:"warm"`
	Resident int64   `json:"resident_bytes"`
}

// topLoop is what a loop did.
type topLoop struct {
	Loop        int     `json:"loop"`
	Lane        string  `json:"lane"`
	Responsive  bool    `json:"responsive"`
	Busy        float64 `json:"busy_ratio"`
	Connections uint64  `json:"connections"`
	Requests    float64 `json:"requests_per_second"`
	Completions float64 `json:"completions_per_second"`
	Batch       float64 `json:"completions_per_tick"`
	Stalled     float64 `json:"stalled_ratio"` // of its time, in ticks of 10 ms or more
	BytesIn     float64 `json:"received_bytes_per_second"`
	BytesOut    float64 `json:"sent_bytes_per_second"`
}

// topView is what a node did between two looks.
type topView struct {
	Seconds float64   `json:"seconds"`
	Apps    []topApp  `json:"apps"`
	Loops   []topLoop `json:"loops"`
}

// topOrders compare two apps: which comes first.
var topOrders = map[string]func(a, b *topApp) int{
	"cpu":      func(a, b *topApp) int { return cmp.Compare(b.CPU, a.CPU) },
	"requests": func(a, b *topApp) int { return cmp.Compare(b.Requests, a.Requests) },
	"errors":   func(a, b *topApp) int { return cmp.Compare(b.Errors, a.Errors) },
	"memory":   func(a, b *topApp) int { return cmp.Compare(b.Resident, a.Resident) },
	"name":     func(a, b *topApp) int { return strings.Compare(a.Name, b.Name) },
}

// topKeys are the keys that sort.
var topKeys = map[byte]string{'c': "cpu", 'r': "requests", 'e': "errors", 'm': "memory", 'n': "name"}

// look is the accounts of a node at a time.
type look struct {
	at    time.Time
	apps  admin.AppList
	loops admin.LoopList
}

// top is a `nano top` that runs.
type top struct {
	*client
	interval time.Duration
	order    func(a, b *topApp) int
}

func (t *top) look(ctx context.Context) (*look, error) {
	l := &look{at: time.Now()}
	if err := t.call(ctx, "GET", "/v1/apps", nil, &l.apps); err != nil {
		return nil, err
	}
	return l, t.call(ctx, "GET", "/v1/loops", nil, &l.loops)
}

// rate is how much a counter has grown in a second. One that fell is of a node that began again.
func rate[T uint64 | float64](now, before T, seconds float64) float64 {
	if now < before {
		before = 0
	}
	return float64(now-before) / seconds
}

// compare says what happened between two looks.
func compare(before, now *look) *topView {
	seconds := max(now.at.Sub(before.at).Seconds(), 1e-3)
	view := &topView{Seconds: seconds, Apps: []topApp{}, Loops: []topLoop{}}
	apps := map[string]*admin.Stats{}
	for i := range before.apps.Apps {
		apps[before.apps.Apps[i].Name] = &before.apps.Apps[i].Stats
	}
	for i := range now.apps.Apps {
		app := &now.apps.Apps[i]
		s, old := &app.Stats, apps[app.Name]
		if old == nil {
			old = &admin.Stats{}
		}
		row := topApp{
			Name: app.Name, State: app.State, Requests: rate(s.Requests, old.Requests, seconds), Errors: rate(s.Errors, old.Errors, seconds),
			CPU: rate(s.CPU, old.CPU, seconds), InHand: s.InHand, Warm: s.Warm, Resident: s.Resident,
		}
		if s.Answered > old.Answered {
			row.Answer = max(s.AnswerTime-old.AnswerTime, 0) / float64(s.Answered-old.Answered)
		}
		view.Apps = append(view.Apps, row)
	}
	for i := range now.loops.Loops {
		l, old := &now.loops.Loops[i], &admin.Loop{}
		for j := range before.loops.Loops {
			if each := &before.loops.Loops[j]; each.Loop == l.Loop && each.Lane == l.Lane {
				old = each
			}
		}
		row := topLoop{
			Loop: l.Loop, Lane: l.Lane, Responsive: l.Responsive, Busy: l.Busy, Connections: l.Connections,
			Requests: rate(l.Requests, old.Requests, seconds), Completions: rate(l.Completions, old.Completions, seconds),
			Stalled: rate(l.StallTime, old.StallTime, seconds), BytesIn: rate(l.BytesIn, old.BytesIn, seconds), BytesOut: rate(l.BytesOut, old.BytesOut, seconds),
		}
		if batches := rate(sum(l.Batches), sum(old.Batches), seconds); batches > 0 {
			row.Batch = row.Completions / batches
		}
		view.Loops = append(view.Loops, row)
	}
	return view
}

func sum(numbers []uint64) (sum uint64) {
	for _, n := range numbers {
		sum += n
	}
	return sum
}

// lines are the view as text, at most height lines of at most width columns; 0: as many as there are.
func (v *topView) lines(order func(a, b *topApp) int, width, height int) []string {
	slices.SortStableFunc(v.Apps, func(a, b topApp) int { return cmp.Or(order(&a, &b), strings.Compare(a.Name, b.Name)) })
	var text bytes.Buffer
	warm, requests, errors := 0, 0.0, 0.0
	for i := range v.Apps {
		if v.Apps[i].Warm != 0 {
			warm++
		}
		requests += v.Apps[i].Requests
		errors += v.Apps[i].Errors
	}
	fmt.Fprintf(&text, "%s, %d warm   %s requests/s   %s errors/s\n\n", count(len(v.Apps), "app"), warm, shortNumber(requests), shortNumber(errors))
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "loop\tlane\tbusy\tconns\treq/s\tcqe/s\tcqe/tick\tstalled\tin/s\tout/s\t")
	for i := range v.Loops {
		l := &v.Loops[i]
		state := percent(l.Busy)
		if !l.Responsive {
			state = "stuck"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\t%s\t%.1f\t%s\t%s\t%s\t\n", l.Loop, l.Lane, state, l.Connections, shortNumber(l.Requests),
			shortNumber(l.Completions), l.Batch, percent(l.Stalled), shortSize(int64(l.BytesIn)), shortSize(int64(l.BytesOut)))
	}
	table.Flush()
	text.WriteByte('\n')
	table = tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "req/s\terr/s\tcpu\tanswer\tin hand\tmemory\tstate\t  app")
	for i := range v.Apps {
		if height > 0 && i >= height {
			break
		}
		a := &v.Apps[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t  %s\n", shortNumber(a.Requests), shortNumber(a.Errors), percent(a.CPU),
			shortDuration(secondsOf(a.Answer)), a.InHand, shortSize(a.Resident), a.State, a.Name)
	}
	table.Flush()
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if height > 0 {
		lines = lines[:min(len(lines), height)]
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
		if width > 0 {
			lines[i] = lines[i][:min(len(lines[i]), width)]
			for !isWhole(lines[i]) { // of the characters only µ is not ASCII
				lines[i] = lines[i][:len(lines[i])-1]
			}
		}
	}
	return lines
}

func isWhole(text string) bool { return strings.ToValidUTF8(text, "") == text }

func percent(ratio float64) string { return fmt.Sprintf("%.1f%%", 100*ratio) }

// shortNumber has three digits or so: "0", "0.25", "7.1", "83", "12.4k".
func shortNumber(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 1:
		return fmt.Sprintf("%.2f", n)
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	case n < 10_000:
		return fmt.Sprintf("%.0f", n)
	case n < 1e6:
		return fmt.Sprintf("%.1fk", n/1e3)
	default:
		return fmt.Sprintf("%.1fM", n/1e6)
	}
}

// once prints one table.
func (t *top) once(ctx context.Context, out io.Writer) error {
	before, err := t.look(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(t.interval):
	}
	now, err := t.look(ctx)
	if err != nil {
		return err
	}
	view := compare(before, now)
	lines := view.lines(t.order, 0, 0) // which sorts, too
	if t.json {
		return printJSON(out, view)
	}
	_, err = fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// What a terminal understands (ECMA-48, and xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	screenStart = "\x1b[H"
	clearToEnd  = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// live shows the view on a terminal until q or Ctrl-C.
func (t *top) live(ctx context.Context, out, in *os.File) error {
	before, err := t.look(ctx) // before the screen is taken: an error stays to be read
	if err != nil {
		return err
	}
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer func() { _ = term.Restore(int(in.Fd()), state) }()
	fmt.Fprint(out, enterScreen)
	defer fmt.Fprint(out, leaveScreen)
	keys := make(chan byte)
	go readKeys(in, keys)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	view := compare(before, before)
	for {
		t.draw(out, view)
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case key, ok := <-keys:
			if !ok || key == 'q' || key == 'Q' || key == 3 { // Ctrl-C is a byte in raw mode
				return nil
			}
			if order, ok := topKeys[key]; ok {
				t.order = topOrders[order]
			}
		case <-ticker.C:
			now, err := t.look(ctx)
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			view, before = compare(before, now), now
		}
	}
}

// readKeys sends what is typed, until the terminal is gone.
func readKeys(in io.Reader, keys chan<- byte) {
	defer close(keys)
	var key [1]byte
	for {
		if _, err := in.Read(key[:]); err != nil {
			return
		}
		keys <- key[0]
	}
}

// draw writes a screen at once, over the one before, so that it does not flicker.
func (t *top) draw(out *os.File, view *topView) {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	screen := screenStart + strings.Join(view.lines(t.order, width, height), clearToEnd+"\r\n") + clearToEnd + clearBelow
	_, _ = io.WriteString(out, screen)
}
