package loop

import (
	"fmt"
	"strings"
	"testing"
)

func TestRoute(t *testing.T) {
	router, err := NewRouter([]Route{
		{Name: "home", Hosts: []string{"example.com", "www.example.com"}},
		{Name: "api", Hosts: []string{"example.com"}, Path: "/api"},
		{Name: "v2", Hosts: []string{"Example.com"}, Path: "/api/v2/"},
		{Name: "wild", Hosts: []string{"*.example.com"}},
		{Name: "deep", Hosts: []string{"*.deep.example.com"}, Path: "/x"},
		{Name: "only", Hosts: []string{"only.test"}, Path: "/sub"},
		{Name: "any"},
		{Name: "any-api", Path: "/api"},
		{Name: "six", Hosts: []string{"[::1]"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"home", "api", "v2", "wild", "deep", "only", "any", "any-api", "six"}
	for _, test := range []struct{ host, target, want string }{
		{"example.com", "/", "home"},
		{"example.com", "", "home"},
		{"EXAMPLE.com:8080", "/index.html", "home"},
		{"example.com.", "/", "home"},
		{"example.com", "/api", "api"},
		{"example.com", "/api/", "api"},
		{"example.com", "/api?x=/api/v2", "api"},
		{"example.com", "/apix", "home"},
		{"example.com", "/api/v2", "v2"},
		{"example.com", "/api/v2/users/1", "v2"},
		{"example.com", "/api/v22", "api"},
		{"example.com", "/x/api/v2", "home"},
		{"example.com", "//api", "home"},
		// What the app sees as its path decides: dot segments are resolved first.
		{"example.com", "/api/../index.html", "home"},
		{"example.com", "/x/../api", "api"},
		{"example.com", "/x/%2E%2e/api?y", "api"},
		{"example.com", "/x/.%2e/api/./v2", "v2"},
		{"example.com", `/x\..\..\api\v2`, "v2"},
		{"example.com", "/api/v2/..", "api"},
		{"example.com", "/api/v2/.", "v2"},
		{"example.com", "/api/...", "api"},
		{"example.com", "/../../api", "api"},
		{"example.com", "/api/%2fv2", "api"},
		{"a.example.com", "/api", "wild"},
		{"a.b.example.com:1", "/", "wild"},
		{"a.deep.example.com", "/x/y", "deep"},
		{"a.deep.example.com", "/y", "wild"},
		{"www.example.com", "/api", "home"},
		{"only.test", "/sub/1", "only"},
		{"only.test", "/", ""},
		{"elsewhere", "/", "any"},
		{"elsewhere", "/api/x", "any-api"},
		{"", "/", "any"},
		{"notexample.com", "/", "any"},
		{"[::1]:8080", "/", "six"},
		{"[::1]", "/", "six"},
		{strings.Repeat("a", 300) + ".example.com", "/", "any"},
	} {
		got := ""
		if app := router.Route([]byte(test.host), []byte(test.target)); app >= 0 {
			got = names[app]
		}
		if got != test.want {
			t.Errorf("%s%s: got %q, want %q", test.host, test.target, got, test.want)
		}
	}
}

// TestRouteRemembers: what a connection remembers of its last request never changes the answer.
func TestRouteRemembers(t *testing.T) {
	router, err := NewRouter([]Route{
		{Name: "home", Hosts: []string{"a.test"}},
		{Name: "api", Hosts: []string{"a.test"}, Path: "/api"},
		{Name: "sub", Hosts: []string{"b.test"}, Path: "/sub"},
		{Name: "wild", Hosts: []string{"*.test"}},
		{Name: "any"},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"a.test", "A.test", "a.test:80", "a.testing", "b.test", "b.test.", "c.test", "d", ""}
	targets := []string{"/", "/api", "/apix", "/sub", "/sub/x", ""}
	var last *hostRoutes
	for _, before := range hosts {
		for _, host := range hosts {
			for _, target := range targets {
				_, last = router.route([]byte(before), []byte("/"), last)
				var got int32
				got, last = router.route([]byte(host), []byte(target), last)
				if want := router.Route([]byte(host), []byte(target)); int(got) != want {
					t.Errorf("after %s: %s%s goes to %d, want %d", before, host, target, got, want)
				}
			}
		}
	}
}

func TestRouteConflict(t *testing.T) {
	for _, apps := range [][]Route{
		{{Name: "one"}, {Name: "two"}},
		{{Name: "one", Hosts: []string{"a"}, Path: "/x"}, {Name: "two", Hosts: []string{"b", "A"}, Path: "/x/"}},
		{{Name: "one", Path: "x"}},
	} {
		if _, err := NewRouter(apps); err == nil {
			t.Errorf("no error for %v", apps)
		}
	}
}

func TestRouteDoesNotAllocate(t *testing.T) {
	var routes []Route
	for i := range 2000 {
		routes = append(routes, Route{Name: fmt.Sprint(i), Hosts: []string{fmt.Sprintf("h%d.test", i/2)}, Path: []string{"", "/a/b"}[i%2]})
	}
	router, err := NewRouter(routes)
	if err != nil {
		t.Fatal(err)
	}
	host, target := []byte("H77.Test:80"), []byte("/a/b/c/d?e")
	if n := testing.AllocsPerRun(100, func() {
		if router.Route(host, target) != 155 {
			t.Error("wrong app")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
