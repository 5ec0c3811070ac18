package archive_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// knownTree exposes object hashes as Git does, and counts reads.
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

// TestRecordsOfStrangers checks that certroll ignores records at the wrong path, with
// an impossible name, or dated in the year 9999. The first two would be reported
// forever, and the last would keep failures from being recorded.
func TestRecordsOfStrangers(t *testing.T) {
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if _, err := ledger.MarshalRecord(&ledger.Record{UpdatedAt: (&ledger.Record{UpdatedAt: end}).Next(reconciletest.Start)}); err == nil {
		t.Fatal("a record can follow one of the last year")
	}
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	for file, r := range map[string]ledger.Record{
		"z.json": {Certificate: "old"}, "..json": {Certificate: "."}, `a\b.json`: {Certificate: `a\b`}, "x.json": {Certificate: "../x"}, "api.json": {Certificate: "api", UpdatedAt: end},
	} {
		r.Schema, r.State = ledger.RecordSchema, ledger.StateLive
		b, err := ledger.MarshalRecord(&r)
		if err != nil {
			t.Fatal(err)
		}
		w.Ledger.Tree[ledger.RecordDir+"/"+file] = &fstest.MapFile{Data: b}
	}
	w.Settle()
	if r := w.Ledger.Record(t, "api"); r.Live == nil || !r.UpdatedAt.Equal(reconciletest.Start) {
		t.Errorf("the record of a certificate is not made anew: %+v", r)
	}
	if again := w.Settle(); again.Commit != "" || len(w.Plan()) != 1 {
		t.Errorf("there is more to do: %+v, %+v", again, w.Plan())
	}
}

// TestRecordsAreReadOnce checks that re-reading a ledger of thousands of records reads
// only the changed ones.
func TestRecordsAreReadOnce(t *testing.T) {
	tree := &knownTree{MapFS: fstest.MapFS{}}
	put := func(name string, failures int) {
		t.Helper()
		b, err := ledger.MarshalRecord(&ledger.Record{Schema: ledger.RecordSchema, Certificate: name, Failures: failures})
		if err != nil {
			t.Fatal(err)
		}
		tree.MapFS[ledger.RecordFile(name)] = &fstest.MapFile{Data: b}
	}
	put("a", 0)
	put("b", 0)
	var cache archive.RecordCache
	look := func(reads, failures int) {
		t.Helper()
		tree.read = 0
		records, err := cache.Read(tree)
		if err != nil || len(records) != 2 || records["b"].Failures != failures || tree.read != reads {
			t.Errorf("%d records with %d reads, want 2 with %d; b: %+v, %v", len(records), tree.read, reads, records["b"], err)
		}
	}
	look(2, 0)
	look(0, 0)
	put("b", 3)
	look(1, 3)
	look(0, 3)
	put("b", 0) // revert the change
	look(1, 0)

	// Finding the audit log's position reads only its newest file.
	for _, month := range []string{"09", "10", "11"} {
		tree.MapFS["audit/2026/"+month+".jsonl"] = &fstest.MapFile{Data: []byte("{\"n\":" + month + "}\n{}\n")}
	}
	var survey audit.Surveyor
	for _, reads := range []int{3, 1} {
		tree.read = 0
		if m, err := survey.Mark(tree, "head"); err != nil || m.Events != 6 || m.Line != 2 || m.File != "audit/2026/11.jsonl" || tree.read != reads {
			t.Errorf("the mark is %+v, %v, after %d reads, want %d", m, err, tree.read, reads)
		}
	}
}
