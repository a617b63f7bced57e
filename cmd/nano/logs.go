package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"nano/logs"
)

func runLogs(s *streams, args []string) error {
	flags := newFlags(s, "logs", `Prints the last lines that a running node keeps of its log: of one app, or of all apps and the node
itself. With -f it goes on with those that come.
`)
	at := targetFlags(flags)
	follow := flags.Bool("f", false, "follow the log until Ctrl-C")
	operands, err := parseOperands(flags, args)
	if err != nil {
		return err
	}
	path := "/v1/logs"
	switch len(operands) {
	case 0:
	case 1:
		path = "/v1/apps/" + url.PathEscape(operands[0]) + "/logs"
	default:
		return usageError{fmt.Sprintf("%q is one argument too many", operands[1])}
	}
	if !*follow {
		path += "?follow=0"
	}
	c, err := at.connect()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	response, err := c.open(ctx, "GET", path, "", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	isWatched := watched(s.out)
	err = readEvents(response.Body, func(data []byte) error {
		if c.json {
			_, err := fmt.Fprintf(s.out, "%s\n", data)
			return err
		}
		var line logs.Line
		if err := json.Unmarshal(data, &line); err != nil {
			return fmt.Errorf("%s: a line cannot be read: %w", c.where, err)
		}
		if line.Dropped != 0 {
			_, err := fmt.Fprintf(s.err, "nano: %d lines are missing here: they came faster than they were read\n", line.Dropped)
			return err
		}
		_, err := s.out.Write(line.AppendText(nil, isWatched, isWatched && logs.WantsColor()))
		return err
	})
	switch {
	case ctx.Err() != nil: // Ctrl-C
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case *follow || err != nil: // at its end a node cuts off who follows
		return errors.New("the node has ended")
	}
	return nil
}

// watched tells whether somebody looks at what a command writes.
func watched(stream io.Writer) bool {
	file, ok := stream.(*os.File)
	return ok && isTerminal(file)
}

// eventBytesMax bounds an event: a line of the log is at most 64 KiB, which JSON makes longer.
const eventBytesMax = 1 << 20

// readEvents calls take with the data of each server-sent event, until the stream ends.
func readEvents(stream io.Reader, take func(data []byte) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 64<<10), eventBytesMax)
	for lines.Scan() {
		data, isData := strings.CutPrefix(lines.Text(), "data:")
		if !isData {
			continue // a comment, or the end of an event
		}
		if err := take([]byte(strings.TrimPrefix(data, " "))); err != nil {
			return err
		}
	}
	return lines.Err()
}
