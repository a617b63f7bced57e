package metrics

import (
	"bytes"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"nano/loop"
)

// scrapeOpen asks for OpenMetrics, as Prometheus does.
func scrapeOpen(t *testing.T, handler http.Handler) string {
	t.Helper()
	recorder, request := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	handler.ServeHTTP(recorder, request)
	if got := recorder.Header().Get("Content-Type"); recorder.Code != 200 || !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Fatalf("status %d, Content-Type %q", recorder.Code, got)
	}
	return recorder.Body.String()
}

// TestFormats: what is written of apps is what the library reads, and what it writes of that in either format.
func TestFormats(t *testing.T) {
	odd := account("odd\"\\\nname", 1<<60)
	odd.CPU, odd.Latency.Total = 1, math.MaxInt64
	node := &fakeNode{accounts: []loop.AppStats{account("hello", 10), account("more", 7), odd, {Name: "unused"}}}
	handler := New(Options{Source: node, Version: "1.2.3", AppsMax: 3})
	text, open := scrape(t, handler), scrapeOpen(t, handler)
	if !strings.HasSuffix(open, "\n# EOF\n") || strings.Contains(text, "# EOF") {
		t.Errorf("the end is %q, and %q", open[len(open)-100:], text[len(text)-100:])
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []struct {
		name   expfmt.Format
		got    string
		series int
	}{{expfmt.FmtText, text, 0}, {expfmt.FmtOpenMetrics_1_0_0, open, 0}} {
		var want bytes.Buffer
		encoder := expfmt.NewEncoder(&want, format.name)
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if strings.HasPrefix(name, "nano_app_") {
				if err := encoder.Encode(families[name]); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := normalized(t, format.got)
		for _, line := range normalized(t, want.String()) {
			if !slices.Contains(got, line) {
				t.Errorf("%s: no %q", format.name, line)
			}
			format.series++
		}
		if format.series < 150 {
			t.Errorf("%s: %d lines", format.name, format.series)
		}
	}
	for _, want := range []string{"nano_app_requests_total{app=\"odd\\\"\\\\\\nname\"} 1.152921504606847e+18\n", "nano_app_cpu_seconds_total{app=\"odd\\\"\\\\\\nname\"} 1e-09\n"} {
		if !strings.Contains(text, want) || !strings.Contains(open, want) {
			t.Errorf("no %q", want)
		}
	}
}

// normalized are the lines about apps, their numbers written as one writes them.
func normalized(t *testing.T, text string) (lines []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "nano_app_"):
			last := strings.LastIndexByte(line, ' ')
			value, err := strconv.ParseFloat(line[last+1:], 64)
			if err != nil {
				t.Errorf("%q: %v", line, err)
			}
			lines = append(lines, line[:last+1]+strconv.FormatFloat(value, 'g', -1, 64))
		case strings.Contains(line, " nano_app_"):
			lines = append(lines, line)
		}
	}
	return lines
}

// TestManyScrapes: so many are answered at once, and others are told to come back.
func TestManyScrapes(t *testing.T) {
	handler := New(Options{Source: &fakeNode{}, AppsMax: 1}).(*gatherer)
	status := func() int {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		return recorder.Code
	}
	for range scrapesMax {
		handler.scrapes <- struct{}{} // one that goes on
	}
	if got := status(); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	<-handler.scrapes
	for range 2 {
		if got := status(); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
}
