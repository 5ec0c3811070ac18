package main

import (
	"fmt"
	"log/slog"
)

// logSettings are the log block of certroll.hcl.
type logSettings struct {
	Level  string `hcl:"level,optional"`
	Format string `hcl:"format,optional"`

	level *slog.LevelVar // of the logger that was made; nil: none was
}

// parsed is the level, and an error where one of the two settings is wrong.
func (l *logSettings) parsed() (slog.Level, error) {
	var level slog.Level
	if l.Level != "" {
		if err := level.UnmarshalText([]byte(l.Level)); err != nil {
			return level, fmt.Errorf("log.level = %q: %w; use debug, info, warn or error", l.Level, err)
		}
	}
	if f := l.Format; f != "" && f != "text" && f != "json" {
		return level, fmt.Errorf("log.format = %q: use text or json", f)
	}
	return level, nil
}

func (l *logSettings) logger(w interface{ Write([]byte) (int, error) }) (*slog.Logger, error) {
	level, err := l.parsed()
	if err != nil {
		return nil, err
	}
	l.level = &slog.LevelVar{}
	l.level.Set(level)
	opts := &slog.HandlerOptions{Level: l.level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(jsonLines{w}, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// follow has the logger that was made by these settings log as others say, which then
// have it.
func (l *logSettings) follow(next *logSettings) {
	if next.level = l.level; l.level != nil {
		level, _ := next.parsed() // it was looked at
		l.level.Set(level)
	}
}
