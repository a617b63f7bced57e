package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"nano/apps"
	"nano/config"
	"nano/snapshot"
)

// Deploy makes an upload the version of an app that serves. An app that there is not is added, if
// nano.toml does not have it. Until everything is well, the version that serves goes on; afterwards it
// ends as with a Reload.
func (n *Node) Deploy(ctx context.Context, name string, d Deployment) (Version, error) {
	if err := config.CheckName(name); err != nil {
		return Version{}, &RejectedError{err}
	}
	release, err := n.claim(name)
	if err != nil {
		return Version{}, err
	}
	defer release()
	folder, err := n.uploadFolder()
	if err != nil {
		return Version{}, fmt.Errorf("%w: %w", apps.ErrState, err)
	}
	defer os.RemoveAll(folder)
	main, err := receive(&d, folder, n.configured().Server.MaxBundle)
	if err != nil {
		return Version{}, err
	}
	n.changes.RLock()
	defer n.changes.RUnlock()
	if n.isEnding() {
		return Version{}, ErrBusy
	}
	p, err := n.planUpload(name, &d)
	if err != nil {
		return Version{}, err
	}
	source, err := n.keepUpload(ctx, p.next.config, main, folder)
	if err != nil && d.isOneFile() {
		err = explainOneFile(err, filepath.Base(main))
	}
	if err != nil {
		return Version{}, err
	}
	p.held = append(p.held, source)
	n.stageUpload(ctx, p, source)
	if err := n.change(ctx, p); err != nil {
		return Version{}, err
	}
	k := p.next.record.find(VersionID(source))
	return k.version(k.Weight), nil
}

// uploadFolder makes a folder for one upload.
func (n *Node) uploadFolder() (string, error) {
	if err := os.MkdirAll(n.options.Uploads, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(n.options.Uploads, snapshot.TemporaryPrefix)
}

// cleanUploads removes the uploads that a node before this one has not ended.
func cleanUploads(folder string) error {
	left, err := filepath.Glob(filepath.Join(folder, snapshot.TemporaryPrefix+"*"))
	for _, each := range left {
		err = errors.Join(err, os.RemoveAll(each))
	}
	return err
}

// planUpload begins a plan for an upload: whose settings it has, and where it is found.
func (n *Node) planUpload(name string, d *Deployment) (*plan, error) {
	old := n.find(name)
	if old != nil && !old.uploaded {
		if d.Hosts != nil || d.Path != "" || d.Settings != nil {
			return nil, rejected("app %q is in nano.toml: its hosts, path and settings are set there", name)
		}
		p := newPlan(old, old.config)
		p.next.record = n.recordOf(old)
		return p, nil
	}
	r, up := &record{Next: 1}, upload{}
	if old != nil {
		r = old.record.clone()
		up = *r.Upload
	}
	if d.Hosts != nil {
		up.Hosts = d.Hosts
	}
	if d.Path != "" {
		up.Path = d.Path
	}
	if d.Settings != nil {
		up.Settings = string(d.Settings)
	}
	conf, err := n.placeUpload(name, &up)
	if err != nil {
		return nil, err
	}
	p := newPlan(old, &conf)
	r.Upload = &up
	p.next.record, p.next.uploaded, p.isPlaced = r, true, true
	return p, nil
}

// keepUpload reads an upload, and keeps what it consists of.
func (n *Node) keepUpload(ctx context.Context, c *config.App, main, folder string) (apps.SourceID, error) {
	app := appOf(c, apps.SourceID{})
	app.Main, app.Root = main, folder
	source, err := n.set.Keep(ctx, app, filepath.Dir(main))
	var mainError *apps.MainError
	switch {
	case err == nil, errors.Is(err, apps.ErrState), ctx.Err() != nil:
		return source, err
	case errors.As(err, &mainError): // its path is ours, and gone by now
		return source, rejected("%s", strings.ReplaceAll(err.Error(), folder+string(filepath.Separator), ""))
	}
	return source, &RejectedError{err}
}

// missing is what reading an app says of modules that are not there.
var missing = regexp.MustCompile(`cannot import "\.\.?/|cannot find the package "`)

// explainOneFile adds the cure to what is wrong with a single file, if that is what it imports.
func explainOneFile(err error, main string) error {
	if !missing.MatchString(err.Error()) {
		return err
	}
	return &RejectedError{fmt.Errorf("%w\nonly %s was uploaded, not what it imports: upload the project's folder, or what \"nano build\" makes of it", err, main)}
}

// stageUpload prepares the version of an upload to serve.
func (n *Node) stageUpload(ctx context.Context, p *plan, source apps.SourceID) {
	p.action = Replaced
	if p.old == nil {
		p.action = Added
	}
	staged, err := n.stage(ctx, p.next.config, source, 1, true)
	if err != nil {
		n.giveUp(p, err)
		return
	}
	p.added, p.next.runs = []run{staged}, []run{staged}
	p.next.record.deploy(source, FromUpload, time.Now())
	p.next.record.prune(n.configured().Server.Versions)
}
