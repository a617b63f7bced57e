package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exposureMax is what `systemd-analyze security` may say of the unit, in tenths: 0 is an empty box, 10 a plain
// process.
const exposureMax = 2.0

// TestUnitIsConfined asks systemd's own judgement of deploy/nano.service.
func TestUnitIsConfined(t *testing.T) {
	needs(t, "systemd-analyze")
	unit := filepath.Join(repository(t), "deploy/nano.service")
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", unit).CombinedOutput()
	match := regexp.MustCompile(`Overall exposure level for nano\.service: ([0-9.]+)`).FindSubmatch(out)
	if match == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if exposure, _ := strconv.ParseFloat(string(match[1]), 64); exposure > exposureMax {
		t.Errorf("exposure is %s, more than %.1f:\n%s", match[1], exposureMax, out)
	}
}

// TestUnitsAreUnderstood has systemd parse the units: what it does not know it would ignore.
func TestUnitsAreUnderstood(t *testing.T) {
	needs(t, "systemd-analyze")
	// The program that the unit names need not be installed here.
	folder := t.TempDir()
	for _, name := range []string{"nano.service", "nano.socket"} {
		text, err := os.ReadFile(filepath.Join(repository(t), "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("/usr/bin/nano"), []byte("/bin/true"))
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(folder, "nano.service"), filepath.Join(folder, "nano.socket")).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "nano.") { // the others are about this machine's own units
			t.Error(strings.TrimSpace(line))
		}
	}
}

func needs(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skip(tool + " is not installed")
	}
}

// TestUnitAllowsWhatNanoCalls lets a node live a whole life under the system call filter of deploy/nano.service. In
// the place of EPERM a call that is not allowed ends the process, builders included.
func TestUnitAllowsWhatNanoCalls(t *testing.T) {
	needs(t, "systemd-analyze")
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "origin") }))
	origin.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	origin.StartTLS()
	defer origin.Close()
	folder := writeFiles(t, map[string]string{
		"a.js": `export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/wasm") {
      await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
    }
    const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    if (key.privateKey.type !== "private") throw new Error("no key");
    return fetch(url.searchParams.get("origin"));
  }
}`,
		"b.js":             "console.log('b has an image');\nexport default { fetch() {} };",
		"public/file.txt":  "a file",
		"public/large.bin": strings.Repeat("x", 3<<20),
		"roots.pem":        string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw})),
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\", \"unix:SOCKET\"]\naccess_log = true\n[isolates]\nidle = \"200ms\"\n" +
			"[[app]]\nname = \"a\"\nmain = \"a.js\"\nstatic = \"public\"\n[app.fetch]\nroots = \"roots.pem\"\n[app.egress]\nallow = [\"127.0.0.0/8\"]\n" +
			"[[app]]\nname = \"b\"\nmain = \"b.js\"\npath = \"/b\"\n",
	})
	file := filepath.Join(folder, "nano.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("SOCKET"), []byte(filepath.Join(folder, "nano.sock")), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	filter := filepath.Join(folder, "filter")
	if err := os.WriteFile(filter, unitFilter(t), 0o600); err != nil {
		t.Fatal(err)
	}
	command := nanoCommand(t, "serve", "-c", file)
	command.Env = append(command.Env, actUnderFilter+"="+filter)
	p := startCommand(t, 2, command)
	for _, path := range []string{"/", "/wasm"} {
		for range 3 {
			p.expect("GET", path+"?origin="+origin.URL, "a.test", "", 200, "origin")
		}
	}
	p.expect("GET", "/file.txt", "a.test", "", 200, "a file")
	p.expect("GET", "/large.bin", "a.test", "", 200, strings.Repeat("x", 3<<20))
	p.signal(syscall.SIGUSR1)
	p.waitForLog("requests")
	p.waitForLog("b has an image") // a builder says so: nobody has asked b
	p.expect("GET", "/?origin="+origin.URL, "a.test", "", 200, "origin")
	if exit, out, stderr := runNano(t, "reload", "-c", file); exit != 0 {
		t.Errorf("reload: exit code %d: %s%s", exit, out, stderr)
	}
	p.expect("GET", "/?origin="+origin.URL, "a.test", "", 200, "origin")
	successor := upgradeNano(t, p, file)
	p.waitForLog("INFO ended") // the old node has drained
	response, err := http.Get(p.url + "/file.txt")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	syscall.Kill(successor, syscall.SIGTERM)
	if log := p.logText(); strings.Contains(log, "bad system call") {
		t.Error("a builder was ended by the filter")
	}
}

