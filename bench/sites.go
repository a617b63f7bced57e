package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// nginxName names nginx, which runs no module: it takes part in proxies and static files.
const nginxName = "nginx"

// site is what a server is given that asks an origin or serves files. What it serves goes by its name:
//
//   - "static": the folder of staticFiles,
//   - "proxy" with nginx: peers/nginx-proxy.conf,
//   - else a module: peers/NAME.PEER.js if the runtime has no common API for it, or apps/NAME.js.
//
// {{host}}, {{port}}, {{origin}}, {{public}} and {{folder}} are put into modules and configurations.
type site struct {
	Name   string
	Host   string // address that it listens on; "": loopback
	Port   int
	Origin string // host:port
	Folder string // of this server, kept while it runs
	Public string // folder of the static files
}

// staticFile is a file of the site "static".
type staticFile struct {
	Name, Title string
	Size        int
}

// staticFiles are named so that every server takes them for application/octet-stream.
var staticFiles = []staticFile{{"1k.bin", "1 KB", 1 << 10}, {"1m.bin", "1 MB", 1 << 20}}

// sitePeers are the runtimes that can serve a site, where not all can: Node has neither a WebSocket server
// nor one for files.
var sitePeers = map[string][]string{
	"static":    {nanoName, otherName, "deno", "bun", "workerd", nginxName},
	"websocket": {nanoName, otherName, "deno", "bun", "workerd"},
}

// findNginx returns nginx, or nil with a hint if it is not installed.
func findNginx() *peer {
	path, err := exec.LookPath(nginxName)
	if err != nil {
		progress("nginx is missing and left out of proxies and static files: apt-get install nginx-light")
		return nil
	}
	return &peer{Name: nginxName, Binary: path}
}

// nginxVersion asks nginx, which answers on standard error.
func nginxVersion(ctx context.Context, nginx peer) string {
	output, err := exec.CommandContext(ctx, nginx.Binary, "-v").CombinedOutput()
	if err != nil {
		return "unknown"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(output)), "nginx version: ")
}

// peersOf returns who takes part in a scenario.
func (b *bench) peersOf(s scenario) []peer {
	peers := b.sitePeers(s.Site)
	if s.IsVeth { // Deno's and Bun's adapters listen on loopback
		peers = slices.DeleteFunc(peers, func(p peer) bool { return p.Name == "deno" || p.Name == "bun" })
	}
	if b.nginx != nil && (s.Site == "proxy" || s.Site == "static") {
		peers = append(peers, *b.nginx)
	}
	return peers
}

// sitePeers returns the runtimes that can serve a site.
func (b *bench) sitePeers(name string) []peer {
	able, limited := sitePeers[name]
	return slices.DeleteFunc(slices.Clone(b.peers), func(p peer) bool { return limited && !slices.Contains(able, p.Name) })
}

// launchSite starts a peer for a site, and the origin if there is none yet.
func (b *bench) launchSite(ctx context.Context, p peer, name string) (*server, error) {
	s := site{Name: name, Public: filepath.Join(b.temporary, "public")}
	var err error
	if s.Origin, err = b.originAddress(ctx); err != nil {
		return nil, err
	}
	if err := writeStaticFiles(s.Public); err != nil {
		return nil, err
	}
	if s.Folder, err = os.MkdirTemp(b.temporary, p.Name+"-"); err != nil {
		return nil, err
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	if b.veth != nil {
		s.Host = vethServer
	}
	arguments, err := b.siteCommand(p, s)
	if err != nil {
		return nil, err
	}
	if b.veth != nil {
		arguments = b.veth.inside(arguments)
	}
	return startServer(ctx, arguments, b.serverCore, fmt.Sprintf("%s:%d", s.host(), s.Port))
}

// writeStaticFiles makes the folder of static files, unless it is there.
func writeStaticFiles(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, file := range staticFiles {
		path := filepath.Join(folder, file.Name)
		if info, err := os.Stat(path); err == nil && info.Size() == int64(file.Size) {
			continue
		}
		if err := os.WriteFile(path, []byte(bodyOf(file.Size)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// siteCommand returns the command line that serves a site.
func (b *bench) siteCommand(p peer, s site) ([]string, error) {
	switch p.Name {
	case nginxName:
		path, err := s.fill(filepath.Join(b.folder, "peers", "nginx-"+s.Name+".conf"), "nginx.conf")
		return []string{p.Binary, "-p", s.Folder, "-c", path}, err
	case "workerd":
		if s.Name == "static" {
			path, err := s.fill(filepath.Join(b.folder, "peers", "workerd-static.capnp"), "workerd.capnp")
			return []string{p.Binary, "serve", path}, err
		}
		if _, err := b.siteModule(p, s); err != nil {
			return nil, err
		}
		path, err := s.fill(filepath.Join(b.folder, "peers", "workerd-network.capnp"), "workerd.capnp")
		return []string{p.Binary, "serve", path}, err
	case nanoName, otherName:
		return b.nanoSite(p, s)
	}
	module, err := b.siteModule(p, s)
	if err != nil {
		return nil, err
	}
	if p.Name == "deno" {
		return prepareDeno(p, module, s.Port, s.Folder)
	}
	return []string{p.Binary, filepath.Join(b.folder, "peers", p.Name+".js"), module, strconv.Itoa(s.Port)}, nil
}

// siteModule writes the module of a site into its folder.
func (b *bench) siteModule(p peer, s site) (path string, err error) {
	path, err = s.fill(filepath.Join(b.folder, "peers", s.Name+"."+p.Name+".js"), "app.js")
	if errors.Is(err, fs.ErrNotExist) {
		path, err = s.fill(b.appPath(s.Name+".js"), "app.js")
	}
	return path, err
}

func (s site) host() string { return cmp.Or(s.Host, "127.0.0.1") }

// fill copies a template into the site's folder and returns the copy's path.
func (s site) fill(template, name string) (path string, err error) {
	text, err := os.ReadFile(template)
	if err != nil {
		return "", err
	}
	filled := strings.NewReplacer("{{host}}", s.host(), "{{port}}", strconv.Itoa(s.Port), "{{origin}}", s.Origin, "{{public}}", s.Public,
		"{{folder}}", s.Folder).Replace(string(text))
	path = filepath.Join(s.Folder, name)
	return path, os.WriteFile(path, []byte(filled), 0o644)
}

// nanoSite writes a nano.toml. Its limits are wide: one request makes a body of a gigabyte, and takes minutes
// with a slow client.
func (b *bench) nanoSite(p peer, s site) ([]string, error) {
	static, module := "", b.appPath("plain.js")
	if s.Name == "static" {
		static = s.Public
	} else {
		var err error
		if module, err = b.siteModule(p, s); err != nil {
			return nil, err
		}
	}
	configuration := fmt.Sprintf(`[server]
listen = ["%s:%d"]
loops = 1
state_dir = %q

[[app]]
name = "bench"
main = %q
static = %q

[app.egress]
allow = [%q]

[app.limits]
cpu = "60s"
wall = "5m"
max_body = "2GiB"
subrequests = 10000
`, s.host(), s.Port, filepath.Join(s.Folder, "state"), module, static, s.Origin)
	path := filepath.Join(s.Folder, "nano.toml")
	return []string{p.Binary, "serve", "-c", path}, os.WriteFile(path, []byte(configuration), 0o644)
}
