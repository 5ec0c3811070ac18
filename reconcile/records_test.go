package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// knownTree tells what objects its entries are, as Git does, and counts what
// is read.
type knownTree struct {
	fstest.MapFS
	read int
}

type knownEntry struct {
	fs.DirEntry
	object string
}

func (e knownEntry) ObjectID() string { return e.object }

func (t *knownTree) ReadFile(name string) ([]byte, error) {
	t.read++
	return t.MapFS.ReadFile(name)
}

func (t *knownTree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := t.MapFS.ReadDir(name)
	for i, e := range entries {
		if f := t.MapFS[name+"/"+e.Name()]; f != nil {
			sum := sha256.Sum256(f.Data)
			entries[i] = knownEntry{e, hex.EncodeToString(sum[:])}
		}
	}
	return entries, err
}

// TestRecordsOfStrangers: one that lies where its name does not belong, or has a
// name that no file can have, would be told of without end.
func TestRecordsOfStrangers(t *testing.T) {
	for file, name := range map[string]string{"z.json": "api", "..json": ".", "a\\b.json": `a\b`, "x.json": "../x"} {
		b, err := MarshalRecord(&Record{Schema: RecordSchema, Certificate: name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = readRecords(fstest.MapFS{recordDir + "/" + file: {Data: b}})
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("a record of %q in %s is read: %v", name, file, err)
		}
	}
}

// TestRecordOfTheLastYear: no record could follow it, so that no failure after
// it would be noted.
func TestRecordOfTheLastYear(t *testing.T) {
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if _, err := MarshalRecord(&Record{UpdatedAt: (&Record{UpdatedAt: end}).next(start)}); err == nil {
		t.Fatal("one can follow it")
	}
	b, err := MarshalRecord(&Record{Schema: RecordSchema, Certificate: "api", UpdatedAt: end})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = UnmarshalRecord(b); err == nil {
		t.Error("it is read")
	}
}

// TestRecordsAreReadOnce: a look at a ledger of thousands reads what changed.
func TestRecordsAreReadOnce(t *testing.T) {
	tree := &knownTree{MapFS: fstest.MapFS{}}
	put := func(name string, failures int) {
		t.Helper()
		b, err := MarshalRecord(&Record{Schema: RecordSchema, Certificate: name, Failures: failures})
		if err != nil {
			t.Fatal(err)
		}
		tree.MapFS[recordFile(name)] = &fstest.MapFile{Data: b}
	}
	put("a", 0)
	put("b", 0)
	var cache recordCache
	look := func(reads, failures int) {
		t.Helper()
		tree.read = 0
		records, err := cache.read(tree)
		if err != nil || len(records) != 2 || records["b"].Failures != failures || tree.read != reads {
			t.Errorf("%d records with %d reads, want 2 with %d; b: %+v, %v", len(records), tree.read, reads, records["b"], err)
		}
	}
	look(2, 0)
	look(0, 0)
	put("b", 3)
	look(1, 3)
	look(0, 3)
	put("b", 0) // and back
	look(1, 0)

	// The marks of the audit log read its newest file alone.
	for _, month := range []string{"09", "10", "11"} {
		tree.MapFS["audit/2026/"+month+".jsonl"] = &fstest.MapFile{Data: []byte("{\"n\":" + month + "}\n{}\n")}
	}
	var survey surveyor
	for _, reads := range []int{3, 1} {
		tree.read = 0
		if m, err := survey.mark(tree, "head"); err != nil || m.Events != 6 || m.Line != 2 || m.File != "audit/2026/11.jsonl" || tree.read != reads {
			t.Errorf("the mark is %+v, %v, after %d reads, want %d", m, err, tree.read, reads)
		}
	}
}
