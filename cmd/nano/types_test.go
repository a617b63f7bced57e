package main

import (
	"path/filepath"
	"testing"
)

// TestTypes: every binding has its type, whatever it is called.
func TestTypes(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"key": "secret",
		"nano.toml": `[[app]]
name = "my-shop"
main = "a.js"
static = "public"
[app.vars]
TEXT = "a"
NUMBER = 1.5
LIST = [1, "two", true, 2]
NONE = []
"odd \"key\"" = false
TABLE = { inner = { x = 1 } }
[[app.vars.ROWS]]
id = 1
[app.secrets]
KEY = { file = "key" }
[app.services]
OTHER = "2nd"
[[app]]
name = "2nd"
main = "b.js"
path = "/b"
`,
	})
	exit, out, stderr := runNano(t, "types", "-c", filepath.Join(folder, "nano.toml"))
	want := "// What nano.toml gives the apps, by `nano types`: write it anew after a change there.\n" + `
interface MyShopEnv {
  LIST: (number | string | boolean)[];
  NONE: unknown[];
  NUMBER: number;
  ROWS: {
    id: number;
  }[];
  TABLE: {
    inner: {
      x: number;
    };
  };
  TEXT: string;
  "odd \"key\"": boolean;
  KEY: string;
  OTHER: NanoService;
  ASSETS: NanoAssets;
}

interface App2ndEnv {
}
`
	if exit != 0 || stderr != "" || out != want {
		t.Errorf("exit code %d: %s\ngot  %s\nwant %s", exit, stderr, out, want)
	}
	if exit, _, stderr := runNano(t, "types", "-c", filepath.Join(folder, "absent.toml")); exit != 1 || stderr == "" {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
}