// actUnderFilter names a file with the instructions of a filter that the test binary puts itself under, before it acts
// as nano.
const actUnderFilter = "NANO_TEST_FILTER"

// confine puts this process under a filter and starts it anew, so that all of its life is under it.
func confine(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(text)/8)
	if err := binary.Read(bytes.NewReader(text), binary.NativeEndian, filter); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// All threads of the process, which had begun before.
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	os.Unsetenv(actUnderFilter)
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// unitFilter makes seccomp's program of the unit: its calls, without those that open sockets of further families or
// make namespaces.
func unitFilter(t *testing.T) []byte {
	t.Helper()
	allowed := unitCalls(t)
	numbers := callNumbers(t)
	const (
		load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		isEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer  = unix.BPF_RET | unix.BPF_K

		callOffset, argumentOffset = 0, 16 // in struct seccomp_data
	)
	program := []unix.SockFilter{{Code: load, K: callOffset}}
	for name := range allowed {
		number, isHere := numbers[name]
		if !isHere || name == "socket" || name == "clone3" {
			continue // of another processor, or below
		}
		program = append(program,
			unix.SockFilter{Code: isEqual, Jf: 1, K: number},
			unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	}
	// RestrictNamespaces cannot look into the arguments of clone3, so it says that there is none.
	program = append(program,
		unix.SockFilter{Code: isEqual, Jf: 1, K: numbers["clone3"]},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		unix.SockFilter{Code: isEqual, Jf: 7, K: numbers["socket"]},
		unix.SockFilter{Code: load, K: argumentOffset})
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX} { // RestrictAddressFamilies
		program = append(program,
			unix.SockFilter{Code: isEqual, Jf: 1, K: family},
			unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	}
	program = append(program, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_KILL_PROCESS})
	var text bytes.Buffer
	if err := binary.Write(&text, binary.NativeEndian, program); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// unitCalls are the system calls that the unit allows, by its lines from top to bottom.
func unitCalls(t *testing.T) map[string]bool {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(repository(t), "deploy/nano.service"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, name := range callsOf(t, "@default") { // always
		allowed[name] = true
	}
	for line := range strings.Lines(string(unit)) {
		names, isFilter := strings.CutPrefix(strings.TrimSpace(line), "SystemCallFilter=")
		if !isFilter {
			continue
		}
		names, isDenied := strings.CutPrefix(names, "~")
		for _, name := range strings.Fields(names) {
			for _, call := range callsOf(t, name) {
				allowed[call] = !isDenied
			}
		}
	}
	for name, isAllowed := range allowed {
		if !isAllowed {
			delete(allowed, name)
		}
	}
	if len(allowed) < 200 {
		t.Fatalf("only %d calls", len(allowed))
	}
	return allowed
}

// callsOf are the calls of a set of systemd's, or the call itself.
func callsOf(t *testing.T, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line != "" && line != name && !strings.HasPrefix(line, "#") {
			calls = append(calls, callsOf(t, line)...)
		}
	}
	return calls
}

// callNumbers are this processor's numbers of the system calls, by name.
func callNumbers(t *testing.T) map[string]uint32 {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "golang.org/x/sys/unix").Output()
	if err != nil {
		t.Skip("the source of golang.org/x/sys/unix is not here: ", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "zsysnum_linux_"+runtime.GOARCH+".go"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]uint32{}
	for _, match := range regexp.MustCompile(`SYS_([A-Z0-9_]+) += (\d+)`).FindAllStringSubmatch(string(text), -1) {
		number, _ := strconv.ParseUint(match[2], 10, 32)
		numbers[strings.ToLower(match[1])] = uint32(number)
	}
	if numbers["io_uring_setup"] != unix.SYS_IO_URING_SETUP {
		t.Fatal("the numbers were not found")
	}
	return numbers
}
