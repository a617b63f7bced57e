package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"nano/loop"
)

// TestDashboard: the dashboard of Grafana uses metrics and labels that exist, no panel lies on another one, and
// instance and app are chosen everywhere.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../deploy/grafana/nano.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID string
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	shown := scrape(t, New(Options{Source: &fakeNode{accounts: []loop.AppStats{account("hello", 10)}}, AppsMax: 10}))
	labelsOf := map[string][]string{}
	for _, series := range regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? `).FindAllStringSubmatch(shown, -1) {
		labelsOf[series[1]] = []string{"instance"} // of the scrape
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(series[2], -1) {
			labelsOf[series[1]] = append(labelsOf[series[1]], label[1])
		}
	}
	check := func(where, expression string) {
		found := regexp.MustCompile(`\b((?:nano|go|process)_\w+)(\{[^}]*\})?`).FindAllStringSubmatch(expression, -1)
		if len(found) == 0 {
			t.Errorf("%s: no metric in %s", where, expression)
		}
		for _, metric := range found {
			labels, exists := labelsOf[metric[1]]
			if !exists {
				t.Errorf("%s: there is no metric %s", where, metric[1])
			}
			for _, label := range regexp.MustCompile(`(\w+)=~`).FindAllStringSubmatch(metric[2], -1) {
				if !slices.Contains(labels, label[1]) {
					t.Errorf("%s: %s has no label %s", where, metric[1], label[1])
				}
			}
		}
		for _, by := range regexp.MustCompile(`by \((\w+)\) \(.*?((?:nano)_\w+)`).FindAllStringSubmatch(expression, -1) {
			if !slices.Contains(labelsOf[by[2]], by[1]) {
				t.Errorf("%s: %s has no label %s", where, by[2], by[1])
			}
		}
	}
	for _, name := range []string{"instance", "app"} {
		i := slices.IndexFunc(dashboard.Templating.List, func(v struct{ Name, Definition string }) bool { return v.Name == name })
		if i < 0 {
			t.Fatalf("no variable %s", name)
		}
		check("variable "+name, dashboard.Templating.List[i].Definition)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: id %d is not unique", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %s at %d, %d", panel.Title, other, x, y)
				}
				cells[[2]int{x, y}] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			check(panel.Title, target.Expr)
			if !regexp.MustCompile(`instance=~"\$instance"`).MatchString(target.Expr) {
				t.Errorf("%s: the instance is not chosen in %s", panel.Title, target.Expr)
			}
		}
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("%s shows nothing", panel.Title)
		}
	}
	if len(dashboard.Panels) < 10 {
		t.Errorf("%d panels", len(dashboard.Panels))
	}
}
