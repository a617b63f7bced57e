package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// earlierReport copies testdata/earlier.json to where the JSON of a report is looked for, and returns the report's path.
func earlierReport(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("testdata/earlier.json")
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "REPORT.md")
	if err := os.WriteFile(jsonPath(report), content, 0o644); err != nil {
		t.Fatal(err)
	}
	return report
}

func mustLoad(t *testing.T, report string) *results {
	t.Helper()
	found, err := loadResults(report)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// partsOf returns the names of the parts of each run.
func partsOf(r *results) (all [][]string) {
	for _, one := range r.Runs {
		var names []string
		for _, measured := range one.Parts {
			names = append(names, measured.Name)
		}
		all = append(all, names)
	}
	return all
}

func newScenario(name string, nano float64) func(*results) error {
	return func(into *results) error {
		into.putScenario(scenarioResult{Name: name, Title: "new " + name, Peers: []peerResult{{Peer: nanoName, TotalMicros: nano, Rounds: []measure{{}}}}})
		return nil
	}
}

func TestRunReplacesWhatItMeasures(t *testing.T) {
	report := earlierReport(t)
	found := mustLoad(t, report)
	this := &runRecord{Commit: "2222222", Seconds: 1, Rounds: 2, Quick: true, Versions: map[string]string{"nano": "two"}}
	for _, one := range []struct {
		name string
		do   func(*results) error
	}{
		{"large", newScenario("large", 7)}, {"json", newScenario("json", 8)},
		{"micro", func(into *results) error {
			into.Micro = []microResult{{Package: "./uring", Name: "BenchmarkNop", Metrics: map[string]float64{"ns/op": 1}, Units: []string{"ns/op"}}}
			return errors.Join(errors.New("./http1 does not build"), errors.New("./loop neither"))
		}},
	} {
		if err := found.measure(t.Context(), this, one.name, one.do); err != nil {
			t.Fatal(err)
		}
		if err := found.save(report); err != nil {
			t.Fatal(err)
		}
	}
	found = mustLoad(t, report) // what was written is what the next run finds
	if got := partsOf(found); len(got) != 2 || !slices.Equal(got[0], []string{"plain", "memory"}) || !slices.Equal(got[1], []string{"large", "json", "micro"}) {
		t.Errorf("parts of runs: %v", got)
	}
	var titles []string
	for _, s := range found.Scenarios {
		titles = append(titles, s.Title)
	}
	if want := []string{"plain text", "new json", "new large"}; !slices.Equal(titles, want) {
		t.Errorf("scenarios %q, want %q", titles, want)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, want := range []string{
		"## Plain text (`plain`)\n\nRun 1, 2026-01-02 03:04 UTC: commit 1111111, 3 rounds of 5 s.\n",
		": commit 2222222, 2 rounds of 1 s (--quick).\n", "| plain memory ", "| large json micro ", "1: one; 2: two",
		"- micro: ./http1 does not build\n- micro: ./loop neither\n", "| plain text: user CPU ≤ 1.0 µs per request ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "old failure") {
		t.Error("a part that was measured again still has its failure")
	}
}

func TestRunOfWhichNothingIsLeftGoes(t *testing.T) {
	found := mustLoad(t, earlierReport(t))
	this := &runRecord{Commit: "2222222"}
	for _, name := range []string{"plain", "large"} {
		if err := found.measure(t.Context(), this, name, newScenario(name, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := found.measure(t.Context(), this, "memory", func(into *results) error { into.Memory = nil; return errors.New("gone") }); err != nil {
		t.Fatal(err)
	}
	if len(found.Runs) != 1 || found.Runs[0] != this || len(this.Parts) != 3 || found.Memory != nil {
		t.Errorf("runs %+v, memory %v", partsOf(found), found.Memory)
	}
	if failures := this.Parts[2].Failures; !slices.Equal(failures, []string{"gone"}) {
		t.Errorf("failures %q", failures)
	}
}

// TestPartThatIsCutShortChangesNothing interrupts a run in its second part.
func TestPartThatIsCutShortChangesNothing(t *testing.T) {
	found := mustLoad(t, earlierReport(t))
	this := &runRecord{Commit: "2222222"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := found.measure(ctx, this, "json", newScenario("json", 1)); err != nil {
		t.Fatal(err)
	}
	err := found.measure(ctx, this, "plain", func(into *results) error {
		cancel()
		return newScenario("plain", 99)(into)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := partsOf(found); len(got) != 2 || !slices.Equal(got[0], []string{"plain", "large", "memory"}) || !slices.Equal(got[1], []string{"json"}) {
		t.Errorf("parts of runs: %v", got)
	}
	if found.Scenarios[0].Title != "plain text" {
		t.Errorf("half a scenario took the place of %+v", found.Scenarios[0])
	}
}

func TestSaveTakesRemarks(t *testing.T) {
	report := earlierReport(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(report), remarksName), []byte("The fan was *loud*.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &bench{out: report}
	if err := b.rewrite(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(content), "\n\nThe fan was *loud*.\n\n## Targets\n") {
		t.Errorf("%v, no remark in\n%s", err, content)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(report), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLoadRefusesWhatItDoesNotUnderstand(t *testing.T) {
	report := earlierReport(t)
	for content, want := range map[string]string{`{"runs": [], "weather": 1}`: `unknown field "weather"`, `{"runs": [`: "unexpected EOF"} {
		if err := os.WriteFile(jsonPath(report), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadResults(report); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "report.json") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// TestReportIsThatOfItsResults holds RESULTS.md against results.json and REMARKS.md, and results.json against what this
// program makes of it.
func TestReportIsThatOfItsResults(t *testing.T) {
	found := mustLoad(t, "RESULTS.md")
	written, err := json.Marshal(found.Targets)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "RESULTS.md")
	if remarks, err := os.ReadFile(remarksName); err == nil {
		if err := os.WriteFile(filepath.Join(filepath.Dir(report), remarksName), remarks, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := found.save(report); err != nil {
		t.Fatal(err)
	}
	if judged, err := json.Marshal(found.Targets); err != nil || string(judged) != string(written) {
		t.Errorf("%v, targets are judged otherwise now: go run ./bench --scenario none", err)
	}
	for _, pair := range [][2]string{{"RESULTS.md", report}, {"results.json", jsonPath(report)}} {
		committed, err := os.ReadFile(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if string(committed) != string(made) {
			t.Errorf("%s is not what results.json makes: go run ./bench --scenario none", pair[0])
		}
	}
}

// TestChecksHaveSections shows that each check writes a section with its name, which says of which run it is.
func TestChecksHaveSections(t *testing.T) {
	found := mustLoad(t, "RESULTS.md")
	for _, one := range checks {
		if measured, _, _ := found.runOf(one.Name); measured == nil {
			continue
		}
		var page strings.Builder
		found.writePart(&page, one.Name, func(section *strings.Builder) { one.write(found, section) })
		if !strings.Contains(page.String(), "`"+one.Name+"`)\n\nRun ") {
			t.Errorf("%s: %.300s", one.Name, page.String())
		}
	}
}
