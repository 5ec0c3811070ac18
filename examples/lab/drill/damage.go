package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// harm is damage to a file, as a power failure or a bad disk causes it.
type harm struct {
	name string
	// to returns the content after the damage; a nil to removes the file.
	to func(content []byte, rng *rand.Rand) []byte
}

var harms = []harm{
	{"empty", func([]byte, *rand.Rand) []byte { return []byte{} }},
	{"half", func(content []byte, _ *rand.Rand) []byte { return content[:len(content)/2] }},
	{"nul", nulTail},
	{"torn", tornLine},
	{"gone", nil},
}

// nulTail replaces the content by zeros from a random position on, as if the size was
// written but the data was not.
func nulTail(content []byte, rng *rand.Rand) []byte {
	from := rng.IntN(len(content) + 1)
	return append(bytes.Clone(content[:from]), make([]byte, len(content)-from)...)
}

// tornLine truncates the content in the middle of the last line.
func tornLine(content []byte, rng *rand.Rand) []byte {
	whole := bytes.TrimRight(content, "\n")
	from := bytes.LastIndexByte(whole, '\n') + 1
	return content[:from+rng.IntN(len(whole)-from+1)]
}

// damage harms one random file below a directory, and describes it. Git's objects are
// many, so half of the time it chooses another file.
func damage(dir string, rng *rand.Rand) (string, error) {
	var objects, others []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.Type().IsRegular():
			return err
		case strings.Contains(path, "/objects/"):
			objects = append(objects, path)
		default:
			others = append(others, path)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("looking for a file to damage: %w", err)
	}
	files := others
	if len(files) == 0 || len(objects) > 0 && rng.IntN(2) == 0 {
		files = objects
	}
	if len(files) == 0 {
		return "nothing to damage", nil
	}
	file, harm := files[rng.IntN(len(files))], harms[rng.IntN(len(harms))]
	return harm.name + " " + kindOf(dir, file), harm.on(file, rng)
}

func (h harm) on(file string, rng *rand.Rand) error {
	if h.to == nil {
		return os.Remove(file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.Chmod(file, 0o600); err != nil { // Git's objects are read-only
		return err
	}
	return os.WriteFile(file, h.to(content, rng), 0o600)
}

// kindOf returns a file's path below the directory, without the parts that differ each
// time.
func kindOf(dir, file string) string {
	path, err := filepath.Rel(dir, file)
	if err != nil {
		return file
	}
	if before, _, ok := strings.Cut(path, "objects/"); ok {
		path = before + "objects"
	}
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, p := range parts {
		if i < len(parts)-1 && strings.ContainsAny(p, "0123456789") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}
