package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPlatformCasesAreThoseOfTheApp(t *testing.T) {
	content, err := os.ReadFile("apps/platform.js")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(content), "const cases = {")
	if !found {
		t.Fatal("apps/platform.js has no table of cases")
	}
	table, _, _ = strings.Cut(table, "\n};")
	var inApp, here []string
	for _, match := range regexp.MustCompile(`(?m)^  "([^"]+)":`).FindAllStringSubmatch(table, -1) {
		inApp = append(inApp, match[1])
	}
	for _, one := range platformCases {
		here = append(here, one.Name)
	}
	if !slices.Equal(inApp, here) {
		t.Errorf("the app has %v, the benchmark %v", inApp, here)
	}
}

func TestJudgePlatform(t *testing.T) {
	result := func(name string, nano, deno float64) platformResult {
		return platformResult{Case: name, Title: name, Peers: []platformPeer{
			{Peer: nanoName, PerCPUSecond: []float64{nano, nano / 2, nano * 2}},
			{Peer: "deno", PerCPUSecond: []float64{deno}},
			{Peer: "bun", PerCPUSecond: []float64{1e9}, Failure: "status 500"},
		}}
	}
	lacking := platformResult{Case: "html", Title: "html", Peers: []platformPeer{{Peer: nanoName, Failure: lacksIt}, {Peer: "deno", Failure: lacksIt}}}
	found := &results{Platform: []platformResult{result("url", 80, 100), result("atob", 200, 100), lacking}}
	targets := found.judgePlatform()
	if targets[0].Verdict != met || targets[0].Measured != "2 of 2" || targets[1].Verdict != missed {
		t.Errorf("got %+v", targets)
	}
	found.Platform = append(found.Platform, result("clone", 79, 100))
	targets = found.judgePlatform()
	if targets[0].Verdict != missed || targets[0].Measured != "2 of 3; not clone 0.79 × deno" {
		t.Errorf("got %+v", targets)
	}
	var page strings.Builder
	found.writePlatform(&page)
	for _, want := range []string{"| url       | 80   | 100  | –   | 0.80 × deno           |", "| html      | –    | –    |     |", "url, bun: status 500"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	if text := (&results{}).judgePlatform()[0].Verdict; text != notMeasured {
		t.Errorf("without results: %s", text)
	}
}
