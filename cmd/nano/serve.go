package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"nano/config"
	"nano/logs"
	"nano/loop"
	"nano/systemd"
)

// serve runs a node until it has drained. isSuccessor: it takes the place of the node that runs.
func serve(s *streams, load func() (*config.Config, error), isSuccessor bool, debugged *debugging) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	configured, err := load()
	if err != nil {
		return err
	}
	log, err := openLog(configured.Server.Log, s.err)
	if err != nil {
		return err
	}
	defer log.Close(logCloseLimit)
	logger := slog.New(log.Handler())
	for _, warning := range configured.Warnings {
		logger.Warn(warning.Error())
	}
	manager := systemd.New()
	manager.Report = func(err error) { logger.Warn(err.Error()) }
	started := manager.Starting(startPatience(configured), "starting "+count(len(configured.Apps), "app"))
	if err := debugged.listen(configured); err != nil {
		return err
	}
	defer debugged.close()
	running, err := startOrTakeOver(configured, debugged.loading(load), logger, log, manager, isSuccessor, debugged)
	started()
	if err != nil {
		return err
	}
	defer running.notify()()
	printBanner(s.out, logger, configured.Server.Log, running.Served(), running.addresses())
	debugged.serve(configured, running.loops, s.out, logger)
	ended := make(chan error, 1)
	go func() { ended <- running.wait() }()
	return supervise(running, signals, ended, logger)
}

// startOrTakeOver starts a node, in the place of the one that runs if it is its successor.
func startOrTakeOver(c *config.Config, load func() (*config.Config, error), logger *slog.Logger, log *logs.Log, manager *systemd.Manager, isSuccessor bool,
	debugged *debugging) (*node, error) {
	var before *predecessor
	var inherited []loop.ListenerFile
	if isSuccessor {
		var err error
		if before, inherited, err = takeOver(c); err != nil {
			return nil, err
		}
	}
	running, err := startNode(c, load, logger, log, inherited, debugged, nil)
	if err != nil {
		before.close()
		return nil, err
	}
	running.manager = manager
	if err := running.openInterface(before); err != nil {
		running.Drain()
		return nil, errors.Join(err, running.wait())
	}
	return running, nil
}

// drainer is what supervise needs of a node.
type drainer interface {
	// reload reads the configuration again and applies it.
	reload()
	// logUpgrade starts a process that takes this one's place.
	logUpgrade()
	// drain makes the node answer what it has received and then end.
	drain()
	// report writes the accounts of the apps to the log.
	report(logger *slog.Logger)
}

// sameWish is for how long after the first signal to end further ones say nothing new: timeout(1)
// and make(1) signal their child and then, or with it, its whole process group.
const sameWish = 200 * time.Millisecond

// errSignal ends a node that was told twice to end.
var errSignal = errors.New("ended by a second signal: requests may be lost")

// supervise turns signals into what the node is to do, until it has ended.
func supervise(node drainer, signals <-chan os.Signal, ended <-chan error, logger *slog.Logger) error {
	var draining time.Time // since when, if at all
	for {
		select {
		case err := <-ended:
			logger.Info("ended")
			return err
		case received := <-signals:
			switch {
			case received == syscall.SIGHUP:
				go node.reload() // each waits for the one before
			case received == syscall.SIGUSR2:
				go node.logUpgrade()
			case received == syscall.SIGUSR1:
				go node.report(logger) // a loop in a long turn answers late, and signals must not wait
			case draining.IsZero():
				draining = time.Now()
				logger.Info("draining", "signal", received.String())
				node.drain()
			case time.Since(draining) >= sameWish:
				return errSignal
			}
		}
	}
}

// bannerAppsMax is how many apps the banner names.
const bannerAppsMax = 8

// printBanner tells what is served where: to people on standard output, to machines in the log.
func printBanner(out io.Writer, logger *slog.Logger, format string, served []config.App, addresses []string) {
	if format == config.LogJSON {
		names := make([]string, len(served))
		for i := range served {
			names[i] = served[i].Name
		}
		logger.Info("serving", "apps", names, "addresses", addresses)
		return
	}
	var apps []string
	for i := range served {
		if i == bannerAppsMax {
			apps = append(apps, fmt.Sprintf("%d more", len(served)-i))
			break
		}
		apps = append(apps, describeApp(&served[i]))
	}
	if len(apps) == 0 {
		apps = []string{"no apps"}
	}
	for _, address := range addresses {
		fmt.Fprintf(out, "nano: serving %s on %s\n", strings.Join(apps, ", "), address)
	}
}

// describeApp is an app's name, and where it is found if it is not everywhere.
func describeApp(app *config.App) string {
	if len(app.Hosts) == 0 && app.Path == "/" {
		return app.Name
	}
	where := strings.Join(app.Hosts, " ")
	if app.Path != "/" {
		where += app.Path
	}
	return app.Name + " (" + where + ")"
}
