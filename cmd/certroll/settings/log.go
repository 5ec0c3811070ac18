package settings

import (
	"fmt"
	"log/slog"

	"certroll/spec/text"
)

// Log is the log block of certroll.hcl.
type Log struct {
	Level  string `hcl:"level,optional"`
	Format string `hcl:"format,optional"`

	level *slog.LevelVar // of the logger that Logger made; nil: none
}

// Parsed returns the level, and an error if level or format is invalid.
func (l *Log) Parsed() (slog.Level, error) {
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

// Logger makes the logger of these settings.
func (l *Log) Logger(w interface{ Write([]byte) (int, error) }) (*slog.Logger, error) {
	level, err := l.Parsed()
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

// PassOn applies the next settings' level to the logger of these, and hands the logger
// over.
func (l *Log) PassOn(next *Log) {
	if next.level = l.level; l.level != nil {
		level, _ := next.Parsed() // already checked
		l.level.Set(level)
	}
}

// jsonLines escapes in JSON the characters that the console's filter would replace.
type jsonLines struct {
	w interface{ Write([]byte) (int, error) }
}

// Write expects whole lines, as slog writes them.
func (j jsonLines) Write(p []byte) (int, error) {
	if _, err := j.w.Write(text.JSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
