package static

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

func TestAppendPath(t *testing.T) {
	for target, want := range map[string]string{
		"":                        "",
		"/":                       "/",
		"/a":                      "a",
		"/a/":                     "a/",
		"/a/b.css":                "a/b.css",
		"/a%20b/%C3%A9.txt":       "a b/é.txt",
		"/100%25":                 "100%",
		"/%25%32%65":              "%2e", // decoded once
		"/a..b/...c":              "REFUSED",
		"/a..b":                   "a..b",
		"/.well-known/x":          ".well-known/x",
		"/.well-known":            ".well-known",
		"/a/.well-known/x":        "REFUSED",
		"/.git/config":            "REFUSED",
		"/a/.env":                 "REFUSED",
		"/%2eenv":                 "REFUSED",
		"/..":                     "REFUSED",
		"/../etc/passwd":          "REFUSED",
		"/a/../../etc/passwd":     "REFUSED",
		"/%2e%2e/etc/passwd":      "REFUSED",
		"/a/%2E%2e/b":             "REFUSED",
		"/./a":                    "REFUSED",
		"//a":                     "REFUSED",
		"/a//b":                   "REFUSED",
		"/a//":                    "REFUSED",
		"/a%2fb":                  "REFUSED",
		"/a%2Fb":                  "REFUSED",
		"/a\\b":                   "REFUSED",
		"/..%5c..%5cetc":          "REFUSED",
		"/a%00":                   "REFUSED",
		"/a%0ab":                  "REFUSED",
		"/a%7f":                   "REFUSED",
		"/a%":                     "REFUSED",
		"/a%4":                    "REFUSED",
		"/a%4g":                   "REFUSED",
		"a":                       "REFUSED",
		"/" + longText(255):       longText(255),
		"/" + longText(256):       "REFUSED",
		longText(8000):            "REFUSED",
		"/a" + longPath(5000):     "REFUSED",
		"/%61" + longText(14):     "a" + longText(14),
		"/" + longText(255) + "/": longText(255) + "/",
	} {
		path, ok := AppendPath([]byte("kept:"), []byte(target))
		got := "REFUSED"
		if ok {
			got = string(bytes.TrimPrefix(path, []byte("kept:")))
		}
		if got != want {
			t.Errorf("%.60q: %.60q, want %.60q", target, got, want)
		}
	}
}

func longText(n int) string { return strings.Repeat("x", n) }
func longPath(n int) string { return strings.Repeat("/y", n/2) }

func TestAppendLocation(t *testing.T) {
	for target, want := range map[string]string{
		"/docs":           "./docs/",
		"/a/b%20c?x=1&y":  "./b%20c/?x=1&y",
		"/javascript:x":   "./javascript:x/",
		"/a//evil.com":    "./evil.com/",
		"/shop?next=/a/b": "./shop/?next=/a/b",
	} {
		if got := string(AppendLocation(nil, []byte(target))); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
}

// FuzzAppendPath looks for a path that leaves its folder, is hidden, or means something else to the standard
// library.
func FuzzAppendPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/%2e%2e/x", "/a%2fb", "/.well-known/a", "/a/..;/b", "/%c0%ae%c0%ae/", "/a\\..\\b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, target []byte) {
		path, ok := AppendPath(nil, target)
		if !ok {
			return
		}
		if len(path) > pathMax {
			t.Fatalf("%d bytes", len(path))
		}
		decoded, err := url.PathUnescape(string(target))
		if err != nil || len(target) != 0 && decoded != "/"+strings.TrimPrefix(string(path), "/") {
			t.Fatalf("%q became %q, %q to others (%v)", target, path, decoded, err)
		}
		segments := strings.Split(strings.TrimSuffix(string(path), "/"), "/")
		for i, segment := range segments {
			isHidden := strings.HasPrefix(segment, ".") && (i != 0 || segment != ".well-known")
			isEmpty := segment == "" && len(segments) != 1
			if isHidden || isEmpty || strings.ContainsAny(segment, "\\\x00\r\n") {
				t.Fatalf("%q became %q", target, path)
			}
		}
	})
}
