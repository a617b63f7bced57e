package metrics

import (
	"math"
	"strconv"
	"strings"

	"nano/loop"
)

// A sheet is the text of a scrape. The metrics of apps, of which there are as many as there are apps, are written to it
// as they are: made of the library's structures first, a scrape of a thousand apps would take five times as long, and
// leave 13 MB behind for the garbage collector. All else comes from the library (Write).
//
// The text formats are those of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/), and of
// OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/).
type sheet struct {
	isOpen bool // OpenMetrics
	text   []byte
	labels []byte // of each app the label, such as {app="hello"
	ends   []int  // where they end in labels
}

// Write implements io.Writer.
func (s *sheet) Write(text []byte) (int, error) {
	s.text = append(s.text, text...)
	return len(text), nil
}

// reset empties the sheet for apps.
func (s *sheet) reset(isOpen bool) {
	s.isOpen, s.text = isOpen, s.text[:0]
}

// apps writes the metrics of apps; those in named have histograms.
func (s *sheet) apps(named []*loop.AppStats, other *loop.AppStats) {
	shown := named
	if other != nil {
		shown = append(shown[:len(shown):len(shown)], other)
	}
	s.labels, s.ends = s.labels[:0], s.ends[:0]
	for _, a := range shown {
		s.labels = append(s.labels, `{app="`...)
		s.labels = appendEscaped(s.labels, a.Name, true)
		s.labels = append(s.labels, '"')
		s.ends = append(s.ends, len(s.labels))
	}
	for i := range appMetrics {
		s.family(&appMetrics[i], shown)
	}
	s.latencies(named)
}

// label is that of an app.
func (s *sheet) label(app int) []byte {
	begin := 0
	if app > 0 {
		begin = s.ends[app-1]
	}
	return s.labels[begin:s.ends[app]]
}

// family writes a metric of apps, if any of them has it.
func (s *sheet) family(m *appMetric, apps []*loop.AppStats) {
	begin := len(s.text)
	s.head(m.name, m.kind, m.help)
	headed, app := len(s.text), 0
	tell := func(label string, value float64) {
		s.text = append(s.text, m.name...)
		s.text = append(s.text, s.label(app)...)
		if m.label != "" {
			s.text = append(append(append(s.text, ','), m.label...), '=', '"')
			s.text = append(appendEscaped(s.text, label, true), '"')
		}
		s.text = append(s.text, '}', ' ')
		s.text = append(appendNumber(s.text, value), '\n')
	}
	for i, a := range apps {
		app = i
		m.values(a, tell)
	}
	if len(s.text) == headed {
		s.text = s.text[:begin]
	}
}

// latencyTexts are the bounds of the buckets of a Latency as the label le has them, and as both formats
// want them: OpenMetrics has "1.0" for 1.
var latencyTexts = func() (texts [2][]string) {
	for _, bound := range latencyBounds {
		text := strconv.FormatFloat(bound, 'g', -1, 64)
		texts[0] = append(texts[0], text)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		texts[1] = append(texts[1], text)
	}
	return texts
}()

// latencies writes the histogram of each app that was used.
func (s *sheet) latencies(apps []*loop.AppStats) {
	begin := len(s.text)
	s.head(appLatencyName, histogram, appLatencyHelp)
	headed := len(s.text)
	bounds := latencyTexts[0]
	if s.isOpen {
		bounds = latencyTexts[1]
	}
	for i, a := range apps {
		if !isUsed(a) {
			continue
		}
		labels, total := s.label(i), uint64(0)
		for k, count := range a.Latency.Buckets {
			bound := "+Inf"
			if k < len(bounds) {
				bound = bounds[k]
			}
			total += count
			s.text = append(append(append(s.text, appLatencyName+"_bucket"...), labels...), `,le="`...)
			s.text = append(append(s.text, bound...), `"} `...)
			s.text = append(strconv.AppendUint(s.text, total, 10), '\n')
		}
		s.text = append(append(append(s.text, appLatencyName+"_sum"...), labels...), '}', ' ')
		s.text = append(appendNumber(s.text, a.Latency.Total.Seconds()), '\n')
		s.text = append(append(append(s.text, appLatencyName+"_count"...), labels...), '}', ' ')
		s.text = append(strconv.AppendUint(s.text, total, 10), '\n')
	}
	if len(s.text) == headed {
		s.text = s.text[:begin]
	}
}

// head writes what a metric is. OpenMetrics names a family of counters without the ending of its series.
func (s *sheet) head(name string, k kind, help string) {
	if s.isOpen && k == counter {
		name = strings.TrimSuffix(name, "_total")
	}
	s.text = append(append(append(s.text, "# HELP "...), name...), ' ')
	s.text = append(appendEscaped(s.text, help, s.isOpen), '\n')
	s.text = append(append(append(s.text, "# TYPE "...), name...), ' ')
	s.text = append(append(s.text, k.String()...), '\n')
}

// appendNumber appends a value. Most are whole numbers.
func appendNumber(text []byte, value float64) []byte {
	const exact = 1 << 53 // up to here all whole numbers are different floats
	if value == math.Trunc(value) && value > -exact && value < exact {
		return strconv.AppendInt(text, int64(value), 10)
	}
	return strconv.AppendFloat(text, value, 'g', -1, 64) // +Inf and NaN are written as both formats have them
}

// appendEscaped appends a label's value, or a help, in which Prometheus does not escape quotes.
func appendEscaped(text []byte, value string, quotes bool) []byte {
	for i := range len(value) {
		switch c := value[i]; {
		case c == '\\' || c == '"' && quotes:
			text = append(text, '\\', c)
		case c == '\n':
			text = append(text, '\\', 'n')
		default:
			text = append(text, c)
		}
	}
	return text
}

// sheetMax is how long a text may be whose memory is kept for the next scrape.
const sheetMax = 8 << 20

// isLarge tells of a sheet that is not worth keeping.
func (s *sheet) isLarge() bool { return cap(s.text) > sheetMax }

// close ends the text.
func (s *sheet) close() []byte {
	if s.isOpen {
		s.text = append(s.text, "# EOF\n"...)
	}
	return s.text
}
